"""GET /health/db and /health/db/{name}: the databases, checked now."""

import asyncio
from collections.abc import Collection
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_pool_exporter.logs import format_timestamp
from sqlalchemy_pool_exporter.probes import Check, Probe
from sqlalchemy_pool_exporter.probes.probe import is_cancelled
from sqlalchemy_pool_exporter.service import Service, State
from sqlalchemy_pool_exporter.web.responses import answer_json, read_service

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
    databases = {
        probe.name: build_health(probe, check) for probe, check in zip(probes, checks, strict=True)
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
    return answer_json(build_health(probe, check), 200 if check.ok else 503)


def answer_unknown(service: Service, name: str) -> Response:
    """Answer 404 with the names of the databases; 503 while none has been read yet."""
    if service.state is State.WAITING:
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


def build_health(probe: Probe, check: Check) -> Health:
    """Return one database's health; `pool_size` is null for a pool without a size."""
    pool = probe.database.read_pool()
    health = {
        "name": probe.name,
        "status": "healthy" if check.ok else "unhealthy",
        "latency_ms": round(check.latency_seconds * 1000, 2),
        "pool_size": pool.size,
        "pool_checked_out": pool.checked_out,
        "checked_at": format_timestamp(check.checked_at),
    }
    if check.failure:
        health |= {"reason": check.failure.reason, "message": check.failure.message}
    return health
