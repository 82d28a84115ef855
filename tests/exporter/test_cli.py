"""The command as people and Kubernetes run it: real processes, their lines and exit statuses."""

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy_pool_exporter import read_version
from sqlalchemy_pool_exporter.cli import (
    build_option_settings,
    build_parser,
    main,
    run_check_config,
    run_demo,
    run_serve,
)
from tests.exporter.app_workers import run_worker
from tests.exporter.commands import build_environment, run_command, run_exporter
from tests.servers.endpoints import open_silent_port

CANARY = "cAnArY-7"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stderr"


@pytest.fixture
def database(tmp_path: Path) -> dict[str, str]:
    """Settings with one database that is up."""
    file = tmp_path / "shop.db"
    file.touch()
    return {"DATABASES__SHOP__URL": f"sqlite:///{file}"}


def hang(port: int, number: int, scheme: str) -> dict[str, str]:
    url = f"{scheme}://app:{CANARY}@127.0.0.1:{port}/shop"
    return {f"DATABASES__DB{number}__URL": url, f"DATABASES__DB{number}__PROBE__TIMEOUT": "10s"}


UNBUILDABLE = """
import sys
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy_pool_exporter import cli

def refuse(*_):
    raise TypeError("no such engine")

pysqlite.SQLiteDialect_pysqlite.engine_created = refuse
sys.exit(cli.main(["--listen", "127.0.0.1:0"]))
"""


