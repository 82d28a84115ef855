"""The sockets of a login, so that one that hangs can be ended.

A blocking driver hands out its connection only after the login, and may wrap its socket in a file
or in TLS. But Python tells its audit hooks of each socket that connects, in the thread that does
it. Drivers in C, whose sockets Python does not see, need timeouts of their own.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class LoginSockets:
    """The sockets that one thread connects during a login; `abort` is for any thread."""

    def __init__(self) -> None:
        # Each with the kernel's number: a descriptor is reused for another socket, that is not.
        self._inodes: dict[int, int] = {}
        self._is_aborted = False

    def add(self, descriptor: int) -> None:
        """Add a socket that is about to connect. Raises ConnectionAbortedError after `abort`."""
        if self._is_aborted:  # a driver tries the next address
            raise ConnectionAbortedError("connection aborted")
        self._inodes[descriptor] = os.fstat(descriptor).st_ino

    def abort(self) -> bool:
        """End all connections: a thread that waits for their server gets an error.

        Returns:
            Whether there are any.
        """
        self._is_aborted = True
        for descriptor, inode in tuple(self._inodes.items()):
            with suppress(OSError):  # closed, or not connected any more
                shut_down(descriptor, inode)
        return bool(self._inodes)


def shut_down(descriptor: int, inode: int) -> None:
    """Shut down a socket, unless its descriptor is another's by now. Raises OSError."""
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        if os.fstat(duplicate.fileno()).st_ino == inode:
            duplicate.shutdown(socket.SHUT_RDWR)


# The logins that are under way, by the numbers of their threads.
_logins: dict[int, LoginSockets] = {}
_hook = threading.Lock()  # held for good once the hook is installed


@contextmanager
def record_login(sockets: LoginSockets) -> Iterator[None]:
    """Add the sockets that this thread connects meanwhile."""
    if _hook.acquire(blocking=False):
        sys.addaudithook(_on_event)
    thread = threading.get_ident()
    _logins[thread] = sockets
    try:
        yield
    finally:
        del _logins[thread]


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    # For everything that Python audits, in any thread. What it raises, the audited call raises.
    if event == "socket.connect" and (login := _logins.get(threading.get_ident())) is not None:
        login.add(arguments[0].fileno())
