"""Reasons for errors below the database's protocol: sockets, TLS, name resolution, timeouts."""

from __future__ import annotations

import errno
import re
import socket

from .exceptions import is_class_of, raising_module, read_text
from .reason import Reason

__all__ = ["classify_exact"]

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
# Until Python 3.10 asyncio and socket had timeouts of their own.
_TIMEOUT_MODULES = frozenset({"asyncio", "socket", "builtins"})


def classify_exact(error: BaseException) -> Reason | None:
    """Return the reason; None for an error of another kind."""
    if isinstance(error, UnicodeError) and "idna" in read_text(error):
        # An invalid name: socket.getaddrinfo() fails to encode it.
        return Reason.DNS
    if isinstance(error, socket.gaierror):
        return Reason.DNS
    if is_class_of(error, ("ssl",)):  # a Python may lack the module
        return Reason.TLS
    if _is_timeout(error):
        return Reason.TIMEOUT
    return _read_os_error(error) if isinstance(error, OSError) else None


def _is_timeout(error: BaseException) -> bool:
    return any(
        base.__name__ in ("TimeoutError", "timeout")
        and base.__module__.partition(".")[0] in _TIMEOUT_MODULES
        for base in type(error).__mro__
    )


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
