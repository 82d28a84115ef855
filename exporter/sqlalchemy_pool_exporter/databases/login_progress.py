"""Whether the server has begun to answer a connection that is being opened.

Drivers do not report it, nor expose their socket before the login is over, but the kernel knows.
Except on Linux, no login counts as answered. See docs/decisions/reading-tcp-info.md.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import product

DESCRIPTORS = "/proc/self/fd"
# Where tcpi_unacked and tcpi_bytes_received are in struct tcp_info, Linux 4.1 and later:
# https://github.com/torvalds/linux/blob/master/include/uapi/linux/tcp.h
UNACKED = slice(24, 28)
BYTES_RECEIVED = slice(128, 136)
INFO_BYTES = 136


class LoginProgress:
    """One login; build it right before the driver connects. For any thread.

    It is found among the new connections by the server's address and port, so another connection to
    the same server that is opened meanwhile may be mistaken for it.
    """

    def __init__(self, addresses: Collection[str], ports: Collection[int]) -> None:
        self._peers = frozenset(product(addresses, ports))
        self._earlier = frozenset(inode for _, inode in list_sockets())

    def server_has_answered(self) -> bool:
        """Return whether the server has sent something and acknowledged all it was sent."""
        return any(
            peer_has_answered(descriptor, self._peers)
            for descriptor, inode in list_sockets()
            if inode not in self._earlier
        )


def list_sockets() -> Iterator[tuple[int, int]]:
    """Yield the descriptors of this process's sockets, each with the kernel's number of the socket.

    A descriptor may be reused for another socket; that number may not.
    """
    descriptors: list[str] = []
    with suppress(OSError):
        # With hundreds of databases as many sockets are listed at every login: not by pathlib,
        # which takes eight times as long.
        descriptors = os.listdir(DESCRIPTORS)  # noqa: PTH208
    for descriptor in map(int, descriptors):
        with suppress(OSError):  # closed meanwhile
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                yield descriptor, status.st_ino


def peer_has_answered(descriptor: int, peers: frozenset[tuple[str, int]]) -> bool:
    """Return whether this is a connection to one of the peers, and the peer has answered."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            if duplicate.getpeername()[:2] not in peers:
                return False
            info = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    except OSError:  # closed meanwhile, not connected, or not TCP
        return False
    return any(info[BYTES_RECEIVED]) and not any(info[UNACKED])
