"""Throwaway virtual environments under build/benchmarks.

One for each supported line of SQLAlchemy, and one for query-exporter.

They are created once; `rm -rf build/benchmarks` makes the next run install the newest again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["AGENT", "INSTALLED", "LINES", "QUERY_EXPORTER", "ROOT", "find_python", "is_built"]

ROOT = Path(__file__).resolve().parents[1]
AGENT = ROOT / "agent"
CACHE = ROOT / "build" / "benchmarks"
UV = Path(sys.executable).with_name("uv")
LINES = ("2.0", "2.1")
INSTALLED = "installed"
"""Stands for this very Python, with the SQLAlchemy that it has."""
PEERS = ("prometheus-client", "opentelemetry-sdk", "opentelemetry-instrumentation-sqlalchemy")
DRIVERS = ("psycopg[binary]", "asyncpg")
QUERY_EXPORTER = "query-exporter"


def find_python(line: str) -> Path:
    """Return the Python of that environment, with the newest of everything; make it if missing."""
    if line == INSTALLED:
        return Path(sys.executable)
    if not is_built(line):
        _build(line)
    return _python(line)


def is_built(line: str) -> bool:
    """Return whether the environment exists, so that nothing needs to be downloaded."""
    return _stamp(line).exists()


def _build(line: str) -> None:
    folder = CACHE / line
    print(f"making {folder.relative_to(ROOT)} ...", flush=True)
    wanted = [f"sqlalchemy[asyncio]~={line}.0", *PEERS, *DRIVERS]
    if line == QUERY_EXPORTER:
        wanted = [QUERY_EXPORTER, *DRIVERS]
    python = ("--python", sys.executable)
    subprocess.run([UV, "venv", "--quiet", "--clear", *python, folder], check=True)
    python = ("--python", str(folder))
    subprocess.run([UV, "pip", "install", "--quiet", *python, *wanted], check=True)
    _stamp(line).touch()


def _python(line: str) -> Path:
    return CACHE / line / "bin" / "python"


def _stamp(line: str) -> Path:
    return CACHE / line / "ready"
