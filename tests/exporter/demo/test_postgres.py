from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sqlalchemy_pool_exporter.demo import postgres
from sqlalchemy_pool_exporter.demo.postgres import PostgresError, run_postgres
from tests.servers.folders import make_folder


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Run the test as a user that is not root."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    yield
    os.setresuid(0, 0, 0)


def log_in(url: str) -> None:
    psycopg.connect(url, connect_timeout=10).close()


def check_a_server(folder: Path) -> None:
    """Check that the server asks for its password, and that its port is closed after the block."""
    with run_postgres(folder / "postgres") as url:
        log_in(url)
        password = url.split(":")[2].partition("@")[0]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            log_in(url.replace(password, "wrong"))
        assert not (folder / "postgres/password").exists()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        log_in(url)


def test_a_server_runs_for_the_time_of_the_block() -> None:
    with make_folder("demo") as folder:
        check_a_server(folder)


@pytest.mark.usefixtures("ordinary_user")
def test_a_server_runs_for_an_ordinary_user() -> None:
    with make_folder("demo") as folder:
        check_a_server(folder)


def test_a_wheel_for_another_platform_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "WHEEL", "pytest")
    with (
        pytest.raises(PostgresError, match="does not fit this platform"),
        run_postgres(tmp_path / "postgres"),
    ):
        pass


def test_the_server_stops_when_the_block_fails() -> None:
    with make_folder("demo") as folder:
        with pytest.raises(ZeroDivisionError), run_postgres(folder / "postgres") as url:
            raise ZeroDivisionError
        with pytest.raises(psycopg.OperationalError, match="refused"):
            log_in(url)
