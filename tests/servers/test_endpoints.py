from __future__ import annotations

import errno
import socket

import pytest

from tests.servers.endpoints import LOCALHOST, UNROUTABLE_HOST, open_talking_port

SHORT_SECONDS = 0.3
LONG_SECONDS = 10.0


def connect(port: int, seconds: float = LONG_SECONDS) -> socket.socket:
    return socket.create_connection((LOCALHOST, port), timeout=seconds)


def test_a_closed_port_refuses(closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(closed_port)


def test_a_silent_port_accepts_connections_and_sends_nothing(silent_port: int) -> None:
    with connect(silent_port, SHORT_SECONDS) as client:
        client.sendall(b"anybody there?")
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_dropping_port_lets_every_connect_hang(dropping_port: int) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            connect(dropping_port, SHORT_SECONDS)


def test_a_resetting_port_resets(resetting_port: int) -> None:
    with pytest.raises(ConnectionResetError), connect(resetting_port) as client:  # noqa: PT012 - the reset may come at either call
        client.sendall(b"hello")
        client.recv(1)


def test_a_garbage_port_answers_like_a_web_server(garbage_port: int) -> None:
    with connect(garbage_port) as client:
        client.sendall(b"\x00\x00\x00\x08")
        assert client.recv(100).startswith(b"HTTP/1.1 400")


def test_a_talking_port_speaks_first() -> None:
    with open_talking_port(b"welcome") as port, connect(port) as client:
        assert client.recv(100) == b"welcome"


def test_the_unroutable_host_is_refused_by_this_machine() -> None:
    with pytest.raises(OSError, match="unreachable") as raised:
        socket.create_connection((UNROUTABLE_HOST, 5432), timeout=LONG_SECONDS)
    assert raised.value.errno == errno.ENETUNREACH
