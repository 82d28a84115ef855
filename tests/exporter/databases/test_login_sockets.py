from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sqlalchemy_pool_exporter.databases.login_sockets import LoginSockets, record_login

Address = tuple[str, int]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server that never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def silent(server: socket.socket) -> Address:
    host, port = server.getsockname()
    return host, port


def log_in(address: Address) -> bytes:
    with socket.create_connection(address) as client:
        return client.recv(1)


def log_in_through_a_file(address: Address) -> bytes:
    with socket.create_connection(address) as client, client.makefile("rwb") as file:
        return file.read(1)


def log_in_with_tls(address: Address) -> bytes:
    context = ssl.create_default_context()
    with socket.create_connection(address) as client:
        return context.wrap_socket(client, server_hostname="db").recv(1)


def try_again_and_again(address: Address) -> bytes:
    try:
        assert log_in(address) == b""
    finally:
        log_in(address)
    raise AssertionError("connected after the abort")


@pytest.mark.parametrize(
    "call", [log_in, log_in_through_a_file, log_in_with_tls, try_again_and_again]
)
def test_a_login_that_hangs_ends_however_its_socket_is_wrapped(
    server: socket.socket, silent: Address, call: Callable[[Address], bytes]
) -> None:
    login = LoginSockets()

    def record() -> bytes:
        with record_login(login):
            socket.create_connection(silent).close()  # its descriptor is free again
            try:
                return call(silent)
            except OSError:
                return b""

    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(record)
        accepted = [server.accept()[0] for _ in range(2)]
        assert login.abort()
        assert future.result() == b""
    for each in accepted:
        each.close()


def test_a_descriptor_that_now_belongs_to_another_connection_stays_open(silent: Address) -> None:
    login = LoginSockets()
    with record_login(login):
        client = socket.create_connection(silent)
    descriptor = client.detach()
    one, other = socket.socketpair()
    with one, other:
        os.dup2(one.fileno(), descriptor)
        assert login.abort()
        one.send(b"still open")
        assert other.recv(10) == b"still open"
    os.close(descriptor)


def test_other_threads_and_later_connections_are_not_recorded(silent: Address) -> None:
    login = LoginSockets()
    with record_login(login), ThreadPoolExecutor(1) as executor:
        elsewhere = executor.submit(socket.create_connection, silent).result()
    with elsewhere, socket.create_connection(silent):
        assert not login.abort()
