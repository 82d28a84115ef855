"""The commands in the README work."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers.accounts import DATABASE, SUPERUSER
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port
from tests.servers.folders import make_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
URL = "http://127.0.0.1:9723"
PATIENCE = 120.0


def read_blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


TRY, ASK, USE, SHARE, SHOW = read_blocks("sh")


def shell(command: str, folder: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(  # noqa: S602 - as people type it
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(command: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command in a shell, and end it with Ctrl-C."""
    with subprocess.Popen(  # noqa: S602 - as people type it
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGINT)


def answers(path: str) -> bool:
    try:
        return httpx.get(URL + path, timeout=PATIENCE).status_code in (200, 503)
    except httpx.TransportError:
        return False


def test_the_two_commands_are_make_run_and_make_test() -> None:
    assert [line.split("#")[0].split() for line in TRY.splitlines()] == [
        ["make", "run"],
        ["make", "test"],
    ]


def test_make_run_shows_two_databases_up_and_one_down_to_the_curl_lines() -> None:
    with make_folder("readme") as temporary, running("make run", ROOT, TMPDIR=str(temporary)):
        wait_until(lambda: answers("/health/db"), "the demo", PATIENCE)
        wait_until(lambda: "demo-shop" in httpx.get(f"{URL}/metrics").text, "its app", PATIENCE)
        wait_until(lambda: '.pay"' in httpx.get(f"{URL}/metrics").text, "a payment", PATIENCE)
        metrics, holders, health = (shell(line) for line in ASK.splitlines())
        assert 'sqlalchemy_database_up{database="orders"} 1.0' in metrics
        assert 'sqlalchemy_database_up{database="articles"} 1.0' in metrics
        assert 'sqlalchemy_database_up{database="archive"} 0.0' in metrics
        assert 'sqlalchemy_pool_checked_out{application="demo-shop"' in metrics
        assert holders.count('holder="sqlalchemy_pool_exporter.demo.shop.pay"') == 2
        assert '"reason":"refused"' in health.replace(" ", "")


@pytest.mark.skipif(not os.environ.get("CI"), reason="installs from the package index: CI only")
def test_the_installed_exporter_runs_on_a_url_and_checks_the_file(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    install, serve = USE.splitlines()
    shell(f"{sys.executable} -m venv {tmp_path}/venv")
    path = f"{tmp_path}/venv/bin{os.pathsep}{os.environ['PATH']}"
    for distribution in ("agent", "exporter"):  # building leaves files in the sources
        ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
        shutil.copytree(ROOT / distribution, tmp_path / distribution, ignore=ignored)
    shell(install, tmp_path, PATH=path)
    url = postgres.url(DATABASE, *SUPERUSER)
    with running(re.sub(r"=postgresql://\S+", f"='{url}'", serve), tmp_path, PATH=path):
        wait_until(lambda: answers("/health/db"), "the exporter", PATIENCE)
        assert httpx.get(f"{URL}/health/db").json()["status"] == "healthy"

    (yaml,) = read_blocks("yaml")
    secret = tmp_path / "database-url"
    secret.write_text(url)
    (tmp_path / "exporter.yaml").write_text(yaml.replace("/run/secrets/database-url", str(secret)))
    assert "valid" in shell(
        "sqlalchemy-pool-exporter check-config exporter.yaml", tmp_path, PATH=path
    )
    with running("sqlalchemy-pool-exporter --config exporter.yaml", tmp_path, PATH=path):
        wait_until(lambda: answers("/health/db"), "the exporter", PATIENCE)
        assert httpx.get(f"{URL}/health/db/primary").json()["status"] == "healthy"


def test_the_python_lines_record_a_pool() -> None:
    (block,) = read_blocks("python")
    code = f"""
from sqlalchemy import create_engine
from sqlalchemy_pool_metrics import MetricsQueuePool, read_pool
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy_pool_metrics.prometheus import PoolCollector
engine = create_engine("sqlite:///:memory:")
{block}
engine.connect().close()
assert read_pool(engine).checkouts == 1
create_engine("sqlite:///x.db", poolclass=MetricsQueuePool)
registry = CollectorRegistry()
registry.register(PoolCollector())
print(generate_latest(registry).decode())
"""
    shown = shell(f"{sys.executable} - <<'END'\n{code}\nEND")
    assert 'pool="primary"' in shown


# An application without any code for metrics.
SHOP = """
from sqlalchemy import create_engine
engine = create_engine("sqlite:///shop.db")
def app(environ, start_response):
    with engine.connect():
        start_response("200 OK", [])
        return [b"sold"]
"""


def test_pools_are_visible_without_a_change_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A copy of the agent runs, which nobody wants measured.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    (tmp_path / "shop.py").write_text(SHOP)
    port = find_free_port()
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
    }
    lines = re.sub(r"/tmp/(agent|pools)", rf"{tmp_path}/\1", SHARE + SHOW).splitlines()  # noqa: S108
    for line in lines[:2]:
        shell(line, tmp_path, **environment)
    with (
        running(lines[2], tmp_path, **environment),
        running(lines[3], tmp_path, **environment),
    ):
        wait_until(lambda: sells(port), "the shop", PATIENCE)
        wait_until(lambda: answers("/-/ready"), "the exporter", PATIENCE)
        shown = httpx.get(f"{URL}/metrics").text
    assert re.search(r"sqlalchemy_pool_checkouts_total{.*origin=.app.*} 1.0", shown)


def sells(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}", timeout=PATIENCE).text == "sold"
    except httpx.TransportError:
        return False
