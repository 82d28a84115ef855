"""Many clients at once while a database hangs: each gets an answer, at no cost to the database."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from sqlalchemy import make_url

from tests.exporter.commands import PATIENCE, RunningExporter, configure, run_exporter
from tests.faults import strikes
from tests.faults.scenes import PostgresScene, count_postgres
from tests.faults.views import View, open_view
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.proxy import Proxy, open_proxy

DRIVERS = ("asyncpg", "psycopg")
CROWD = 25
PROBE = {
    "PROBE__INTERVAL": "2s",
    "PROBE__TIMEOUT": "2s",
    "PROBE__FRESH_CONNECTION_INTERVAL": "2s",
}
# The pool's connection, the new one of a probe, and one that has been closed, which the proxy, or
# libpq in an abandoned thread, notices a moment later.
MOST_CONNECTIONS = 2 + 1
# Prints the number of tasks at a signal.
TELL_TASKS = """
import asyncio, signal, sys
say = lambda *_: print("tasks:", len(asyncio.all_tasks()), file=sys.stderr, flush=True)
signal.signal(signal.SIGUSR1, say)
"""


class Usage(NamedTuple):
    descriptors: int
    threads: int
    tasks: int


def read_usage(exporter: RunningExporter) -> Usage:
    process = Path("/proc") / str(exporter.process.pid)
    return Usage(
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
        count_tasks(exporter),
    )


def count_tasks(exporter: RunningExporter) -> int:
    def read() -> list[str]:
        lines = exporter.log.read_text().splitlines()
        return [line for line in lines if line.startswith("tasks: ")]

    before = len(read())
    exporter.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(read()) > before, "the number of tasks")
    return int(read()[-1].removeprefix("tasks: "))


class Street(NamedTuple):
    """An exporter with a database for each driver, each behind a proxy; pools are connected."""

    server: EmbeddedPostgres
    exporter: RunningExporter
    views: dict[str, View]
    proxies: dict[str, Proxy]


@pytest.fixture
def street(
    mortal_postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Street]:
    (tmp_path / "sitecustomize.py").write_text(TELL_TASKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings: dict[str, str] = {}
    with ExitStack() as stack:
        proxies = {each: stack.enter_context(open_proxy(mortal_postgres.port)) for each in DRIVERS}
        for driver, proxy in proxies.items():
            url = make_url(mortal_postgres.url(DATABASE, *PLAIN, driver=driver))
            text = url.set(port=proxy.port).render_as_string(hide_password=False)
            settings |= configure(driver, URL=text, **PROBE)
        exporter = stack.enter_context(run_exporter(tmp_path / "log", settings=settings))
        views = {each: stack.enter_context(open_view(exporter, each)) for each in DRIVERS}
        for view in views.values():
            view.wait_for_success("pooled")
        yield Street(mortal_postgres, exporter, views, proxies)


def lock_catalogue(street: Street) -> AbstractContextManager[None]:
    return strikes.locked_catalogue(PostgresScene("", lambda: None, street.server))


def pause(street: Street) -> AbstractContextManager[None]:
    return strikes.paused(PostgresScene("", lambda: None, street.server))


@contextmanager
def lose(street: Street) -> Iterator[None]:
    for proxy in street.proxies.values():
        strikes.lose_silently(proxy)
    yield
    for proxy in street.proxies.values():
        proxy.heal()


async def ask_together(exporter: RunningExporter, *paths: str) -> dict[str, Counter[int]]:
    """Return the status codes of many requests by path, each on its own connection."""
    host, port = exporter.address
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=f"http://{host}:{port}", timeout=PATIENCE, limits=limits
    ) as client:
        asked = [path for path in paths for _ in range(CROWD)]
        answers = await asyncio.gather(*map(client.get, asked))
    codes: dict[str, Counter[int]] = {path: Counter() for path in paths}
    for path, answer in zip(asked, answers, strict=True):
        codes[path][answer.status_code] += 1
    return codes


def count_probes(view: View) -> float:
    kinds = [(kind, result) for kind in ("pooled", "fresh") for result in ("ok", "error")]
    counts = [view.read("database_probes_total", kind=k, result=r) for k, r in kinds]
    return sum(count or 0 for count in counts)


@pytest.mark.parametrize("strike", [lock_catalogue, lose, pause])
def test_many_clients_share_one_check_of_a_hanging_database(
    street: Street, strike: Callable[[Street], AbstractContextManager[None]]
) -> None:
    usage = read_usage(street.exporter)
    names = [f"/health/db/{driver}" for driver in DRIVERS]
    with strike(street):
        for view in street.views.values():
            view.wait_until_down("timeout")
        before = {view: count_probes(view) for view in street.views.values()}
        codes = asyncio.run(ask_together(street.exporter, "/metrics", "/health/db", *names))
        assert codes.pop("/metrics") == {200: CROWD}
        assert codes == {path: {503: CROWD} for path in codes}
        for view, proxy in pair(street):
            # Many clients have asked for a check three times within seconds.
            assert count_probes(view) - before[view] < CROWD
            assert proxy.most_clients <= MOST_CONNECTIONS
    for view in street.views.values():
        view.wait_until_up()
        view.wait_for_success("pooled")
    wait_until(lambda: read_usage(street.exporter) == usage, f"no more than {usage}")
    wait_until(lambda: count_postgres(street.server) == len(DRIVERS), "a session each")


def test_many_clients_open_no_more_sessions_than_configured(
    mortal_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """A server does not notice that clients disconnect in a login that waits for a lock."""
    url = mortal_postgres.url(DATABASE, *PLAIN, driver="asyncpg")
    settings = configure("shop", URL=url, **PROBE)
    scene = PostgresScene(url, lambda: count_postgres(mortal_postgres), mortal_postgres)
    with run_exporter(tmp_path / "log", settings=settings) as exporter:
        with open_view(exporter, "shop") as view:
            view.wait_for_success("pooled")
            with strikes.locked_catalogue(scene):
                view.wait_until_down("timeout")
                for _ in range(3):
                    asyncio.run(ask_together(exporter, "/metrics", "/health/db"))
                    assert count_postgres(mortal_postgres) == 2  # of the pool, and a new one
            view.wait_until_up()
        assert exporter.stop() == 0
    wait_until(lambda: count_postgres(mortal_postgres) == 0, "no session")


def pair(street: Street) -> list[tuple[View, Proxy]]:
    return [(street.views[driver], street.proxies[driver]) for driver in DRIVERS]
