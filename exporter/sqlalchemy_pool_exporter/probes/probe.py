"""A probe: every interval one look at a database, and what was seen last.

Knows when to look and what to remember; not how connections are opened or cut off, nor metrics.
State is read and written by the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from functools import partial

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.failures import Failure, Reason, classify
from sqlalchemy_pool_exporter.probes.check import (
    Check,
    DurationHistogram,
    Kind,
    Phase,
    QueryResult,
    Result,
    find_role_mismatch,
    is_cancelled,
    run_probe_query,
)
from sqlalchemy_pool_exporter.servers import ServerStatus
from sqlalchemy_pool_exporter.settings import Role

# By the name that docs give it, as in the journal.
logger = logging.getLogger("sqlalchemy_pool_exporter.probes")

# Of the interval: how much later than due a probe may start, so that they do not go in step.
JITTER = 0.1
STOP_SECONDS = 0.6
PHASES = {Kind.POOLED: Phase.CHECKOUT, Kind.FRESH: Phase.CONNECT}


class Probe:
    """Looks at one database, one probe at a time, and remembers.

    Every `fresh_connection_interval` a probe opens a new connection instead of using the pool's,
    the first one does, and after one that failed all do until one succeeds: what a pool that lives
    on its old connections says in between does not count. A pool's connection whose server has come
    to contradict the role is given up, for the next one may lead to another server by now.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = database.name
        self.settings = database.settings.probe
        self.labels: Mapping[str, str] = database.settings.labels
        self.role = database.settings.role
        self.last: Check | None = None
        self.last_success_timestamp: float | None = None
        self.probes_total = {(kind, result): 0 for kind in Kind for result in Result}
        self.probe_errors_total = dict.fromkeys(Reason, 0)
        self.durations = {phase: DurationHistogram() for phase in Phase}
        self._fresh_due = time.monotonic()
        self._in_flight: asyncio.Task[Check] | None = None
        self._journal = StateLog(self.name, self.role)
        self._is_broken = False

    @property
    def up(self) -> bool:
        """Whether the last probe succeeded; False before the first one."""
        return self.last is not None and self.last.ok

    @property
    def last_server(self) -> ServerStatus | None:
        """What the server said about itself in the last probe; None when that failed."""
        return self.last.server if self.last else None

    async def run(self) -> None:
        """Probe now and every interval, until cancelled: no error ends it."""
        due = time.monotonic()
        while True:
            await self._check_whatever_happens()
            due = max(due + self.settings.interval, time.monotonic())
            jitter = random.uniform(0, JITTER * self.settings.interval)  # noqa: S311 - no secret
            await asyncio.sleep(due + jitter - time.monotonic())

    async def _check_whatever_happens(self) -> None:
        """An error here is one of ours: it is logged once, until a probe ends well again."""
        try:
            await self.check()
            self._is_broken = False
        except asyncio.CancelledError:
            if is_cancelled():
                raise
        except Exception:
            if not self._is_broken:
                logger.exception("probe failed", extra={"database": self.name})
            self._is_broken = True

    async def check(self) -> Check:
        """The outcome of the probe in flight, or of a new one when there is none.

        It takes `timeout` seconds at most, give or take the cutting off; a database's failure is an
        outcome, never an error. Cancelling one who waits for it does not cancel the probe.
        """
        if self._in_flight is None:
            self._in_flight = asyncio.create_task(self._probe(), name=f"probe of {self.name}")
            self._in_flight.add_done_callback(self._land)
        return await asyncio.shield(self._in_flight)

    def _land(self, _task: asyncio.Task[Check]) -> None:
        self._in_flight = None

    async def _probe(self) -> Check:
        kind = Kind.FRESH if time.monotonic() >= self._fresh_due else Kind.POOLED
        started = time.perf_counter()
        try:
            examination, checkout_seconds = await self.database.run(
                self._build_work(kind),
                fresh=kind is Kind.FRESH,
                timeout_seconds=self.settings.timeout,
            )
        except Exception as error:  # whatever a driver raises, it is the database that failed
            return self._record_failure(kind, error, time.perf_counter() - started)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            # A driver cancelled something of its own.
            return self._record_failure(kind, error, time.perf_counter() - started)
        return self._record_success(kind, examination, checkout_seconds)

    def _build_work(self, kind: Kind) -> Callable[[Connection], QueryResult]:
        # Once is enough: where the next connection finds the same, so would all others.
        is_news = self.last is None or not self.last.role_mismatch
        return partial(self._examine, insists_on_role=kind is Kind.POOLED and is_news)

    def _examine(self, connection: Connection, *, insists_on_role: bool) -> QueryResult:
        """Run in the database's lane, maybe in a thread: it must not touch the probe's state."""
        metrics = self.database.settings.server_metrics
        examination = run_probe_query(connection, query=self.settings.query, metrics=metrics)
        if insists_on_role and find_role_mismatch(self.role, examination.server):
            connection.invalidate()
        return examination

    def _record_success(
        self, kind: Kind, examination: QueryResult, checkout_seconds: float
    ) -> Check:
        if kind is Kind.FRESH:
            self._fresh_due = time.monotonic() + self.settings.fresh_connection_interval
        self.durations[PHASES[kind]].observe(checkout_seconds)
        self.durations[Phase.QUERY].observe(examination.query_seconds)
        self.last_success_timestamp = time.time()
        silence = examination.server_error
        self._journal.record_status_unavailable(self._classify(silence) if silence else None)
        return self._record(
            Check(
                ok=True,
                kind=kind,
                failure=None,
                checked_at=self.last_success_timestamp,
                latency_seconds=checkout_seconds + examination.query_seconds,
                server=examination.server,
                role_mismatch=find_role_mismatch(self.role, examination.server),
            )
        )

    def _record_failure(self, kind: Kind, error: BaseException, seconds: float) -> Check:
        failure = self._classify(error)
        self.probe_errors_total[failure.reason] += 1
        return self._record(
            Check(
                ok=False,
                kind=kind,
                failure=failure,
                checked_at=time.time(),
                latency_seconds=min(seconds, self.settings.timeout),
                server=None,
                role_mismatch=None,
            )
        )

    def _record(self, check: Check) -> Check:
        self.probes_total[check.kind, check.result] += 1
        self.last = check
        self._journal.record(check)
        return check

    def _classify(self, error: BaseException) -> Failure:
        return classify(error, secrets=self.database.secrets)

    async def finish(self) -> None:
        """Wait for the probe in flight, if there is one; no longer than that may take."""
        if self._in_flight is not None:
            await asyncio.wait({self._in_flight})

    async def stop(self) -> None:
        """Cut off the probe in flight; bounded in time."""
        if self._in_flight is not None:
            self._in_flight.cancel()
            await asyncio.wait({self._in_flight}, timeout=STOP_SECONDS)

    def __repr__(self) -> str:
        state = "not probed yet" if self.last is None else "up" if self.up else "down"
        return f"<Probe {self.name!r} {state}>"


