"""Real servers and faulty addresses for all tests, started on demand once in a session."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.servers import endpoints
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.folders import make_folder
from tests.servers.mariadb import MariaDB, run_mariadb
from tests.servers.pgbouncer import PgBouncer, run_pgbouncer
from tests.servers.postgresql import find_installations, run_postgres, run_replica
from tests.servers.tls import Certificates, open_tls_front, write_certificates

Options = Mapping[str, str] | None


def pytest_configure() -> None:
    """Heed the signals that nohup, or a shell's background, made this process ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Keep what is loaded out of every later collection of garbage: most tests' own is small."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if a test was skipped where CI is set: the machine lacks a program."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A shared server; log in with `postgres.url(DATABASE, *PLAIN, driver="asyncpg")`."""
    with make_folder("postgres") as folder, run_postgres(folder) as server:
        yield server


StartPostgres = Callable[..., EmbeddedPostgres]


class Replica(NamedTuple):
    server: EmbeddedPostgres
    primary: EmbeddedPostgres


@pytest.fixture
def start_postgres() -> Iterator[StartPostgres]:
    """Start further servers: `start_postgres(options={"max_connections": "5"}, hba=...)`."""
    with ExitStack() as stack:

        def start(options: Options = None, hba: str | None = None) -> EmbeddedPostgres:
            folder = stack.enter_context(make_folder("postgres"))
            return stack.enter_context(run_postgres(folder, options, hba))

        yield start


@pytest.fixture(scope="session")
def full_postgres() -> Iterator[EmbeddedPostgres]:
    """A server with four connections, of which one is reserved for the superuser."""
    options = {
        "max_connections": "4",
        "superuser_reserved_connections": "1",
        "max_wal_senders": "0",
    }
    with make_folder("postgres") as folder, run_postgres(folder, options) as server:
        yield server


@pytest.fixture(scope="session", params=find_installations())
def any_postgres(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    """A server of each version on this machine, one after the other."""
    programs = find_installations()[request.param]
    with (
        make_folder("postgres") as folder,
        run_postgres(folder, installation=programs) as server,
    ):
        yield server


@pytest.fixture
def replica(start_postgres: StartPostgres) -> Iterator[Replica]:
    """A streaming replica and its primary, which a test may stop."""
    primary = start_postgres()
    with make_folder("replica") as folder, run_replica(folder, primary) as server:
        yield Replica(server, primary)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    with make_folder("mariadb") as folder, run_mariadb(folder) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_tls(certificates: Certificates) -> Iterator[MariaDB]:
    """A server that refuses logins without TLS."""
    options = {
        "ssl-cert": str(certificates.certificate),
        "ssl-key": str(certificates.key),
        "require-secure-transport": "1",
    }
    with make_folder("mariadb") as folder, run_mariadb(folder, options) as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres: EmbeddedPostgres) -> Iterator[PgBouncer]:
    """A PgBouncer in transaction mode, with two connections for each database and user."""
    with make_folder("pgbouncer") as folder, run_pgbouncer(folder, postgres) as bouncer:
        yield bouncer


StartPgBouncer = Callable[..., PgBouncer]


@pytest.fixture
def start_pgbouncer(postgres: EmbeddedPostgres) -> Iterator[StartPgBouncer]:
    """Start further PgBouncers: `start_pgbouncer({"max_client_conn": "1"}, server=another)`."""
    with ExitStack() as stack:

        def start(options: Options = None, server: EmbeddedPostgres = postgres) -> PgBouncer:
            folder = stack.enter_context(make_folder("pgbouncer"))
            return stack.enter_context(run_pgbouncer(folder, server, options))

        yield start


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def postgres_tls_port(postgres: EmbeddedPostgres, certificates: Certificates) -> Iterator[int]:
    """`postgres` behind TLS, with a certificate of `certificates` for 127.0.0.1."""
    with open_tls_front(postgres.port, certificates.build_server_context()) as port:
        yield port


@pytest.fixture
def closed_port() -> Iterator[int]:
    with endpoints.open_closed_port() as port:
        yield port


@pytest.fixture
def silent_port() -> Iterator[int]:
    with endpoints.open_silent_port() as port:
        yield port


@pytest.fixture
def dropping_port() -> Iterator[int]:
    with endpoints.open_dropping_port() as port:
        yield port


@pytest.fixture
def resetting_port() -> Iterator[int]:
    with endpoints.open_resetting_port() as port:
        yield port


@pytest.fixture
def garbage_port() -> Iterator[int]:
    """A port that answers like a web server."""
    with endpoints.open_answering_port(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        yield port


@pytest.fixture
def tls_refusing_port() -> Iterator[int]:
    """A port that refuses PostgreSQL's SSLRequest."""
    with endpoints.open_answering_port(endpoints.POSTGRES_REFUSES_TLS) as port:
        yield port
