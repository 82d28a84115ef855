from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.failures.network import classify_exact
from sqlalchemy_pool_metrics.failures.reason import Reason

NUMBERS = [
    (errno.ECONNREFUSED, Reason.REFUSED),
    (errno.ECONNRESET, Reason.REFUSED),
    (errno.ECONNABORTED, Reason.REFUSED),
    (errno.EPIPE, Reason.REFUSED),
    (errno.ENOENT, Reason.REFUSED),
    (errno.ETIMEDOUT, Reason.TIMEOUT),
    (errno.EHOSTUNREACH, Reason.UNREACHABLE),
    (errno.ENETUNREACH, Reason.UNREACHABLE),
    (errno.EHOSTDOWN, Reason.UNREACHABLE),
    (errno.EADDRNOTAVAIL, Reason.UNREACHABLE),
    (errno.ENETDOWN, Reason.UNREACHABLE),
    (errno.EPERM, Reason.UNREACHABLE),
    (errno.EACCES, Reason.UNREACHABLE),
    (errno.EMFILE, None),
]


@pytest.mark.parametrize(("number", "reason"), NUMBERS)
def test_the_number_of_an_os_error_decides(number: int, reason: Reason | None) -> None:
    assert classify_exact(OSError(number, os.strerror(number))) is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Reason.DNS),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), Reason.DNS),
        (TimeoutError(), Reason.TIMEOUT),
        (TimeoutError("timed out"), Reason.TIMEOUT),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), Reason.TLS),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), Reason.TLS),
        (ConnectionError("unexpected connection_lost() call"), Reason.REFUSED),
        (UnicodeError("encoding with 'idna' codec failed"), Reason.DNS),
        (UnicodeError("something else"), None),
        (OSError("something else"), None),
        (ValueError("timed out"), None),
    ],
)
def test_the_kind_of_an_error_decides(error: Exception, reason: Reason | None) -> None:
    assert classify_exact(error) is reason


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ((errno.ECONNREFUSED, errno.ECONNREFUSED), Reason.REFUSED),
        ((errno.ENETUNREACH, errno.ECONNREFUSED), Reason.REFUSED),
        ((errno.ENETUNREACH, errno.ETIMEDOUT), Reason.TIMEOUT),
        ((errno.ENETUNREACH, errno.EHOSTUNREACH), Reason.UNREACHABLE),
    ],
)
def test_of_several_addresses_the_most_specific_failure_counts(
    numbers: tuple[int, ...], reason: Reason
) -> None:
    failures = ", ".join(f"[Errno {each}] Connect call failed" for each in numbers)
    assert classify_exact(OSError(f"Multiple exceptions: {failures}")) is reason


def test_a_socket_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError) as raised:  # noqa: PT011 - find_reason looks closer
        client.connect(str(tmp_path / "missing"))
    assert classify_exact(raised.value) is Reason.REFUSED


def test_a_missing_file_is_not_a_failure_of_the_network(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "missing").read_text()
    assert classify_exact(raised.value) is None


def test_a_certificate_that_is_missing_has_the_reason_tls(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        ssl.create_default_context(cafile=tmp_path / "missing")
    assert classify_exact(raised.value) is Reason.TLS
