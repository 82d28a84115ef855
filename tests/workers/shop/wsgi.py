"""The shop as a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.workers.shop import sales


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    answer = sales.wait_at_gate() if environ["PATH_INFO"] == "/gate" else sales.sell()
    body = answer.encode()
    start_response(f"{answer[:3]} -", [("Content-Length", str(len(body)))])
    return [body]
