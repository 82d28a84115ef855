from __future__ import annotations

import pytest
from sqlalchemy import Connection, create_engine

from sqlalchemy_pool_exporter.dialects import Driver, ServerStatus
from tests.exporter.dialects.reading import read_status


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection to a server that this package has no file for."""
    engine = create_engine("sqlite://")
    connection = engine.connect()
    monkeypatch.setattr(connection.dialect, "name", "oracle")
    monkeypatch.setattr(connection.dialect, "server_version_info", (19, 3, 0), raising=False)
    return connection


@pytest.mark.parametrize("metrics", [True, False])
def test_of_a_stranger_only_the_version_is_known(stranger: Connection, metrics: bool) -> None:
    with stranger:
        assert read_status(stranger, metrics=metrics) == ServerStatus("19.3.0")


def test_a_server_whose_version_nobody_asked_for_has_none(stranger: Connection) -> None:
    stranger.dialect.server_version_info = None
    with stranger:
        assert read_status(stranger, metrics=True) == ServerStatus("")


def test_an_unknown_driver_gets_no_arguments() -> None:
    assert Driver("oracledb").connect_arguments(5, 5) == {}
