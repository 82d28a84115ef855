"""POST /-/reload: the configuration, read anew, on request."""

from starlette.requests import Request
from starlette.responses import Response

from exporter.web.answers import answer_text
from exporter.web.lifecycle import find_refusal
from exporter.web.reloads import ReloadError
from exporter.web.service import read_service


async def answer_reload(request: Request) -> Response:
    """Answers what changed, or 422 with what is wrong: the configuration in use stays."""
    service = read_service(request)
    if refusal := find_refusal(service):
        return refusal
    if not service.is_running:
        return answer_text(f"the exporter is {service.state}", 503)
    try:
        change = await service.reloads.reload()
    except ReloadError as error:
        return answer_text(f"configuration not reloaded:\n{error}", 422)
    return answer_text(f"configuration reloaded: {change}")
