"""The processes of a server, as the kernel lists them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def list_children(parent: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if is_child(path, parent)]


def is_child(process: Path, parent: int) -> bool:
    with suppress(OSError):  # it has ended
        # The name of the program stands in brackets and may hold anything.
        state, found = (process / "stat").read_text().rpartition(")")[2].split()[:2]
        return int(found) == parent and state != "Z"
    return False


def read_title(pid: int) -> str:
    """Return the command line that a process shows; empty if it has ended."""
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode().rstrip("\0 ")
    return ""


@contextmanager
def pause(pid: int) -> Iterator[None]:
    """Stop a process and then its children with SIGSTOP; continue them at the end."""
    stopped: list[int] = []
    try:
        os.kill(pid, signal.SIGSTOP)
        stopped.append(pid)
        for child in list_children(pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
                stopped.append(child)
        yield
    finally:
        for each in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)
