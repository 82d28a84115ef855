"""Passwords, users and URLs that change in their files while an exporter runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.exporter.commands import configure, run_exporter
from tests.faults.mounted_secrets import MountedSecrets
from tests.faults.views import View, open_view
from tests.servers.accounts import DATABASE, Account, quote_literal
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import execute

OLD = Account("rotated_old", "0ld:s3cret/%41@x")
NEW = Account("rotated_new", "n3w+s3cret&y=1%20")
PAGES = ("/metrics", "/health/db", "/health/db/shop", "/", "/api/v1/status")
PROBE = {
    "PROBE__INTERVAL": "2s",
    "PROBE__TIMEOUT": "2s",
    "PROBE__FRESH_CONNECTION_INTERVAL": "2s",
}
both_drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


@contextmanager
def run_view(log: Path, **keys: str) -> Iterator[View]:
    """Run an exporter of one database; checks that it has shown neither password."""
    settings = {"LOG__LEVEL": "debug", **configure("shop", **PROBE, **keys)}
    with run_exporter(log, settings=settings) as exporter, open_view(exporter) as view:
        yield view
        shown = [view.client.get(page).text for page in PAGES]
        shown.append(log.read_text())
    for text in shown:
        assert OLD.password not in text
        assert NEW.password not in text


@pytest.fixture
def accounts(postgres: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server on which OLD and NEW may log in."""
    for account in (OLD, NEW):
        password = quote_literal(account.password)
        execute(postgres, f"CREATE ROLE {account.user} LOGIN PASSWORD {password}")
    yield postgres
    execute(postgres, f"DROP ROLE {OLD.user}, {NEW.user}")


def wait_for_sessions(server: EmbeddedPostgres, account: Account, count: int = 1) -> None:
    """Wait for the count, because a fresh connection may be open for a moment at any time."""
    statement = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{account.user}'"
    wait_until(lambda: execute(server, statement) == [(count,)], f"sessions of {account.user}")


@both_drivers
def test_a_new_user_in_the_url_file_is_used_from_the_next_connection_on(
    accounts: EmbeddedPostgres, tmp_path: Path, driver: str
) -> None:
    urls = [accounts.url(DATABASE, *account, driver=driver) for account in (OLD, NEW)]
    secrets = MountedSecrets(tmp_path / "secrets", url=urls[0])
    with run_view(tmp_path / "log", URL_FILE=secrets.find("url")) as shop:
        shop.wait_for_success("pooled")
        secrets.swap(url=urls[1])
        execute(accounts, f"ALTER ROLE {OLD.user} NOLOGIN")
        shop.wait_for_success("fresh")
        shop.wait_for_success("pooled")
        wait_for_sessions(accounts, OLD)
        end_sessions(accounts, OLD)
        shop.wait_for_success("pooled")
        wait_for_sessions(accounts, NEW)
        assert shop.read_errors() == {}


def end_sessions(server: EmbeddedPostgres, account: Account) -> None:
    statement = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        f"WHERE usename = '{account.user}'"
    )
    assert execute(server, statement) == [(True,)]


def test_a_new_user_of_mariadb_is_used_from_the_next_connection_on(
    mariadb: MariaDB, tmp_path: Path
) -> None:
    urls = [mariadb.url(DATABASE, *account) for account in (OLD, NEW)]
    secrets = MountedSecrets(tmp_path / "secrets", url=urls[0])
    with allow_both(mariadb), run_view(tmp_path / "log", URL_FILE=secrets.find("url")) as shop:
        shop.wait_for_success("pooled")
        secrets.swap(url=urls[1])
        mariadb.execute(f"ALTER USER {OLD.user}@'127.0.0.1' ACCOUNT LOCK")
        shop.wait_for_success("fresh")
        shop.wait_for_success("pooled")
        wait_for_users(mariadb, OLD)
        mariadb.execute(f"KILL USER {OLD.user}@'127.0.0.1'")
        shop.wait_for_success("pooled")
        wait_for_users(mariadb, NEW)
        assert shop.read_errors() == {}


