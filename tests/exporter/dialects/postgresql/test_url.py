from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sqlalchemy_pool_exporter.dialects import DatabaseURL, build_endpoint, parse_url
from sqlalchemy_pool_exporter.urls import Host, URLError
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.tls import Certificates, open_tls_front, write_certificates

pytestmark = pytest.mark.anyio

StartPostgres = Callable[..., EmbeddedPostgres]


async def ask(url: DatabaseURL, query: str = "SELECT 1") -> object:
    if not url.is_async:
        sync = sqlalchemy.create_engine(
            url.url, connect_args=dict(url.connect_args), poolclass=NullPool
        )
        with sync.connect() as blocking:
            return blocking.exec_driver_sql(query).scalar()
    engine = create_async_engine(url.url, connect_args=dict(url.connect_args), poolclass=NullPool)
    async with engine.connect() as connection:
        return (await connection.exec_driver_sql(query)).scalar()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/cloudsql/a:b:c/.s.PGSQL.5432", Host("/cloudsql/a:b:c")),
        ("/run/.s.PGSQL.6543", Host("/run", 6543)),
    ],
)
def test_the_path_of_pg8000s_socket_is_a_folder_and_a_port_elsewhere(
    driver: str, path: str, host: Host
) -> None:
    url = parse_url(f"postgresql+{driver}://app:x@/orders?unix_sock={path}")
    assert url.hosts == (host,)
    assert "unix_sock" not in {*url.url.query, *url.connect_args}
    assert url.endpoint == build_endpoint("postgresql", (host,), "orders")
    with pytest.raises(URLError, match=r"unix_sock=/cloudsql/a, expected a path like"):
        parse_url(f"postgresql+{driver}://app@/orders?unix_sock=/cloudsql/a")


def translate(query: str) -> Mapping[str, Any]:
    return parse_url(f"postgres://app@db/orders?{query}").connect_args


