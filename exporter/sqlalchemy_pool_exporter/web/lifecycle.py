"""The paths below /-/: whether the exporter runs, and the requests that change something.

The latter need web.enable_lifecycle: otherwise any client could make the exporter log in again and
again.
"""

import logging
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from sqlalchemy_pool_exporter.databases import Database
from sqlalchemy_pool_exporter.dialects import classify
from sqlalchemy_pool_exporter.reload import Reloader, ReloadError
from sqlalchemy_pool_exporter.service import Service
from sqlalchemy_pool_exporter.web.health import answer_health, answer_not_ready, answer_unknown
from sqlalchemy_pool_exporter.web.responses import answer_json, answer_text, read_service

logger = logging.getLogger(__name__)

DISABLED: Final = "Lifecycle requests are disabled; start the exporter with --web.enable-lifecycle."


async def answer_healthy(_request: Request) -> Response:
    """Answer 200: the event loop runs."""
    return answer_text("healthy")


async def answer_ready(request: Request) -> Response:
    """Answer 200 between start and stop, else 503."""
    service = read_service(request)
    return answer_text(service.state, 200 if service.is_ready else 503)


async def answer_reload(request: Request) -> Response:
    """Answer with what changed, or 422 with what is wrong; the old configuration then stays."""
    service = read_service(request)
    if not service.settings.web.enable_lifecycle:
        return answer_text(DISABLED, 403)
    if not service.is_running:
        return answer_text(f"the exporter is {service.state}", 503)
    reloader: Reloader = request.app.state.reloader
    try:
        change = await reloader.reload()
    except ReloadError as error:
        return answer_text(f"configuration not reloaded:\n{error}", 422)
    return answer_text(f"configuration reloaded: {change}")


async def answer_recreate(request: Request) -> Response:
    """Replace the pool and check the new one: 200 or 503 with its health."""
    service = read_service(request)
    name = request.path_params["name"]
    if not service.settings.web.enable_lifecycle:
        return answer_text(DISABLED, 403)
    if name not in service.probes.probes:
        return answer_unknown(service, name)
    if not service.is_ready:
        return answer_not_ready(service, name)
    # Kept here, because a service that stops in the meantime forgets its databases.
    database = service.databases.get(name)
    try:
        await database.recreate()
    except Exception as error:  # whatever a driver raises, it is the database that failed
        return answer_not_recreated(service, database, error)
    logger.info("pool recreated", extra={"database": name})
    return await answer_health(request)


def answer_not_recreated(service: Service, database: Database, error: Exception) -> Response:
    """Answer 503 with why the new pool got no connection, and log it."""
    if not service.is_ready:
        return answer_not_ready(service, database.name)
    if database not in service.databases:
        text = "a reload has replaced the database; its connections are new"
        return answer_json({"name": database.name, "error": text}, 409)
    failure = classify(error, secrets=database.secrets)
    extra = {"database": database.name, "reason": str(failure.reason)}
    logger.warning("pool not recreated: %s", failure.message, extra=extra)
    health = {"name": database.name, "status": "unhealthy"}
    return answer_json(health | {"reason": failure.reason, "message": failure.message}, 503)
