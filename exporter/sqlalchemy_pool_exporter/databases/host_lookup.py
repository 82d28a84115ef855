"""Looks host names up before a driver does, because a name server that is silent hangs threads.

Async drivers resolve names in the event loop's few shared threads, where hanging lookups of one
database would hold up all the others; here each lookup has a thread of its own.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable
from functools import partial

from sqlalchemy_pool_exporter.threads import BackgroundCalls


class HostLookup:
    """Looks up one database's hosts, one after the other."""

    def __init__(self, aside: BackgroundCalls) -> None:
        self._aside = aside
        self._addresses: dict[str, frozenset[str]] = {}

    def list_addresses(self, hosts: Iterable[str]) -> frozenset[str]:
        """What these names were last found to be; hosts that are no names are their own address."""
        return frozenset().union(*(self._addresses.get(host, {host}) for host in hosts))

    def find_usable(self, hosts: Iterable[str], ends_at: float) -> frozenset[str]:
        """The hosts that are addresses, sockets, or names that were answered for just now.

        Each name gets its share of the time until `ends_at` (time.monotonic()), and one is left for
        connecting; a host alone may have it all. Raises the last name's socket.gaierror when no
        host is usable.
        """
        given = frozenset(hosts)
        names = sorted(name for name in given if is_name(name))
        usable = set(given.difference(names))
        failure: socket.gaierror | None = None
        for position, name in enumerate(names):
            shares = 1 if len(given) == 1 else len(names) - position + 1
            try:
                self._look_up(name, (ends_at - time.monotonic()) / shares)
                usable.add(name)
            except socket.gaierror as error:
                failure = error
        if failure is not None and not usable:
            raise failure
        return frozenset(usable)

    def _look_up(self, name: str, seconds: float) -> None:
        call = partial(look_up, name)
        about = f"lookup of {name}"
        found = self._aside.make(about, call, seconds, partial(build_timeout_error, name))
        self._addresses[name] = found


def build_timeout_error(name: str) -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, f"No answer from the name server: {name}")


def is_name(host: str) -> bool:
    if not host or host[0] in "/@":
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def look_up(name: str) -> frozenset[str]:
    """The addresses of a host. Raises socket.gaierror that says which name."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # empty or too long between two dots
        raise socket.gaierror(socket.EAI_NONAME, f"Not a host name: {name}") from error
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"{error.strerror}: {name}") from error
    return frozenset(str(address[0]) for *_, address in found)
