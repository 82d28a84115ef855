from __future__ import annotations

import struct
from types import ModuleType

import pytest
from sqlalchemy import exc

from exporter.failures import Reason
from exporter.failures.dbapi import find_reason, guess_reason, is_envelope


class Error(Exception): ...


class DataError(Error): ...


class InterfaceError(Error): ...


class OperationalError(Error): ...


class UniqueError(DataError): ...


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exc.TimeoutError("QueuePool limit of size 1"), Reason.POOL_TIMEOUT),
        (exc.NoSuchModuleError("Can't load plugin"), Reason.DRIVER),
        (exc.MissingGreenlet("greenlet_spawn has not been called"), Reason.DRIVER),
        (ModuleNotFoundError("No module named 'psycopg2'"), Reason.DRIVER),
        (exc.InvalidRequestError("anything"), None),
        (TimeoutError(), None),
    ],
)
def test_sqlalchemys_own_errors_have_their_reasons(error: Exception, reason: Reason | None) -> None:
    assert find_reason(error) is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError(), Reason.QUERY),
        (UniqueError(), Reason.QUERY),
        (InterfaceError(), Reason.DRIVER),
        (OperationalError(), None),
        (exc.CompileError(), Reason.QUERY),
        (exc.InvalidRequestError(), Reason.QUERY),
        (KeyError(), None),
    ],
)
def test_the_class_of_an_error_suggests_a_reason(error: Exception, reason: Reason | None) -> None:
    assert guess_reason(error) is reason


def fail_in(module: str) -> Exception:
    """An error that code of this module raised because it could not read what it was sent."""
    driver = ModuleType(module)
    exec("import struct\ndef read(): struct.unpack('<H', b'')", driver.__dict__)  # noqa: S102 - a module of any name
    with pytest.raises(struct.error) as raised:
        driver.read()
    return raised.value


def test_a_driver_that_breaks_down_is_a_matter_of_the_driver() -> None:
    assert guess_reason(fail_in("pymysql.connections")) is Reason.DRIVER


def test_code_of_others_that_breaks_down_is_not_a_matter_of_the_driver() -> None:
    assert guess_reason(fail_in("exporter.probes")) is None


@pytest.mark.parametrize(
    "error",
    [
        exc.OperationalError("SELECT 1", (), Error()),
        exc.StatementError("a text", "SELECT 1", (), Error()),
    ],
)
def test_an_error_of_sqlalchemy_around_another_is_an_envelope(error: Exception) -> None:
    assert is_envelope(error)


def test_an_error_of_a_driver_is_no_envelope() -> None:
    assert not is_envelope(OperationalError())
