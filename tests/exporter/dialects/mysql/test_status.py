from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from sqlalchemy_pool_exporter.dialects import ServerStatus
from tests.exporter.dialects.reading import read, read_status, record_statements, work
from tests.servers.accounts import DATABASE, MONITOR, PLAIN, SUPERUSER, Account, quote_literal
from tests.servers.conditions import wait_until
from tests.servers.folders import make_folder
from tests.servers.mariadb import MariaDB, run_mariadb

ALL_ACCOUNTS = pytest.mark.parametrize("account", [PLAIN, MONITOR, SUPERUSER], ids=lambda a: a.user)
PRIVILEGED = pytest.mark.parametrize("account", [MONITOR, SUPERUSER], ids=lambda a: a.user)
THREADS = "SELECT count(*) FROM information_schema.processlist WHERE user <> 'system user'"


def wait_until_alone(server: MariaDB) -> None:
    """Threads of earlier tests may not have ended yet."""
    wait_until(lambda: server.execute(THREADS) == [(1,)], "the threads of others to end")


@contextmanager
def hold_transaction(server: MariaDB) -> Iterator[None]:
    with server.connect(PLAIN, DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE held (id INT) ENGINE=InnoDB")
        cursor.execute("INSERT INTO held VALUES (1)")
        yield
        cursor.execute("DROP TABLE held")


@contextmanager
def set_globally(server: MariaDB, name: str, value: str, back: str) -> Iterator[None]:
    server.execute(f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        server.execute(f"SET GLOBAL {name} = {back}")


@ALL_ACCOUNTS
@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_every_user_gets_version_and_limits(
    mariadb: MariaDB, account: Account, scheme: str
) -> None:
    status = read(mariadb.url(DATABASE, *account, scheme=scheme))
    [(version,)] = mariadb.execute("SELECT version()")
    assert version.startswith(status.version)
    assert status.version.endswith("-MariaDB")
    assert status.writable is True
    assert status.max_connections == 40
    assert status.reserved_connections == 1
    assert status.replication_lag_seconds is None


def test_texts_may_be_bytes(mariadb: MariaDB) -> None:
    wait_until_alone(mariadb)
    status = read(f"{mariadb.url(DATABASE, *SUPERUSER)}?use_unicode=0")
    assert status == read(mariadb.url(DATABASE, *SUPERUSER))
    assert status.connections == {"active": 1, "idle": 0, "idle_in_transaction": 0, "other": 0}


@PRIVILEGED
def test_a_user_who_may_see_all_threads_gets_exact_numbers_by_state(
    mariadb: MariaDB, account: Account
) -> None:
    wait_until_alone(mariadb)
    with mariadb.connect(PLAIN), mariadb.connect(SUPERUSER), hold_transaction(mariadb):
        status = read(mariadb.url(DATABASE, *account))
    # The one that is active is the one that asks.
    assert status.connections == {"active": 1, "idle": 2, "idle_in_transaction": 1, "other": 0}


def test_a_privilege_may_come_from_a_role(mariadb: MariaDB) -> None:
    name = "with_role@'127.0.0.1'"
    mariadb.execute("CREATE ROLE watcher")
    mariadb.execute(f"CREATE USER {name} IDENTIFIED BY {quote_literal(PLAIN.password)}")
    try:
        mariadb.execute("GRANT PROCESS ON *.* TO watcher")
        mariadb.execute(f"GRANT watcher TO {name}")
        mariadb.execute(f"SET DEFAULT ROLE watcher FOR {name}")
        status = read(mariadb.url("", "with_role", PLAIN.password))
    finally:
        mariadb.execute(f"DROP USER {name}")
        mariadb.execute("DROP ROLE watcher")
    assert status.connections is not None


def test_threads_of_the_server_itself_do_not_count(mariadb: MariaDB) -> None:
    wait_until_alone(mariadb)
    with set_globally(mariadb, "event_scheduler", "ON", back="OFF"):
        status = read(mariadb.url(DATABASE, *MONITOR))
    assert status.connections == {"active": 1, "idle": 0, "idle_in_transaction": 0, "other": 0}


def test_a_user_who_may_not_see_all_threads_gets_no_numbers(mariadb: MariaDB) -> None:
    assert read(mariadb.url(DATABASE, *PLAIN)).connections is None


@ALL_ACCOUNTS
def test_no_access_is_ever_denied(mariadb: MariaDB, account: Account) -> None:
    denied = "SHOW GLOBAL STATUS LIKE 'Access_denied_errors'"
    before = mariadb.execute(denied)
    read(mariadb.url(DATABASE, *account))
    assert mariadb.execute(denied) == before


def test_without_metrics_only_version_and_writability_are_read(mariadb: MariaDB) -> None:
    url = mariadb.url(DATABASE, *MONITOR)
    assert read(url, metrics=False) == ServerStatus(read(url).version, writable=True)


def test_privileges_are_read_once_for_each_connection(mariadb: MariaDB) -> None:
    def ask_twice(connection: Connection) -> tuple[list[str], list[str]]:
        first = record_statements(connection)
        read_status(connection, metrics=True)
        second = record_statements(connection)
        read_status(connection, metrics=True)
        return first[: len(first) - len(second)], second

    first, second = work(mariadb.url(DATABASE, *MONITOR), ask_twice)
    assert "SHOW GRANTS" in first
    assert len(second) == len(first) - 1


@pytest.mark.parametrize("metrics", [True, False])
def test_a_read_only_server_is_not_writable(mariadb: MariaDB, metrics: bool) -> None:
    with set_globally(mariadb, "read_only", "1", back="0"):
        assert read(mariadb.url(DATABASE, *PLAIN), metrics=metrics).writable is False


def test_a_read_only_session_is_not_writable(mariadb: MariaDB) -> None:
    def ask(connection: Connection) -> bool | None:
        connection.execute(text("SET SESSION TRANSACTION READ ONLY"))
        return read_status(connection, metrics=False).writable

    assert work(mariadb.url(DATABASE, *PLAIN), ask) is False


def test_a_server_whose_innodb_is_read_only_is_not_writable() -> None:
    with make_folder("mariadb") as folder:
        with run_mariadb(folder) as server:
            pass
        with run_mariadb(folder, {"innodb-read-only": "1"}) as server:
            assert read(server.url("", *PLAIN)).writable is False


def test_a_server_without_privileges_gives_no_numbers() -> None:
    options = {"skip-grant-tables": "1", "skip-networking": "0"}
    with make_folder("mariadb") as folder, run_mariadb(folder, options) as server:
        status = read(server.url(""))
    assert status.writable is True
    assert status.max_connections == 40
    assert status.connections is None


def test_a_missing_answer_is_an_error(mariadb: MariaDB) -> None:
    def lose_connection(connection: Connection) -> None:
        thread = connection.scalar(text("SELECT connection_id()"))
        mariadb.execute(f"KILL CONNECTION {thread}")
        read_status(connection, metrics=True)

    with pytest.raises(DBAPIError, match=r"Lost connection|was killed"):
        work(mariadb.url(DATABASE, *PLAIN), lose_connection)


REPLICA_USER = f"replicator@'127.0.0.1' IDENTIFIED BY {quote_literal(PLAIN.password)}"


class Replica(NamedTuple):
    server: MariaDB
    primary: MariaDB


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    with (
        make_folder("mariadb") as first,
        make_folder("mariadb") as second,
        run_mariadb(first, {"server-id": "1", "log-bin": "binlog"}) as primary,
        run_mariadb(second, {"server-id": "2", "read-only": "1"}) as server,
    ):
        primary.execute(f"CREATE USER {REPLICA_USER}")
        primary.execute("GRANT REPLICATION SLAVE ON *.* TO replicator@'127.0.0.1'")
        [(file, position, *_)] = primary.execute("SHOW MASTER STATUS")
        server.execute(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary.port}, "
            f"MASTER_USER='replicator', MASTER_PASSWORD={quote_literal(PLAIN.password)}, "
            f"MASTER_LOG_FILE='{file}', MASTER_LOG_POS={position}, MASTER_CONNECT_RETRY=1"
        )
        server.execute("GRANT SLAVE MONITOR ON *.* TO monitor@'127.0.0.1'")
        server.execute("START SLAVE")
        yield Replica(server, primary)


def wait_until_caught_up(replica: Replica) -> None:
    url = replica.server.url("", *SUPERUSER)
    wait_until(lambda: read(url).replication_lag_seconds == 0, "the replica to catch up")


@contextmanager
def stop(replica: Replica) -> Iterator[None]:
    replica.server.execute("STOP SLAVE")
    try:
        yield
    finally:
        replica.server.execute("START SLAVE")


@PRIVILEGED
def test_a_replica_that_has_everything_does_not_lag(replica: Replica, account: Account) -> None:
    wait_until_caught_up(replica)
    status = read(replica.server.url("", *account))
    assert status.replication_lag_seconds == 0
    assert status.writable is False


def test_a_user_who_may_not_see_replication_gets_no_lag(replica: Replica) -> None:
    wait_until_caught_up(replica)
    assert read(replica.server.url("", *PLAIN)).replication_lag_seconds is None


def test_a_stopped_replica_has_an_unknown_lag(replica: Replica) -> None:
    with stop(replica):
        assert read(replica.server.url("", *MONITOR)).replication_lag_seconds is None


def test_a_replica_that_does_not_apply_what_it_received_lags(replica: Replica) -> None:
    with stop(replica):
        replica.server.execute("CHANGE MASTER TO MASTER_DELAY = 3600")
    replica.primary.execute("CREATE DATABASE written")
    url = replica.server.url("", *MONITOR)
    wait_until(lambda: (read(url).replication_lag_seconds or 0) >= 1, "the lag to grow")
    with stop(replica):
        replica.server.execute("CHANGE MASTER TO MASTER_DELAY = 0")
    wait_until_caught_up(replica)
