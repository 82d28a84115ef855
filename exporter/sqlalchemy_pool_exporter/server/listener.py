"""The listening socket."""

import errno
import socket
from typing import Final

from sqlalchemy_pool_exporter.settings.fields import Address, AddressError

BACKLOG: Final = 1024


def open_listener(address: Address) -> socket.socket:
    """Return a socket that listens on the address; clients wait there until they are accepted.

    Without a host it listens on all addresses, of IPv6 and IPv4, or of IPv4 where there is no IPv6.

    Raises:
        AddressError: The address is in use, is not this machine's, or is not allowed.
    """
    try:
        return _listen(address)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise AddressError(f"cannot listen on {address}: {reason}") from error


def read_address(listener: socket.socket) -> Address:
    """Return where the socket is bound, with the port that the kernel chose for port 0."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def _listen(address: Address) -> socket.socket:
    if not address.host and socket.has_dualstack_ipv6():
        try:
            return _listen_on("::", address.port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
    return _listen_on(address.host or "0.0.0.0", address.port)  # noqa: S104 - for other machines


def _listen_on(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":  # the kernel's default may be IPv6 only
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
