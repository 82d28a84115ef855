"""A real Prometheus scrapes a real exporter, in the format that the two agree on."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from exporter.demo.postgres import EmbeddedPostgres
from tests.servers.accounts import DATABASE, MONITOR
from tests.servers.conditions import wait_until
from tests.servers.endpoints import open_closed_port
from tests.servers.programs import Program, find_program

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: exporter
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with open_closed_port() as port:
        return port


def query(port: int, expression: str) -> dict[str, float]:
    """The samples of an instant query, by the value of their label `database`."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(url) as answer:
            result = json.load(answer)["data"]["result"]
    except OSError:
        return {}
    return {each["metric"].get("database", ""): float(each["value"][1]) for each in result}


@pytest.fixture
def prometheus(postgres: EmbeddedPostgres, tmp_path: Path, closed_port: int) -> Iterator[int]:
    """The port of a Prometheus that scrapes an exporter of one database up and one down."""
    program = find_program("prometheus", package="prometheus")
    exporter_port, port = free_port(), free_port()
    config = tmp_path / "exporter.yaml"
    config.write_text(
        json.dumps(
            {
                "listen": f"127.0.0.1:{exporter_port}",
                "probe": {"interval": "1s", "timeout": "1s", "fresh_connection_interval": "2s"},
                "databases": {
                    "shop": {"url": postgres.url(DATABASE, *MONITOR), "role": "primary"},
                    "down": {"url": f"postgresql://app@127.0.0.1:{closed_port}/shop"},
                },
            }
        )
    )
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=exporter_port))
    exporter = [sys.executable, "-m", "exporter", "--config", str(config)]
    server = [
        program,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with Program(exporter, tmp_path / "exporter.log"), Program(server, tmp_path / "prometheus.log"):
        yield port


def test_prometheus_scrapes_it_and_sees_what_is_up_and_what_is_down(prometheus: int) -> None:
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
