"""The command `python -m sqlalchemy_pool_metrics`, which runs without SQLAlchemy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .export import ForeignFileError, export

__all__ = ["main"]

CHECK_HELP = "report whether an application that Python starts here is recorded, and why not"
EXPORT_HELP = "write a folder that switches the recording on in apps that have it on PYTHONPATH"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status: 0, 1 for a failure, 2 for wrong arguments.

    With `export --never-fail` a failure is 0, too: the folder then switches nothing on.
    """
    command = _build_parser().parse_args(arguments)
    return command.run(command)  # type: ignore[no-any-return]


def _run_export(command: argparse.Namespace) -> int:
    folder = Path(command.folder).absolute()
    try:
        export(folder, repair=command.never_fail)
    except (ForeignFileError, OSError) as error:
        sys.stderr.write(f"{_PROGRAM}: cannot export to {folder}: {_describe(error)}\n")
        return 0 if command.never_fail else 1
    sys.stdout.write(_NEXT_STEP.format(folder=folder))
    return 0


def _run_check(_: argparse.Namespace) -> int:
    from .check import check  # only here: an export needs none of its modules

    findings = list(check())
    for finding in findings:
        sys.stdout.write(f"{_MARKS[finding.is_good]}  {finding.text}\n")
    return 1 if any(finding.is_good is False for finding in findings) else 0


_MARKS = {True: "ok", False: "NO", None: "--"}
_PROGRAM = "python -m sqlalchemy_pool_metrics"
_NEXT_STEP = """\
# Set these on the application, the folder first on PYTHONPATH; DIR is the exporter's app.dir:
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
    command.add_argument("folder", metavar="DIR", help="created if it does not exist")
    command.add_argument(
        "--never-fail",
        action="store_true",
        help="for an init container: replace files that are damaged or in the way, and exit with 0 "
        "even after a failure, so that the pod starts",
    )
    command.set_defaults(run=_run_export)
    command = commands.add_parser("check", help=CHECK_HELP, description=CHECK_HELP)
    command.set_defaults(run=_run_check)
    return parser


def _describe(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
