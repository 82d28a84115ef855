"""Runs slices of a benchmark in a process of its own, each when it is asked to.

The other end is `workers`. It runs in any environment, so it needs the standard library only.
"""

from __future__ import annotations

import gc
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import NoReturn

__all__ = ["REFUSED", "refuse", "serve"]

REFUSED = "refused: "


def serve(run: Callable[[int], int], warm_up: int) -> None:
    """Answer each line on stdin, a number of cycles, with the nanoseconds that `run` says.

    Warmed up first, with whatever start-up left behind out of the garbage collector's sight.
    """
    run(warm_up)
    gc.collect()
    gc.freeze()
    print(f"CPython {platform.python_version()}, SQLAlchemy {version('sqlalchemy')}", flush=True)
    for line in sys.stdin:
        print(run(int(line)), flush=True)


def refuse(reason: str) -> NoReturn:
    """End instead of serving, because what is to be measured does not work here."""
    print(f"{REFUSED}{reason}", flush=True)
    sys.exit()
