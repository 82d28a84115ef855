"""The web application: which handler answers which path, and the life of what they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from sqlalchemy_pool_exporter.reload import Source
from sqlalchemy_pool_exporter.service import Service
from sqlalchemy_pool_exporter.settings import Settings
from sqlalchemy_pool_exporter.web.health import answer_all_health, answer_health
from sqlalchemy_pool_exporter.web.lifecycle import (
    answer_healthy,
    answer_ready,
    answer_recreate,
    answer_reload,
)
from sqlalchemy_pool_exporter.web.metrics import answer_metrics
from sqlalchemy_pool_exporter.web.middleware import AccessMiddleware, HeadersMiddleware
from sqlalchemy_pool_exporter.web.responses import (
    HEALTHY,
    answer_method_not_allowed,
    answer_not_found,
)
from sqlalchemy_pool_exporter.web.status_page import answer_landing_page


def create_app(settings: Settings, source: Source | None = None) -> Starlette:
    """Returns the application; its lifespan starts the probes and stops them, bounded in time.

    `source` is where settings are read anew, on request and when its files change; one that can
    `load_without_databases` is read at the start, too, and waited for. Raises SettingsErrors and
    EnginesError; no database is asked anything before the lifespan begins.
    """
    service = Service(settings, source)

    @asynccontextmanager
    async def live(_app: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = Starlette(
        routes=build_routes(),
        middleware=[
            Middleware(HeadersMiddleware, policy=service.web_policy),
            Middleware(AccessMiddleware, policy=service.web_policy),
        ],
        exception_handlers={404: answer_not_found, 405: answer_method_not_allowed},
        lifespan=live,
    )
    # A redirect would be built from the client's Host header; whoever adds a slash gets the list.
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def build_routes() -> list[Route]:
    """Returns the routes; Starlette adds HEAD wherever there is GET."""
    return [
        Route("/", answer_landing_page),
        Route("/metrics", answer_metrics),
        Route("/health/db", answer_all_health),
        Route("/health/db/{name}", answer_health),
        Route(HEALTHY, answer_healthy),
        Route("/-/ready", answer_ready),
        Route("/-/reload", answer_reload, methods=["POST"]),
        Route("/-/databases/{name}/recreate", answer_recreate, methods=["POST"]),
    ]
