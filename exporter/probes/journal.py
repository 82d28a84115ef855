"""The log of a database's changes: one line for each, none while nothing changes."""

from __future__ import annotations

import logging

from exporter.failures import Failure, Reason
from exporter.probes.outcomes import Check
from exporter.settings import Role

# By the name that docs give it, which is that of what changes, not of this file.
logger = logging.getLogger("exporter.probes")


class Journal:
    """Remembers what was logged last about one database."""

    def __init__(self, name: str, role: Role) -> None:
        self._name = name
        self._role = role
        self._state: tuple[Reason | None, bool] | None = None
        self._silence: Failure | None = None

    def record(self, check: Check) -> None:
        """Log whether the database is up and plays its role, or why not; if that is new."""
        state = (check.failure.reason if check.failure else None, bool(check.role_mismatch))
        if state == self._state:
            return
        self._state = state
        if check.failure is not None:
            self._warn("is down: %s", check.failure.message, check.failure.reason)
        elif check.role_mismatch:
            self._warn("is up, but %s", describe_mismatch(self._role))
        else:
            logger.info("database %s is up", self._name, extra={"database": self._name})

    def record_silence(self, failure: Failure | None) -> None:
        """Log that the server answers but does not tell about itself; if that is new."""
        if failure is not None and self._silence is None:
            self._warn("does not tell its status: %s", failure.message, failure.reason)
        self._silence = failure

    def _warn(self, text: str, detail: str, reason: Reason | None = None) -> None:
        extra = {"database": self._name, **({"reason": reason.value} if reason else {})}
        logger.warning(f"database %s {text}", self._name, detail, extra=extra)


def describe_mismatch(role: Role) -> str:
    found = "does not accept writes" if role is Role.PRIMARY else "accepts writes"
    return f"it is configured as {role.value} and {found}"
