"""Each fault of the proxy, as a plain client sees it."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.servers.conditions import wait_until
from tests.servers.endpoints import LOCALHOST
from tests.servers.proxy import Proxy, open_proxy

SHORT_SECONDS = 0.2
LONG_SECONDS = 10.0


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with EchoServer((LOCALHOST, 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with open_proxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((LOCALHOST, proxy.port), timeout=LONG_SECONDS)


def ask(client: socket.socket, text: bytes, seconds: float = LONG_SECONDS) -> bytes:
    client.settimeout(seconds)
    client.sendall(text)
    return client.recv(65536)


def test_everything_passes_and_is_counted(proxy: Proxy) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        assert ask(client, b"hello") == b"hello"
        assert ask(other, b"hi") == b"hi"
        assert (proxy.accepted, proxy.clients, proxy.most_clients) == (2, 2, 2)
    assert (proxy.bytes_to_server, proxy.bytes_to_client) == (7, 7)
    wait_until(lambda: proxy.clients == 0, "both to have hung up")


def test_refusing_leaves_established_connections_alone_and_keeps_the_port(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"hello")
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((LOCALHOST, proxy.port))
        assert ask(client, b"still here") == b"still here"
    proxy.heal()
    with connect(proxy) as client:
        assert ask(client, b"again") == b"again"


def test_silence_affects_new_connections_alone_and_lasts(proxy: Proxy) -> None:
    with connect(proxy) as old:
        ask(old, b"hello")
        proxy.stay_silent()
        with connect(proxy) as client:
            with pytest.raises(TimeoutError):
                ask(client, b"anybody there?", SHORT_SECONDS)
            assert ask(old, b"still here") == b"still here"
            proxy.heal()
            with pytest.raises(TimeoutError):
                ask(client, b"and now?", SHORT_SECONDS)
        with connect(proxy) as client:
            assert ask(client, b"again") == b"again"


def test_bytes_of_lost_connections_vanish_and_new_ones_work(proxy: Proxy) -> None:
    with connect(proxy) as old:
        ask(old, b"hello")
        proxy.lose()
        with pytest.raises(TimeoutError):
            ask(old, b"anybody there?", SHORT_SECONDS)
        with connect(proxy) as client:
            assert ask(client, b"hello") == b"hello"
    assert proxy.bytes_to_server == 10
    wait_until(lambda: proxy.clients == 0, "both to have hung up")


def test_a_connection_is_reset_between_request_and_answer(proxy: Proxy) -> None:
    proxy.reset_at(b"SELECT")
    with connect(proxy) as client:
        assert ask(client, b"login") == b"login"
        with pytest.raises(ConnectionResetError):
            ask(client, b"SELECT 1")
    assert proxy.bytes_to_server == len(b"loginSELECT 1")
    proxy.heal()
    with connect(proxy) as client:
        assert ask(client, b"SELECT 1") == b"SELECT 1"


def test_what_is_delayed_arrives_when_the_delay_ends(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.delay(60)
        with pytest.raises(TimeoutError):
            ask(client, b"hello", SHORT_SECONDS)
        proxy.heal()
        client.settimeout(LONG_SECONDS)
        assert client.recv(100) == b"hello"


def test_old_and_new_connections_are_cut_after_so_many_bytes(proxy: Proxy) -> None:
    with connect(proxy) as old:
        ask(old, b"hello")
        proxy.cut_after(3)
        for client in (old, connect(proxy)):
            with client:
                assert ask(client, b"hello") == b"hel"
                assert client.recv(100) == b""
    proxy.heal()
    with connect(proxy) as client:
        assert ask(client, b"hello") == b"hello"
