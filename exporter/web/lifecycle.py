"""Requests that change something: who may make them.

Only with web.enable_lifecycle: whoever reaches the port could otherwise make the exporter log in
again and again.
"""

from typing import Final

from starlette.responses import Response

from exporter.web.answers import answer_text
from exporter.web.service import Service

DISABLED: Final = "Lifecycle requests are disabled; start the exporter with --web.enable-lifecycle."


def find_refusal(service: Service) -> Response | None:
    """Returns 403 for an exporter that allows no such request; None for one that does."""
    return None if service.settings.web.enable_lifecycle else answer_text(DISABLED, 403)