def at_port(server: EmbeddedPostgres, port: int, host: str = "127.0.0.1") -> str:
    url = server.url(DATABASE, *PLAIN)
    return url.replace(f"127.0.0.1:{server.port}", f"{host}:{port}")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(
    ("query", "question", "answer"),
    [
        ("application_name=my+app", "SHOW application_name", "my app"),
        ("fallback_application_name=other", "SHOW application_name", "other"),
        (
            "options=-c%20statement_timeout%3D4321%20-c%20search_path%3Dpg_catalog",
            "SHOW statement_timeout",
            "4321ms",
        ),
        ("connect_timeout=5&keepalives_idle=30&client_encoding=utf8", "SELECT 1", 1),
        ("channel_binding=prefer&gssencmode=disable&sslsni=1", "SELECT 1", 1),
        ("target_session_attrs=read-write", "SELECT 1", 1),
        ("sslmode=disable", "SELECT 1", 1),
        ("sslmode=allow", "SELECT 1", 1),
        ("sslmode=prefer", "SELECT 1", 1),
        ("plugin=pool_metrics&pool_name=primary", "SELECT 1", 1),
    ],
)
async def test_the_parameters_of_libpq_work_with_both_drivers(
    postgres: EmbeddedPostgres, driver: str, query: str, question: str, answer: object
) -> None:
    url = parse_url(f"{postgres.url(DATABASE, *PLAIN, driver=driver)}?{query}")
    assert f"+{driver}" in url.safe
    assert await ask(url, question) == answer


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_the_first_host_that_answers_is_used(
    postgres: EmbeddedPostgres, closed_port: int, driver: str
) -> None:
    text = postgres.url(DATABASE, *PLAIN, driver=driver).replace(
        "@127.0.0.1:", f"@127.0.0.1:{closed_port},127.0.0.1:"
    )
    url = parse_url(text)
    assert url.hosts == (Host("127.0.0.1", closed_port), Host("127.0.0.1", postgres.port))
    assert await ask(url) == 1


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("place", ["host parameter", "authority"])
async def test_a_unix_socket_is_reached(
    start_postgres: StartPostgres, driver: str, place: str
) -> None:
    server = start_postgres(options={"unix_socket_directories": "."})
    folder = str(server.data_dir)
    login = server.url(DATABASE, *PLAIN, driver=driver).partition("127.0.0.1")[0]
    if place == "authority":
        text = f"{login}{folder.replace('/', '%2F')}/{DATABASE}?port={server.port}"
    else:
        text = f"{login}/{DATABASE}?host={folder}&port={server.port}"
    assert await ask(parse_url(text), "SELECT inet_server_addr() IS NULL") is True


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_parameters_can_hold_the_whole_address(
    postgres: EmbeddedPostgres, driver: str
) -> None:
    text = (
        f"postgresql+{driver}:///?hostaddr=127.0.0.1&port={postgres.port}&dbname={DATABASE}"
        f"&user={PLAIN.user}&password=pl%40in%3As3cret%2F%2541"
    )
    assert await ask(parse_url(text), "SELECT current_user::text") == PLAIN.user


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_is_refused_by_the_strict_modes(
    postgres: EmbeddedPostgres, certificates: Certificates, driver: str, mode: str
) -> None:
    query = f"sslmode={mode}&sslrootcert={certificates.authority}"
    url = parse_url(f"{postgres.url(DATABASE, *PLAIN, driver=driver)}?{query}")
    with pytest.raises((DBAPIError, ConnectionError), match=r"(?i)ssl"):
        await ask(url)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for the address only, not for the name localhost."""
    return write_certificates(tmp_path_factory.mktemp("own"), "127.0.0.1")


@pytest.fixture(scope="module")
def tls_port(postgres: EmbeddedPostgres, own: Certificates) -> Iterator[int]:
    with open_tls_front(postgres.port, own.build_server_context()) as port:
        yield port


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(
    ("query", "host", "works"),
    [
        ("sslmode=prefer", "127.0.0.1", True),
        ("sslmode=require", "127.0.0.1", True),
        ("ssl=true", "127.0.0.1", True),
        ("sslmode=require", "localhost", True),
        ("sslmode=require&sslrootcert=OTHER", "127.0.0.1", False),
        ("sslmode=verify-ca&sslrootcert=OWN", "127.0.0.1", True),
        ("sslmode=verify-ca&sslrootcert=OWN", "localhost", True),
        ("sslmode=verify-ca&sslrootcert=OTHER", "127.0.0.1", False),
        ("sslmode=verify-full&sslrootcert=OWN", "127.0.0.1", True),
        ("sslmode=verify-full&sslrootcert=OWN", "localhost", False),
        ("sslmode=verify-full&sslrootcert=OTHER", "127.0.0.1", False),
        ("sslrootcert=system", "127.0.0.1", True),
        ("sslmode=verify-full&sslrootcert=system", "localhost", False),
    ],
)
async def test_every_sslmode_means_what_it_means_to_libpq(
    postgres: EmbeddedPostgres,
    tls_port: int,
    own: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    driver: str,
    query: str,
    host: str,
    works: bool,
) -> None:
    other = write_certificates(tmp_path).authority
    monkeypatch.setenv("SSL_CERT_FILE", str(own.authority))
    monkeypatch.setenv("HOME", str(tmp_path))
    query = query.replace("OWN", str(own.authority)).replace("OTHER", str(other))
    address = at_port(postgres, tls_port, host)
    url = parse_url(f"{address}?{query}".replace("postgresql:", f"postgresql+{driver}:"))
    if works:
        assert await ask(url) == 1
        return
    with pytest.raises((ssl.SSLError, DBAPIError), match=r"(?i)certificate"):
        await ask(url)


@pytest.fixture(scope="module")
def demanding_port(postgres: EmbeddedPostgres, own: Certificates) -> Iterator[int]:
    """Wants a certificate of the client, too."""
    context = own.build_server_context()
    context.load_verify_locations(own.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with open_tls_front(postgres.port, context) as port:
        yield port


@pytest.mark.parametrize("root", ["system", "file"])
async def test_a_client_certificate_is_presented(
    postgres: EmbeddedPostgres,
    demanding_port: int,
    own: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    root: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(own.authority))
    address = at_port(postgres, demanding_port)
    query = f"sslmode=verify-full&sslrootcert={'system' if root == 'system' else own.authority}"
    with pytest.raises((OSError, DBAPIError)):
        await ask(parse_url(f"{address}?{query}"))
    query += f"&sslcert={own.certificate}&sslkey={own.key}"
    assert await ask(parse_url(f"{address}?{query}")) == 1


def test_asyncpgs_own_parameters_have_their_types() -> None:
    query = (
        "timeout=2.5&command_timeout=3&statement_cache_size=0&prepared_statement_cache_size=0"
        "&passfile=/etc/pgpass&async_fallback=true"
    )
    assert translate(query) == {
        "timeout": 2.5,
        "command_timeout": 3.0,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "passfile": "/etc/pgpass",
    }


def test_no_connect_timeout_means_none() -> None:
    assert translate("connect_timeout=0") == {}


def test_direct_tls_is_a_separate_argument() -> None:
    assert translate("sslmode=require&sslnegotiation=direct") == {
        "dsn": "postgresql://?sslmode=require",
        "direct_tls": True,
    }


def test_asyncpg_accepts_every_argument() -> None:
    query = (
        "sslmode=require&sslnegotiation=direct&target_session_attrs=any&connect_timeout=1"
        "&application_name=x&passfile=x&command_timeout=1&host=a,b&statement_cache_size=1"
        "&max_cached_statement_lifetime=1&max_cacheable_statement_size=1"
    )
    accepted = asyncpg.connect.__code__.co_varnames
    assert [name for name in translate(query) if name not in accepted] == []


def test_ports_apply_to_all_hosts_or_one_by_one() -> None:
    assert parse_url("postgres:///x?host=a,b&port=7").hosts == (Host("a", 7), Host("b", 7))
    assert parse_url("postgres:///x?host=a,b&port=7,8").hosts == (Host("a", 7), Host("b", 8))
    assert parse_url("postgres:///x?host=a:7&host=b").hosts == (Host("a", 7), Host("b"))
    assert parse_url("postgres://a/x?port=7").hosts == (Host("a", 7),)
    assert translate("host=a:7,b") == {"host": ["a", "b"], "port": [7, 5432]}


def test_psycopgs_prepare_threshold_is_a_number() -> None:
    url = parse_url("postgresql+psycopg://app@db/orders?prepare_threshold=0")
    assert url.connect_args == {"prepare_threshold": 0}


def test_libpq_gets_a_hosts_address_beside_its_name() -> None:
    url = parse_url("postgresql+psycopg://app@db/orders?hostaddr=10.0.0.1")
    assert (url.url.host, url.url.query["hostaddr"]) == ("db", "10.0.0.1")


VERIFY_WITHOUT_ROOT = "got sslmode=verify-full, expected sslrootcert (a file, or system) beside it"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "sslmode=verify_full",
            "got sslmode=verify_full, expected one of disable, allow, prefer, require, "
            "verify-ca, verify-full",
        ),
        ("ssl=yes", "got ssl=yes, expected one of disable, allow"),
        ("sslmode=verify-full", VERIFY_WITHOUT_ROOT),
        (
            "sslmode=require&sslrootcert=system",
            "got sslmode=require, expected verify-full, with sslrootcert=system",
        ),
        ("sslrootcert=/no/ca.pem", "got sslrootcert=/no/ca.pem, expected a readable file"),
        ("ssl_min_protocol_version=1.2", "expected one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"),
        ("sslnegotiation=fast", "got sslnegotiation=fast, expected one of postgres, direct"),
        ("target_session_attrs=rw", "got target_session_attrs=rw, expected one of any,"),
        ("connect_timeout=5s", "got connect_timeout=5s, expected a number of seconds"),
        ("statement_cache_size=x", "got statement_cache_size=x, expected a whole number"),
        ("gssencmode=require", "got gssencmode=require, expected one of disable, prefer"),
        ("host=a,b&port=1,2,3", "got port=1,2,3, expected a port, or one for each host"),
        ("port=x", "got port=x, expected a port, or one for each host"),
        ("host=a,b:c", "got host=a,b:c, expected names, addresses or folders of unix sockets"),
        ("service=orders", "got parameter service, expected a driver that uses libpq"),
        ("aplication_name=x", "did you mean application_name?"),
    ],
)
def test_a_wrong_parameter_is_an_error_that_names_it(
    query: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(URLError) as caught:
        translate(query)
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)


def test_libpqs_parameters_are_checked_for_psycopg_too() -> None:
    with pytest.raises(URLError) as caught:
        parse_url(
            "postgresql+psycopg://db/x?sslmode=on&connect_timeout=1.5&hots=y&async_fallback=1"
        )
    assert [problem.shown for problem in caught.value.problems] == [
        "sslmode=on",
        "connect_timeout=1.5",
        "parameter hots",
        "parameter async_fallback",
    ]


def test_a_default_root_certificate_is_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    assert translate("sslmode=verify-ca") == {"dsn": "postgresql://?sslmode=verify-ca"}


def test_a_broken_client_certificate_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "client.pem"
    broken.write_text("no certificate")
    with pytest.raises(URLError, match=r"got sslcert=.*, expected a certificate with its key"):
        translate(f"sslrootcert=system&sslcert={broken}")


def test_the_urls_of_psycopg2_run_on_asyncpg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    url = parse_url("postgresql+psycopg2://app:x@db/orders?sslmode=require")
    assert url.safe == "postgresql+asyncpg://app:***@db/orders"
    assert url.is_async
