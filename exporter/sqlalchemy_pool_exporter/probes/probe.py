"""The probe of one database: what it sees every interval, and the log of what changes."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from functools import partial

from sqlalchemy import Connection

from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.dialects import ServerStatus, classify
from sqlalchemy_pool_exporter.failures import PROBE_REASONS, Failure, Reason
from sqlalchemy_pool_exporter.probes.check import (
    Check,
    DurationHistogram,
    Kind,
    Phase,
    QueryResult,
    Result,
    find_role_mismatch,
    run_probe_query,
)
from sqlalchemy_pool_exporter.settings import Role

# The name that the docs give, not this module's.
logger = logging.getLogger("sqlalchemy_pool_exporter.probes")

# How much later than due a probe may start, as a part of the interval: they must not run in step.
JITTER = 0.1
STOP_SECONDS = 0.6
CONNECTION_PHASES = {Kind.POOLED: Phase.CHECKOUT, Kind.FRESH: Phase.CONNECT}


class Probe:
    """Probes one database, once at a time; for the event loop's thread.

    The first probe, one every `fresh_connection_interval`, and all after a failed one until one
    succeeds open a new connection instead of using the pool's: a pool that lives on its old
    connections proves nothing. When the pool's server no longer has the configured role, its
    connection is invalidated, because a new one may lead to another server by now.
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
        self.probe_errors_total = dict.fromkeys(PROBE_REASONS, 0)
        self.durations = {phase: DurationHistogram() for phase in Phase}
        self._fresh_due = time.monotonic()
        self._in_flight: asyncio.Task[Check] | None = None
        self._log = StateLog(self.name, self.role)
        self._is_broken = False

    @property
    def up(self) -> bool:
        """Whether the last probe succeeded; False before the first one."""
        return self.last is not None and self.last.ok

    @property
    def last_server(self) -> ServerStatus | None:
        """The server's status in the last probe; None if that failed."""
        return self.last.server if self.last else None

    async def run(self) -> None:
        """Probe now and every interval until cancelled."""
        due = time.monotonic()
        while True:
            await self._check_and_log_errors()
            due = max(due + self.settings.interval, time.monotonic())
            jitter = random.uniform(0, JITTER * self.settings.interval)  # noqa: S311 - no secret
            await asyncio.sleep(due + jitter - time.monotonic())

    async def _check_and_log_errors(self) -> None:
        """Check; log an error, which is a bug of ours, once until a check works again."""
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
        """Return the result of the probe in flight, or of a new one.

        A database's failure is a result, not an exception. This takes little more than `timeout`.
        Cancelling the caller does not cancel the probe, because others may wait for it.
        """
        if self._in_flight is None:
            self._in_flight = asyncio.create_task(self._probe(), name=f"probe of {self.name}")
            self._in_flight.add_done_callback(self._clear_in_flight)
        return await asyncio.shield(self._in_flight)

    def _clear_in_flight(self, _task: asyncio.Task[Check]) -> None:
        self._in_flight = None

    async def _probe(self) -> Check:
        kind = Kind.FRESH if time.monotonic() >= self._fresh_due else Kind.POOLED
        started = time.perf_counter()
        try:
            result, checkout_seconds = await self.database.run(
                self._build_work(kind),
                fresh=kind is Kind.FRESH,
                timeout_seconds=self.settings.timeout,
            )
        except Exception as error:  # whatever a driver raises, it is the database that failed
            return self._record_failure(kind, error, time.perf_counter() - started)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            # The driver cancelled one of its own tasks.
            return self._record_failure(kind, error, time.perf_counter() - started)
        return self._record_success(kind, result, checkout_seconds)

    def _build_work(self, kind: Kind) -> Callable[[Connection], QueryResult]:
        # Invalidate once only: if the next connection has the same role, so would all others.
        had_mismatch = self.last is not None and bool(self.last.role_mismatch)
        return partial(self._query, invalidate_on_mismatch=kind is Kind.POOLED and not had_mismatch)

    def _query(self, connection: Connection, *, invalidate_on_mismatch: bool) -> QueryResult:
        # Runs in a thread for some drivers: it must not touch the probe's state.
        metrics = self.database.settings.server_metrics
        result = run_probe_query(connection, query=self.settings.query, metrics=metrics)
        if invalidate_on_mismatch and find_role_mismatch(self.role, result.server):
            connection.invalidate()
        return result

    def _record_success(self, kind: Kind, result: QueryResult, checkout_seconds: float) -> Check:
        if kind is Kind.FRESH:
            self._fresh_due = time.monotonic() + self.settings.fresh_connection_interval
        self.durations[CONNECTION_PHASES[kind]].observe(checkout_seconds)
        self.durations[Phase.QUERY].observe(result.query_seconds)
        self.last_success_timestamp = time.time()
        error = result.server_error
        self._log.record_status_unavailable(self._classify(error) if error else None)
        return self._record(
            Check(
                ok=True,
                kind=kind,
                failure=None,
                checked_at=self.last_success_timestamp,
                latency_seconds=checkout_seconds + result.query_seconds,
                server=result.server,
                role_mismatch=find_role_mismatch(self.role, result.server),
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
        self._log.record(check)
        return check

    def _classify(self, error: BaseException) -> Failure:
        return classify(error, secrets=self.database.secrets)

    async def finish(self) -> None:
        """Wait for the probe in flight, if there is one."""
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


def is_cancelled() -> bool:
    """Return whether the current task was cancelled, rather than something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class StateLog:
    """Logs what changes about one database."""

    def __init__(self, name: str, role: Role) -> None:
        self._name = name
        self._role = role
        self._state: tuple[Reason | None, bool] | None = None
        self._status_failure: Failure | None = None

    def record(self, check: Check) -> None:
        """Log whether the database is up and has its role, or else why not, if that is new."""
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
        """Log why the status of a server that is up cannot be read, if that is new."""
        if failure is not None and self._status_failure is None:
            self._warn("does not report its status: %s", failure.message, failure.reason)
        self._status_failure = failure

    def _warn(self, text: str, detail: str, reason: Reason | None = None) -> None:
        extra = {"database": self._name, **({"reason": reason.value} if reason else {})}
        logger.warning(f"database %s {text}", self._name, detail, extra=extra)


def describe_mismatch(role: Role) -> str:
    """Return what contradicts the configured role."""
    found = "does not accept writes" if role is Role.PRIMARY else "accepts writes"
    return f"it is configured as {role.value} and {found}"
