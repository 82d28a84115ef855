"""Results of dashboard queries for rare series that no scenario has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from grafana.dashboard_queries import list_queries, load_dashboard
from tests.servers.programs import find_program

EXPORTER = 'job="web", instance="web:9723"'
DATABASE = f'{EXPORTER}, database="shop"'
POOL = f'{DATABASE}, origin="app", application="web", pool="main"'


class Case(NamedTuple):
    """Series, and the sum of a query (by its place in a panel) for each application."""

    dashboard: str
    panel: str
    query: int
    series: Mapping[str, str]
    values: Mapping[str, float]


CASES = {
    "a NullPool has no waiters and yet a demand": Case(
        "pool-detail.json",
        "What size would do? (for one engine)",
        1,
        {
            f"sqlalchemy_pool_checked_out_seconds_total{{{POOL}}}": "0+60x120",
            f"sqlalchemy_pool_engines{{{POOL}}}": "1x120",
        },
        {"web": 2},
    ),
    "what MariaDB reserves comes on top": Case(
        "overview.json",
        "How many more pods fit on each server?",
        0,
        {
            f"sqlalchemy_database_server_max_connections{{{DATABASE}}}": "100x120",
            f"sqlalchemy_database_server_reserved_connections{{{DATABASE}}}": "1x120",
            f'sqlalchemy_database_info{{{DATABASE}, dialect="mariadb"}}': "1x120",
        },
        {"": 100},
    ),
    "what PostgreSQL reserves does not": Case(
        "overview.json",
        "How many more pods fit on each server?",
        0,
        {
            f"sqlalchemy_database_server_max_connections{{{DATABASE}}}": "100x120",
            f"sqlalchemy_database_server_reserved_connections{{{DATABASE}}}": "3x120",
            f'sqlalchemy_database_info{{{DATABASE}, dialect="postgresql"}}': "1x120",
        },
        {"": 97},
    ),
    "an exporter that was never scraped is down, and another program is none": Case(
        "overview.json",
        "How many exporters are down?",
        0,
        {
            f'up{{{EXPORTER}, container="pool-exporter"}}': "0x120",
            'up{job="web", instance="web:8000", container="web"}': "0x120",
        },
        {"": 1},
    ),
    "the exporter's own pool is among those who may fill the server": Case(
        "pool-detail.json",
        "Who may fill the server?",
        0,
        {
            f"sqlalchemy_pool_max_connections{{{POOL}}}": "15x120",
            f'sqlalchemy_pool_max_connections{{{DATABASE}, origin="probe", pool="shop"}}': "1x120",
            f"sqlalchemy_database_server_max_connections{{{DATABASE}}}": "100x120",
        },
        {"exporter": 1, "web": 15},
    ),
    "a pool fails checkouts for whatever reason": Case(
        "overview.json",
        "In how many pools do checkouts fail?",
        0,
        {
            f'sqlalchemy_pool_checkout_failures_total{{{POOL}, reason="cancelled"}}': "0+1x120",
            f"sqlalchemy_pool_checkout_failures_total{{{POOL.replace('main', 'other')}, "
            'reason="error"}': "0+1x120",
        },
        {"": 2},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_query_answers(case: Case, tmp_path: Path) -> None:
    promtool = find_program("promtool", package="prometheus")
    queries = [q for q in list_queries(load_dashboard(case.dashboard)) if q.title == case.panel]
    asked = {
        "eval_time": "50m",
        "expr": f"sum by (application) ({queries[case.query].expr})",
        "exp_samples": [
            {"labels": f'{{application="{name}"}}' if name else "{}", "value": value}
            for name, value in case.values.items()
        ],
    }
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    # Twice a minute, so that a rate of a minute has something to go by. JSON is YAML, too.
    test = {"interval": "30s", "input_series": series, "promql_expr_test": [asked]}
    (tmp_path / "test.yaml").write_text(json.dumps({"tests": [test]}))

    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