def test_an_engine_that_cannot_be_built_ends_the_start(database: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", UNBUILDABLE],
        env=build_environment(database),
        timeout=60,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(" databases.shop: no such engine")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exporter_serves_until_a_signal_stops_it(
    number: int, log: Path, database: dict[str, str]
) -> None:
    with run_exporter(log, settings=database) as exporter:
        with exporter.open_client() as client:
            assert client.get("/health/db").json()["status"] == "healthy"
        assert exporter.stop(number) == 0
    assert "Traceback" not in log.read_text()


def test_start_logs_version_and_address(log: Path, database: dict[str, str]) -> None:
    with run_exporter(log, settings=database) as exporter:
        address = f"127.0.0.1:{exporter.address[1]}"
        first, *_ = log.read_text().splitlines()
    assert first.endswith(f"serving version={read_version()} address={address} databases=1")


def test_stop_does_not_wait_for_databases_and_clients(log: Path, dropping_port: int) -> None:
    """Status 0: the exporter ended by itself, before the deadline of EXIT_SECONDS."""
    schemes = ["postgresql+asyncpg", "mysql+pymysql", "postgresql+psycopg"]
    with ExitStack() as stack:
        silent = stack.enter_context(open_silent_port())
        settings: dict[str, str] = {}
        for number, scheme in enumerate(schemes * 4):
            settings |= hang((silent, dropping_port)[number % 2], number, scheme)
        exporter = stack.enter_context(run_exporter(log, settings=settings))
        mute, half, waiting = (
            stack.enter_context(socket.create_connection(exporter.address)) for _ in range(3)
        )
        half.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        waiting.sendall(b"GET /health/db HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with exporter.open_client() as client:
            client.get("/metrics")
            assert exporter.stop() == 0
        answer = b"".join(iter(lambda: waiting.recv(65536), b""))
        assert mute.recv(1) == b""
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"the exporter is stopping" in answer
    assert "Traceback" not in log.read_text()


def test_client_that_does_not_read_does_not_delay_the_stop(
    log: Path, database: dict[str, str]
) -> None:
    """A label this long makes an answer that no kernel's buffers hold."""
    labels = {"DATABASES__SHOP__LABELS": json.dumps({"team": "x" * 100_000})}
    with run_exporter(log, settings=database | labels) as exporter, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect(exporter.address)
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(4) == b"HTTP"
        assert exporter.stop() == 0
    assert " error " not in log.read_text()  # uvicorn would cancel the request, and log that


def test_head_has_no_body_and_the_length_of_get(log: Path, database: dict[str, str]) -> None:
    with (
        run_exporter(log, settings=database) as exporter,
        exporter.open_client() as client,
        socket.create_connection(exporter.address) as connection,
    ):
        client.get("/health/db")
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        page = client.get("/")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")
    assert f"\r\ncontent-length: {len(page.content)}\r\n".encode() in answer
    assert b"\r\nserver:" not in answer


def test_json_logs_are_one_object_per_line(log: Path, closed_port: int) -> None:
    settings = {
        "LOG__FORMAT": "json",
        "DATABASES__SHOP__URL": f"postgres://app:{CANARY}@127.0.0.1:{closed_port}/shop",
    }
    with run_exporter(log, settings=settings) as exporter:
        exporter.wait_for_log("is down")
        assert exporter.stop() == 0
    entries: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    assert entries[0]["message"] == "serving"
    assert entries[0]["databases"] == 1
    (down,) = [entry for entry in entries if entry.get("database") == "shop"]
    assert (down["level"], down["reason"]) == ("warning", "refused")
    assert all({"ts", "level", "logger", "message"} <= set(entry) for entry in entries)


def test_start_logs_the_folder_of_the_application(log: Path, tmp_path: Path) -> None:
    with run_exporter(log, settings={"APP__DIR": str(tmp_path)}) as exporter:
        with exporter.open_client() as client, run_worker(tmp_path, pool="orders") as worker:
            worker.do("checkout")
            text = client.get("/metrics").text
        assert exporter.stop() == 0
    first, *_ = log.read_text().splitlines()
    assert first.endswith(f"databases=0 app_dir={tmp_path}")
    assert re.search(r'sqlalchemy_pool_checked_out\{.*pool="orders".*\} 1\.0\n', text)


def test_the_exporter_is_no_application_where_it_gets_the_variables_of_one(
    log: Path, tmp_path: Path, database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = tmp_path / "pools"
    pools.mkdir()
    monkeypatch.setenv("SQLALCHEMY_POOL_METRICS_DIR", str(pools))
    monkeypatch.setenv("SQLALCHEMY_POOL_METRICS_HOLDERS", "1")

    with (
        run_exporter(log, settings={**database, "APP__DIR": str(pools)}) as exporter,
        exporter.open_client() as client,
    ):
        assert client.get("/health/db").is_success
        metrics = client.get("/metrics").text
    assert (
        'sqlalchemy_pool_checkouts_total{application="",database="shop",origin="probe"' in metrics
    )
    assert 'holder="' not in metrics
    assert list(pools.iterdir()) == []


def test_password_is_in_no_log_page_or_header(log: Path, tmp_path: Path, closed_port: int) -> None:
    secret = tmp_path / "password"
    secret.write_text(CANARY)
    address = f"127.0.0.1:{closed_port}/shop"
    settings = {
        "LOG__LEVEL": "debug",
        "WEB__ENABLE_LIFECYCLE": "true",
        "DATABASES__A__URL": f"postgres://app:{CANARY}@{address}",
        "DATABASES__B__URL": f"postgresql+psycopg://app:%63{CANARY}%40@{address}",
        "DATABASES__C__URL": f"mysql://app@{address}?password={CANARY}",
        "DATABASES__D__URL": f"postgres://app@{address}",
        "DATABASES__D__PASSWORD_FILE": str(secret),
        "DATABASES__E__URL": f"postgres://app@{address}",
        "DATABASES__E__CONNECT_ARGS": json.dumps({"password": CANARY}),
    }
    with run_exporter(log, settings=settings) as exporter, exporter.open_client() as client:
        names = list(client.get("/health/db").json()["databases"])
        pages = [client.get(path) for path in ("/", "/metrics", "/health/db", "/nonsense")]
        pages += [client.get(f"/health/db/{name}") for name in (*names, "nonsense")]
        pages += [client.post(f"/-/databases/{name}/recreate") for name in names]
        assert exporter.stop() == 0
    assert names == ["a", "b", "c", "d", "e"]
    for page in pages:
        assert CANARY not in page.text
        assert CANARY not in str(page.headers)
    assert CANARY not in log.read_text()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+nope://app:{CANARY}@db/shop",
        f"postgresql:/app:{CANARY}@db/shop",
        f"app:{CANARY}@db/shop",
        f"postgres://app:{CANARY}@db:port/shop",
        f"postgres://app:{CANARY}@with@at@[db/shop",
    ],
)
def test_malformed_url_is_one_line_without_its_password(url: str) -> None:
    finished = run_command(settings={"DATABASES__SHOP__URL": url})
    assert finished.returncode == 1
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert "databases.shop.url" in line
    assert CANARY not in line


def test_taken_port_is_one_line(database: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finished = run_command("--listen", address, settings=database)
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line.endswith(f"cannot listen on {address}: address already in use")


def test_bad_address_in_the_configuration_is_one_line(database: dict[str, str]) -> None:
    finished = run_command(settings={**database, "LISTEN": "here"})
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "listen" in line
    assert "here" in line


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    finished = run_command("--config", str(tmp_path / "absent.yaml"))
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "absent.yaml" in line


def test_every_mistake_of_a_configuration_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("listen: here\nlog: {level: loud}\ndatabases: {shop: {url_file: /absent}}\n")
    served, checked = run_command("--config", str(file)), run_command("check-config", str(file))
    assert served.returncode == checked.returncode == 1
    assert len(served.stderr.splitlines()) == len(checked.stdout.splitlines()) > 1
    assert "Traceback" not in served.stderr + checked.stderr


def test_check_config_confirms_a_valid_configuration(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("databases: {shop: {url: postgres://db/shop}}\n")
    finished = run_command("check-config", str(file))
    assert finished.returncode == 0
    assert "valid" in finished.stdout
    assert finished.stderr == ""


def test_options_win_over_file_and_environment(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    url = f"sqlite:///{tmp_path}/shop.db"
    (tmp_path / "shop.db").touch()
    file.write_text(f"listen: 192.0.2.1:1\ndatabases: {{shop: {{url: '{url}'}}}}\n")
    arguments = ("serve", "--config", str(file), "--web.enable-lifecycle")
    settings = {"LISTEN": "192.0.2.2:2", "WEB__ENABLE_LIFECYCLE": "false"}
    with (
        run_exporter(log, *arguments, settings=settings) as exporter,
        exporter.open_client() as client,
    ):
        assert client.post("/-/databases/shop/recreate").status_code == 200


def test_lifecycle_is_off_by_default(log: Path, database: dict[str, str]) -> None:
    with run_exporter(log, settings=database) as exporter, exporter.open_client() as client:
        assert client.post("/-/databases/shop/recreate").status_code == 403


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"sqlalchemy-pool-exporter {read_version()}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--listen", "here"],
        ["--listen", "here", "--wait-for-config"],
        ["check-config"],
        ["--conf", "x"],
        ["demo", "--config"],
        ["demo", "--wait-for-config"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: sqlalchemy-pool-exporter" in capsys.readouterr().err


def test_file_in_place_of_a_command_names_the_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["exporter.yaml"])
    assert "a configuration file is given as --config FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "explained"),
    [
        (["check-config"], ["The environment counts, too", "Exit status: 0", "else 1"]),
        ([], ["(default: none, only the environment)", "else 0.0.0.0:9723)"]),
        (["serve"], ["(default: none, only the environment)", "else 0.0.0.0:9723)"]),
        (["serve"], ["--wait-for-config start even if the configuration is invalid"]),
    ],
)
def test_help_explains(
    arguments: list[str], explained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert [each for each in explained if each not in text] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "a.yaml", "--listen", ":1", "--web.enable-lifecycle"],
        ["serve", "--config", "a.yaml", "--listen", ":1", "--web.enable-lifecycle"],
        ["--config", "a.yaml", "serve", "--listen", ":1", "--web.enable-lifecycle"],
        ["--config", "a.yaml", "--listen", ":1", "--web.enable-lifecycle", "serve"],
    ],
)
def test_options_of_serving_may_stand_anywhere(arguments: list[str]) -> None:
    options = build_parser().parse_args(arguments)
    assert options.run is run_serve
    assert (options.config, options.listen) == (Path("a.yaml"), ":1")
    assert options.enable_lifecycle is True


