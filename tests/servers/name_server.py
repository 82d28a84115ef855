"""A name server on an address of this machine with the answers of a test: RFC 1035, UDP."""

from __future__ import annotations

import errno
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

import pytest

# An unused address of the loopback network: systemd's stub is 127.0.0.53, dnsmasq's 127.0.0.1.
ADDRESS: Final = "127.53.0.53"
PORT: Final = 53
ADDRESS_TYPE: Final = 1
# The flags of a response to a recursive query, without the RCODE.
RESPONSE: Final = 0x8180


class Fault(Enum):
    """What the server does instead of answering with an address; values are RCODEs."""

    SERVER_FAILURE = 2
    UNKNOWN_NAME = 3
    SILENCE = None


class NameServer(socketserver.ThreadingUDPServer):
    """Answers for the names that were `set`; all others are unknown.

    `asked` has the names of all queries in their order.
    """

    daemon_threads = True

    def __init__(self, address: str = ADDRESS, port: int = PORT) -> None:
        super().__init__((address, port), _Handler)
        self.asked: list[str] = []
        self._names: dict[str, str | Fault] = {}

    def set(self, name: str, outcome: str | Fault) -> None:
        """Set the IPv4 address of a name, or the fault that it meets."""
        self._names[name] = outcome

    def answer(self, question: bytes) -> bytes | None:
        """Return the response to a packet with one question; None for no response."""
        name, end = read_name(question, 12)
        self.asked.append(name)
        outcome = self._names.get(name, Fault.UNKNOWN_NAME)
        if outcome is Fault.SILENCE:
            return None
        (kind,) = struct.unpack_from("!H", question, end)
        records = b"" if isinstance(outcome, Fault) else build_records(kind, outcome)
        code = outcome.value if isinstance(outcome, Fault) else 0
        head = struct.pack("!2sHHHHH", question[:2], RESPONSE | code, 1, bool(records), 0, 0)
        return head + question[12 : end + 4] + records


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        packet, back = self.request
        assert isinstance(self.server, NameServer)
        answer = self.server.answer(packet)
        if answer is not None:
            back.sendto(answer, self.client_address)


def read_name(packet: bytes, start: int) -> tuple[str, int]:
    """Return the name at this offset, in lower case, and the offset after it."""
    labels, place = [], start
    while length := packet[place]:
        labels.append(packet[place + 1 : place + 1 + length].decode().lower())
        place += 1 + length
    return ".".join(labels), place + 1


def build_records(kind: int, address: str) -> bytes:
    """Return the address with a lifetime of zero; nothing for queries of other types."""
    if kind != ADDRESS_TYPE:
        return b""
    # 0xc00c points to the name in the question.
    return struct.pack("!HHHIH", 0xC00C, kind, 1, 0, 4) + socket.inet_aton(address)


@contextmanager
def run_name_server() -> Iterator[NameServer]:
    """Serve on ADDRESS; if that is impossible the test is skipped, or fails if CI is set."""
    try:
        server = NameServer()
    except OSError as error:
        if os.environ.get("CI") or error.errno not in (errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        pytest.skip(f"cannot listen on {ADDRESS}:{PORT}: {error.strerror}")
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
