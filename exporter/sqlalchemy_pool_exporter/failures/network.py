"""Reasons for errors below the database's protocol: sockets, TLS, name resolution, timeouts."""

from __future__ import annotations

import errno
import re
import socket
import ssl

from sqlalchemy_pool_exporter.failures.exceptions import raising_module, read_text
from sqlalchemy_pool_exporter.failures.reason import Reason

_BY_ERRNO = {
    # A socket file that is missing.
    errno.ENOENT: Reason.REFUSED,
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.REFUSED,
    errno.ECONNABORTED: Reason.REFUSED,
    errno.EPIPE: Reason.REFUSED,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
    errno.ENETDOWN: Reason.UNREACHABLE,
    errno.EADDRNOTAVAIL: Reason.UNREACHABLE,
    # connect() raises these when this machine's packet filter forbids the destination.
    errno.EPERM: Reason.UNREACHABLE,
    errno.EACCES: Reason.UNREACHABLE,
}
# asyncio joins the failures of several addresses into one text: the most specific counts.
_ERRNO_IN_TEXT = re.compile(r"\[Errno (-?\d+)\]")
_MOST_SPECIFIC = (Reason.REFUSED, Reason.TIMEOUT, Reason.UNREACHABLE)


def classify_exact(error: BaseException) -> Reason | None:
    """Return the reason; None for an error of another kind."""
    match error:
        case UnicodeError() if "idna" in read_text(error):
            # An invalid name: socket.getaddrinfo() fails to encode it.
            return Reason.DNS
        case socket.gaierror():
            return Reason.DNS
        case ssl.SSLError():
            return Reason.TLS
        case TimeoutError():
            return Reason.TIMEOUT
        case OSError():
            return _read_os_error(error)
    return None


def _read_os_error(error: OSError) -> Reason | None:
    if error.errno is None:
        return _read_text(error)
    if raising_module(error) == "ssl":
        # A certificate that cannot be read.
        return Reason.TLS
    # An error with a file name is about a file, not about a socket.
    return _BY_ERRNO.get(error.errno) if error.filename is None else None


def _read_text(error: OSError) -> Reason | None:
    """Return the reason of an error without a number; asyncio raises some."""
    numbers = _ERRNO_IN_TEXT.findall(read_text(error))
    found = {_BY_ERRNO.get(int(number)) for number in numbers}
    for reason in _MOST_SPECIFIC:
        if reason in found:
            return reason
    return Reason.REFUSED if isinstance(error, ConnectionError) else None
