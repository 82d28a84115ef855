"""Looks host names up before a driver does, because a name server that is silent hangs threads.

Async drivers resolve names in the event loop's few shared threads, where hanging lookups of one
database would hold up all the others; here each database has a thread of its own.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from functools import partial

from sqlalchemy.util import await_only

from exporter.engines.lanes import ThreadLane


class HostLookup:
    """Looks up one database's hosts, one at a time.

    `pending` is the name that is being looked up now, None when there is none.
    """

    def __init__(self, name: str, *, is_async: bool) -> None:
        self.pending: str | None = None
        self._is_async = is_async
        self._lane = ThreadLane(f"{name} lookup")

    def resolve(self, names: Iterable[str]) -> None:
        """Look the names up until one is known; the last one's socket.gaierror when none is.

        Call it in a greenlet for an async driver, else in the thread that may hang.
        """
        failure: socket.gaierror | None = None
        for name in names:
            try:
                return self._look_up(name)
            except socket.gaierror as error:
                failure = socket.gaierror(error.errno, f"{error.strerror}: {name}")
        if failure is not None:
            raise failure
        return None

    def _look_up(self, name: str) -> None:
        self.pending = name
        try:
            if self._is_async:
                await_only(self._look_up_in_thread(name))
            else:
                look_up(name)
        finally:
            self.pending = None

    async def _look_up_in_thread(self, name: str) -> None:
        future = self._lane.start(partial(look_up, name))
        try:
            await future
        finally:
            if future.cancelled():  # with us, at the deadline
                self._lane.give_up(future, do_nothing)

    def close(self) -> None:
        self._lane.close()


def find_names(hosts: Iterable[str]) -> list[str]:
    """The hosts to look up: none where one of them is an address or a unix socket's folder."""
    names = list(hosts)
    return names if all(is_name(name) for name in names) else []


def is_name(host: str) -> bool:
    if not host or host[0] in "/@":
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def look_up(name: str) -> None:
    try:
        socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # empty or too long between two dots
        raise socket.gaierror(socket.EAI_NONAME, "Not a host name") from error


def do_nothing() -> None:
    """Nothing is left behind by a lookup."""
