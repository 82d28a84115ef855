from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from sqlalchemy_pool_exporter.dialects import find_dialect, registry
from sqlalchemy_pool_exporter.failures import PROBE_REASONS, Reason
from sqlalchemy_pool_exporter.probes import (
    Kind,
    Phase,
    Result,
)
from tests.conftest import StartPostgres
from tests.exporter.open_databases import (
    PATIENCE,
    TIMEOUT,
    ask,
    plain_url,
)
from tests.exporter.probes.open_probes import (
    CANARY,
    OFTEN,
    open_probe,
    open_probes,
    reason_of,
)
from tests.exporter.waiting import wait_for
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import execute

pytestmark = pytest.mark.anyio


async def test_before_the_first_probe_there_are_only_zeroes() -> None:
    async with open_probe("sqlite://") as probe:
        assert (probe.up, probe.last, probe.last_server) == (False, None, None)
        assert probe.last_success_timestamp is None
        assert probe.probes_total == {(kind, result): 0 for kind in Kind for result in Result}
        assert probe.probe_errors_total == dict.fromkeys(PROBE_REASONS, 0)
        assert repr(probe) == "<Probe 'shop' not probed yet>"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_the_first_probe_opens_a_new_connection_and_the_next_ones_use_the_pool(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    async with open_probe(plain_url(postgres, driver)) as probe:
        kinds = [(await probe.check()).kind for _ in range(3)]
        assert kinds == [Kind.FRESH, Kind.POOLED, Kind.POOLED]
        assert probe.probes_total[Kind.FRESH, Result.OK] == 1
        assert probe.probes_total[Kind.POOLED, Result.OK] == 2
        assert [sum(probe.durations[phase].counts) for phase in Phase] == [2, 1, 3]
        assert probe.database.read_pool().checkouts == 2


async def test_a_probe_that_succeeds_shows_what_it_saw(postgres: EmbeddedPostgres) -> None:
    started = time.time()
    async with open_probe(plain_url(postgres)) as probe:
        check = await probe.check()
        assert (check.ok, check.failure, check.role_mismatch) == (True, None, None)
        assert 0 < check.latency_seconds < PATIENCE
        assert started <= check.checked_at <= time.time()
        assert probe.up
        assert probe.last is check
        assert probe.last_success_timestamp == check.checked_at
        assert probe.last_server is not None
        assert probe.last_server.writable is True
        assert repr(probe) == "<Probe 'shop' up>"


async def test_after_a_failure_only_counters_and_the_last_success_stay(
    start_postgres: StartPostgres,
) -> None:
    server = start_postgres()
    async with open_probe(plain_url(server)) as probe:
        await probe.check()
        success = probe.last_success_timestamp
        server.stop("immediate")
        check = await probe.check()
        assert reason_of(check) is Reason.REFUSED
        assert (probe.up, probe.last_server) == (False, None)
        assert probe.last_success_timestamp == success
        assert probe.probes_total[Kind.FRESH, Result.OK] == 1
        assert probe.probes_total[Kind.POOLED, Result.ERROR] == 1
        assert probe.probe_errors_total[Reason.REFUSED] == 1
        assert repr(probe) == "<Probe 'shop' down>"
        server.start()
        assert (await probe.check()).ok
        assert probe.up


async def test_a_full_server_is_down_until_a_new_connection_succeeds(
    full_postgres: EmbeddedPostgres,
) -> None:
    url = plain_url(full_postgres)
    async with open_probe(url, fresh_connection_interval=0) as probe:
        assert await ask(probe.database, "SELECT 1") == 1
        with contextlib.ExitStack() as others:
            fill(full_postgres, others)
            for _ in range(2):
                check = await probe.check()
                assert (check.kind, reason_of(check)) == (Kind.FRESH, Reason.TOO_MANY_CONNECTIONS)
                assert await ask(probe.database, "SELECT 1") == 1
                assert not probe.up
        await wait_for_room(full_postgres)
        assert (await probe.check()).ok
        assert probe.up


def fill(server: EmbeddedPostgres, others: contextlib.ExitStack) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            url = server.url(DATABASE, *PLAIN)
            others.enter_context(contextlib.closing(psycopg.connect(url)))


async def wait_for_room(server: EmbeddedPostgres) -> None:
    def has_room() -> bool:
        try:
            psycopg.connect(server.url(DATABASE, *PLAIN)).close()
        except psycopg.OperationalError:
            return False
        return True

    await wait_for(has_room)


async def test_a_wrong_password_is_seen_although_the_pool_has_a_connection(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PLAIN.password)
    url = postgres.url(DATABASE, PLAIN.user, driver="asyncpg")
    async with open_probe(url, password_file=str(file), fresh_connection_interval=0) as probe:
        assert (await probe.check()).ok
        file.write_text(CANARY)
        check = await probe.check()
        assert reason_of(check) is Reason.AUTH
        assert CANARY not in repr(check)


async def test_a_secret_that_cannot_be_read_is_a_failure_until_it_can(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PLAIN.password)
    url = postgres.url(DATABASE, PLAIN.user, driver="asyncpg")
    async with open_probe(url, password_file=str(file)) as probe:
        file.unlink()
        check = await probe.check()
        assert check.failure is not None
        assert "password_file" in check.failure.message
        file.write_text(PLAIN.password)
        assert (await probe.check()).ok


async def test_a_driver_that_cancels_its_own_task_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def cancel_itself(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    async with open_probes({"shop": "sqlite://"}, interval=OFTEN) as probes:
        probe = probes.get("shop")
        await probes.start()
        await wait_for(lambda: probe.up)
        with monkeypatch.context() as patch:
            patch.setattr(probe.database, "run", cancel_itself)
            await wait_for(lambda: probe.probe_errors_total[Reason.OTHER] >= 2)
            assert not probe.up
        await wait_for(lambda: probe.up)


async def test_no_error_ends_the_probes_and_the_first_one_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = itertools.count()

    def fail(*_: object) -> None:
        raise LookupError(f"mistake {next(outcomes)}")

    async with open_probes({"shop": "sqlite://"}, interval=OFTEN) as probes:
        probe = probes.get("shop")
        with monkeypatch.context() as patch:
            patch.setattr(probe, "_record", fail)
            await probes.start()
            await wait_for(lambda: next(outcomes) >= 6)
        await wait_for(lambda: probe.up)
    lines = [record for record in caplog.records if record.getMessage() == "probe failed"]
    assert len(lines) == 1


async def test_concurrent_checks_share_one_probe(postgres: EmbeddedPostgres) -> None:
    async with open_probe(plain_url(postgres)) as probe:
        checks = await asyncio.gather(*(probe.check() for _ in range(10)))
        assert len(set(map(id, checks))) == 1
        assert sum(probe.probes_total.values()) == 1


async def test_cancelling_one_caller_does_not_cancel_the_probe(postgres: EmbeddedPostgres) -> None:
    async with open_probe(plain_url(postgres)) as probe:
        impatient = asyncio.create_task(probe.check())
        patient = asyncio.create_task(probe.check())
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).ok
        assert impatient.cancelled()
        assert sum(probe.probes_total.values()) == 1


async def test_each_change_of_state_is_one_line_without_the_password(
    start_postgres: StartPostgres, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    server, file = start_postgres(), tmp_path / "password"
    url = server.url(DATABASE, PLAIN.user, driver="psycopg")
    caplog.set_level(logging.INFO, logger="sqlalchemy_pool_exporter.probes")

    async def probe_twice() -> list[tuple[str, str | None]]:
        caplog.clear()
        for _ in range(2):
            await probe.check()
        return [(record.levelname, getattr(record, "reason", None)) for record in caplog.records]

    file.write_text(PLAIN.password)
    async with open_probe(url, password_file=str(file), fresh_connection_interval=0) as probe:
        assert await probe_twice() == [("INFO", None)]
        assert caplog.messages == ["database shop is up"]
        file.write_text(CANARY)
        assert await probe_twice() == [("WARNING", "auth")]
        assert caplog.messages[0].startswith("database shop is down: ")
        assert CANARY not in caplog.text
        server.stop()
        assert await probe_twice() == [("WARNING", "refused")]
        server.start()
        file.write_text(PLAIN.password)
        assert await probe_twice() == [("INFO", None)]
        assert {getattr(record, "database", None) for record in caplog.records} == {"shop"}


@pytest.mark.parametrize(
    ("role", "mismatch"), [("primary", False), ("replica", True), ("any", None)]
)
async def test_a_server_with_another_role_is_up_and_a_mismatch(
    postgres: EmbeddedPostgres,
    role: str,
    mismatch: bool | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_probe(plain_url(postgres), role=role) as probe:
        check = await probe.check()
        assert (check.ok, check.role_mismatch) == (True, mismatch)
    expected = "is up, but it is configured as replica and accepts writes"
    assert (expected in caplog.text) is bool(mismatch)


async def test_a_primary_that_became_read_only_is_a_mismatch(
    start_postgres: StartPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_postgres()
    execute(server, f"ALTER ROLE {PLAIN.user} SET default_transaction_read_only = on")
    async with open_probe(plain_url(server), role="primary") as probe:
        check = await probe.check()
        assert (check.ok, check.role_mismatch) == (True, True)
    assert "it is configured as primary and does not accept writes" in caplog.text


def read_status_with(
    monkeypatch: pytest.MonkeyPatch, name: str, read_status: Callable[..., Any]
) -> None:
    """Let the dialect with this name read the status of its servers in another way."""
    dialect = replace(find_dialect(name), read_status=read_status)
    monkeypatch.setattr(registry, "DIALECTS", (dialect, *registry.DIALECTS))


async def test_a_server_whose_status_cannot_be_read_is_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not for you")

    read_status_with(monkeypatch, "sqlite", refuse)
    async with open_probe("sqlite://", role="primary") as probe:
        for _ in range(2):
            check = await probe.check()
            assert (check.ok, check.server, check.role_mismatch) == (True, None, None)
    lines = [line for line in caplog.messages if "does not report its status" in line]
    assert lines == ["database shop does not report its status: not for you"]


@pytest.mark.parametrize("backend", ["asyncpg", "psycopg", "mariadb", "sqlite"])
async def test_the_query_reaches_the_server_unchanged(
    backend: str, request: pytest.FixtureRequest
) -> None:
    if backend == "sqlite":
        url = "sqlite://"
    elif backend == "mariadb":
        mariadb: MariaDB = request.getfixturevalue("mariadb")
        url = mariadb.url()
    else:
        url = plain_url(request.getfixturevalue("postgres"), backend)
    async with open_probe(url, query="SELECT ' :name', '100%', '%s' LIKE '%'") as probe:
        check = await probe.check()
        assert check.ok, check.failure


async def test_a_server_that_goes_away_while_its_status_is_read_is_down(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_session(connection: Connection, *_: object) -> None:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    read_status_with(monkeypatch, "postgresql", end_session)
    async with open_probe(plain_url(postgres)) as probe:
        check = await probe.check()
        assert reason_of(check) is Reason.REFUSED


async def test_a_query_may_return_no_rows() -> None:
    async with open_probe("sqlite://", query="PRAGMA user_version = 7") as probe:
        assert (await probe.check()).ok


async def test_a_query_that_fails_is_a_failure_with_its_reason(postgres: EmbeddedPostgres) -> None:
    async with open_probe(plain_url(postgres), query="SELECT nonsense") as probe:
        check = await probe.check()
        assert reason_of(check) is Reason.QUERY
        assert probe.durations[Phase.QUERY].sum == 0


async def test_a_query_without_an_answer_is_a_timeout(postgres: EmbeddedPostgres) -> None:
    url, query = plain_url(postgres), "SELECT pg_sleep(60)"
    async with open_probe(url, query=query, timeout=TIMEOUT) as probe:
        check = await probe.check()
        assert reason_of(check) is Reason.TIMEOUT
        assert check.latency_seconds <= TIMEOUT


async def test_a_new_connection_is_probed_every_fresh_interval(postgres: EmbeddedPostgres) -> None:
    keys = {"interval": OFTEN, "fresh_connection_interval": 4 * OFTEN}
    async with open_probes({"shop": plain_url(postgres)}, **keys) as probes:
        await probes.start()
        totals = probes.get("shop").probes_total
        await wait_for(lambda: totals[Kind.FRESH, Result.OK] >= 3)
        assert totals[Kind.POOLED, Result.OK] >= totals[Kind.FRESH, Result.OK] - 1
