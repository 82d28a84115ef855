"""Answers to what cannot be answered: unknown paths, other methods."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from exporter.web.answers import answer_text
from exporter.web.paths import PATHS


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
