"""Looks up host names before a driver does, because a silent name server hangs threads.

Async drivers resolve names in the few threads that the event loop shares, where the hanging lookups
of one database would hold up all others. Here each lookup has its own thread.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable
from functools import partial

from sqlalchemy_pool_exporter.databases.call_queue import CallQueue


class HostLookup:
    """Looks up the hosts of one database, one after the other, for the call that is running."""

    def __init__(self, calls: CallQueue) -> None:
        self._calls = calls
        self._addresses: dict[str, frozenset[str]] = {}

    def get_addresses(self, hosts: Iterable[str]) -> frozenset[str]:
        """Return the addresses that these hosts had at their last lookup.

        An address stands for itself.
        """
        return frozenset().union(*(self._addresses.get(host, {host}) for host in hosts))

    def resolve(self, hosts: Iterable[str]) -> frozenset[str]:
        """Return the hosts that are addresses, sockets, or names with addresses.

        Each name gets an equal share of the time until the call's deadline, and one share is left
        for connecting; a single host may use all of it. Raises the last name's socket.gaierror if
        no host is left.
        """
        given = frozenset(hosts)
        names = sorted(name for name in given if is_name(name))
        resolved = set(given.difference(names))
        failure: socket.gaierror | None = None
        for position, name in enumerate(names):
            shares = 1 if len(given) == 1 else len(names) - position + 1
            try:
                self._look_up(name, (self._calls.deadline - time.monotonic()) / shares)
                resolved.add(name)
            except socket.gaierror as error:
                failure = error
        if failure is not None and not resolved:
            raise failure
        return frozenset(resolved)

    def _look_up(self, name: str, timeout_seconds: float) -> None:
        self._addresses[name] = self._calls.run_in_background(
            f"lookup of {name}",
            partial(look_up, name),
            timeout_seconds,
            partial(build_timeout_error, name),
        )


def build_timeout_error(name: str) -> socket.gaierror:
    """Return the error for a name server that does not answer."""
    return socket.gaierror(socket.EAI_AGAIN, f"No answer from the name server: {name}")


def is_name(host: str) -> bool:
    """Return whether a host is neither an address nor the path or abstract name of a socket."""
    if not host or host[0] in "/@":
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def look_up(name: str) -> frozenset[str]:
    """Return the addresses of a host. Raises socket.gaierror with the name in its text."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a part between two dots is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, f"Not a host name: {name}") from error
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"{error.strerror}: {name}") from error
    return frozenset(str(address[0]) for *_, address in found)
