"""The closed set of reasons, which are label values of a metric and names in alerts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a probe failed; the comments say what a person should look at first."""

    # The name does not resolve: DNS, or a typing mistake in the host.
    DNS = "dns"
    # The address turns us away or closes a working connection: nothing listens there, the server is
    # starting, stopping or restarting, a session was killed.
    REFUSED = "refused"
    # No route to the address: the network, or a policy of this machine.
    UNREACHABLE = "unreachable"
    # A time limit expired, ours or the server's: no answer, or statement and lock timeouts.
    TIMEOUT = "timeout"
    # TLS is refused or required, or a certificate is not trusted.
    TLS = "tls"
    # The server rejects the login: user, password, host or method.
    AUTH = "auth"
    # The server has no such database.
    NO_DATABASE = "no_database"
    # The server, the database, the user or PgBouncer has no connection left for us.
    TOO_MANY_CONNECTIONS = "too_many_connections"
    # The pool in this process had no connection free in time.
    POOL_TIMEOUT = "pool_timeout"
    # The statement writes, but the server is read-only.
    READ_ONLY = "read_only"
    # The server rejected the statement, or it was cancelled.
    QUERY = "query"
    # The driver is missing or broken, or the server speaks another protocol.
    DRIVER = "driver"
    OTHER = "other"

    @property
    def meaning(self) -> str:
        """The message to show if the error itself has none."""
        return _MEANINGS[self]


_MEANINGS = {
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


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a database did not answer: `message` is one line of at most 300 characters."""

    reason: Reason
    message: str
