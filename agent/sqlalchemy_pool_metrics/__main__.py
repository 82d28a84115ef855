"""The command `python -m sqlalchemy_pool_metrics`; it runs without SQLAlchemy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .export import NotOursError, export

__all__ = ["main"]

EXPORT_HELP = "write a folder that switches the recording on when it is on an app's PYTHONPATH"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 when it failed, 2 for wrong arguments.

    With --never-fail it is 0 also when it failed: an export that is cut off switches nothing on.
    """
    command = _build_parser().parse_args(arguments)
    folder = Path(command.folder).absolute()
    try:
        export(folder)
    except (NotOursError, OSError) as error:
        sys.stderr.write(f"{_PROGRAM}: cannot export to {folder}: {_tell(error)}\n")
        return 0 if command.never_fail else 1
    sys.stdout.write(_NEXT_STEP.format(folder=folder))
    return 0


_PROGRAM = "python -m sqlalchemy_pool_metrics"
_NEXT_STEP = """\
# Set on the application, this PYTHONPATH before any other; DIR is the exporter's app.dir:
PYTHONPATH={folder}
SQLALCHEMY_POOL_METRICS_DIR=DIR
"""


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="Records the metrics of an application's SQLAlchemy pools."
    )
    parser.add_argument(
        "--version", action="version", version=f"sqlalchemy-pool-metrics {__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("export", help=EXPORT_HELP, description=EXPORT_HELP)
    command.add_argument("folder", metavar="DIR", help="made when it is missing")
    command.add_argument(
        "--never-fail",
        action="store_true",
        help="exit with 0 whatever goes wrong: an init container must not hold up its pod",
    )
    return parser


def _tell(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
