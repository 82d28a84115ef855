"""Who gets an answer at all: users with their passwords, and not more often than allowed.

Every path is protected, those for Kubernetes, too, as by Prometheus' exporter-toolkit. As long as
nobody knows who may ask, nobody gets an answer, but for the one that the process runs.
"""

import base64
import binascii
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.web.answers import answer_text
from exporter.web.logins import BusyError, Logins
from exporter.web.paths import HEALTHY
from exporter.web.rate import Bucket
from exporter.web.rules import Rules

UNAUTHORIZED: Final = "Unauthorized: basic_auth_users of the web configuration may ask."
TOO_OFTEN: Final = "Too many requests: see rate_limit of the web configuration."
CLOSED: Final = "The configuration cannot be used: nothing is shown until it can, the log says why."
PLAIN: Final = "This connection is without TLS, and the web configuration asks for it."
BUSY: Final = "Too many passwords are being checked; ask again."


class AccessMiddleware:
    """Lets a request pass, or answers 401, 429 or 503 by itself; by the rules in force then."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._logins = Logins()
        self._bucket = Bucket(rules.config.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection of the ASGI server."""
        refusal = None
        if scope["type"] == "http":
            refusal = self._refuse_closed(scope) or self._refuse_plain(scope)
            refusal = (
                refusal or self._refuse_often() or await self._refuse_unknown(Headers(scope=scope))
            )
        await (refusal or self._app)(scope, receive, send)

    def _refuse_closed(self, scope: Scope) -> Response | None:
        is_refused = self._rules.is_closed and scope["path"] != HEALTHY
        return answer_text(CLOSED, 503) if is_refused else None

    def _refuse_plain(self, scope: Scope) -> Response | None:
        """Ends connections from before the rules asked for TLS, and perhaps for a certificate."""
        if self._rules.context is None or scope["scheme"] == "https":
            return None
        return answer_text(PLAIN, 400, {"Connection": "close"})

    def _refuse_often(self) -> Response | None:
        if self._bucket.limit != self._rules.config.rate_limit:
            self._bucket = Bucket(self._rules.config.rate_limit)
        return None if self._bucket.take() else answer_text(TOO_OFTEN, 429)

    async def _refuse_unknown(self, headers: Headers) -> Response | None:
        users = self._rules.users
        if not users:
            return None
        name, password = parse_credentials(headers.getlist("authorization"))
        try:
            if name is not None and await self._logins.check(users, name, password):
                return None
        except BusyError:
            return answer_text(BUSY, 503, {"Retry-After": "1"})
        return answer_text(UNAUTHORIZED, 401, {"WWW-Authenticate": "Basic"})


def parse_credentials(values: list[str]) -> tuple[str | None, bytes]:
    """Returns the name and the password of a basic authentication; None for anything else."""
    scheme, _, encoded = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return None, b""
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode() if colon else None), password
    except (binascii.Error, ValueError):  # no base64, no ASCII, no UTF-8
        return None, b""
