"""Addresses on this machine that fail like networks and unexpected servers.

Nothing here sends a packet to another machine, except for queries to its resolver.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

LOCALHOST = "127.0.0.1"
# RFC 2606 reserves .invalid, so that the name never exists.
UNKNOWN_HOST = "database.invalid"
# The broadcast address of the loopback network: the kernel answers ENETUNREACH to connect().
UNROUTABLE_HOST = "127.255.255.255"
POSTGRES_REFUSES_TLS = b"N"


def read_port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def find_free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as bound:
        bound.bind((LOCALHOST, 0))
        return read_port(bound)


@contextmanager
def open_closed_port() -> Iterator[int]:
    """Yield a port that refuses connections; nothing else can listen on it during the block."""
    with socket.socket() as bound:
        bound.bind((LOCALHOST, 0))
        yield read_port(bound)


@contextmanager
def open_silent_port() -> Iterator[int]:
    """Yield a port where the kernel accepts connections, and nothing reads or answers."""
    with socket.create_server((LOCALHOST, 0), backlog=100) as listener:
        yield read_port(listener)


@contextmanager
def open_dropping_port() -> Iterator[int]:
    """Yield a port with a full backlog: SYN packets are dropped and connect() hangs."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((LOCALHOST, 0), backlog=0))
        port = read_port(listener)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((LOCALHOST, port))
        yield port


@contextmanager
def open_resetting_port() -> Iterator[int]:
    """Yield a port that accepts connections and resets them at once."""
    with serve_port(_reset) as port:
        yield port


@contextmanager
def open_answering_port(answer: bytes) -> Iterator[int]:
    """Yield a port that answers the first bytes of a client with these, and disconnects."""
    with serve_port(lambda client: _answer(client, answer)) as port:
        yield port


@contextmanager
def open_talking_port(greeting: bytes) -> Iterator[int]:
    """Yield a port that sends these bytes first, as MySQL does, and disconnects."""
    with serve_port(lambda client: client.sendall(greeting)) as port:
        yield port


def _reset(client: socket.socket) -> None:
    # Lingering for 0 seconds makes close() send RST instead of FIN.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _answer(client: socket.socket, answer: bytes) -> None:
    if client.recv(65536):
        client.sendall(answer)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def shutdown_request(self, request: object) -> None:
        """Close the socket without shutdown(), which would fail after a reset."""
        assert isinstance(request, socket.socket)
        request.close()


@contextmanager
def serve_port(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Call `talk` for each client in its own thread, and disconnect."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                talk(self.request)

    with _Server((LOCALHOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield read_port(server.socket)
        finally:
            server.shutdown()
            thread.join()
