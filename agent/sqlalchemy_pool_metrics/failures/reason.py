"""The closed set of reasons, which are label values of metrics and names in alerts."""

from __future__ import annotations

from enum import Enum

__all__ = ["Reason"]


class Reason(str, Enum):
    """Why something failed; the comments say what a person should look at first."""

    # The name does not resolve: DNS, or a typing mistake in the host.
    DNS = "dns"
    # The address turns us away or closes a new connection: nothing listens there, the server is
    # starting, stopping or restarting.
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
    # The connection broke under a statement: a restart, a failover, a killed session, a firewall.
    DISCONNECTED = "disconnected"
    # Somebody stopped it: a task was cancelled, a user cancelled the statement.
    CANCELLED = "cancelled"
    # Two transactions waited for each other, and the server ended this one.
    DEADLOCK = "deadlock"
    # The transaction conflicts with another one; the application should repeat it.
    SERIALIZATION = "serialization"
    # The server rejected the statement: a mistake in it, a missing table or privilege.
    QUERY = "query"
    # The driver is missing or broken, or the server speaks another protocol.
    DRIVER = "driver"
    # Anything else, such as a constraint that a row violates.
    OTHER = "other"

    def __str__(self) -> str:
        return self.value
