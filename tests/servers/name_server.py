"""A name server on an address of this machine that tells what a test wants told: RFC 1035, UDP."""

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

# Of the loopback network, and nobody's: systemd's stub is 127.0.0.53, dnsmasq's 127.0.0.1.
ADDRESS: Final = "127.53.0.53"
PORT: Final = 53
ADDRESS_TYPE: Final = 1
# The bits of a response to a recursive question, without the code of the outcome.
RESPONSE: Final = 0x8180


class Fault(Enum):
    """What the server does about a name instead of telling its address; values are RCODEs."""

    SERVER_FAILURE = 2
    UNKNOWN_NAME = 3
    SILENCE = None


class NameServer(socketserver.ThreadingUDPServer):
    """Knows the names that `tell` was called with; all others are unknown.

    `asked` are the names it was asked for, in the order of the questions.
    """

    daemon_threads = True

    def __init__(self, address: str = ADDRESS, port: int = PORT) -> None:
        super().__init__((address, port), _Handler)
        self.asked: list[str] = []
        self._names: dict[str, str | Fault] = {}

    def tell(self, name: str, outcome: str | Fault) -> None:
        """From now on the name has this IPv4 address, or the server this fault."""
        self._names[name] = outcome

    def answer(self, question: bytes) -> bytes | None:
        """The response to a packet with one question; None for silence."""
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
    """The name at this place, in lower case, and the place after it."""
    labels, place = [], start
    while length := packet[place]:
        labels.append(packet[place + 1 : place + 1 + length].decode().lower())
        place += 1 + length
    return ".".join(labels), place + 1


def build_records(kind: int, address: str) -> bytes:
    """The address, to be remembered for no time; nothing for questions of other kinds."""
    if kind != ADDRESS_TYPE:
        return b""
    # 0xc00c points to the name in the question.
    return struct.pack("!HHHIH", 0xC00C, kind, 1, 0, 4) + socket.inet_aton(address)


@contextmanager
def run_name_server() -> Iterator[NameServer]:
    """Serves on ADDRESS. Where that cannot be had the test is skipped; where CI is set it fails."""
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