@contextmanager
def allow_both(server: MariaDB) -> Iterator[None]:
    names = [f"{account.user}@'127.0.0.1'" for account in (OLD, NEW)]
    for name, account in zip(names, (OLD, NEW), strict=True):
        server.execute(f"CREATE USER {name} IDENTIFIED BY {quote_literal(account.password)}")
        server.execute(f"GRANT ALL ON {DATABASE}.* TO {name}")
    try:
        yield
    finally:
        server.execute(f"DROP USER {', '.join(names)}")


def wait_for_users(server: MariaDB, account: Account) -> None:
    statement = "SELECT user FROM information_schema.processlist WHERE user LIKE 'rotated%'"
    wait_until(lambda: server.execute(statement) == [(account.user,)], f"only {account.user}")


@both_drivers
def test_a_password_that_changes_before_its_file_fails_until_the_file_follows(
    accounts: EmbeddedPostgres, tmp_path: Path, driver: str
) -> None:
    url = accounts.url(DATABASE, OLD.user, driver=driver)
    secrets = MountedSecrets(tmp_path / "secrets", password=f"{OLD.password}\n")
    keys = {"URL": url, "PASSWORD_FILE": secrets.find("password")}
    with run_view(tmp_path / "log", **keys) as shop:
        shop.wait_for_success("pooled")
        execute(accounts, f"ALTER ROLE {OLD.user} PASSWORD {quote_literal(NEW.password)}")
        shop.wait_until_down("auth")
        secrets.swap(password=f"{NEW.password}\n")
        shop.wait_until_up()
        shop.wait_for_success("pooled")
        wait_for_sessions(accounts, OLD)
        assert set(shop.read_errors()) == {"auth"}
        up, down, up_again = shop.read_log()
    assert "reason=auth" in down
    assert up.split()[1:] == up_again.split()[1:]


Fault = Callable[[MountedSecrets], None]
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "missing": (lambda secrets: secrets.swap(), "other", "no such file"),
    "empty": (lambda secrets: secrets.swap(password=""), "other", "not empty"),
    "half_written": (
        lambda secrets: secrets.swap(password=OLD.password[:5]),
        "auth",
        "password authentication failed",
    ),
}


@pytest.mark.parametrize(
    ("driver", "fault"), [("asyncpg", "missing"), ("psycopg", "empty"), ("asyncpg", "half_written")]
)
def test_an_unreadable_password_file_is_logged_and_costs_no_connection(
    accounts: EmbeddedPostgres, tmp_path: Path, driver: str, fault: str
) -> None:
    spoil, reason, message = FAULTS[fault]
    secrets = MountedSecrets(tmp_path / "secrets", password=OLD.password)
    url = accounts.url(DATABASE, OLD.user, driver=driver)
    keys = {"URL": url, "PASSWORD_FILE": secrets.find("password")}
    with run_view(tmp_path / "log", **keys) as shop:
        shop.wait_for_success("pooled")
        spoil(secrets)
        shop.check()
        assert message in shop.wait_until_down(reason)["message"]
        wait_for_sessions(accounts, OLD)
        secrets.swap(password=OLD.password)
        shop.wait_until_up()
        assert set(shop.read_errors()) == {reason}


@pytest.mark.parametrize("rest", ["%2541%40x", "@127"])
def test_a_half_written_url_file_is_logged_without_its_content(
    accounts: EmbeddedPostgres, tmp_path: Path, rest: str
) -> None:
    url = accounts.url(DATABASE, *OLD, driver="asyncpg")
    secrets = MountedSecrets(tmp_path / "secrets", url=url)
    with run_view(tmp_path / "log", URL_FILE=secrets.find("url")) as shop:
        shop.wait_for_success("pooled")
        half, _, _ = url.partition(rest)
        assert half != url
        secrets.swap(url=half)
        health = shop.wait_until_down("other")
        assert "url_file: got postgresql+asyncpg://***, expected" in health["message"]
        wait_for_sessions(accounts, OLD)
        secrets.swap(url=url)
        shop.wait_until_up()
        assert "s3cret" not in shop.exporter.log.read_text()
