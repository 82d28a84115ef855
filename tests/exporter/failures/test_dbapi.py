from __future__ import annotations

import errno
import struct
from types import ModuleType

import pymysql
import pytest
from sqlalchemy import exc

from sqlalchemy_pool_exporter.failures import Reason, classify
from sqlalchemy_pool_exporter.failures.dbapi import classify_exact, classify_heuristic, is_wrapper
from tests.exporter.open_databases import ask, open_database


class Error(Exception): ...


class DataError(Error): ...


class IntegrityError(Error): ...


class NotSupportedError(Error): ...


class ProgrammingError(Error): ...


class InterfaceError(Error): ...


class InternalError(Error): ...


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
    assert classify_exact(error) is reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError(), Reason.QUERY),
        (UniqueError(), Reason.QUERY),
        (IntegrityError(), Reason.QUERY),
        (NotSupportedError(), Reason.QUERY),
        (ProgrammingError(), Reason.QUERY),
        (InterfaceError(), Reason.DRIVER),
        (InternalError(), Reason.DRIVER),
        (OperationalError(), None),
        (exc.CompileError(), Reason.QUERY),
        (exc.InvalidRequestError(), Reason.QUERY),
        (KeyError(), None),
    ],
)
def test_the_class_of_an_error_suggests_a_reason(error: Exception, reason: Reason | None) -> None:
    assert classify_heuristic(error) is reason


def raise_in(module: str, error: Exception) -> Exception:
    """The error after code of this module raised it."""
    code = ModuleType(module)
    exec("def fail(error): raise error", code.__dict__)  # noqa: S102 - a module of any name
    with pytest.raises(type(error)) as raised:
        code.fail(error)
    return raised.value


def test_a_driver_that_breaks_down_is_a_matter_of_the_driver() -> None:
    error = raise_in("pymysql.connections", struct.error("unpack requires a buffer"))
    assert classify_heuristic(error) is Reason.DRIVER


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://", "postgresql+psycopg://", "mysql+pymysql://", "sqlite://"]
)
async def test_an_argument_that_connect_does_not_know_is_a_matter_of_the_driver(url: str) -> None:
    async with open_database(url, connect_args={"nonsense": 1}) as database:
        with pytest.raises(Exception, match="nonsense") as caught:
            await ask(database, "SELECT 1", fresh=True)
    failure = classify(caught.value)
    assert failure.reason is Reason.DRIVER
    assert "nonsense" in failure.message


def test_a_wrong_type_in_code_of_others_is_not_a_matter_of_the_driver() -> None:
    for module, text in (("exporter", "keyword argument"), ("sqlalchemy.engine", "a text")):
        assert classify_heuristic(raise_in(module, TypeError(text))) is None


def test_code_of_others_that_breaks_down_is_not_a_matter_of_the_driver() -> None:
    error = raise_in("sqlalchemy_pool_exporter.probes", struct.error("unpack requires a buffer"))
    assert classify_heuristic(error) is None


@pytest.mark.parametrize("error", [pymysql.OperationalError(), OSError(errno.EMFILE, "files")])
def test_an_error_that_a_driver_means_to_raise_is_no_breakdown(error: Exception) -> None:
    assert classify_heuristic(raise_in("pymysql.connections", error)) is None


@pytest.mark.parametrize(
    "error",
    [
        exc.OperationalError("SELECT 1", (), Error()),
        exc.StatementError("a text", "SELECT 1", (), Error()),
    ],
)
def test_an_error_of_sqlalchemy_around_another_is_an_envelope(error: Exception) -> None:
    assert is_wrapper(error)


def test_an_error_of_a_driver_is_no_envelope() -> None:
    assert not is_wrapper(OperationalError())
