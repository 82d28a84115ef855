from __future__ import annotations

import asyncpg
import psycopg
import pytest

from sqlalchemy_pool_metrics.failures.classify import classify
from sqlalchemy_pool_metrics.failures.postgresql import classify_exact, classify_heuristic
from sqlalchemy_pool_metrics.failures.reason import Reason

STATES = [
    ("28000", Reason.AUTH),
    ("28P01", Reason.AUTH),
    ("3D000", Reason.NO_DATABASE),
    ("57P04", Reason.NO_DATABASE),
    ("53300", Reason.TOO_MANY_CONNECTIONS),
    ("57014", Reason.TIMEOUT),
    ("55P03", Reason.TIMEOUT),
    ("25P03", Reason.TIMEOUT),
    ("57P05", Reason.TIMEOUT),
    ("57P01", Reason.REFUSED),
    ("57P02", Reason.REFUSED),
    ("57P03", Reason.REFUSED),
    ("25006", Reason.READ_ONLY),
    ("42601", Reason.QUERY),
    ("42501", Reason.QUERY),
    ("40001", Reason.SERIALIZATION),
    ("40P01", Reason.DEADLOCK),
    ("23505", Reason.OTHER),
    ("55000", Reason.QUERY),
    ("25P02", Reason.QUERY),
    ("53100", Reason.OTHER),
    ("58030", Reason.OTHER),
    ("XX000", Reason.OTHER),
    ("08006", None),
    ("08P01", None),
]


class FakeError(Exception):
    """As psycopg2 raises them: with a pgcode, of a module of that name."""

    def __init__(self, text: str, pgcode: str | None = None) -> None:
        super().__init__(text)
        self.pgcode = pgcode


FakeError.__module__ = "psycopg2"


@pytest.mark.parametrize(("state", "reason"), STATES)
def test_the_sqlstate_decides_whatever_the_text_says(state: str, reason: Reason | None) -> None:
    assert classify_exact(FakeError("Verbindung abgelehnt", state)) is reason


class FakeFieldsError(Exception):
    """As pg8000 raises them: with a server's fields by the protocol's letters."""


FakeFieldsError.__module__ = "pg8000.exceptions"


def test_the_fields_of_pg8000_have_the_sqlstate() -> None:
    fields = {"S": "FATAL", "C": "28P01", "M": "password authentication failed"}
    assert classify(FakeFieldsError(fields)) is Reason.AUTH
    assert classify(ValueError(fields)) is Reason.OTHER


@pytest.mark.parametrize(("state", "reason"), STATES)
def test_every_driver_has_the_sqlstate(state: str, reason: Reason | None) -> None:
    of_asyncpg = asyncpg.PostgresError.new({"C": state, "M": "Anfrage abgebrochen", "S": "ERROR"})
    assert classify_exact(of_asyncpg) is reason
    of_psycopg = psycopg.Error("Anfrage abgebrochen")
    of_psycopg.sqlstate = state
    assert classify_exact(of_psycopg) is reason


@pytest.mark.parametrize(
    ("state", "text", "reason"),
    [
        ("57014", "canceling statement due to user request", Reason.CANCELLED),
        ("57014", "canceling statement due to statement timeout", Reason.TIMEOUT),
        ("42501", 'permission denied for database "shop"', Reason.AUTH),
        ("42501", 'permission denied for table "orders"', Reason.QUERY),
        ("55000", 'database "a" is not currently accepting connections', Reason.REFUSED),
    ],
)
def test_where_a_sqlstate_has_two_meanings_the_text_decides(
    state: str, text: str, reason: Reason
) -> None:
    assert classify_exact(FakeError(text, state)) is reason


