"""Who gets an answer at all: users with their passwords, and not more often than allowed.

Every path is protected, those for Kubernetes, too, as by Prometheus' exporter-toolkit. As long as
nobody knows who may ask, nobody gets an answer, but for the one that the process runs.
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

from sqlalchemy_pool_exporter.threads import call_in_daemon
from sqlalchemy_pool_exporter.web.responses import HEALTHY, answer_text
from sqlalchemy_pool_exporter.web_config import RateLimit
from sqlalchemy_pool_exporter.web_config.policy import WebPolicy

UNAUTHORIZED: Final = "Unauthorized: basic_auth_users of the web configuration may ask."
TOO_OFTEN: Final = "Too many requests: see rate_limit of the web configuration."
CLOSED: Final = "The configuration cannot be used: nothing is shown until it can, the log says why."
PLAIN: Final = "This connection is without TLS, and the web configuration asks for it."
BUSY: Final = "Too many passwords are being checked; ask again."


class AccessMiddleware:
    """Lets a request pass, or answers 401, 429 or 503 by itself; by the rules in force then."""

    def __init__(self, app: ASGIApp, policy: WebPolicy) -> None:
        self._app = app
        self._policy = policy
        self._logins = PasswordChecker()
        self._bucket = TokenBucket(policy.config.rate_limit)

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
        is_refused = self._policy.deny_all and scope["path"] != HEALTHY
        return answer_text(CLOSED, 503) if is_refused else None

    def _refuse_plain(self, scope: Scope) -> Response | None:
        """Ends connections from before the rules asked for TLS, and perhaps for a certificate."""
        if self._policy.context is None or scope["scheme"] == "https":
            return None
        return answer_text(PLAIN, 400, {"Connection": "close"})

    def _refuse_often(self) -> Response | None:
        if self._bucket.limit != self._policy.config.rate_limit:
            self._bucket = TokenBucket(self._policy.config.rate_limit)
        return None if self._bucket.take() else answer_text(TOO_OFTEN, 429)

    async def _refuse_unknown(self, headers: Headers) -> Response | None:
        users = self._policy.users
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


HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class HeadersMiddleware:
    """Adds HEADERS to each answer that does not say otherwise; what the rules say replaces them."""

    def __init__(self, app: ASGIApp, policy: WebPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection of the ASGI server."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _add(self, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        for name, value in self._policy.headers.items():
            headers[name] = value
            if not value:
                del headers[name]


MOST_KEPT: Final = 100
MOST_WAITING: Final = 64
# Of a password that nobody knows: who is no user waits as long as who is one.
FAKE: Final = "3ll7pWrtAhA3RgIDXaztHOpOlz0Cm43uWlBHppOZCu7gakYYas/MS"
# What bcrypt looks at; the rest says nothing, in Go, too.
LONGEST_BYTES: Final = 72


class BusyError(Exception):
    """Too many passwords wait to be checked."""


class PasswordChecker:
    """Outcomes of checks, the right ones apart from wrong ones, so that guessing displaces none.

    One check at a time, in a thread; whoever asks for the same meanwhile shares it.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._kept: dict[bool, dict[bytes, None]] = {True: {}, False: {}}
        self._running: dict[bytes, asyncio.Task[bool]] = {}
        self._turn = asyncio.Lock()

    async def check(self, users: Mapping[str, str], name: str, password: bytes) -> bool:
        """Whether the user is known and the password right. Raises BusyError."""
        hashed = users.get(name) or build_dummy_hash(users)
        key = self._digest(name, hashed, password)
        for outcome, kept in self._kept.items():
            if key in kept:
                return outcome
        if key not in self._running:
            if len(self._running) >= MOST_WAITING:
                raise BusyError
            comparing = self._compare(key, hashed, password, is_known=name in users)
            self._running[key] = asyncio.create_task(comparing)
        return await asyncio.shield(self._running[key])

    async def _compare(self, key: bytes, hashed: str, password: bytes, *, is_known: bool) -> bool:
        try:
            async with self._turn:
                compare = partial(is_right, hashed, password)
                outcome = await call_in_daemon(compare, "password") and is_known
            self._keep(key, outcome)
            return outcome
        finally:
            del self._running[key]

    def _keep(self, key: bytes, outcome: bool) -> None:
        kept = self._kept[outcome]
        if len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = None

    def _digest(self, name: str, hashed: str, password: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._secret)
        for part in (name.encode(), hashed.encode(), password):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def __repr__(self) -> str:
        return f"<PasswordChecker {len(self._kept[True])} right, {len(self._kept[False])} wrong>"


def is_right(hashed: str, password: bytes) -> bool:
    """Compares; takes as long as the hash says."""
    try:
        return bcrypt.checkpw(password[:LONGEST_BYTES], hashed.encode())
    except ValueError:  # a zero byte, or a hash that only looks like one
        return False


def build_dummy_hash(users: Mapping[str, str]) -> str:
    """A hash as costly as the costliest of the users'."""
    cost = max(hashed.split("$")[2] for hashed in users.values())
    return f"$2b${cost}${FAKE}"


class TokenBucket:
    """Holds up to `burst` tokens and gets a new one every `interval` seconds."""

    def __init__(self, limit: RateLimit, read_clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._read_clock = read_clock
        self._tokens = float(limit.burst)
        self._filled_at = read_clock()

    def take(self) -> bool:
        """Whether it may happen now; always without an interval."""
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
