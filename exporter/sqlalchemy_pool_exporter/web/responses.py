"""Shared by the handlers: the service, answers in text and JSON, and those to wrong requests.

Each answer ends in a line feed.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sqlalchemy_pool_exporter.service import Service
from sqlalchemy_pool_metrics import Snapshot

# The labels of a sum of the application's pools, and the sum.
Row: TypeAlias = tuple[Mapping[str, str], Snapshot]

HEALTHY: Final = "/-/healthy"
PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/": "this overview",
        "/api/v1/status": "the databases and pools as JSON, in more detail",
        "/metrics": "metrics for Prometheus",
        "/health/db": "health of all databases, checked now: 200 or 503, as JSON",
        "/health/db/{name}": "health of one database, checked now: 200 or 503, as JSON",
        HEALTHY: "whether the exporter runs, whatever its databases do: 200",
        "/-/ready": "whether the exporter has started: 200 or 503",
        "POST /-/reload": "reload the configuration, with --web.enable-lifecycle",
        "POST /-/databases/{name}/recreate": (
            "replace the connections of a database's probe, with --web.enable-lifecycle"
        ),
    }
)


def read_service(request: Request) -> Service:
    """Return the service of the app that handles the request."""
    service: Service = request.app.state.service
    return service


def answer_json(content: Mapping[str, Any], status: int = 200) -> Response:
    """Return indented ASCII JSON: readable in a terminal, whatever a driver's message holds."""
    body = json.dumps(content, indent=2) + "\n"
    return Response(body, status, media_type="application/json")


def answer_text(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return plain text."""
    return PlainTextResponse(f"{text}\n", status, headers)


async def answer_not_found(_request: Request, _error: Exception) -> Response:
    """Answer 404 with the list of paths."""
    width = max(map(len, PATHS))
    lines = [f"  {path:<{width}}  {meaning}" for path, meaning in PATHS.items()]
    return answer_text("\n".join(["Not found. Available paths:", *lines]), 404)


async def answer_method_not_allowed(_request: Request, error: Exception) -> Response:
    """Answer 405 with the methods that are allowed."""
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = ", ".join(sorted((headers or {}).get("Allow", "").split(", ")))
    text = f"Method not allowed. Allowed here: {allowed}"
    return answer_text(text, 405, {"Allow": allowed})
