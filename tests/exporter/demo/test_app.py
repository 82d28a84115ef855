from __future__ import annotations

from pathlib import Path

import pytest

from exporter.demo.app import NAME, run_app
from exporter.demo.stage import create_sqlite, open_closed_port
from tests.servers.conditions import wait_until


@pytest.fixture
def articles(tmp_path: Path) -> str:
    return f"sqlite:///{create_sqlite(tmp_path / 'articles.db')}"


def test_the_app_goes_on_while_a_database_is_down_and_its_metrics_tell(articles: str) -> None:
    with open_closed_port() as port:
        with run_app(f"postgresql://app:x@127.0.0.1:{port}/orders", articles) as app:
            wait_until(lambda: app.read_pools()[0].counter("connection_failures") > 3, "failures")
            wait_until(lambda: app.read_pools()[1].checkouts > 0, "checkouts of the other one")
            pools = [snapshot.pool for snapshot in app.read_pools()]
        assert [(pool.name, pool.application) for pool in pools] == [
            ("orders", NAME),
            ("articles", NAME),
        ]
        assert [snapshot.checked_out for snapshot in app.read_pools()] == [0, 0]
