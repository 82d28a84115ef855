"""What the demo shows: three databases and the folder through which an app shares its pools."""

import secrets
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy_pool_exporter.demo.postgres import run_postgres
from sqlalchemy_pool_exporter.settings import Settings

PROBE_INTERVAL = "5s"
FRESH_CONNECTION_INTERVAL = "15s"


@dataclass(frozen=True, slots=True, repr=False)
class Stage:
    """The URLs of the databases, secrets included, and the folder of the app's pools.

    Nothing listens on the port of `archive`.
    """

    orders: str
    articles: str
    archive: str
    pools: Path

    def build_settings(self, listen: str) -> Settings:
        """Return a configuration of the exporter for these databases."""
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
    """Create the databases; remove them at the end of the block."""
    with (
        tempfile.TemporaryDirectory(prefix="sqlalchemy-pool-exporter-") as name,
        open_closed_port() as port,
    ):
        folder = Path(name)
        (folder / "pools").mkdir()
        with run_postgres(folder / "postgres") as orders:
            yield Stage(
                orders=orders,
                articles=f"sqlite:///{create_sqlite(folder / 'articles.db')}",
                archive=f"postgresql://app:{secrets.token_urlsafe()}@127.0.0.1:{port}/archive",
                pools=folder / "pools",
            )


def create_sqlite(file: Path) -> Path:
    """Create a database with one table and return its file."""
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE articles (id INTEGER PRIMARY KEY, name TEXT)")
    connection.close()
    return file


@contextmanager
def open_closed_port() -> Iterator[int]:
    """Yield a port that refuses connections; nothing else can take it during the block."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
