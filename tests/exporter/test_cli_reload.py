"""The running command reloads its configuration: on SIGHUP, and when its files change."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.exporter.commands import PATIENCE, RunningExporter, run_exporter
from tests.servers.conditions import wait_until

SUCCESSFUL = "sqlalchemy_pool_exporter_config_last_reload_successful"
CANARY = "cAnArY-7"


def write_config(file: Path, *names: str, extra: str = "") -> None:
    lines = [f"  {name}: {{url: 'sqlite:///{file.parent}/{name}.db'}}\n" for name in names]
    new = file.with_suffix(".new")
    new.write_text("".join(["databases:\n", *lines, extra]))
    new.replace(file)


def read_names(exporter: RunningExporter) -> list[str]:
    with exporter.open_client() as client:
        return list(client.get("/health/db").json()["databases"])


def read_metrics(exporter: RunningExporter) -> str:
    with exporter.open_client() as client:
        return client.get("/metrics").text


def test_sighup_reloads_and_an_invalid_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    write_config(file, "shop")
    with run_exporter(tmp_path / "log", "--config", str(file)) as exporter:
        assert read_names(exporter) == ["shop"]
        write_config(file, "shop", "orders")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log("configuration reloaded: added orders")
        assert read_names(exporter) == ["shop", "orders"]

        write_config(file, "shop", extra=f"  bad: {{url: '{CANARY}', colour: red}}\n")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log("configuration not reloaded: databases.bad.colour")
        assert read_names(exporter) == ["shop", "orders"]
        assert f"{SUCCESSFUL} 0.0" in read_metrics(exporter)

        write_config(file, "shop", extra="log: {level: debug, format: json}\n")
        exporter.process.send_signal(signal.SIGHUP)
        exporter.wait_for_log('"message": "configuration reloaded: removed orders"')
        assert f"{SUCCESSFUL} 1.0" in read_metrics(exporter)
        assert exporter.stop() == 0
        assert CANARY not in exporter.log.read_text()


def test_a_changed_file_is_noticed_without_a_signal(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    write_config(file, "shop")
    with run_exporter(tmp_path / "log", "--config", str(file)) as exporter:
        write_config(file, "orders")
        exporter.wait_for_log("configuration reloaded: added orders; removed shop")
        file.unlink()
        exporter.wait_for_log("configuration not reloaded")
        assert read_names(exporter) == ["orders"]
        write_config(file, "orders", "shop")
        exporter.wait_for_log("configuration reloaded: added shop")
        assert exporter.stop() == 0


def test_a_changed_file_of_the_secrets_directory_is_noticed(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    url = secrets / "POOL_EXPORTER_DATABASES__SHOP__URL"
    url.write_text(f"sqlite:///{tmp_path}/one.db")
    settings = {"SECRETS_DIR": str(secrets)}
    with run_exporter(tmp_path / "log", settings=settings) as exporter:
        (secrets / "POOL_EXPORTER_DATABASES__ORDERS__URL").write_text(
            f"sqlite:///{tmp_path}/two.db"
        )
        exporter.wait_for_log("configuration reloaded: added orders")
        assert sorted(read_names(exporter)) == ["orders", "shop"]


@pytest.mark.parametrize("times", [50])
def test_many_signals_in_a_row_end_with_the_last_configuration(tmp_path: Path, times: int) -> None:
    file = tmp_path / "exporter.yaml"
    write_config(file, "shop")
    with run_exporter(tmp_path / "log", "--config", str(file)) as exporter:
        for number in range(times):
            write_config(file, "shop", f"shop{number}")
            exporter.process.send_signal(signal.SIGHUP)
        wait_until(lambda: read_names(exporter) == ["shop", f"shop{times - 1}"], "last", PATIENCE)
        assert exporter.stop() == 0
        assert "Traceback" not in exporter.log.read_text()
