from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy.dialects import registry as sqlalchemy_registry

from sqlalchemy_pool_exporter import dialects
from sqlalchemy_pool_exporter.dialects import Dialect, Driver, find_dialect, find_driver, registry
from sqlalchemy_pool_exporter.dialects.registry import choose_driver
from sqlalchemy_pool_exporter.urls import URLError

PACKAGE = Path(dialects.__file__).parents[1]
WORDS = {
    word.lower()
    for dialect in registry.DIALECTS
    for word in (*dialect.names, *dialect.aliases, *dialect.driver_modules)
} | {driver.name for dialect in registry.DIALECTS for driver in dialect.drivers}


def list_modules() -> list[Path]:
    """The modules that should work with any dialect."""
    others = {PACKAGE / "dialects", PACKAGE / "demo"}
    return [path for path in PACKAGE.rglob("*.py") if others.isdisjoint(path.parents)]


def list_words(path: Path) -> Iterator[str]:
    """The words of a module's code: not those of comments and of texts for people."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = "" if " " in node.value else node.value
        else:
            names = (getattr(node, key, None) for key in ("id", "attr", "arg", "name", "module"))
            text = " ".join(name for name in names if isinstance(name, str))
        yield from re.findall("[a-z0-9]+", re.sub("([A-Z]+)", r" \1", text).lower())
        yield from re.findall("[a-z0-9_]+", text.lower())


def test_nothing_else_names_a_dialect_or_a_driver() -> None:
    named = {
        str(path.relative_to(PACKAGE)): words
        for path in list_modules()
        if (words := WORDS.intersection(list_words(path)))
    }
    assert named == {}


def test_an_unknown_name_has_an_empty_record() -> None:
    assert find_dialect("clickhouse") == Dialect(names=("clickhouse",))
    assert find_driver("clickhouse", "native") == Driver("native")


def test_a_dialect_shares_the_drivers_of_others() -> None:
    assert find_dialect("cockroachdb").default_port == 26257
    assert find_driver("cockroachdb", "asyncpg") is find_driver("postgresql", "asyncpg")


def uninstall(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def choose(scheme: str) -> str:
    backend, _, driver = scheme.partition("+")
    dialect = choose_driver(backend, driver or None)
    return f"{dialect.name}+{dialect.driver}"


@pytest.mark.parametrize(
    ("scheme", "chosen"),
    [
        ("postgres", "postgresql+asyncpg"),
        ("postgresql", "postgresql+asyncpg"),
        ("postgres+asyncpg", "postgresql+asyncpg"),
        ("postgresql+psycopg", "postgresql+psycopg"),
        ("mysql", "mysql+pymysql"),
        ("mysql+pymysql", "mysql+pymysql"),
        ("mariadb", "mariadb+pymysql"),
        ("sqlite", "sqlite+pysqlite"),
        ("sqlite+aiosqlite", "sqlite+aiosqlite"),
    ],
)
def test_an_installed_driver_is_used(scheme: str, chosen: str) -> None:
    assert choose(scheme) == chosen


@pytest.mark.parametrize(
    ("scheme", "module", "chosen"),
    [
        ("postgresql+psycopg2", "psycopg2", "postgresql+asyncpg"),
        ("postgres+psycopg", "psycopg", "postgresql+asyncpg"),
        ("mysql+mysqldb", "MySQLdb", "mysql+pymysql"),
        ("mariadb+asyncmy", "asyncmy", "mariadb+pymysql"),
        ("postgresql+pg8000", "pg8000", "postgresql+asyncpg"),
        ("mysql+mysqlconnector", "mysql.connector", "mysql+pymysql"),
        ("mariadb+mariadbconnector", "mariadb", "mariadb+pymysql"),
        ("sqlite+aiosqlite", "aiosqlite", "sqlite+pysqlite"),
    ],
)
def test_the_urls_of_a_missing_driver_run_on_another(
    scheme: str, module: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch, module)
    assert choose(scheme) == chosen


def test_psycopg_runs_in_a_thread_unless_its_async_form_is_named() -> None:
    assert not choose_driver("postgresql", "psycopg").is_async
    assert choose_driver("postgresql", "psycopg_async").is_async


def test_a_second_mysql_driver_serves_when_the_first_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uninstall(monkeypatch, "pymysql")
    monkeypatch.setitem(sys.modules, "MySQLdb", ModuleType("MySQLdb"))
    assert choose("mysql") == "mysql+mysqldb"


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        (
            "foo",
            "got foo://, expected a database and driver SQLAlchemy knows: "
            "mysql://, mariadb://, postgresql://, sqlite://",
        ),
        (
            "postgresql+foo",
            "got postgresql+foo://, expected a database and driver SQLAlchemy knows: "
            "postgresql+asyncpg://, postgresql+psycopg://, postgresql+psycopg_async://, "
            "postgresql+psycopg2://, postgresql+psycopg2cffi://, postgresql+pg8000://",
        ),
        ("mariadb+foo", "got mariadb+foo://, expected a database and driver SQLAlchemy knows"),
        (
            "oracle+cx_oracle",
            "got oracle+cx_oracle://, expected an installed driver, but cx_oracle is not: "
            "pip install cx_oracle",
        ),
        ("oracle", "got oracle+oracledb://, expected an installed driver"),
    ],
)
def test_an_unknown_or_missing_driver_is_an_error(
    scheme: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch, "cx_Oracle", "oracledb")
    with pytest.raises(URLError) as caught:
        choose(scheme)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "failure",
    [
        "raise ImportError('libodbc.so.2: cannot open shared object file')",
        "raise OSError('libodbc.so.2: wrong ELF class')",
        "import libodbc_2",
    ],
)
def test_a_driver_that_cannot_be_imported_is_not_said_to_be_missing(
    failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyodbc.py").write_text(failure)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(URLError, match=r"that can be imported: .*libodbc") as caught:
        choose("mssql+pyodbc")
    assert "pip install" not in str(caught.value)


def test_a_broken_driver_gives_way_to_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "psycopg2.py").write_text("raise ImportError('libpq.so.5: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    assert choose("postgresql+psycopg2") == "postgresql+asyncpg"


def test_a_dialect_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("libwarehouse.so: cannot open shared object file")

    monkeypatch.setitem(sqlalchemy_registry.impls, "warehouse", fail)
    with pytest.raises(URLError, match=r"warehouse://, .* imported: libwarehouse\.so"):
        choose("warehouse")


def test_no_mysql_driver_at_all_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    modules = ("pymysql", "MySQLdb", "aiomysql", "asyncmy", "cymysql", "mysql.connector", "mariadb")
    uninstall(monkeypatch, *modules)
    with pytest.raises(URLError, match=r"pymysql is not: pip install '\./exporter\[mysql\]'"):
        choose("mysql")
