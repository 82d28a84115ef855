"""The web application: the routes, the middleware, and a lifespan that runs the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from sqlalchemy_pool_exporter.reload import POLL_SECONDS, FileWatcher, Reloader, Source
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
from sqlalchemy_pool_exporter.web.middleware import (
    AccessMiddleware,
    HeadersMiddleware,
    StartMiddleware,
)
from sqlalchemy_pool_exporter.web.responses import (
    HEALTHY,
    answer_method_not_allowed,
    answer_not_found,
)
from sqlalchemy_pool_exporter.web.status import answer_status
from sqlalchemy_pool_exporter.web.status_page import answer_status_page


def create_app(
    settings: Settings,
    source: Source | None = None,
    watcher: FileWatcher | None = None,
    *,
    wait_for_config: bool = False,
    poll_seconds: float = POLL_SECONDS,
) -> Starlette:
    """Return the application. Its lifespan starts the service and stops it, in bounded time.

    Args:
        settings: The first settings.
        source: Where to read the settings again; without one they never change.
        watcher: Has seen the source's files before `settings` were read from them.
        wait_for_config: Serve without databases until the source has a valid configuration.
        poll_seconds: How often to look for changed files.

    Raises:
        SettingsErrors: The web configuration is not valid.
    """
    watcher = watcher or FileWatcher()
    watcher.add([settings.web.config_file] if settings.web.config_file else [])
    service = Service(settings, wait_for_config=wait_for_config)
    watcher.add([*(source.list_files() if source else ()), *service.web_policy.list_files()])
    reloader = Reloader(service, source, watcher, poll_seconds)
    app = Starlette(
        routes=build_routes(),
        middleware=[
            Middleware(HeadersMiddleware, policy=service.web_policy),
            # Before the access control, which refuses everything until a configuration is known.
            Middleware(StartMiddleware, service=service),
            Middleware(AccessMiddleware, policy=service.web_policy),
        ],
        exception_handlers={404: answer_not_found, 405: answer_method_not_allowed},
        lifespan=run_service,
    )
    # A redirect would be built from the client's Host header.
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.reloader = reloader
    return app


@asynccontextmanager
async def run_service(app: Starlette) -> AsyncIterator[None]:
    """Run the app's service and its reloads. Raises EnginesError."""
    try:
        await app.state.service.start()
        await app.state.reloader.start()
        app.state.service.end_start()  # if it waited for a configuration, it has tried to load one
        yield
    finally:
        app.state.reloader.stop()
        await app.state.service.stop()


def build_routes() -> list[Route]:
    """Return the routes; Starlette adds HEAD wherever there is GET."""
    return [
        Route("/", answer_status_page),
        Route("/api/v1/status", answer_status),
        Route("/metrics", answer_metrics),
        Route("/health/db", answer_all_health),
        Route("/health/db/{name}", answer_health),
        Route(HEALTHY, answer_healthy),
        Route("/-/ready", answer_ready),
        Route("/-/reload", answer_reload, methods=["POST"]),
        Route("/-/databases/{name}/recreate", answer_recreate, methods=["POST"]),
    ]
