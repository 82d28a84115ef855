"""GET /health/db and /health/db/{name}: the databases, checked now."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_pool_exporter.collectors.pool_sums import read_endpoint
from sqlalchemy_pool_exporter.logs import format_timestamp
from sqlalchemy_pool_exporter.probes import Check, Probe
from sqlalchemy_pool_exporter.probes.probe import is_cancelled
from sqlalchemy_pool_exporter.service import Service
from sqlalchemy_pool_exporter.web.responses import Row, answer_json, read_service
from sqlalchemy_pool_metrics import Snapshot
from sqlalchemy_pool_metrics.layout import CHECKOUT_FAILURE_REASONS

Health = dict[str, Any]


class NotReadyError(Exception):
    """The probes have not started yet, or have stopped."""


async def answer_all_health(request: Request) -> Response:
    """Check all databases at the same time: 200 when every one is healthy, else 503."""
    service = read_service(request)
    probes = service.probes.probes.values()
    try:
        checks = await check_databases(service, probes)
    except NotReadyError as error:
        return answer_json({"status": "unhealthy", "error": str(error)}, 503)
    rows = read_app_pools(service)
    databases = {
        probe.name: build_health(probe, check, rows)
        for probe, check in zip(probes, checks, strict=True)
    }
    status, code = ("healthy", 200) if all(check.ok for check in checks) else ("unhealthy", 503)
    return answer_json({"status": status, "databases": databases}, code)


async def answer_health(request: Request) -> Response:
    """Check one database: 200, 503, or 404 with the names of the databases."""
    service = read_service(request)
    name = request.path_params["name"]
    if name not in service.probes.probes:
        return answer_unknown(service, name)
    probe = service.probes.get(name)
    try:
        (check,) = await check_databases(service, [probe])
    except NotReadyError:
        return answer_not_ready(service, name)
    return answer_json(
        build_health(probe, check, read_app_pools(service)), 200 if check.ok else 503
    )


def answer_unknown(service: Service, name: str) -> Response:
    """Answer 404 with the names of the databases; 503 while the probes do not run."""
    if not service.is_ready:
        return answer_not_ready(service, name)
    names = list(service.probes.probes)
    return answer_json({"error": f"no database {name!r}", "databases": names}, 404)


def answer_not_ready(service: Service, name: str) -> Response:
    """Answer 503 for one database: its probe does not run."""
    return answer_json({"name": name, "status": "unhealthy", "error": describe_state(service)}, 503)


async def check_databases(service: Service, probes: Collection[Probe]) -> list[Check]:
    """Return each probe's outcome, in no more time than the slowest may take.

    Requests at the same time share one check.

    Raises:
        NotReadyError: The probes do not run, or the service has stopped in the meantime.
    """
    if service.is_ready:
        try:
            return await asyncio.gather(*(probe.check() for probe in probes))
        except asyncio.CancelledError:
            # A service that stops cancels the checks; that is not a cancelled request.
            if service.is_ready or is_cancelled():
                raise
    raise NotReadyError(describe_state(service))


def describe_state(service: Service) -> str:
    """Return the state of the service as a sentence."""
    return f"the exporter is {service.state}"


def read_app_pools(service: Service) -> list[Row]:
    """Return the sums of the application's pools by their labels; empty without a folder."""
    return list(service.pool_sums.sum(service.shared_folder.read()))


def build_health(probe: Probe, check: Check, rows: Iterable[Row]) -> Health:
    """Return one database's health; `pool_size` is null for a pool without a size.

    `pool_size` and `pool_checked_out` are of the exporter's own pool. `application_pools`, absent
    if there are none, are those that lead to this database; they do not change the status.
    """
    pool = probe.database.read_pool()
    health: Health = {
        "name": probe.name,
        "status": "healthy" if check.ok else "unhealthy",
        "latency_ms": round(check.latency_seconds * 1000, 2),
        "pool_size": pool.size,
        "pool_checked_out": pool.checked_out,
        "checked_at": format_timestamp(check.checked_at),
    }
    if check.failure:
        health |= {"reason": check.failure.reason, "message": check.failure.message}
    if app_pools := [build_app_pool(*row) for row in rows if leads_to(probe, *row)]:
        health["application_pools"] = app_pools
    return health


def leads_to(probe: Probe, labels: Mapping[str, str], pool: Snapshot) -> bool:
    """Return whether a pool leads to this database, or to one of that name for all one knows."""
    if labels["database"] == probe.name:
        return True
    endpoint = probe.database.endpoint
    return endpoint is not None and read_endpoint(pool.pool) == endpoint


def build_app_pool(labels: Mapping[str, str], pool: Snapshot) -> Health:
    """Return a pool of the application, summed over its processes; ended ones have no gauges."""
    gauges: Health = dict.fromkeys(("checked_out", "max_connections", "pending_checkouts"))
    if pool.processes:
        gauges = {
            "checked_out": pool.checked_out,
            "max_connections": pool.max_connections,
            "pending_checkouts": pool.pending_checkouts if pool.pool.waits else None,
        }
    return {
        "pool": labels["pool"],
        "application": labels["application"],
        "processes": pool.processes,
        "saturated_processes": pool.saturated_processes,
        **gauges,
        "checkouts": pool.checkouts,
        "checkout_failures": {
            reason: pool.counter(f"checkout_failures_{reason}")
            for reason in CHECKOUT_FAILURE_REASONS
        },
        "connection_failures": pool.connection_failures,
    }
