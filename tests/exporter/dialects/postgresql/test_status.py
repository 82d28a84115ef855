from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_pool_exporter.dialects import ServerStatus
from tests.conftest import Replica, StartPostgres
from tests.exporter.dialects.reading import read, read_status, record_statements, work
from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER, Account
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import execute

ALL_ACCOUNTS = pytest.mark.parametrize("account", [PLAIN, MONITOR, SUPERUSER], ids=lambda a: a.user)
PRIVILEGED = pytest.mark.parametrize("account", [MONITOR, SUPERUSER], ids=lambda a: a.user)


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@contextmanager
def connect(server: EmbeddedPostgres, account: Account = PLAIN) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url(DATABASE, *account), autocommit=True) as connection:
        yield connection


@contextmanager
def abort_transaction(server: EmbeddedPostgres) -> Iterator[None]:
    with connect(server) as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1/0")
        yield


def count_truth(server: EmbeddedPostgres) -> dict[str, int]:
    """Client connections by the states of PostgreSQL, without the one that asks."""
    rows = execute(
        server,
        "SELECT state, count(*) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY state",
    )
    return dict(rows)


def end_other_sessions(server: EmbeddedPostgres) -> None:
    """Wait for the end of sessions that earlier tests left behind, such as PgBouncer's."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    execute(server, f"{end} WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
    wait_until(lambda: count_truth(server) == {}, "the sessions to end")


@ALL_ACCOUNTS
def test_every_user_gets_version_and_limits(
    any_postgres: EmbeddedPostgres, driver: str, account: Account
) -> None:
    status = read(any_postgres.url(DATABASE, *account, driver=driver))
    [(version,)] = execute(any_postgres, "SHOW server_version")
    assert version.split()[0] == status.version
    assert status.version[0].isdigit()
    assert status.writable is True
    assert status.replication_lag_seconds is None
    assert status.max_connections == 100
    assert status.reserved_connections == 3


def test_all_reserved_connections_count(start_postgres: StartPostgres, driver: str) -> None:
    server = start_postgres(
        options={
            "max_connections": "20",
            "superuser_reserved_connections": "4",
            "reserved_connections": "5",
        }
    )
    status = read(server.url(DATABASE, *PLAIN, driver=driver))
    assert status.max_connections == 20
    assert status.reserved_connections == 9


@PRIVILEGED
def test_a_user_who_may_see_all_sessions_gets_exact_numbers_by_state(
    any_postgres: EmbeddedPostgres, driver: str, account: Account
) -> None:
    end_other_sessions(any_postgres)
    with (
        connect(any_postgres),
        connect(any_postgres, SUPERUSER),
        connect(any_postgres) as in_transaction,
        abort_transaction(any_postgres),
    ):
        in_transaction.execute("BEGIN")
        status = read(any_postgres.url(DATABASE, *account, driver=driver))
    # The one that is active is the one that asks.
    assert status.connections == {"active": 1, "idle": 2, "idle_in_transaction": 2, "other": 0}


def test_an_unlisted_state_is_other(postgres: EmbeddedPostgres) -> None:
    end_other_sessions(postgres)
    with connect(postgres, SUPERUSER) as connection:
        connection.execute("SET track_activities = off")
        status = read(postgres.url(DATABASE, *MONITOR, driver="psycopg"))
    assert status.connections == {"active": 1, "idle": 0, "idle_in_transaction": 0, "other": 1}


def test_a_user_who_may_not_see_all_sessions_gets_no_numbers(
    any_postgres: EmbeddedPostgres, driver: str
) -> None:
    with connect(any_postgres, SUPERUSER):
        status = read(any_postgres.url(DATABASE, *PLAIN, driver=driver))
    assert status.connections is None


def test_without_metrics_only_version_and_writability_are_read(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    url = postgres.url(DATABASE, *MONITOR, driver=driver)
    status = read(url, metrics=False)
    assert status == ServerStatus(read(url).version, writable=True)


def test_one_statement_reads_everything(postgres: EmbeddedPostgres, driver: str) -> None:
    def ask(connection: Connection) -> list[str]:
        statements = record_statements(connection)
        read_status(connection, metrics=True)
        return statements

    assert len(work(postgres.url(DATABASE, *MONITOR, driver=driver), ask)) == 1


def test_a_read_only_session_is_not_writable(postgres: EmbeddedPostgres) -> None:
    options = "-c default_transaction_read_only=on"
    url = postgres.url(DATABASE, *PLAIN, driver="psycopg")
    assert read(url, options=options).writable is False
    assert read(url, metrics=False, options=options).writable is False


def test_it_works_through_pgbouncer_in_transaction_mode(
    pgbouncer: PgBouncer, postgres: EmbeddedPostgres, driver: str
) -> None:
    def ask_often(connection: Connection) -> list[ServerStatus]:
        answers = []
        for _ in range(5):
            answers.append(read_status(connection, metrics=True))
            connection.rollback()
        return answers

    answers = work(pgbouncer.url(DATABASE, *MONITOR, driver=driver), ask_often)
    assert {answer.max_connections for answer in answers} == {100}
    assert {answer.version for answer in answers} == {read(postgres.url(driver=driver)).version}
    assert all(answer.connections for answer in answers)


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A separate database, for a test that changes what its users may do in it."""
    execute(postgres, "CREATE DATABASE special")
    yield "special"
    execute(postgres, "DROP DATABASE special WITH (FORCE)")


