"""The databases of the demo: a PostgreSQL server, a SQLite file, and one that is down.

Also the folder through which the app shares its pools.

It must not know who looks at them.
"""

import secrets
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy_pool_exporter.demo.postgres import EmbeddedPostgres
from sqlalchemy_pool_exporter.settings import Settings

PROBE_INTERVAL = "5s"
FRESH_CONNECTION_INTERVAL = "15s"
MAX_CONNECTIONS = "25"


@dataclass(frozen=True, slots=True, repr=False)
class Stage:
    """The URLs of the databases, secrets included; `archive` is down on purpose.

    `pools` is the folder where the app's processes share their pools.
    """

    orders: str
    articles: str
    archive: str
    pools: Path

    def build_settings(self, listen: str) -> Settings:
        """A configuration of the exporter for these databases."""
        return Settings.model_validate(
            {
                "listen": listen,
                "probe": {
                    "interval": PROBE_INTERVAL,
                    "fresh_connection_interval": FRESH_CONNECTION_INTERVAL,
                },
                "databases": {
                    "orders": {"url": self.orders, "role": "primary"},
                    "articles": {"url": self.articles},
                    "archive": {"url": self.archive},
                },
                "app": {"dir": self.pools},
            }
        )


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Starts what there is to start; at the end of the block nothing is left of it."""
    with (
        tempfile.TemporaryDirectory(prefix="sqlalchemy-pool-exporter-") as name,
        open_closed_port() as port,
    ):
        folder = Path(name)
        (folder / "pools").mkdir()
        # A password, because other users of this machine can reach the port.
        server = EmbeddedPostgres(
            folder / "postgres",
            options={"max_connections": MAX_CONNECTIONS},
            password=secrets.token_urlsafe(),
        )
        with server:
            yield Stage(
                orders=server.url(),
                articles=f"sqlite:///{create_sqlite(folder / 'articles.db')}",
                archive=f"postgresql://app:{secrets.token_urlsafe()}@127.0.0.1:{port}/archive",
                pools=folder / "pools",
            )


def create_sqlite(file: Path) -> Path:
    """A database with one table."""
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE articles (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()
    return file


@contextmanager
def open_closed_port() -> Iterator[int]:
    """A port that refuses connections and that nobody else can take meanwhile."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]
