"""The two plain kinds of answer every handler gives: JSON and text, each ending in a line feed."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


def answer_json(content: Mapping[str, Any], status: int = 200) -> Response:
    """Returns indented ASCII JSON: readable in a terminal, whatever a driver's message holds."""
    body = json.dumps(content, indent=2) + "\n"
    return Response(body, status, media_type="application/json")


def answer_text(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns plain text."""
    return PlainTextResponse(f"{text}\n", status, headers)


async def answer_not_found(_request: Request, _error: Exception) -> Response:
    """Lists what there is: whoever mistypes a path sees the right one."""
    width = max(map(len, PATHS))
    lines = [f"  {path:<{width}}  {meaning}" for path, meaning in PATHS.items()]
    return answer_text("\n".join(["Not found. There is:", *lines]), 404)


async def answer_method_not_allowed(_request: Request, error: Exception) -> Response:
    """Names the methods that are allowed."""
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = ", ".join(sorted((headers or {}).get("Allow", "").split(", ")))
    text = f"Method not allowed. Allowed here: {allowed}"
    return answer_text(text, 405, {"Allow": allowed})


HEALTHY: Final = "/-/healthy"
PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "/": "this overview",
        "/metrics": "metrics for Prometheus",
        "/health/db": "health of all databases, checked now: 200 or 503, as JSON",
        "/health/db/{name}": "health of one database, checked now: 200 or 503, as JSON",
        HEALTHY: "whether the exporter runs, whatever its databases do: 200",
        "/-/ready": "whether the exporter has started: 200 or 503",
        "POST /-/reload": "read the configuration anew, with --web.enable-lifecycle",
        "POST /-/databases/{name}/recreate": (
            "replace the connections of a database's probe, with --web.enable-lifecycle"
        ),
    }
)
