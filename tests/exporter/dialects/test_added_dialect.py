"""A new dialect is one record: here that of a library whose books SQLite keeps."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.dialects import registry as sqlalchemy_registry
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from sqlalchemy_pool_exporter.databases.checkout import DeadlineError
from sqlalchemy_pool_exporter.dialects import (
    Dialect,
    Driver,
    ServerStatus,
    build_endpoint,
    classify,
    parse_url,
    registry,
)
from sqlalchemy_pool_exporter.dialects.base import Arguments, Translation
from sqlalchemy_pool_exporter.failures import Failure, Reason
from sqlalchemy_pool_exporter.probes import Probe
from sqlalchemy_pool_exporter.urls import Host, Parameters, URLError, URLParts
from tests.exporter.open_databases import TIMEOUT, ask, open_database

URL = "books://reader:canary@127.0.0.1/novels?shelf=3"


class LibraryError(Exception):
    """What the driver raises."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Server:
    """What a library's server was asked for."""

    arguments: list[dict[str, Any]] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    aborted: list[sqlite3.Connection] = field(default_factory=list)
    is_aborted: threading.Event = field(default_factory=threading.Event)
    error: LibraryError | None = None

    def connect(self, **arguments: Any) -> sqlite3.Connection:
        self.arguments.append(arguments)
        if self.error:
            raise self.error
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.set_trace_callback(self.statements.append)
        connection.create_function("wait", 0, lambda: self.is_aborted.wait(30))
        return connection

    def abort(self, connection: sqlite3.Connection) -> None:
        self.aborted.append(connection)
        self.is_aborted.set()


class LibraryCompiler(SQLiteCompiler):
    def default_from(self) -> str:
        return " FROM (SELECT 'dummy')"


class LibraryDialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's side, which an application would install."""

    name, driver = "library", "librarian"
    supports_statement_cache = True
    statement_compiler = LibraryCompiler
    server: Server

    def create_connect_args(self, url: Any) -> Any:
        return [], url.translate_connect_args()

    def connect(self, *_: Any, **arguments: Any) -> Any:
        return self.server.connect(**arguments)


def translate_url(parts: URLParts, parameters: Parameters) -> Translation:
    shelf = parameters.get_int("shelf")
    parameters.finish("librarian", ["shelf"])
    return Translation(parts, connect_args={"shelf": shelf}, host=parts.hosts[0])


def build_arguments(timeout: float, statement_timeout: float | None) -> Arguments:
    return {"patience": timeout, "reading_time": statement_timeout}


def read_status(_connection: Connection, metrics: bool) -> ServerStatus:
    return ServerStatus("1.2", writable=False, max_connections=7 if metrics else None)


def classify_exact(error: BaseException) -> Reason | None:
    is_full = isinstance(error, LibraryError) and error.code == "full"
    return Reason.TOO_MANY_CONNECTIONS if is_full else None


def classify_heuristic(error: BaseException) -> Reason | None:
    return Reason.REFUSED if isinstance(error, LibraryError) else None


def describe_error(error: BaseException) -> str | None:
    return f"{error} (code {error.code})" if isinstance(error, LibraryError) else None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A library's server, and the record that adds its dialect."""
    server = Server()
    driver = Driver(
        "librarian",
        translate_url=translate_url,
        connect_arguments=build_arguments,
        abort=server.abort,
    )
    library = Dialect(
        names=("library",),
        aliases=("books",),
        default_port=4711,
        drivers=(driver,),
        driver_modules=frozenset({"librarian"}),
        session_limit=lambda seconds: f"PRAGMA busy_timeout = {seconds * 1000:.0f}",
        transaction_limit=lambda seconds: f"PRAGMA analysis_limit = {seconds * 100:.0f}",
        read_status=read_status,
        classify_exact=classify_exact,
        classify_heuristic=classify_heuristic,
        describe_error=describe_error,
    )
    monkeypatch.setattr(registry, "DIALECTS", (library, *registry.DIALECTS))
    monkeypatch.setattr(LibraryDialect, "server", server, raising=False)
    for name in ("library", "library.librarian"):
        sqlalchemy_registry.register(name, __name__, "LibraryDialect")
    yield server
    for name in ("library", "library.librarian"):
        sqlalchemy_registry.impls.pop(name)