# By the name that docs give it, which is that of what changes, not of this file.


class StateLog:
    """Remembers what was logged last about one database."""

    def __init__(self, name: str, role: Role) -> None:
        self._name = name
        self._role = role
        self._state: tuple[Reason | None, bool] | None = None
        self._silence: Failure | None = None

    def record(self, check: Check) -> None:
        """Log whether the database is up and plays its role, or why not; if that is new."""
        state = (check.failure.reason if check.failure else None, bool(check.role_mismatch))
        if state == self._state:
            return
        self._state = state
        if check.failure is not None:
            self._warn("is down: %s", check.failure.message, check.failure.reason)
        elif check.role_mismatch:
            self._warn("is up, but %s", describe_mismatch(self._role))
        else:
            logger.info("database %s is up", self._name, extra={"database": self._name})

    def record_status_unavailable(self, failure: Failure | None) -> None:
        """Log that the server answers but does not tell about itself; if that is new."""
        if failure is not None and self._silence is None:
            self._warn("does not tell its status: %s", failure.message, failure.reason)
        self._silence = failure

    def _warn(self, text: str, detail: str, reason: Reason | None = None) -> None:
        extra = {"database": self._name, **({"reason": reason.value} if reason else {})}
        logger.warning(f"database %s {text}", self._name, detail, extra=extra)


def describe_mismatch(role: Role) -> str:
    found = "does not accept writes" if role is Role.PRIMARY else "accepts writes"
    return f"it is configured as {role.value} and {found}"
