"""POST /-/databases/{name}/recreate: new connections for a database's probe, on request."""

import logging

from starlette.requests import Request
from starlette.responses import Response

from exporter.engines import Database
from exporter.failures import classify
from exporter.web.answers import answer_json
from exporter.web.health import answer_health, answer_not_ready, answer_unknown
from exporter.web.lifecycle import find_refusal
from exporter.web.service import Service, read_service

logger = logging.getLogger(__name__)


async def answer_recreate(request: Request) -> Response:
    """Replaces the pool and checks the new one: 200 or 503 with its health."""
    service = read_service(request)
    name = request.path_params["name"]
    if refusal := find_refusal(service):
        return refusal
    if name not in service.probes.probes:
        return answer_unknown(service, name)
    if not service.is_ready:
        return answer_not_ready(service, name)
    # A service that stops meanwhile forgets its databases.
    database = service.engines.get(name)
    try:
        await service.engines.recreate(name)
    except Exception as error:  # whatever a driver raises, it is the database that failed
        return answer_failure(service, database, error)
    logger.info("pool recreated", extra={"database": name})
    return await answer_health(request)


def answer_failure(service: Service, database: Database, error: Exception) -> Response:
    """Answers 503 with why the new pool got no connection, and logs it."""
    if not service.is_ready:
        return answer_not_ready(service, database.name)
    if database not in service.engines:
        text = "a reload has replaced the database; its connections are new"
        return answer_json({"name": database.name, "error": text}, 409)
    failure = classify(error, secrets=database.secrets)
    extra = {"database": database.name, "reason": str(failure.reason)}
    logger.warning("pool not recreated: %s", failure.message, extra=extra)
    health = {"name": database.name, "status": "unhealthy"}
    return answer_json(health | {"reason": failure.reason, "message": failure.message}, 503)
