from __future__ import annotations

import inspect
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pymysql
import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from sqlalchemy_pool_exporter.dialects import parse_url
from sqlalchemy_pool_exporter.urls import URLError
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.folders import make_folder
from tests.servers.mariadb import MariaDB, run_mariadb
from tests.servers.tls import Certificates, write_certificates


def ask(text: str, query: str = "SELECT 1") -> object:
    url = parse_url(text)
    engine = sqlalchemy.create_engine(
        url.url, connect_args=dict(url.connect_args), poolclass=NullPool
    )
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).scalar()


def translate(query: str, scheme: str = "mysql") -> Mapping[str, Any]:
    return parse_url(f"{scheme}://app@db/orders?{query}").connect_args


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for the address only, not for the name localhost."""
    return write_certificates(tmp_path_factory.mktemp("own"), "127.0.0.1")


@pytest.fixture(scope="module")
def tls_server(own: Certificates) -> Iterator[MariaDB]:
    options = {
        "ssl-ca": str(own.authority),
        "ssl-cert": str(own.certificate),
        "ssl-key": str(own.key),
    }
    with make_folder("mariadb") as folder, run_mariadb(folder, options) as server:
        yield server


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
@pytest.mark.parametrize(
    ("query", "question", "answer"),
    [
        ("", "SELECT current_user() LIKE 'app@%%'", 1),
        ("charset=utf8mb4", "SELECT @@character_set_client", "utf8mb4"),
        ("connect_timeout=5&read_timeout=2.5&autocommit=true", "SELECT @@autocommit", 1),
        ("init_command=SET%20%40a%3D7", "SELECT @a", 7),
        ("ssl_disabled=true&plugin=pool_metrics", "SELECT 1", 1),
        ("ssl-mode=DISABLED", "SELECT 1", 1),
        ("ssl-mode=preferred", "SELECT 1", 1),
        ("ssl_verify_cert=false&ssl_disabled=false", "SELECT 1", 1),
    ],
)
def test_parameters_reach_the_server_with_their_types(
    mariadb: MariaDB, scheme: str, query: str, question: str, answer: object
) -> None:
    assert ask(f"{mariadb.url(DATABASE, *PLAIN, scheme=scheme)}?{query}", question) == answer


def test_parameters_can_hold_the_login(mariadb: MariaDB) -> None:
    query = f"user={PLAIN.user}&passwd=pl%40in%3As3cret%2F%2541&db={DATABASE}"
    assert ask(f"mysql://127.0.0.1:{mariadb.port}/?{query}", "SELECT database()") == DATABASE


def test_the_name_of_a_missing_driver_does_not_matter(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    url = mariadb.url(DATABASE, *PLAIN, driver="mysqldb")
    assert parse_url(url).safe.startswith("mysql+pymysql://app:***@")
    assert ask(url) == 1


@pytest.mark.parametrize(
    ("query", "host", "works"),
    [
        ("ssl-mode=REQUIRED", "localhost", True),
        ("ssl_mode=required", "localhost", True),
        ("ssl=true", "localhost", True),
        ("ssl-mode=VERIFY_CA&ssl_ca=OWN", "localhost", True),
        ("ssl-mode=VERIFY_CA&ssl_ca=OTHER", "127.0.0.1", False),
        ("ssl-mode=VERIFY_IDENTITY&ssl_ca=OWN", "127.0.0.1", True),
        ("ssl-mode=VERIFY_IDENTITY&ssl_ca=OWN", "localhost", False),
        ("ssl_ca=OWN", "127.0.0.1", True),
        ("ssl_ca=OWN", "localhost", False),
        ("ssl_ca=OWN&ssl_check_hostname=false", "localhost", True),
        ("ssl_ca=OWN&ssl_verify_cert=true", "localhost", True),
        ("ssl_ca=OTHER&ssl_verify_cert=true", "localhost", False),
        ("ssl_ca=OWN&ssl_verify_identity=true", "localhost", False),
        ("ssl_ca=OTHER&ssl_verify_cert=false", "localhost", True),
        ("ssl_cert=CERT&ssl_key=KEY", "localhost", True),
        ("ssl_cipher=ECDHE%2BAESGCM", "localhost", True),
    ],
)
def test_tls_is_as_strict_as_asked_for(
    tls_server: MariaDB, own: Certificates, tmp_path: Path, query: str, host: str, works: bool
) -> None:
    files = {
        "OWN": own.authority,
        "OTHER": write_certificates(tmp_path).authority,
        "CERT": own.certificate,
        "KEY": own.key,
    }
    for name, path in files.items():
        query = query.replace(f"={name}", f"={path}")
    url = f"{tls_server.url(DATABASE, *PLAIN)}?{query}".replace("127.0.0.1", host)
    if works:
        assert ask(url, "SHOW STATUS LIKE 'Ssl_version'") == "Ssl_version"
        return
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(url)


def test_required_tls_is_refused_by_a_server_without(mariadb: MariaDB) -> None:
    with pytest.raises(OperationalError, match="SSL"):
        ask(f"{mariadb.url(DATABASE, *PLAIN)}?ssl-mode=REQUIRED")


def test_pymysql_accepts_every_argument() -> None:
    query = (
        "charset=a&collation=b&sql_mode=c&init_command=d&unix_socket=e&bind_address=f"
        "&program_name=g&read_default_file=h&read_default_group=i&client_flag=1"
        "&max_allowed_packet=2&connect_timeout=3&read_timeout=4&write_timeout=5"
        "&autocommit=0&local_infile=0&use_unicode=1&ssl_disabled=1"
    )
    arguments = translate(query)
    assert len(arguments) == query.count("=")
    assert set(arguments) <= set(inspect.signature(pymysql.connect).parameters)


def install_fake(monkeypatch: pytest.MonkeyPatch, name: str, connect: Any) -> None:
    module = ModuleType(name)
    module.connect = connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(
        "sqlalchemy_pool_exporter.dialects.registry._is_installed", lambda _dialect: True
    )


def test_an_async_driver_gets_arguments_that_it_accepts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(*, charset: str, connect_timeout: float, ssl: ssl.SSLContext) -> None: ...

    install_fake(monkeypatch, "aiomysql", connect)
    arguments = translate("charset=utf8mb4&connect_timeout=3&ssl-mode=REQUIRED", "mysql+aiomysql")
    assert set(arguments) == {"charset", "connect_timeout", "ssl"}
    assert translate("ssl-mode=DISABLED", "mysql+aiomysql") == {}
    assert parse_url("mysql+aiomysql://app@db").is_async
    with pytest.raises(URLError, match="got parameter read_timeout, expected a parameter aiomysql"):
        translate("read_timeout=1", "mysql+aiomysql")


def test_a_driver_without_a_signature_gets_all_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake(monkeypatch, "asyncmy", type)
    assert translate("read_timeout=1", "mysql+asyncmy") == {"read_timeout": 1.0}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("ssl-mode=ON", "got ssl-mode=ON, expected one of DISABLED, PREFERRED, REQUIRED"),
        ("ssl_ca=/no/ca.pem", "got ssl_ca=/no/ca.pem, expected a readable file"),
        ("ssl_ca=EMPTY", "EMPTY, expected a file of certificates"),
        ("ssl_cert=EMPTY", "EMPTY, expected a certificate with its key"),
        ("ssl_cipher=none-such", "got ssl_cipher=none-such, expected ciphers OpenSSL knows"),
        ("autocommit=maybe", "got autocommit=maybe, expected true or false"),
        ("conect_timeout=1", "did you mean connect_timeout?"),
    ],
)
def test_a_wrong_parameter_is_an_error_that_names_it(
    query: str, message: str, tmp_path: Path
) -> None:
    empty = tmp_path / "EMPTY"
    empty.touch()
    with pytest.raises(URLError) as caught:
        translate(query.replace("EMPTY", str(empty)))
    assert message in str(caught.value)


def test_several_hosts_are_an_error() -> None:
    with pytest.raises(URLError, match="got host=a:1,b, expected one host"):
        parse_url("mysql://app@a:1,b/orders")


def test_the_parameters_of_mysqls_connector_work_with_another_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mysql.connector", None)
    query = "connection_timeout=3&use_pure=true&raise_on_warnings=1"
    assert translate(query, "mysql+mysqlconnector") == {"connect_timeout": 3.0}
    assert translate(f"{query}&connect_timeout=5") == {"connect_timeout": 5.0}
