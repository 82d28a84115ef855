"""The image probes real databases with each of its drivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.image.podman import run_container
from tests.servers.accounts import DATABASE, MONITOR
from tests.servers.embedded_postgres import EmbeddedPostgres
from tests.servers.folders import make_folder
from tests.servers.mariadb import MariaDB

# First, or servers are started for nothing where there is no image.
pytestmark = pytest.mark.usefixtures("image")
SECRETS = "/run/secrets/sqlalchemy-pool-exporter"
UP = 'sqlalchemy_database_up{database="primary"} 1.0'
# Nobody's home either: drivers look for their files there.
UNKNOWN = ["--user=65532:65532", "--passwd=false", "--unsetenv=HOME"]


@pytest.fixture
def probe(image: str) -> Iterator[Callable[..., None]]:
    """Probe the database whose URL is in a mounted Secret."""

    def run(url: str, *options: str) -> None:
        (folder / "POOL_EXPORTER_DATABASES__PRIMARY__URL").write_text(url)
        mount = f"--volume={folder}:{SECRETS}:ro"
        environment = {"POOL_EXPORTER_SECRETS_DIR": SECRETS}
        with run_container(image, options=[mount, *options], environment=environment) as running:
            running.wait_for_metric(UP)

    with make_folder("secrets") as folder:
        yield run


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg", None])
def test_postgresql_is_up(
    postgres: EmbeddedPostgres, probe: Callable[..., None], driver: str | None
) -> None:
    probe(postgres.url(DATABASE, *MONITOR, driver=driver))


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_postgresql_is_up_for_a_user_without_a_name(
    postgres: EmbeddedPostgres, probe: Callable[..., None], driver: str
) -> None:
    probe(postgres.url(DATABASE, *MONITOR, driver=driver), *UNKNOWN)


def test_mariadb_is_up(mariadb: MariaDB, probe: Callable[..., None]) -> None:
    probe(mariadb.url(DATABASE, *MONITOR))
