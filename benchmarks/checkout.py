"""The cost of a checkout and its return in the application: plain, with ours, with peers.

    python -m benchmarks.checkout [--sqlalchemy 2.0 2.1] [--launches N] [--rounds N] [--cycles N]
                                  [--ways "one thread" "4 threads" asyncio] [--agent FOLDER]

The driver is a stub, so that only the pool counts. `checkout_case` runs the variants, each in its
own process for the reasons in `workers`.
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

CASE = ("-m", "benchmarks.checkout_case")
VARIANTS = {
    "plain": "plain SQLAlchemy",
    "private": "ours, private memory",
    "mapped": "ours, file mapped",
    "instrumented": "ours, file mapped, instrument()",
    "named": "the same, holders, a name",
    "holders": "the same, holders, a function",
    "prometheus": "prometheus_client listeners",
    "opentelemetry": "OpenTelemetry",
}
MAPPED = ("mapped", "instrumented", "named", "holders")
# By way of working: which variants there are, and the share of the rounds.
WAYS = {
    "one thread": (tuple(VARIANTS), 1.0),
    "4 threads": (("plain", "private", "mapped", "prometheus"), 0.5),
    "asyncio": (("plain", "private", "mapped", "prometheus"), 0.5),
}


def main(arguments: Sequence[str]) -> int:
    """Measure every way of working on every SQLAlchemy and print a table for each."""
    options = parse(arguments)
    for line in options.sqlalchemy:
        for way in options.ways:
            measure(line, way, options)
    return 0


def measure(line: str, way: str, options: argparse.Namespace) -> None:
    """Print the table of one way of working on one SQLAlchemy."""
    names, share = WAYS[way]
    rounds = max(1, round(options.rounds * share))
    extent = Extent(options.launches, rounds, options.cycles)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        commands = {
            VARIANTS[name]: build_command(line, way, name, folder, options.agent) for name in names
        }
        greeting, measured = compare(commands, extent)
    print_comparison(f"Checkout and return, stub driver, {way}; {greeting}", measured)


def build_command(line: str, way: str, variant: str, folder: str, agent: Path) -> Command:
    """Return the command of a variant's process."""
    return Command(
        [find_python(line), *CASE, way, variant],
        {
            "PYTHONPATH": str(agent),
            "SQLALCHEMY_POOL_METRICS_DIR": folder if variant in MAPPED else None,
        },
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sqlalchemy", nargs="+", default=LINES, help="2.0, 2.1 or installed")
    parser.add_argument("--ways", nargs="+", default=tuple(WAYS), choices=WAYS)
    parser.add_argument("--agent", type=Path, default=AGENT, help="where the package lies")
    parser.add_argument("--launches", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cycles", type=int, default=2000)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
