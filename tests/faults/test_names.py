"""Names that fail, then resolve, then move, with a real name server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.exporter.commands import configure, run_exporter
from tests.faults.views import View, open_view
from tests.servers.accounts import DATABASE, PLAIN, SUPERUSER
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.endpoints import find_free_port
from tests.servers.folders import make_folder
from tests.servers.name_server import ADDRESS, Fault, NameServer, run_name_server
from tests.servers.postgresql import create_accounts
from tests.servers.programs import find_program

pytestmark = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])

NAME = "db.shop.example"
# Also of the loopback network; servers on both have the same port.
FIRST, SECOND = "127.53.0.2", "127.53.0.3"
# How long a test waits for a silent name server.
PROBE = {
    "PROBE__INTERVAL": "2s",
    "PROBE__TIMEOUT": "2s",
    "PROBE__FRESH_CONNECTION_INTERVAL": "2s",
}
COUNT_SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sqlalchemy-pool-exporter'"
)


class Place(NamedTuple):
    """A server and the one address at which it is reached."""

    address: str
    server: EmbeddedPostgres

    def count_sessions(self) -> int:
        """Return how many connections exporters have to it."""
        url = self.server.url().replace("127.0.0.1", self.address)
        with psycopg.connect(url) as connection:
            row = connection.execute(COUNT_SESSIONS).fetchone()
        assert row is not None
        return int(row[0])

    def wait_for_sessions(self, count: int = 1) -> None:
        """Wait for the count, because a fresh connection may be open for a moment at any time."""
        wait_until(lambda: self.count_sessions() == count, f"{count} sessions at {self.address}")

    def stop(self) -> None:
        self.server.stop("immediate")


@pytest.fixture(scope="module")
def places() -> Iterator[list[Place]]:
    """Two servers on one port."""
    port = find_free_port()
    with ExitStack() as stack:
        yield [stack.enter_context(run_server(address, port)) for address in (FIRST, SECOND)]


@contextmanager
def run_server(address: str, port: int) -> Iterator[Place]:
    with make_folder("postgres") as folder:
        server = EmbeddedPostgres(folder / "data", port=port, password=SUPERUSER.password)
        with server:
            create_accounts(server)
            server.options["listen_addresses"] = address
            server.restart()
            yield Place(address, server)


@pytest.fixture
def names(places: list[Place]) -> Iterator[NameServer]:
    """The exporter's only name server; both servers are up."""
    for place in places:
        place.server.start()
    with run_name_server() as server:
        yield server


OpenViews = Callable[..., tuple[View, View]]


@pytest.fixture
def open_views(driver: str, places: list[Place], tmp_path: Path) -> Iterator[OpenViews]:
    """Run an exporter of a database at NAME, and of one at the second server's address."""
    with ExitStack() as stack:

        def open_them(**keys: str) -> tuple[View, View]:
            server = places[0].server
            url = server.url(DATABASE, *PLAIN, driver=driver)
            other = url.replace("127.0.0.1", SECOND)
            settings = {
                **configure("shop", URL=url.replace("127.0.0.1", NAME), **PROBE, **keys),
                **configure("other", URL=f"{other}?application_name=other"),
            }
            prefix = use_resolver(tmp_path)
            exporter = run_exporter(tmp_path / "log", settings=settings, prefix=prefix)
            running = stack.enter_context(exporter)
            shop = stack.enter_context(open_view(running))
            return shop, stack.enter_context(open_view(running, "other"))

        yield open_them


def use_resolver(folder: Path) -> list[str]:
    """Return a command that runs another one with the test's name server alone."""
    unshare = find_program("unshare", "util-linux")
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    file = folder / "resolv.conf"
    # It waits longer than a probe, so that the test sees which one gives up.
    file.write_text(f"nameserver {ADDRESS}\noptions timeout:3 attempts:1\n")
    script = f'mount --bind {file} /etc/resolv.conf && exec "$@"'
    return [unshare, "--mount", "sh", "-c", script, "sh"]


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_name_that_does_not_resolve_has_the_reason_dns_until_it_does(
    names: NameServer, open_views: OpenViews, fault: Fault
) -> None:
    names.set(NAME, fault)
    shop, other = open_views()
    assert NAME in shop.wait_until_down("dns")["message"]
    assert shop.read("database_up") == 0
    assert other.check()["status"] == "healthy"
    names.set(NAME, FIRST)
    shop.wait_until_up()
    # After a late lookup the rest of the timeout may be too short to connect.
    assert set(shop.read_errors()) <= {"dns", "timeout"}
    assert other.read_errors() == {}
    down, *_, up = shop.read_log()
    assert "is down" in down
    assert "reason=dns" in down
    assert "is up" in up


def test_a_name_that_stops_resolving_is_noticed_although_the_pool_is_connected(
    names: NameServer, open_views: OpenViews
) -> None:
    names.set(NAME, FIRST)
    shop, _ = open_views()
    shop.wait_for_success("pooled")
    names.set(NAME, Fault.UNKNOWN_NAME)
    shop.wait_until_down("dns")
    names.set(NAME, FIRST)
    shop.wait_until_up()


def test_the_exporter_follows_a_name_that_moves_from_a_stopped_server(
    names: NameServer, open_views: OpenViews, places: list[Place]
) -> None:
    names.set(NAME, FIRST)
    shop, _ = open_views()
    shop.wait_for_success("pooled")
    places[0].stop()
    shop.wait_until_down("refused")
    names.set(NAME, SECOND)
    shop.wait_for_success("pooled")
    places[1].wait_for_sessions()


def test_new_connections_follow_a_name_that_moves_from_a_running_server(
    names: NameServer, open_views: OpenViews, places: list[Place]
) -> None:
    """The pool keeps its connections, as an application's does."""
    first, second = places
    names.set(NAME, FIRST)
    shop, _ = open_views()
    shop.wait_for_success("pooled")
    second.stop()
    names.set(NAME, SECOND)
    shop.wait_until_down("refused")
    second.server.start()
    shop.wait_until_up()
    shop.wait_for_success("pooled")
    first.wait_for_sessions()


def test_a_pool_that_recycles_its_connections_follows_a_name_that_moves(
    names: NameServer, open_views: OpenViews, places: list[Place]
) -> None:
    first, second = places
    names.set(NAME, FIRST)
    shop, _ = open_views(POOL__RECYCLE="1s")
    shop.wait_for_success("pooled")
    names.set(NAME, SECOND)

    def is_gone() -> bool:
        shop.check()
        return first.count_sessions() == 0

    wait_until(is_gone, "the first server to be left")
    second.wait_for_sessions()
    assert shop.read_errors() == {}


def test_an_exporter_exits_while_the_name_server_is_silent(
    names: NameServer, open_views: OpenViews
) -> None:
    """Status 0 shows it: at the deadline SIGALRM ends the process."""
    names.set(NAME, Fault.SILENCE)
    shop, _ = open_views()
    wait_until(lambda: NAME in names.asked, "the name to be asked for")
    assert shop.exporter.stop() == 0