def test_options_become_settings_with_their_names_as_origins() -> None:
    arguments = ["--listen", ":1", "--web.enable-lifecycle", "--web.config.file", "web.yml"]
    given = build_option_settings(build_parser().parse_args(arguments))
    assert given.data == {
        "listen": ":1",
        "web": {"enable_lifecycle": True, "config_file": "web.yml"},
    }
    assert given.origins["web", "config_file"] == "--web.config.file"


@pytest.mark.parametrize("arguments", [[], ["--web.config.file", ""]])
def test_options_that_are_not_given_override_nothing(arguments: list[str]) -> None:
    assert build_option_settings(build_parser().parse_args(arguments)).data == {}


def test_each_command_runs_its_function() -> None:
    parser = build_parser()
    assert parser.parse_args([]).run is run_serve
    assert parser.parse_args(["check-config", "a.yaml"]).run is run_check_config
    assert parser.parse_args(["demo"]).run is run_demo
    assert parser.parse_args(["demo"]).listen is None
    assert parser.parse_args(["demo", "--listen", ":0"]).listen == ":0"


def test_interrupted_command_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("sqlalchemy_pool_exporter.cli.run_check_config", interrupt)
    monkeypatch.setattr("sqlalchemy_pool_exporter.cli.configure_logging", lambda *_: None)
    assert main(["check-config", "a.yaml"]) == 130
