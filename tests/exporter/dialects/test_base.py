from __future__ import annotations

import pytest
from sqlalchemy import Connection, create_engine

from sqlalchemy_pool_exporter.dialects import Driver, ServerStatus
from tests.exporter.dialects.reading import read_status


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection to a server of a dialect without a record."""
    engine = create_engine("sqlite://")
    connection = engine.connect()
    monkeypatch.setattr(connection.dialect, "name", "oracle")
    monkeypatch.setattr(connection.dialect, "server_version_info", (19, 3, 0), raising=False)
    return connection


@pytest.mark.parametrize("metrics", [True, False])
def test_an_unknown_server_has_only_a_version(unknown: Connection, metrics: bool) -> None:
    with unknown:
        assert read_status(unknown, metrics=metrics) == ServerStatus("19.3.0")


def test_a_server_without_a_version_has_an_empty_one(unknown: Connection) -> None:
    unknown.dialect.server_version_info = None
    with unknown:
        assert read_status(unknown, metrics=True) == ServerStatus("")


def test_an_unknown_driver_gets_no_arguments() -> None:
    assert Driver("oracledb").connect_arguments(5, 5) == {}
