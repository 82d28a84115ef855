from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sqlalchemy_pool_exporter.demo import app as demo_app
from sqlalchemy_pool_exporter.demo.app import NAME, DemoAppError, run_app
from sqlalchemy_pool_exporter.demo.stage import create_sqlite, open_closed_port
from sqlalchemy_pool_exporter.shared_files import SharedFolder
from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.snapshot import merge
from tests.servers.conditions import wait_until


@dataclass(frozen=True, slots=True)
class Setting:
    """A database that is down, one that is up, and the folder of the app's pools."""

    orders: str
    articles: str
    pools: Path

    def read(self, name: str) -> Snapshot | None:
        """Return the pool of that name, summed over all processes."""
        processes = SharedFolder(self.pools).read().processes
        found = [pool for each in processes for pool in each.pools if pool.pool.name == name]
        return merge(found) if found else None

    def find_workers(self) -> set[int]:
        reading = SharedFolder(self.pools).read()
        live = [each for each in reading.processes if any(pool.processes for pool in each.pools)]
        return {int(each.process.partition("-")[0]) for each in live}


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    (tmp_path / "pools").mkdir()
    articles = f"sqlite:///{create_sqlite(tmp_path / 'articles.db')}"
    with open_closed_port() as port:
        orders = f"postgresql://app:x@127.0.0.1:{port}/orders"
        yield Setting(orders, articles, tmp_path / "pools")


def test_the_app_keeps_serving_and_counting_while_a_database_is_down(setting: Setting) -> None:
    def count_failures() -> int:
        orders = setting.read("orders")
        return orders.connection_failures if orders else 0

    def count_checkouts() -> int:
        articles = setting.read("articles")
        return articles.checkouts if articles else 0

    with run_app(setting.orders, setting.articles, setting.pools):
        wait_until(lambda: count_failures() > 3, "failures")
        wait_until(lambda: count_checkouts() > 0, "checkouts of the other one")
        wait_until(lambda: len(setting.find_workers()) == 2, "both workers")
    orders = setting.read("orders")
    assert orders
    assert orders.pool.application == NAME
    assert orders.checked_out == 0


def test_a_worker_that_is_killed_is_replaced(setting: Setting) -> None:
    with run_app(setting.orders, setting.articles, setting.pools):
        wait_until(lambda: len(setting.find_workers()) == 2, "both workers")
        before = setting.find_workers()
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(setting.find_workers() - before) == 1, "another worker")
        assert len(setting.find_workers() & before) == 1


def test_the_app_ends_with_all_its_workers(setting: Setting) -> None:
    with run_app(setting.orders, setting.articles, setting.pools) as session:
        wait_until(lambda: len(setting.find_workers()) == 2, "both workers")
    with pytest.raises(ProcessLookupError):
        os.killpg(session, 0)


def test_an_app_that_does_not_end_is_killed(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_app, "STOP_SECONDS", 0.0)
    with run_app(setting.orders, setting.articles, setting.pools) as session:
        wait_until(lambda: len(setting.find_workers()) == 2, "both workers")
        os.killpg(session, signal.SIGSTOP)
    wait_until(lambda: not setting.find_workers(), "the end of the workers")


def test_a_missing_package_is_an_error_with_what_to_install(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_app, "SERVER", "no_such_server")
    with (
        pytest.raises(DemoAppError, match=r"no_such_server is not installed: pip install '.*demo"),
        run_app(setting.orders, setting.articles, setting.pools),
    ):
        pass
