"""Whether a user's password is right, by its bcrypt hash, without an answer costing 100 ms each.

It knows nothing of requests. What it keeps of passwords are keyed digests that die with it.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final

import bcrypt

from exporter.threads import call_in_daemon

MOST_KEPT: Final = 100
MOST_WAITING: Final = 64
# Of a password that nobody knows: who is no user waits as long as who is one.
FAKE: Final = "3ll7pWrtAhA3RgIDXaztHOpOlz0Cm43uWlBHppOZCu7gakYYas/MS"
# What bcrypt looks at; the rest says nothing, in Go, too.
LONGEST_BYTES: Final = 72


class BusyError(Exception):
    """Too many passwords wait to be checked."""


class Logins:
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
        hashed = users.get(name) or build_fake(users)
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
        return f"<Logins {len(self._kept[True])} right, {len(self._kept[False])} wrong>"


def is_right(hashed: str, password: bytes) -> bool:
    """Compares; takes as long as the hash says."""
    try:
        return bcrypt.checkpw(password[:LONGEST_BYTES], hashed.encode())
    except ValueError:  # a zero byte, or a hash that only looks like one
        return False


def build_fake(users: Mapping[str, str]) -> str:
    """A hash as costly as the costliest of the users'."""
    cost = max(hashed.split("$")[2] for hashed in users.values())
    return f"$2b${cost}${FAKE}"
