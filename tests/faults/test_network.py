"""Faults of networks and unexpected servers, with every driver."""

from __future__ import annotations

import pytest

from sqlalchemy_pool_exporter.failures import Reason
from tests.faults.clients import (
    ASYNCPG,
    CLIENTS,
    POSTGRESQL_CLIENTS,
    PSYCOPG,
    PSYCOPG_ASYNC,
    PYMYSQL,
    Client,
)
from tests.servers.endpoints import UNKNOWN_HOST, UNROUTABLE_HOST, open_talking_port


@pytest.fixture(params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.param
    return found


def test_a_closed_port_is_refused(client: Client, closed_port: int) -> None:
    failure = client.fail(client.url(closed_port))
    assert failure.reason is Reason.REFUSED


def test_a_closed_port_at_every_address_of_a_name_is_refused(
    client: Client, closed_port: int
) -> None:
    failure = client.fail(client.url(closed_port, host="localhost"))
    assert failure.reason is Reason.REFUSED


def test_a_server_that_never_answers_is_a_timeout(client: Client, silent_port: int) -> None:
    failure = client.fail(client.url(silent_port), **client.timeouts)
    assert failure.reason is Reason.TIMEOUT


def test_an_address_that_drops_packets_is_a_timeout(client: Client, dropping_port: int) -> None:
    failure = client.fail(client.url(dropping_port), **client.timeouts)
    assert failure.reason is Reason.TIMEOUT


def test_a_connection_that_is_reset_at_once_is_refused(client: Client, resetting_port: int) -> None:
    failure = client.fail(client.url(resetting_port), **client.timeouts)
    assert failure.reason is Reason.REFUSED


def test_a_network_without_a_route_is_unreachable(client: Client) -> None:
    failure = client.fail(client.url(5432, host=UNROUTABLE_HOST))
    assert failure.reason is Reason.UNREACHABLE


def test_an_unknown_host_has_the_reason_dns(client: Client) -> None:
    failure = client.fail(client.url(5432, host=UNKNOWN_HOST))
    assert failure.reason is Reason.DNS


def test_an_invalid_host_name_has_the_reason_dns(client: Client) -> None:
    failure = client.fail(client.url(5432, host=f"{'a' * 64}.example"))
    assert failure.reason is Reason.DNS


@pytest.mark.parametrize("client", [PSYCOPG, PSYCOPG_ASYNC, PYMYSQL], ids=str)
@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x10\x00\x00\x00\x0anonsense\x00abcdefg",
        b"\x10\x00\x00\x00nonsensenonsense",
    ],
)
def test_a_server_with_another_protocol_has_the_reason_driver(
    client: Client, greeting: bytes
) -> None:
    with open_talking_port(greeting) as port:
        failure = client.fail(client.url(port), **client.timeouts)
    assert failure.reason is Reason.DRIVER


@pytest.mark.parametrize("client", [ASYNCPG], ids=str)
def test_asyncpg_takes_another_protocol_for_a_refusal_of_tls(
    client: Client, garbage_port: int
) -> None:
    failure = client.fail(client.url(garbage_port), **client.timeouts)
    assert failure.reason is Reason.TLS
    assert "rejected SSL upgrade" in failure.message


@pytest.mark.parametrize("client", POSTGRESQL_CLIENTS, ids=str)
def test_a_postgresql_server_that_refuses_tls_has_the_reason_tls(
    client: Client, tls_refusing_port: int
) -> None:
    failure = client.fail(client.url(tls_refusing_port), **client.tls)
    assert failure.reason is Reason.TLS
