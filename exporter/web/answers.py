"""The two plain kinds of answer every handler gives: JSON and text, each ending in a line feed."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response


def answer_json(content: Mapping[str, Any], status: int = 200) -> Response:
    """Returns indented ASCII JSON: readable in a terminal, whatever a driver's message holds."""
    body = json.dumps(content, indent=2) + "\n"
    return Response(body, status, media_type="application/json")


def answer_text(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Returns plain text."""
    return PlainTextResponse(f"{text}\n", status, headers)
