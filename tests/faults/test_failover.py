"""Two servers swap their roles, and a running exporter follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.conftest import Replica
from tests.exporter.commands import configure, run_exporter
from tests.faults.views import View, open_view
from tests.servers.accounts import DATABASE, PLAIN, SUPERUSER
from tests.servers.conditions import wait_until
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.proxy import open_proxy

DRIVERS = ("asyncpg", "psycopg")
PROBE = {
    "PROBE__INTERVAL": "2s",
    "PROBE__TIMEOUT": "2s",
    "PROBE__FRESH_CONNECTION_INTERVAL": "2s",
}


def build_url(driver: str, *servers: EmbeddedPostgres, **parameters: str) -> str:
    """Return a URL with all servers."""
    url = make_url(servers[0].url(DATABASE, *PLAIN, driver=driver)).set(query=parameters)
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return url.render_as_string(hide_password=False).replace(f"127.0.0.1:{servers[0].port}", hosts)


def switch_over(primary: EmbeddedPostgres, replica: EmbeddedPostgres) -> None:
    """Promote the replica, and make the primary its replica, without loss."""
    primary.stop("fast")
    promote(replica)
    rejoin(primary, replica)


def promote(replica: EmbeddedPostgres) -> None:
    replica.run("pg_ctl", "promote", "--wait", f"--pgdata={replica.data_dir}")


def rejoin(primary: EmbeddedPostgres, replica: EmbeddedPostgres) -> None:
    """Start a stopped primary as a replica of the promoted one."""
    primary.write_file("standby.signal", "")
    login = f"user={SUPERUSER.user} password={SUPERUSER.password}"
    primary.options["primary_conninfo"] = f"host=127.0.0.1 port={replica.port} {login}"
    primary.start()


Views = dict[str, View]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def open_views(stack: ExitStack, log: Path, databases: Mapping[str, Mapping[str, str]]) -> Views:
    settings: dict[str, str] = {}
    for name, keys in databases.items():
        settings |= configure(name, **{**PROBE, **keys})
    exporter = stack.enter_context(run_exporter(log, settings=settings))
    return {name: stack.enter_context(open_view(exporter, name)) for name in databases}


def wait_for_role(view: View, *, writable: bool, mismatch: bool) -> None:
    """Check the database until it is up and shows this role."""

    def read() -> tuple[str, float | None, float | None]:
        status = view.check()["status"]
        shown = [view.read(f"database_{name}") for name in ("writable", "role_mismatch")]
        return status, shown[0], shown[1]

    wait_until(lambda: read() == ("healthy", writable, mismatch), f"the role of {view.database}")


def is_lag_shown(view: View) -> bool:
    return view.read("database_replication_lag_seconds") is not None


def test_servers_with_swapped_roles_are_a_mismatch_until_they_swap_back(
    replica: Replica, stack: ExitStack, tmp_path: Path
) -> None:
    first, second = replica.primary, replica.server
    databases = {
        f"{role}_{driver}": {"URL": build_url(driver, server), "ROLE": role}
        for role, server in (("primary", first), ("replica", second))
        for driver in DRIVERS
    }
    views = open_views(stack, tmp_path / "log", databases)
    for is_swapped in (False, True, False):
        for name, view in views.items():
            writable = name.startswith("primary") is not is_swapped
            wait_for_role(view, writable=writable, mismatch=is_swapped)
            assert is_lag_shown(view) is not writable
        switch_over(first, second)
        first, second = second, first
    for view in views.values():
        # More than one only where a probe was late on a busy machine.
        lines = [line for line in view.read_log() if "is up, but" in line]
        writes = "does not accept writes" if "primary" in view.database else "accepts writes"
        assert lines
        assert all(line.endswith(f"and {writes} database={view.database}") for line in lines)


# asyncpg reports the server that is down, libpq the one with the wrong role.
@pytest.mark.parametrize(("driver", "reason"), [("asyncpg", "refused"), ("psycopg", "read_only")])
def test_an_exporter_with_both_servers_in_its_url_follows_a_failover(
    replica: Replica, stack: ExitStack, tmp_path: Path, driver: str, reason: str
) -> None:
    primary, standby = replica.primary, replica.server
    databases = {
        "main": {
            "URL": build_url(driver, primary, standby, target_session_attrs="read-write"),
            "ROLE": "primary",
        },
        "copy": {
            "URL": build_url(driver, primary, standby, target_session_attrs="standby"),
            "ROLE": "replica",
        },
    }
    main, copy = open_views(stack, tmp_path / "log", databases).values()
    wait_for_role(main, writable=True, mismatch=False)
    wait_for_role(copy, writable=False, mismatch=False)
    primary.stop("fast")
    main.wait_until_down(reason)
    promote(standby)
    wait_for_role(main, writable=True, mismatch=False)
    rejoin(primary, standby)
    wait_for_role(copy, writable=False, mismatch=False)
    assert [line for line in main.read_log() if "is up, but" in line] == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_pool_follows_an_address_that_leads_to_the_next_replica(
    replica: Replica, stack: ExitStack, tmp_path: Path, driver: str
) -> None:
    """New connections do; the old one still works, on a server that accepts writes by now."""
    primary, standby = replica.primary, replica.server
    with open_proxy(standby.port) as proxy:
        url = make_url(build_url(driver, standby)).set(port=proxy.port)
        databases = {"copy": {"URL": url.render_as_string(hide_password=False), "ROLE": "replica"}}
        (copy,) = open_views(stack, tmp_path / "log", databases).values()
        copy.wait_for_success("pooled")
        switch_over(primary, standby)
        proxy.lead_to(primary.port)
        for kind in ("fresh", "pooled", "pooled"):
            copy.wait_for_success(kind)
        lines = copy.read_log()
        assert "configured as replica and accepts writes" in "".join(lines)
        for kind in ("fresh", "pooled"):
            copy.wait_for_success(kind)
            assert copy.read("database_role_mismatch") == 0
        assert copy.read_log() == lines
        assert copy.read_errors() == {}
