"""A real Prometheus scrapes a real exporter in their negotiated format."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import bcrypt
import pytest

from tests.servers.accounts import DATABASE, MONITOR
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import open_closed_port
from tests.servers.programs import Program, find_program
from tests.servers.tls import Authority

USER, PASSWORD = "prometheus", "cAnArY-7"


def free_port() -> int:
    with open_closed_port() as port:
        return port


def query(port: int, expression: str) -> dict[str, float]:
    """Return the samples of an instant query by their label `database`."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(url) as answer:
            result = json.load(answer)["data"]["result"]
    except OSError:
        return {}
    return {each["metric"].get("database", ""): float(each["value"][1]) for each in result}


@contextmanager
def run_prometheus(
    folder: Path, config: Mapping[str, Any], scrape: Mapping[str, Any], *arguments: str
) -> Iterator[int]:
    """Run a Prometheus that scrapes an exporter of this configuration; yields its port."""
    program = find_program("prometheus", package="prometheus")
    exporter_port, port = free_port(), free_port()
    address = f"127.0.0.1:{exporter_port}"
    job = {"job_name": "exporter", "static_configs": [{"targets": [address]}], **scrape}
    (folder / "exporter.yaml").write_text(json.dumps({"listen": address, **config}))
    (folder / "prometheus.yml").write_text(
        json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]})
    )
    command = [
        sys.executable,
        "-m",
        "sqlalchemy_pool_exporter",
        "--config",
        str(folder / "exporter.yaml"),
    ]
    server = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        Program([*command, *arguments], folder / "exporter.log"),
        Program(server, folder / "prometheus.log"),
    ):
        yield port


@pytest.fixture
def prometheus(postgres: EmbeddedPostgres, tmp_path: Path, closed_port: int) -> Iterator[int]:
    """The port of a Prometheus that scrapes an exporter of one database up and one down."""
    config = {
        "probe": {"interval": "1s", "timeout": "1s", "fresh_connection_interval": "2s"},
        "databases": {
            "shop": {"url": postgres.url(DATABASE, *MONITOR), "role": "primary"},
            "down": {"url": f"postgresql://app@127.0.0.1:{closed_port}/shop"},
        },
    }
    with run_prometheus(tmp_path, config, {}) as port:
        yield port


def test_prometheus_sees_which_databases_are_up(prometheus: int) -> None:
    wait_until(
        lambda: query(prometheus, "sqlalchemy_database_up") == {"shop": 1, "down": 0},
        "Prometheus to see one database up and one down",
    )

    assert query(prometheus, "up") == {"": 1}
    assert query(prometheus, 'sqlalchemy_database_probe_errors_total{reason="refused"}')["down"] > 0
    assert query(prometheus, "sqlalchemy_database_server_max_connections")["shop"] > 0
    assert query(prometheus, 'sqlalchemy_pool_checkouts_total{origin="probe"}')["shop"] >= 0
    rate = "rate(sqlalchemy_pool_checkout_duration_seconds_bucket[1m])"
    wait_until(
        lambda: "shop" in query(prometheus, f"histogram_quantile(0.5, {rate}) > 0"),
        "a quantile of the checkout durations",
    )


def test_prometheus_scrapes_over_tls_with_a_certificate_and_a_password(tmp_path: Path) -> None:
    authority = Authority()
    server, own = authority.sign(tmp_path / "server"), authority.sign(tmp_path / "own", USER)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    tls = {
        "cert_file": "server/cert.pem",
        "key_file": "server/key.pem",
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "server/ca.pem",
        "client_allowed_sans": [USER],
    }
    web = {"tls_server_config": tls, "basic_auth_users": {USER: hashed}}
    (tmp_path / "web.yml").write_text(json.dumps(web))
    scrape = {
        "scheme": "https",
        "basic_auth": {"username": USER, "password": PASSWORD},
        "tls_config": {
            "ca_file": str(server.authority),
            "cert_file": str(own.certificate),
            "key_file": str(own.key),
        },
    }
    config = {"databases": {"shop": {"url": "sqlite://"}}}
    arguments = ("--web.config.file", str(tmp_path / "web.yml"))
    with run_prometheus(tmp_path, config, scrape, *arguments) as port:
        wait_until(
            lambda: query(port, "sqlalchemy_database_up") == {"shop": 1},
            "Prometheus to see the database up",
        )
        assert query(port, "up") == {"": 1}
