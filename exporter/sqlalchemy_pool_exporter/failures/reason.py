"""A failed probe: its reason, and a line for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy_pool_metrics.failures.reason import Reason

__all__ = ["MEANINGS", "PROBE_REASONS", "Failure", "Reason", "broaden"]

MEANINGS: Final = {
    Reason.DNS: "the host name does not resolve",
    Reason.REFUSED: "the connection was refused or closed",
    Reason.UNREACHABLE: "the address cannot be reached",
    Reason.TIMEOUT: "no answer in time",
    Reason.TLS: "TLS could not be negotiated",
    Reason.AUTH: "the server rejected the login",
    Reason.NO_DATABASE: "the database does not exist",
    Reason.TOO_MANY_CONNECTIONS: "no connection is left",
    Reason.POOL_TIMEOUT: "the pool had no connection free in time",
    Reason.READ_ONLY: "the server does not accept writes",
    Reason.QUERY: "the statement failed",
    Reason.DRIVER: "the driver failed",
    Reason.OTHER: "an error without a text",
}
"""The messages to show for errors that have none themselves."""
PROBE_REASONS: Final = tuple(MEANINGS)
"""The reasons of failed probes. A probe repeats no transaction: it needs fewer than statements."""

_BROADER: Final = {
    Reason.DISCONNECTED: Reason.REFUSED,
    Reason.CANCELLED: Reason.QUERY,
    Reason.DEADLOCK: Reason.QUERY,
    Reason.SERIALIZATION: Reason.QUERY,
}


def broaden(reason: Reason) -> Reason:
    """Return the one of `PROBE_REASONS` that includes the reason."""
    return _BROADER.get(reason, reason)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a database did not answer: `message` is one line of at most 300 characters."""

    reason: Reason
    message: str
