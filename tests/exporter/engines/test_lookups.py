from __future__ import annotations

import socket

import pytest

from exporter.engines.lookups import HostLookup, find_names
from tests.servers.endpoints import UNKNOWN_HOST


@pytest.fixture
def lookup() -> HostLookup:
    return HostLookup("shop", is_async=False)


def test_an_unknown_host_is_an_error_that_names_it(lookup: HostLookup) -> None:
    with pytest.raises(socket.gaierror, match=UNKNOWN_HOST):
        lookup.resolve([UNKNOWN_HOST])
    assert lookup.pending is None


def test_one_known_host_of_several_is_enough(lookup: HostLookup) -> None:
    lookup.resolve([UNKNOWN_HOST, "localhost"])


@pytest.mark.parametrize("name", ["label" * 20 + ".example", "two..dots.example"])
def test_what_cannot_be_a_host_name_is_not_known(lookup: HostLookup, name: str) -> None:
    with pytest.raises(socket.gaierror, match="Not a host name"):
        lookup.resolve([name])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "/run/postgresql", "@abstract", ""])
def test_addresses_and_sockets_are_not_looked_up(host: str) -> None:
    assert find_names(["db.example"]) == ["db.example"]
    assert find_names([host]) == []
    assert find_names(["db.example", host]) == []
