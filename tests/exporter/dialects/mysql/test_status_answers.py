"""The answers of versions of MySQL, word for word: Debian has no package of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pymysql
import pytest
from sqlalchemy import Connection, CursorResult, create_engine
from sqlalchemy.exc import OperationalError

from sqlalchemy_pool_exporter.dialects import ServerStatus
from tests.exporter.dialects.reading import read_status

GRANTS = "SHOW GRANTS"
THREADS = "SELECT threads.command"
OLD_REPLICA, REPLICA = "SHOW SLAVE STATUS", "SHOW REPLICA STATUS"
VARIABLES_8 = {
    "innodb_read_only": "OFF",
    "max_connections": "151",
    "read_only": "ON",
    "transaction_read_only": "OFF",
    "version": "8.4.3-0ubuntu1",
}
VARIABLES_57 = {**VARIABLES_8, "tx_read_only": "OFF", "version": "5.7.44-log"}
# An administrator of MySQL 8 has every privilege by name.
ALL_8 = ("GRANT SELECT, PROCESS, SUPER, REPLICATION CLIENT ON *.* TO `root`@`%`",)
ALL_57 = ("GRANT ALL PRIVILEGES ON *.* TO 'root'@'%'",)
PLAIN = ("GRANT USAGE ON *.* TO `app`@`%`", "GRANT ALL PRIVILEGES ON `shop`.* TO `app`@`%`")
COMMANDS = (("Sleep", 1, 3), ("Query", 1, 1), ("Binlog Dump GTID", 0, 2), ("Execute", 0, 1))
COUNTS = {"active": 2, "idle": 2, "idle_in_transaction": 1, "other": 2}


class FakeMySQL:
    """A connection that has an answer for each beginning of a statement, errors included."""

    def __init__(self, version: tuple[int, ...], answers: Mapping[str, str | Exception]) -> None:
        self.dialect = SimpleNamespace(name="mysql", is_mariadb=False, server_version_info=version)
        self.info: dict[str, Any] = {}
        self._answers = answers
        self._sqlite = create_engine("sqlite://").connect()

    def exec_driver_sql(self, statement: str) -> CursorResult[Any]:
        for beginning, answer in self._answers.items():
            if statement.lstrip().startswith(beginning):
                if isinstance(answer, Exception):
                    raise OperationalError(statement, (), answer)
                return self._sqlite.exec_driver_sql(answer)
        raise AssertionError(f"MySQL does not understand {statement}")

    def close(self) -> None:
        self._sqlite.close()


def build_rows(*rows: tuple[Any, ...], names: tuple[str, ...] = ("a", "b", "c")) -> str:
    """A statement for SQLite whose result has these rows."""
    columns = ((zip(map(quote, row), names, strict=False)) for row in rows)
    selects = (", ".join(f"{value} AS {name}" for value, name in row) for row in columns)
    return " UNION ALL ".join(f"SELECT {each}" for each in selects) or "SELECT 1 WHERE 0"


def quote(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def answer(variables: Mapping[str, str], grants: tuple[str, ...]) -> dict[str, str | Exception]:
    return {
        "SHOW VARIABLES": build_rows(*variables.items()),
        GRANTS: build_rows(*((grant,) for grant in grants)),
        THREADS: build_rows(*COMMANDS),
    }


def build_lag(column: str, *lags: int | None) -> str:
    return build_rows(*((lag,) for lag in lags), names=(column,))


def read(version: tuple[int, ...], answers: Mapping[str, str | Exception]) -> ServerStatus:
    connection = FakeMySQL(version, answers)
    try:
        return read_status(cast(Connection, connection), metrics=True)
    finally:
        connection.close()


def test_a_replica_with_mysql_8_is_read_completely() -> None:
    lag = build_lag("Seconds_Behind_Source", 7)
    status = read((8, 4, 3), answer(VARIABLES_8, ALL_8) | {REPLICA: lag})
    assert status == ServerStatus(
        version="8.4.3",
        writable=False,
        replication_lag_seconds=7,
        max_connections=151,
        reserved_connections=1,
        connections=COUNTS,
    )


@pytest.mark.parametrize("version", [(5, 7, 44), (8, 0, 21)])
def test_older_versions_call_a_replica_by_its_old_name(version: tuple[int, ...]) -> None:
    lag = build_lag("Seconds_Behind_Master", 7)
    status = read(version, answer(VARIABLES_57, ALL_57) | {OLD_REPLICA: lag})
    assert status.version == "5.7.44"
    assert status.replication_lag_seconds == 7
    assert status.connections == COUNTS


@pytest.mark.parametrize(("lags", "worst"), [((3, 9), 9), ((3, None), None), ((), None)])
def test_the_worst_of_several_sources_counts_if_all_are_known(
    lags: tuple[int | None, ...], worst: float | None
) -> None:
    rows = build_lag("Seconds_Behind_Source", *lags)
    status = read((8, 4, 3), answer(VARIABLES_8, ALL_8) | {REPLICA: rows})
    assert status.replication_lag_seconds == worst


def test_a_user_without_global_privileges_causes_no_other_statements() -> None:
    answers = answer(VARIABLES_8, PLAIN)
    del answers[THREADS]
    status = read((8, 4, 3), answers)
    assert status.connections is None
    assert status.replication_lag_seconds is None


@pytest.mark.parametrize(
    "name", ["read_only", "innodb_read_only", "tx_read_only", "transaction_read_only"]
)
def test_each_kind_of_read_only_is_not_writable(name: str) -> None:
    variables = {"version": "8.4.3", "max_connections": "151"}
    assert read((8, 4, 3), answer(variables, PLAIN)).writable is True
    assert read((8, 4, 3), answer({**variables, name: "ON"}, PLAIN)).writable is False


def test_an_unknown_form_of_version_is_shown_unchanged() -> None:
    variables = {**VARIABLES_8, "version": "next"}
    assert read((8, 4, 3), answer(variables, PLAIN)).version == "next"


@pytest.mark.parametrize("beginning", [THREADS, REPLICA])
def test_a_statement_that_the_server_lacks_leaves_out_its_numbers(beginning: str) -> None:
    unknown = pymysql.ProgrammingError(1146, "Table doesn't exist")
    answers = answer(VARIABLES_8, ALL_8) | {REPLICA: build_lag("Seconds_Behind_Source", 7)}
    status = read((8, 4, 3), answers | {beginning: unknown})
    assert status.max_connections == 151
    assert (status.connections is None) is (beginning == THREADS)
    assert (status.replication_lag_seconds is None) is (beginning == REPLICA)


@pytest.mark.parametrize("beginning", [GRANTS, THREADS, REPLICA])
def test_a_connection_that_breaks_meanwhile_is_an_error(beginning: str) -> None:
    lost = pymysql.OperationalError(2013, "Lost connection")
    answers = answer(VARIABLES_8, ALL_8) | {REPLICA: build_lag("Seconds_Behind_Source", 7)}
    with pytest.raises(OperationalError, match="Lost connection"):
        read((8, 4, 3), answers | {beginning: lost})
