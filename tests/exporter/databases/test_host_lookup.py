from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sqlalchemy_pool_exporter.databases.call_queue import CallQueue
from sqlalchemy_pool_exporter.databases.executors import ThreadExecutor
from sqlalchemy_pool_exporter.databases.host_lookup import HostLookup, is_name
from tests.exporter.open_databases import PATIENCE, TIMEOUT
from tests.servers.endpoints import UNKNOWN_HOST

SILENT_HOST = "silent.example"


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A name server that does not answer for one name."""
    release = threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **keywords: Any) -> Any:
        if host == SILENT_HOST:
            release.wait()
        return look_up(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    release.set()


def resolve(*hosts: str, seconds: float = PATIENCE) -> frozenset[str]:
    calls = CallQueue(ThreadExecutor("shop"))
    calls.deadline = time.monotonic() + seconds
    return HostLookup(calls).resolve(hosts)


def test_an_unknown_host_is_an_error_with_its_name() -> None:
    with pytest.raises(socket.gaierror, match=UNKNOWN_HOST):
        resolve(UNKNOWN_HOST)


def test_addresses_and_names_with_addresses_are_usable() -> None:
    assert resolve(UNKNOWN_HOST, "localhost", "127.0.0.1") == {"localhost", "127.0.0.1"}
    assert resolve() == frozenset()


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("other", ["localhost", "127.0.0.1"])
def test_a_silent_name_costs_the_other_hosts_its_share_only(other: str) -> None:
    ends_at = time.monotonic() + TIMEOUT
    assert resolve(SILENT_HOST, other, seconds=TIMEOUT) == {other}
    assert time.monotonic() < ends_at


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("others", [[], [UNKNOWN_HOST]])
def test_a_silent_name_is_an_error_when_no_other_host_is_usable(others: list[str]) -> None:
    with pytest.raises(socket.gaierror, match=f"No answer from the name server: {SILENT_HOST}"):
        resolve(SILENT_HOST, *others, seconds=0.1)


@pytest.mark.parametrize("name", ["label" * 20 + ".example", "two..dots.example"])
def test_a_malformed_name_is_an_error_that_says_so(name: str) -> None:
    with pytest.raises(socket.gaierror, match="Not a host name"):
        resolve(name)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "/run/postgresql", "@abstract", ""])
def test_addresses_and_sockets_are_not_looked_up(host: str) -> None:
    assert is_name("db.example")
    assert not is_name(host)
