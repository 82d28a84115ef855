"""serve --wait-for-config: an invalid configuration neither ends the exporter nor opens it to all.

In Kubernetes an exporter that ends takes the pod of its application out of its Service.
"""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import httpx
import pytest

from tests.exporter.app_workers import run_worker
from tests.exporter.commands import PATIENCE, RunningExporter, run_command, run_exporter
from tests.faults.mounted_secrets import MountedSecrets
from tests.servers.conditions import wait_until
from tests.servers.tls import Authority

OPTION = "--wait-for-config"
CANARY = "cAnArY-7"
SUCCESSFUL = "sqlalchemy_pool_exporter_config_last_reload_successful"
TIMESTAMP = "sqlalchemy_pool_exporter_config_last_reload_success_timestamp_seconds"
SECRET = "POOL_EXPORTER_DATABASES__SHOP__URL"
PATHS = ["/", "/metrics", "/health/db", "/health/db/shop", "/-/ready", "/-/healthy/", "/nowhere"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stderr"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that is up."""
    (tmp_path / "shop.db").touch()
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def pools(tmp_path: Path) -> Path:
    """The folder of an application."""
    folder = tmp_path / "pools"
    folder.mkdir()
    return folder


def write(file: Path, text: str) -> Path:
    new = file.with_suffix(".new")
    new.write_text(text)
    return new.replace(file)


def write_users(file: Path) -> Path:
    hashed = bcrypt.hashpw(CANARY.encode(), bcrypt.gensalt(4)).decode()
    return write(file, f"basic_auth_users: {{ops: '{hashed}'}}\n")


def ask(exporter: RunningExporter, path: str, **options: object) -> httpx.Response:
    with exporter.open_client() as client:
        return client.get(path, **options)  # type: ignore[arg-type]


def read_errors(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if " error " in line]


def read_to_end(connection: socket.socket) -> bytes:
    """The bytes that arrive before the server hangs up."""
    connection.settimeout(PATIENCE)
    return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def run_closed(log: Path, *arguments: str, **settings: str) -> Iterator[RunningExporter]:
    """Yield an exporter that only answers that it runs."""
    with run_exporter(log, OPTION, *arguments, settings=settings) as exporter:
        exporter.wait_for_log("configuration not loaded")
        assert ask(exporter, "/-/healthy").status_code == 200
        answers = {
            (each.status_code, each.text) for each in (ask(exporter, path) for path in PATHS)
        }
        ((status, text),) = answers
        assert status == 503
        assert text == "The configuration cannot be used yet; the exporter's log says why.\n"
        yield exporter
        assert exporter.stop() == 0
    assert CANARY not in log.read_text()
    assert "Traceback" not in log.read_text()


def test_an_invalid_secret_of_a_database_leaves_the_pools_of_the_app(
    log: Path, tmp_path: Path, pools: Path, url: str
) -> None:
    secrets = MountedSecrets(tmp_path / "secrets", **{SECRET: f"sqlite{CANARY}", "other": "\xff"})
    settings = {"SECRETS_DIR": str(tmp_path / "secrets"), "APP__DIR": str(pools)}
    with (
        run_exporter(log, OPTION, settings=settings) as exporter,
        run_worker(pools, pool="orders") as worker,
        exporter.open_client() as client,
    ):
        worker.do("checkout")
        exporter.wait_for_log("configuration not loaded: databases.shop.url")
        metrics = client.get("/metrics").text
        assert re.search(r'sqlalchemy_pool_checked_out\{.*pool="orders".*\} 1\.0\n', metrics)
        assert f"\n{SUCCESSFUL} 0.0\n" in metrics
        assert f"\n{TIMESTAMP} " not in metrics
        assert client.get("/-/healthy").status_code == 200
        shown = [client.get(path) for path in ("/-/ready", "/health/db", "/health/db/shop")]
        assert [each.status_code for each in shown] == [503] * 3
        shown.append(client.get("/"))
        assert "and no database is probed" in shown[-1].text
        assert all("configuration" in each.text and "log says" in each.text for each in shown)
        assert all(CANARY not in each.text for each in shown)

        secrets.swap(**{SECRET: url, "other": "\xff"})
        exporter.wait_for_log("configuration loaded: added shop")
        assert client.get("/health/db/shop").status_code == 200
        assert client.get("/-/ready").status_code == 200
        assert client.get("/").text.count('class="down"') == 0
        metrics = client.get("/metrics").text
        assert f"\n{SUCCESSFUL} 1.0\n" in metrics
        assert f"\n{TIMESTAMP} " in metrics
        assert exporter.stop() == 0
    assert len(read_errors(log)) == 1
    assert CANARY not in log.read_text()


def test_a_missing_secret_is_logged_once_and_used_when_it_comes(
    log: Path, tmp_path: Path, url: str
) -> None:
    """The folder is empty, like that of an optional Secret; then its content is invalid."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with run_exporter(log, OPTION, settings={"SECRETS_DIR": str(secrets)}) as exporter:
        exporter.wait_for_log("configuration not loaded: databases: missing")
        (secrets / SECRET).touch()
        exporter.wait_for_log("expected a file that is not empty")
        write(secrets / SECRET, url)
        exporter.wait_for_log("configuration loaded: added shop")
        assert len(read_errors(log)) == 2


def test_sighup_reads_an_awaited_configuration_at_once(log: Path, tmp_path: Path, url: str) -> None:
    """Other settings are applied although the databases are still invalid."""
    file = write(tmp_path / "exporter.yaml", f"databases: {{shop: {{url: {CANARY}}}}}\n")
    with run_exporter(log, OPTION, "--config", str(file)) as exporter:
        exporter.wait_for_log("configuration not loaded: databases.shop.url")
        write(file, f"log: {{format: json}}\ndatabases: {{shop: {{url: {CANARY}, colour: red}}}}\n")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log("configuration not loaded: databases.shop.colour")
        write(file, f"log: {{format: json}}\ndatabases: {{shop: {{url: '{url}'}}}}\n")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log('"message": "configuration loaded: added shop"')
        assert exporter.stop() == 0


def test_only_users_of_the_web_configuration_may_ask_while_a_database_is_waited_for(
    log: Path, tmp_path: Path, url: str
) -> None:
    """A file that only the settings name is noticed, too, when it appears."""
    settings = {
        "WEB__CONFIG_FILE": str(write_users(tmp_path / "web.yaml")),
        "DATABASES__SHOP__URL_FILE": str(tmp_path / "absent"),
    }
    with run_exporter(log, OPTION, settings=settings) as exporter:
        exporter.wait_for_log("configuration not loaded")
        assert {ask(exporter, path).status_code for path in (*PATHS, "/-/healthy")} == {401}
        assert ask(exporter, "/metrics", auth=("ops", CANARY)).status_code == 200
        assert ask(exporter, "/-/ready", auth=("ops", CANARY)).status_code == 503
        write(tmp_path / "absent", url)
        exporter.wait_for_log("configuration loaded: added shop")


def test_a_missing_file_is_waited_for_and_nothing_is_shown(
    log: Path, tmp_path: Path, pools: Path, url: str
) -> None:
    file = tmp_path / "exporter.yaml"
    with run_closed(log, "--config", str(file), APP__DIR=str(pools)) as exporter:
        write(file, f"databases: {{shop: {{url: '{url}'}}}}\n")
        exporter.wait_for_log("configuration loaded: added shop")
        assert ask(exporter, "/health/db/shop").status_code == 200
        assert str(pools) in ask(exporter, "/").text
    (error,) = read_errors(log)
    assert str(file) in error


def test_everything_except_databases_is_applied_once_it_is_valid(
    log: Path, tmp_path: Path, pools: Path
) -> None:
    file = write(tmp_path / "exporter.yaml", f"databases: {{shop: {{url: {CANARY}}}}}\nap: {{}}\n")
    with run_closed(log, "--config", str(file)) as exporter:
        assert re.search(r"configuration not loaded: ap\b", log.read_text())
        write(file, f"databases: {{shop: {{url: {CANARY}}}}}\napp: {{dir: '{pools}'}}\n")
        exporter.process.send_signal(signal.SIGHUP)
        wait_until(lambda: ask(exporter, "/").status_code == 200, "a page", PATIENCE)
        assert str(pools) in ask(exporter, "/").text
        assert ask(exporter, "/-/ready").status_code == 503


@pytest.mark.parametrize("has_other_mistake", [False, True])
def test_an_invalid_web_configuration_shows_nothing_and_asks_for_passwords_when_corrected(
    log: Path, tmp_path: Path, url: str, *, has_other_mistake: bool
) -> None:
    web = write(tmp_path / "web.yaml", f"basic_auth_users: {{ops: {CANARY}}}\n")
    file = tmp_path / "exporter.yaml"
    bad = f"web: {{config_file: '{web}'}}\ndatabases: {{shop: {{url: nonsense}}}}\n"
    good = bad.replace("nonsense", f"'{url}'")
    write(file, bad if has_other_mistake else good)
    with run_closed(log, "--config", str(file)) as exporter:
        assert "basic_auth_users" in log.read_text()
        assert ("databases.shop.url" in log.read_text()) is has_other_mistake
        write_users(web)
        write(file, good)
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log("configuration loaded: added shop")
        assert ask(exporter, "/metrics").status_code == 401
        assert ask(exporter, "/health/db/shop", auth=("ops", CANARY)).status_code == 200
        assert "restart" not in log.read_text()


def test_an_older_connection_is_shown_nothing_when_certificates_are_required(
    log: Path, tmp_path: Path
) -> None:
    authority = Authority()
    signed = authority.sign(tmp_path / "tls")
    web = write(tmp_path / "web.yaml", "{")
    arguments = ("--web.config.file", str(web))
    with (
        run_closed(log, *arguments, DATABASES__SHOP__URL="sqlite://") as exporter,
        socket.create_connection(exporter.address) as before,
    ):
        # One that has asked already may stay silent for long.
        before.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert before.recv(65536).startswith(b"HTTP/1.1 200 ")
        tls = f"{{cert_file: {signed.certificate}, key_file: {signed.key}}}"
        write(web, f"tls_server_config: {tls}\n")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log("configuration loaded")
        before.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = read_to_end(before)
    assert b"HTTP/1.1 400 " in answer
    assert b"sqlalchemy" not in answer


def test_the_address_of_the_options_is_used_whatever_is_wrong(tmp_path: Path) -> None:
    """An address that is taken ends the exporter with one line."""
    file = write(tmp_path / "exporter.yaml", "listen: 192.0.2.1:1\n{")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = (OPTION, "--config", str(file))
        finished = run_command("serve", *arguments, "--listen", address)
        variable = run_command("serve", *arguments, settings={"LISTEN": address})
    for each in (finished, variable):
        assert each.returncode == 1
        (line,) = each.stderr.splitlines()
        assert line.endswith(f"cannot listen on {address}: address already in use")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_waiting_exporter_ends_on_a_signal(log: Path, tmp_path: Path, number: int) -> None:
    with run_exporter(log, OPTION, "--config", str(tmp_path / "absent.yaml")) as exporter:
        exporter.wait_for_log("configuration not loaded")
        assert exporter.stop(number) == 0
    assert "Traceback" not in log.read_text()
