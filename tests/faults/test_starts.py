"""An exporter that starts before its database serves, and finds it later."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.commands import configure, run_exporter
from tests.exporter.open_databases import redirect
from tests.faults.views import open_view
from tests.servers.accounts import DATABASE, PLAIN
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.mariadb import MariaDB
from tests.servers.proxy import open_proxy

PROBE = {
    "PROBE__INTERVAL": "2s",
    "PROBE__TIMEOUT": "2s",
    "PROBE__FRESH_CONNECTION_INTERVAL": "2s",
}


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "pymysql"])
def test_an_exporter_starts_and_serves_while_its_database_is_down(
    driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    fixture = "mariadb" if driver == "pymysql" else "postgres"
    server: EmbeddedPostgres | MariaDB = request.getfixturevalue(fixture)
    with open_proxy(server.port) as proxy:
        proxy.refuse()
        url = redirect(server.url(DATABASE, *PLAIN, driver=driver), proxy.port)
        settings = configure("shop", URL=url, **PROBE)
        with (
            run_exporter(tmp_path / "log", settings=settings) as exporter,
            open_view(exporter) as shop,
        ):
            assert shop.client.get("/-/ready").status_code == 200
            assert shop.read("database_up") == 0
            shop.wait_until_down("refused")
            assert shop.read("database_probe_last_success_timestamp_seconds") is None
            proxy.heal()
            shop.wait_until_up()
            assert shop.read("database_up") == 1
            assert set(shop.read_errors()) == {"refused"}