@pytest.mark.usefixtures("server")
def test_its_url_is_understood() -> None:
    url = parse_url(URL)
    assert url.safe == "library+librarian://reader:***@127.0.0.1/novels"
    assert url.connect_args == {"shelf": 3}
    assert url.endpoint == build_endpoint("library", [Host("127.0.0.1", 4711)], "novels")
    with pytest.raises(URLError, match="parameter librarian knows: did you mean shelf"):
        parse_url("library://127.0.0.1/novels?shelv=3")


@pytest.mark.usefixtures("server")
def test_it_is_suggested_for_an_unknown_scheme() -> None:
    with pytest.raises(URLError, match="library://, mysql://"):
        parse_url("libary://127.0.0.1/novels")


@pytest.mark.anyio
async def test_its_driver_gets_its_arguments(server: Server) -> None:
    async with open_database(URL, statement_timeout=2, connect_args={"card": 5}) as database:
        await ask(database, "SELECT 1")
    address = {"host": "127.0.0.1", "database": "novels", "username": "reader"}
    limits = {"patience": 30, "reading_time": 2}
    assert server.arguments == [address | limits | {"password": "canary", "shelf": 3, "card": 5}]


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["two..dots.example", r"127.0.0.1\FIRST", "(SHELF = 3)"])
async def test_its_driver_is_given_hosts_that_are_no_names(server: Server, host: str) -> None:
    async with open_database(f"books://{host}/novels") as database:
        await ask(database, "SELECT 1")
    assert [arguments["host"] for arguments in server.arguments] == [host]


@pytest.mark.anyio
async def test_its_hosts_are_looked_up_if_they_are_names(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, *others = registry.DIALECTS
    named = replace(library, has_host_names=True)
    monkeypatch.setattr(registry, "DIALECTS", (named, *others))
    async with open_database("books://two..dots.example/novels") as database:
        check = await Probe(database).check()
    assert check.failure is not None
    assert check.failure.reason is Reason.DNS
    assert server.arguments == []


@pytest.mark.anyio
async def test_its_limits_are_set(server: Server) -> None:
    async with open_database(URL) as database:
        await ask(database, "SELECT 1", timeout_seconds=20)
    assert "PRAGMA busy_timeout = 30000" in server.statements
    limits = [each for each in server.statements if "analysis_limit" in each]
    assert len(limits) == 1
    assert 0 < int(limits[0].rpartition(" ")[2]) <= 2000


@pytest.mark.anyio
async def test_a_probe_reads_its_status_and_queries_in_its_words(server: Server) -> None:
    async with open_database(URL) as database:
        check = await Probe(database).check()
    assert check.ok
    assert check.server == ServerStatus("1.2", writable=False, max_connections=7)
    assert "SELECT 1 FROM (SELECT 'dummy')" in server.statements


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "reason"), [("full", Reason.TOO_MANY_CONNECTIONS), ("closed", Reason.REFUSED)]
)
async def test_its_errors_have_reasons_and_texts(server: Server, code: str, reason: Reason) -> None:
    server.error = LibraryError("No seat is free", code)
    async with open_database(URL) as database:
        check = await Probe(database).check()
    assert check.failure == Failure(reason, f"No seat is free (code {code})")


@pytest.mark.usefixtures("server")
def test_a_bug_of_its_driver_is_a_failure_of_the_driver() -> None:
    code = compile("raise IndexError('page 0')", "librarian.py", "exec")
    with pytest.raises(IndexError) as caught:
        exec(code, {"__name__": "librarian.pages"})  # noqa: S102 - a module of that name
    assert classify(caught.value).reason is Reason.DRIVER


@pytest.mark.anyio
async def test_its_connection_is_aborted_at_the_deadline(server: Server) -> None:
    async with open_database(URL) as database:
        await ask(database, "SELECT 1")
        with pytest.raises(DeadlineError):
            await ask(database, "SELECT wait()", timeout_seconds=TIMEOUT)
        assert len(server.aborted) == 1
        assert await ask(database, "SELECT 1") == 1
