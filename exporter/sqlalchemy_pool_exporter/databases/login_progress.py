"""A connection that is being opened, seen from outside: whether its server has begun to answer.

Drivers do not tell, nor hand out the socket before they are done; the kernel knows. Linux only:
elsewhere no login is known to be answered.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")
# https://github.com/torvalds/linux/blob/master/include/uapi/linux/tcp.h, struct tcp_info
UNACKED = slice(24, 28)
BYTES_RECEIVED = slice(128, 136)
INFO_BYTES = 136


class LoginProgress:
    """Build it right before the driver connects, with the server's addresses and its ports.

    Another connection to the same server that is opened meanwhile may be taken for this one.
    """

    def __init__(self, addresses: Collection[str], ports: Collection[int]) -> None:
        self._places = frozenset(product(addresses, ports))
        self._earlier = frozenset(name for _, name in list_sockets())

    def server_has_answered(self) -> bool:
        """Whether the server has sent something and taken all that was sent to it; any thread."""
        return any(
            server_has_answered(descriptor, self._places)
            for descriptor, name in list_sockets()
            if name not in self._earlier
        )


def list_sockets() -> Iterator[tuple[int, str]]:
    """This process's sockets: their descriptors, and the kernel's names, which are not reused."""
    with suppress(OSError):
        for entry in DESCRIPTORS.iterdir():
            with suppress(OSError):  # closed meanwhile
                name = str(entry.readlink())
                if name.startswith("socket:"):
                    yield int(entry.name), name


def server_has_answered(descriptor: int, places: frozenset[tuple[str, int]]) -> bool:
    """Whether this is a connection to one of these places on which the server has answered."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            if duplicate.getpeername()[:2] not in places:
                return False
            info = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    except OSError:  # closed meanwhile, not connected, or no TCP
        return False
    return any(info[BYTES_RECEIVED]) and not any(info[UNACKED])
