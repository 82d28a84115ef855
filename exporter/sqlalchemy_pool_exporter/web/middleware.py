"""ASGI middleware: headers on every answer, access control, and requests that come too early.

Every path is protected, the ones for Kubernetes too, as in Prometheus' exporter-toolkit.
"""

import asyncio
import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import bcrypt
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sqlalchemy_pool_exporter.service import Service
from sqlalchemy_pool_exporter.threads import run_in_daemon_thread
from sqlalchemy_pool_exporter.web.responses import HEALTHY, answer_text
from sqlalchemy_pool_exporter.web_config import RateLimit
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# As ASGI has them: Starlette's mappings would take a tenth of a small scrape's time.
RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

NOT_CONFIGURED: Final = "The configuration cannot be used yet; the exporter's log says why."
STARTING: Final = "The exporter is starting: it is still building the engines of its databases."
TWO_LENGTHS: Final = "A request must not have both Content-Length and Transfer-Encoding."
TLS_REQUIRED: Final = "The web configuration requires TLS, and this connection has none."
TOO_MANY_REQUESTS: Final = "Too many requests: see rate_limit in the web configuration."
TOO_MANY_PASSWORDS: Final = "Too many passwords are being checked; try again."
UNAUTHORIZED: Final = "Unauthorized: see basic_auth_users in the web configuration."

BODY_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
MAX_CACHED: Final = 100
MAX_PENDING: Final = 64
# Salt and digest of an unknown password: checking an unknown user takes as long as a known one.
DUMMY_DIGEST: Final = "3ll7pWrtAhA3RgIDXaztHOpOlz0Cm43uWlBHppOZCu7gakYYas/MS"
# bcrypt ignores further bytes; its newer versions refuse them.
MAX_PASSWORD_BYTES: Final = 72


