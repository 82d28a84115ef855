"""The cost of connecting and a query with PostgreSQL: plain, and with ours into a file.

    python -m benchmarks.postgres [--sqlalchemy 2.0 2.1] [--launches N] [--rounds N] [--cycles N]

The server is on this machine: anything farther away makes the recording look cheaper.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environments import AGENT, LINES, find_python
from benchmarks.tables import print_comparison
from benchmarks.workers import Command, Extent, compare
from tests.servers.embedded_postgres import EmbeddedPostgres

CASE = ("-m", "benchmarks.postgres_case")
DRIVERS = ("psycopg", "asyncpg")


def main(arguments: Sequence[str]) -> int:
    """Print a table for each driver on every SQLAlchemy."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        shared = Path(name, "shared")
        shared.mkdir()
        with EmbeddedPostgres(Path(name, "postgres")) as server:
            for line in options.sqlalchemy:
                for driver in DRIVERS:
                    measure(line, server.url(driver=driver), shared, options)
    return 0


def measure(line: str, url: str, shared: Path, options: argparse.Namespace) -> None:
    """Print the table of one driver on one SQLAlchemy."""
    start: list[str | Path] = [find_python(line), *CASE, url]
    commands = {
        "plain SQLAlchemy": build_command([*start, "plain"], None),
        "ours, file mapped": build_command([*start, "mapped"], str(shared)),
    }
    extent = Extent(options.launches, options.rounds, options.cycles)
    greeting, measured = compare(commands, extent)
    driver = url.partition("://")[0]
    print_comparison(f"connect() and SELECT 1, {driver}; {greeting}", measured)


def build_command(arguments: Sequence[str | Path], shared: str | None) -> Command:
    """Return the command of a variant's process."""
    environment = {"PYTHONPATH": str(AGENT), "SQLALCHEMY_POOL_METRICS_DIR": shared}
    return Command(arguments, environment)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sqlalchemy", nargs="+", default=LINES, help="2.0, 2.1 or installed")
    parser.add_argument("--launches", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cycles", type=int, default=100)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