def test_a_read_only_database_is_not_writable(
    postgres: EmbeddedPostgres, database: str, driver: str
) -> None:
    execute(postgres, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    assert read(postgres.url(database, *PLAIN, driver=driver)).writable is False


def revoke(server: EmbeddedPostgres, database: str, *functions: str) -> None:
    """Makes functions unavailable, as they are on servers that only resemble PostgreSQL."""
    for function in functions:
        execute(server, f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC", database)


def list_known(status: ServerStatus) -> list[str]:
    return [name for name, value in asdict(status).items() if value is not None]


LAG = "pg_last_wal_receive_lsn()"
SESSIONS = "pg_stat_get_activity(integer)"
OPTIONAL_SETTING = "current_setting(text, boolean)"


def test_a_missing_function_leaves_out_only_what_needs_it(
    postgres: EmbeddedPostgres, database: str, driver: str
) -> None:
    revoke(postgres, database, LAG)
    status = read(postgres.url(database, *MONITOR, driver=driver))
    assert status.replication_lag_seconds is None
    assert status.max_connections == 100
    assert status.connections is not None


def test_unreadable_sessions_leave_out_only_their_numbers(
    postgres: EmbeddedPostgres, database: str, driver: str
) -> None:
    revoke(postgres, database, LAG, SESSIONS)
    status = read(postgres.url(database, *MONITOR, driver=driver))
    assert status.max_connections == 100
    assert status.connections is None


def test_an_unreadable_setting_leaves_out_the_limits(
    postgres: EmbeddedPostgres, database: str, driver: str
) -> None:
    revoke(postgres, database, LAG, SESSIONS, OPTIONAL_SETTING)
    status = read(postgres.url(database, *PLAIN, driver=driver))
    assert status == ServerStatus(status.version, writable=True)


@pytest.mark.parametrize("functions", [(), (LAG,), (LAG, SESSIONS)], ids=len)
def test_a_connection_does_not_ask_again_for_what_the_server_lacks(
    postgres: EmbeddedPostgres, database: str, driver: str, functions: tuple[str, ...]
) -> None:
    def ask_twice(connection: Connection) -> None:
        known = list_known(read_status(connection, metrics=True))
        connection.rollback()
        statements = record_statements(connection)
        assert list_known(read_status(connection, metrics=True)) == known
        assert len(statements) == 1

    revoke(postgres, database, *functions)
    work(postgres.url(database, *MONITOR, driver=driver), ask_twice)


def test_a_missing_answer_is_an_error(postgres: EmbeddedPostgres) -> None:
    def lose_connection(connection: Connection) -> None:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        execute(postgres, f"SELECT pg_terminate_backend({pid}, 5000)")
        read_status(connection, metrics=True)

    with pytest.raises(DBAPIError, match=r"terminating connection|closed"):
        work(postgres.url(DATABASE, *PLAIN, driver="psycopg"), lose_connection)


def read_lag(replica: Replica, driver: str = "psycopg") -> float | None:
    return read(replica.server.url(DATABASE, *PLAIN, driver=driver)).replication_lag_seconds


def write(replica: Replica) -> str:
    """Writes on the primary and returns its position in the log afterwards."""
    execute(replica.primary, "CREATE TABLE IF NOT EXISTS written (id int)")
    execute(replica.primary, "INSERT INTO written VALUES (1)")
    [(position,)] = execute(replica.primary, "SELECT pg_current_wal_insert_lsn()")
    return str(position)


def wait_for_position(replica: Replica, function: str, position: str) -> None:
    statement = f"SELECT {function}() >= '{position}'"
    wait_until(lambda: execute(replica.server, statement) == [(True,)], "the replica to catch up")


def test_a_replica_that_has_everything_does_not_lag(replica: Replica, driver: str) -> None:
    wait_for_position(replica, "pg_last_wal_replay_lsn", write(replica))
    status = read(replica.server.url(DATABASE, *PLAIN, driver=driver))
    assert status.writable is False
    assert status.replication_lag_seconds == 0
    assert read(replica.primary.url(DATABASE, *PLAIN, driver=driver)).writable is True


def test_a_replica_that_does_not_replay_lags_more_and_more(replica: Replica) -> None:
    wait_for_position(replica, "pg_last_wal_replay_lsn", write(replica))
    execute(replica.server, "SELECT pg_wal_replay_pause()")
    wait_for_position(replica, "pg_last_wal_receive_lsn", write(replica))
    first = read_lag(replica) or 0
    assert first > 0
    wait_until(lambda: (read_lag(replica) or 0) > first, "the lag to grow")


def test_a_replica_that_lost_its_primary_lags_although_it_replayed_all_it_has(
    replica: Replica,
) -> None:
    wait_for_position(replica, "pg_last_wal_replay_lsn", write(replica))
    assert read_lag(replica) == 0
    replica.primary.stop("immediate")
    wait_until(lambda: (read_lag(replica) or 0) > 0, "the replica to notice")


def test_a_promoted_replica_is_writable_and_has_no_lag(replica: Replica) -> None:
    execute(replica.server, "SELECT pg_promote()")
    status = read(replica.server.url(DATABASE, *PLAIN, driver="psycopg"))
    assert status.writable is True
    assert status.replication_lag_seconds is None