class HeadersMiddleware:
    """Adds the HEADERS that an answer lacks, and sets those of the policy."""

    def __init__(self, app: ASGIApp, policy: WebPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                missing = [header for header in RAW_HEADERS if header[0] not in present]
                message["headers"] = [*message["headers"], *missing]
                self._set(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _set(self, headers: MutableHeaders) -> None:
        for name, value in self._policy.headers.items():
            headers[name] = value
            if not value:
                del headers[name]


class AccessMiddleware:
    """Passes or refuses each request, by the policy in force at that moment."""

    def __init__(self, app: ASGIApp, policy: WebPolicy) -> None:
        self._app = app
        self._policy = policy
        self._passwords = PasswordChecker()
        self._bucket = TokenBucket(policy.config.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        refusal = await self._refuse(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    async def _refuse(self, scope: Scope) -> Response | None:
        if self._policy.deny_all and scope["path"] != HEALTHY:
            return answer_text(NOT_CONFIGURED, 503)
        if BODY_LENGTHS.issubset([name for name, _ in scope["headers"]]):
            # A proxy in front may see the end of such a body elsewhere: RFC 9112, 6.3.
            return answer_text(TWO_LENGTHS, 400, {"Connection": "close"})
        if self._policy.context is not None and scope["scheme"] != "https":
            # The connection was opened before a reload turned TLS on.
            return answer_text(TLS_REQUIRED, 400, {"Connection": "close"})
        if self._exceeds_rate_limit():
            return answer_text(TOO_MANY_REQUESTS, 429)
        return await self._refuse_user(scope)

    def _exceeds_rate_limit(self) -> bool:
        limit = self._policy.config.rate_limit
        if self._bucket.limit != limit:
            self._bucket = TokenBucket(limit)
        return not self._bucket.take()

    async def _refuse_user(self, scope: Scope) -> Response | None:
        users = self._policy.users
        if not users:
            return None
        name, password = parse_credentials(Headers(scope=scope).getlist("authorization"))
        try:
            if name is not None and await self._passwords.check(users, name, password):
                return None
        except TooManyPasswordsError:
            return answer_text(TOO_MANY_PASSWORDS, 503, {"Retry-After": "1"})
        return answer_text(UNAUTHORIZED, 401, {"WWW-Authenticate": "Basic"})


class StartMiddleware:
    """Lets requests wait for the service to start, except those about the process itself."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        may_be_early = scope["type"] == "http" and not scope["path"].startswith("/-/")
        if may_be_early and not await self._service.wait_for_start():
            await answer_text(STARTING, 503, {"Retry-After": "1"})(scope, receive, send)
            return
        await self._app(scope, receive, send)


def parse_credentials(values: list[str]) -> tuple[str | None, bytes]:
    """Return the name and password in a request's Authorization headers; no name if malformed."""
    scheme, _, encoded = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        return None, b""
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode() if colon else None), password
    except (binascii.Error, ValueError):  # not base64, not ASCII, not UTF-8
        return None, b""


class TooManyPasswordsError(Exception):
    """Too many passwords wait to be checked."""


class PasswordChecker:
    """Checks passwords in a thread, one at a time, and caches the outcomes.

    Right and wrong ones are cached separately, so that guessing evicts no right one. Requests with
    the same credentials at the same time share one check.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._cached: dict[bool, dict[bytes, None]] = {True: {}, False: {}}
        self._pending: dict[bytes, asyncio.Task[bool]] = {}
        self._lock = asyncio.Lock()

    async def check(self, users: Mapping[str, str], name: str, password: bytes) -> bool:
        """Return whether it is the password of a user. Raises TooManyPasswordsError."""
        hashed = users.get(name) or build_dummy_hash(users)
        key = self._digest(name, hashed, password)
        for outcome, cached in self._cached.items():
            if key in cached:
                return outcome
        if key not in self._pending:
            if len(self._pending) >= MAX_PENDING:
                raise TooManyPasswordsError
            comparing = self._compare(key, hashed, password, is_user=name in users)
            self._pending[key] = asyncio.create_task(comparing)
        # One client that hangs up must not cancel the check that others wait for.
        return await asyncio.shield(self._pending[key])

    async def _compare(self, key: bytes, hashed: str, password: bytes, *, is_user: bool) -> bool:
        try:
            async with self._lock:
                compare = partial(is_password, hashed, password)
                outcome = await run_in_daemon_thread(compare, "password") and is_user
            self._cache(key, outcome)
            return outcome
        finally:
            del self._pending[key]

    def _cache(self, key: bytes, outcome: bool) -> None:
        cached = self._cached[outcome]
        if len(cached) >= MAX_CACHED:
            del cached[next(iter(cached))]
        cached[key] = None

    def _digest(self, name: str, hashed: str, password: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._secret)
        for part in (name.encode(), hashed.encode(), password):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def __repr__(self) -> str:
        right, wrong = len(self._cached[True]), len(self._cached[False])
        return f"<PasswordChecker {right} right, {wrong} wrong>"


def is_password(hashed: str, password: bytes) -> bool:
    """Compare a password with a bcrypt hash; blocks for as long as the hash's cost demands."""
    try:
        return bcrypt.checkpw(password[:MAX_PASSWORD_BYTES], hashed.encode())
    except ValueError:  # a zero byte, or a hash that only looks like one
        return False


def build_dummy_hash(users: Mapping[str, str]) -> str:
    """Return a hash that takes as long to compare as the costliest of the users'."""
    cost = max(hashed.split("$")[2] for hashed in users.values())
    return f"$2b${cost}${DUMMY_DIGEST}"


class TokenBucket:
    """Holds up to `burst` tokens and gains one every `interval` seconds; it starts full."""

    def __init__(self, limit: RateLimit, read_clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._read_clock = read_clock
        self._tokens = float(limit.burst)
        self._filled_at = read_clock()

    def take(self) -> bool:
        """Take a token; return whether there was one. Without an interval there always is."""
        if not self.limit.interval:
            return True
        now = self._read_clock()
        gained = (now - self._filled_at) / self.limit.interval
        self._tokens = min(self._tokens + gained, float(self.limit.burst))
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
