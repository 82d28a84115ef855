"""Every refusal of a real MariaDB, through an engine with pymysql."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pymysql
import pytest

from sqlalchemy_pool_exporter.failures import Failure, Reason
from tests.faults.clients import PYMYSQL
from tests.servers.accounts import DATABASE, PLAIN, SUPERUSER
from tests.servers.conditions import wait_until
from tests.servers.folders import make_folder
from tests.servers.mariadb import MariaDB, run_mariadb
from tests.servers.tls import write_certificates


@contextmanager
def hold_lock(server: MariaDB) -> Iterator[None]:
    with server.connect(SUPERUSER, DATABASE) as other, other.cursor() as cursor:
        cursor.execute("CREATE TABLE locked (id INT PRIMARY KEY) ENGINE=InnoDB")
        cursor.execute("INSERT INTO locked VALUES (1)")
        other.commit()
        cursor.execute("SELECT * FROM locked FOR UPDATE")
        yield
        cursor.execute("DROP TABLE locked")


@contextmanager
def fill(server: MariaDB) -> Iterator[None]:
    """Open connections until the server refuses more."""
    with ExitStack() as stack:

        def open_another() -> bool:
            try:
                stack.enter_context(server.connect(PLAIN))
            except pymysql.OperationalError as error:
                return "Too many connections" in str(error)
            return False

        wait_until(open_another, "the server to be full")
        yield


def fail(server: MariaDB, *statements: str) -> Failure:
    return PYMYSQL.fail(server.url(DATABASE, *PLAIN), *statements)


def fail_while(server: MariaDB, end: str) -> Failure:
    """Return the failure of a running statement that the superuser ends with `end`."""
    running = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(fail, server, "SELECT SLEEP(60) FROM information_schema.tables")
        wait_until(lambda: bool(server.execute(running)), "the statement")

        # Repeated, because the server forgets a KILL that arrives while a statement begins.
        def end_it() -> bool:
            for (thread,) in server.execute(running):
                with suppress(pymysql.OperationalError):  # it has ended meanwhile
                    server.execute(f"{end} {thread}")
            return future.done()

        wait_until(end_it, "the end of the statement")
        return future.result()


def test_a_wrong_password_has_the_reason_auth(mariadb: MariaDB) -> None:
    failure = PYMYSQL.fail(mariadb.url(DATABASE, PLAIN.user, "wr0ng"))
    assert failure.reason is Reason.AUTH
    assert "Access denied" in failure.message
    assert "(using password: YES)" in failure.message


def test_an_unknown_user_has_the_reason_auth(mariadb: MariaDB) -> None:
    assert PYMYSQL.fail(mariadb.url(DATABASE, "stranger", "wr0ng")).reason is Reason.AUTH


def test_a_database_without_access_has_the_reason_auth(mariadb: MariaDB) -> None:
    failure = PYMYSQL.fail(mariadb.url("mysql", *PLAIN))
    assert failure.reason is Reason.AUTH
    assert "error 1044" in failure.message


def test_a_locked_account_has_the_reason_auth(mariadb: MariaDB) -> None:
    mariadb.execute(f"ALTER USER {PLAIN.user}@'127.0.0.1' ACCOUNT LOCK")
    try:
        failure = fail(mariadb)
    finally:
        mariadb.execute(f"ALTER USER {PLAIN.user}@'127.0.0.1' ACCOUNT UNLOCK")
    assert failure.reason is Reason.AUTH
    assert "locked" in failure.message


def test_a_missing_database_is_named(mariadb: MariaDB) -> None:
    failure = PYMYSQL.fail(mariadb.url("nowhere"))
    assert failure.reason is Reason.NO_DATABASE
    assert "Unknown database 'nowhere'" in failure.message


def test_a_full_server_has_too_many_connections(mariadb: MariaDB) -> None:
    mariadb.execute("SET GLOBAL max_connections = 10")
    try:
        with fill(mariadb):
            failure = fail(mariadb)
    finally:
        mariadb.execute("SET GLOBAL max_connections = 40")
    assert failure.reason is Reason.TOO_MANY_CONNECTIONS


def test_a_user_at_their_limit_has_too_many_connections(mariadb: MariaDB) -> None:
    limit = f"ALTER USER {PLAIN.user}@'127.0.0.1' WITH MAX_USER_CONNECTIONS"
    mariadb.execute(f"{limit} 1")
    try:
        with mariadb.connect(PLAIN):
            failure = fail(mariadb)
    finally:
        mariadb.execute(f"{limit} 0")
    assert failure.reason is Reason.TOO_MANY_CONNECTIONS
    assert "max_user_connections" in failure.message


def test_a_server_without_tls_has_the_reason_tls(mariadb: MariaDB) -> None:
    failure = PYMYSQL.fail(mariadb.url(DATABASE, *PLAIN), **PYMYSQL.tls)
    assert failure.reason is Reason.TLS
    assert "SSL is required" in failure.message


def test_a_login_without_the_required_tls_looks_like_a_wrong_password(
    mariadb_tls: MariaDB,
) -> None:
    failure = PYMYSQL.fail(mariadb_tls.url(DATABASE, *PLAIN), ssl_disabled=True)
    assert failure.reason is Reason.AUTH


def test_a_certificate_of_an_unknown_authority_has_the_reason_tls(
    mariadb_tls: MariaDB, tmp_path: Path
) -> None:
    stranger = ssl.create_default_context(cafile=write_certificates(tmp_path).authority)
    failure = PYMYSQL.fail(mariadb_tls.url(DATABASE, *PLAIN), ssl=stranger)
    assert failure.reason is Reason.TLS
    assert "CERTIFICATE_VERIFY_FAILED" in failure.message


def test_a_certificate_that_cannot_be_read_has_the_reason_tls(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    missing = {"ca": str(tmp_path / "missing.pem")}
    assert PYMYSQL.fail(mariadb.url(DATABASE, *PLAIN), ssl=missing).reason is Reason.TLS


def test_a_statement_past_max_statement_time_is_a_timeout(mariadb: MariaDB) -> None:
    failure = fail(
        mariadb, "SET max_statement_time = 0.02", "SELECT SLEEP(60) FROM information_schema.tables"
    )
    assert failure.reason is Reason.TIMEOUT
    assert "max_statement_time" in failure.message


def test_an_answer_past_the_read_timeout_is_a_timeout(mariadb: MariaDB) -> None:
    url = mariadb.url(DATABASE, *PLAIN)
    failure = PYMYSQL.fail(url, "SELECT SLEEP(5)", read_timeout=1)
    assert failure.reason is Reason.TIMEOUT


def test_a_locked_row_past_the_lock_wait_timeout_is_a_timeout(mariadb: MariaDB) -> None:
    with hold_lock(mariadb):
        failure = fail(
            mariadb, "SET innodb_lock_wait_timeout = 0", "SELECT * FROM locked FOR UPDATE"
        )
    assert failure.reason is Reason.TIMEOUT
    assert "Lock wait timeout" in failure.message


def test_a_cancelled_statement_has_the_reason_query(mariadb: MariaDB) -> None:
    assert fail_while(mariadb, "KILL QUERY").reason is Reason.QUERY


def test_a_killed_connection_has_the_reason_refused(mariadb: MariaDB) -> None:
    assert fail_while(mariadb, "KILL CONNECTION").reason is Reason.REFUSED


def test_writing_on_a_read_only_server_is_read_only(mariadb: MariaDB) -> None:
    mariadb.execute("SET GLOBAL read_only = 1")
    try:
        failure = fail(mariadb, "CREATE TABLE forbidden (id INT)")
    finally:
        mariadb.execute("SET GLOBAL read_only = 0")
    assert failure.reason is Reason.READ_ONLY
    assert "--read-only" in failure.message


def test_writing_in_a_read_only_transaction_is_read_only(mariadb: MariaDB) -> None:
    mariadb.execute(f"CREATE TABLE {DATABASE}.readable (id INT)")
    try:
        failure = fail(
            mariadb, "ROLLBACK", "START TRANSACTION READ ONLY", "INSERT INTO readable VALUES (1)"
        )
    finally:
        mariadb.execute(f"DROP TABLE {DATABASE}.readable")
    assert failure.reason is Reason.READ_ONLY


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT * FROM missing_table"])
def test_a_statement_the_server_rejects_has_the_reason_query(
    mariadb: MariaDB, statement: str
) -> None:
    assert fail(mariadb, statement).reason is Reason.QUERY


def test_a_server_that_is_gone_is_refused() -> None:
    with make_folder("mariadb") as folder:
        with run_mariadb(folder) as server:
            PYMYSQL.run(server.url(DATABASE, *PLAIN), "SELECT 1")
        failure = fail(server)
    assert failure.reason is Reason.REFUSED