# What libpq and PgBouncer say, in versions that do not run in these tests too.
TEXTS = [
    ('FATAL:  role "ann" does not exist', Reason.AUTH),
    ('FATAL:  role "ann" is not permitted to log in', Reason.AUTH),
    ("fe_sendauth: no password supplied", Reason.AUTH),
    ("FATAL:  no such user: ann", Reason.AUTH),
    ("FATAL:  auth failed", Reason.AUTH),
    ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", no encryption', Reason.AUTH),
    ('FATAL:  permission denied for database "shop"', Reason.AUTH),
    ("unsupported authentication method requested by the server: 99", Reason.AUTH),
    ("server login failed: FATAL password authentication failed for user", Reason.AUTH),
    ("server login failed: FATAL sorry, too many clients already", Reason.TOO_MANY_CONNECTIONS),
    ("FATAL:  no more connections allowed (max_client_conn)", Reason.TOO_MANY_CONNECTIONS),
    ('FATAL:  database "shop" does not exist', Reason.NO_DATABASE),
    ("FATAL:  no such database: shop", Reason.NO_DATABASE),
    ("ERROR:  query_wait_timeout", Reason.TIMEOUT),
    ("could not connect to server: Connection timed out", Reason.TIMEOUT),
    ("server login has been failing, try again later (server_login_retry)", Reason.REFUSED),
    ("pgbouncer cannot connect to server", Reason.REFUSED),
    ("FATAL:  the database system is starting up", Reason.REFUSED),
    ("SSL SYSCALL error: EOF detected", Reason.REFUSED),
    ("SSL connection has been closed unexpectedly", Reason.REFUSED),
    ("could not receive data from server: Connection reset by peer", Reason.REFUSED),
    ('connection to server on socket "/run/.s.PGSQL.1" failed: No such file', Reason.REFUSED),
    ("cannot perform operation: connection is closed", Reason.REFUSED),
    ("FATAL:  the database system is shutting down", Reason.REFUSED),
    ('FATAL:  database "shop" is not currently accepting connections', Reason.REFUSED),
    ("server conn crashed?", Reason.REFUSED),
    ('could not translate host name "db" to address', Reason.DNS),
    ("failed to resolve host 'db'", Reason.DNS),
    ("Temporary failure in name resolution", Reason.DNS),
    ("Name or service not known", Reason.DNS),
    ("No route to host", Reason.UNREACHABLE),
    ("Network is unreachable", Reason.UNREACHABLE),
    ("Cannot assign requested address", Reason.UNREACHABLE),
    ("FATAL:  SSL required", Reason.TLS),
    ("server does not support SSL, but SSL was required", Reason.TLS),
    ("SSL error: tlsv1 alert unknown ca", Reason.TLS),
    ('private key file "/key.pem" has group or world access', Reason.TLS),
    ('root certificate file "/ca.pem" does not exist', Reason.TLS),
    ('server certificate for "a" does not match host name "b"', Reason.TLS),
    ("session is read-only", Reason.READ_ONLY),
    ("server is in hot standby mode", Reason.READ_ONLY),
    ("received invalid response to SSL negotiation: H", Reason.DRIVER),
    ("FATAL:  unsupported startup parameter: options", Reason.DRIVER),
    ("FATAL:  unsupported frontend protocol 3.2", Reason.DRIVER),
    ("expected authentication request from server, but received H", Reason.DRIVER),
    ("Etwas ganz anderes", None),
]


@pytest.mark.parametrize(("text", "reason"), TEXTS)
def test_without_a_sqlstate_the_text_decides(text: str, reason: Reason | None) -> None:
    assert classify_exact(psycopg.OperationalError(text)) is reason


@pytest.mark.parametrize(("text", "reason"), TEXTS)
def test_the_text_of_pgbouncer_decides_not_its_sqlstate(text: str, reason: Reason | None) -> None:
    assert classify_exact(FakeError(text, "08P01")) is reason


def test_of_several_addresses_the_one_without_ipv6_does_not_count() -> None:
    text = (
        'connection to server at "::1" failed: Network is unreachable\n'
        'connection to server at "127.0.0.1" failed: Connection refused'
    )
    assert classify_exact(psycopg.OperationalError(text)) is Reason.REFUSED


def test_texts_of_other_libraries_mean_nothing() -> None:
    assert classify_exact(RuntimeError("Connection refused")) is None


@pytest.mark.parametrize(
    ("state", "reason"),
    [("08006", Reason.REFUSED), ("08P01", Reason.DRIVER), ("42601", None), (None, None)],
)
def test_a_connection_exception_that_says_nothing_else_is_refused(
    state: str | None, reason: Reason | None
) -> None:
    assert classify_heuristic(FakeError("Etwas ganz anderes", state)) is reason
