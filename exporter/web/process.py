"""GET /-/healthy and /-/ready: the exporter's own process, whatever its databases do."""

from starlette.requests import Request
from starlette.responses import Response

from exporter.web.answers import answer_text
from exporter.web.service import read_service


async def answer_healthy(_request: Request) -> Response:
    """Answers 200: the event loop turns."""
    return answer_text("healthy")


async def answer_ready(request: Request) -> Response:
    """Answers 200 between start and stop, else 503."""
    service = read_service(request)
    return answer_text(service.state, 200 if service.is_ready else 503)
