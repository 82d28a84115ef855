"""The closed set of reasons, which are label values of a metric and names in alerts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a probe failed; the comments say what a person should look at first."""

    # The name does not resolve: DNS, or a typing mistake in the host.
    DNS = "dns"
    # Somebody answers at the address and turns us away, or ends a connection that worked: nothing
    # listens there, the server is starting up, shutting down or restarting, a session was killed.
    REFUSED = "refused"
    # No route to the address: the network, or a policy of this machine.
    UNREACHABLE = "unreachable"
    # A time limit ran out, ours or the server's: no answer, or statement and lock timeouts.
    TIMEOUT = "timeout"
    # TLS is refused or required, or a certificate is not trusted.
    TLS = "tls"
    # The server knows us and says no: user, password, host or method.
    AUTH = "auth"
    # The server is there, the database on it is not.
    NO_DATABASE = "no_database"
    # The server, the database, the user or PgBouncer has no connection left for us.
    TOO_MANY_CONNECTIONS = "too_many_connections"
    # The pool in this process had no connection free in time.
    POOL_TIMEOUT = "pool_timeout"
    # The statement writes, the server does not let it.
    READ_ONLY = "read_only"
    # The server ran our statement and says it is wrong, or somebody cancelled it.
    QUERY = "query"
    # The driver is missing or broken, or what answers does not speak its protocol.
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
    Reason.TLS: "TLS could not be agreed on",
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
