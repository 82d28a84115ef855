"""Programs run with the injected folder on PYTHONPATH, on this Python and on others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sqlalchemy_pool_metrics.export import SWITCHES

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agent" / "sqlalchemy_pool_metrics"
BASE_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")
"""This Python outside its virtual environment: without SQLAlchemy, and with usercustomize."""

CREATE = "from sqlalchemy import create_engine\nengine = create_engine('sqlite://')\n"
USE = """
from sqlalchemy_pool_metrics import read_pool
with engine.connect(): pass
print(engine.pool.__class__.__mro__[1].__name__, read_pool(engine).checkouts)
"""
RECORDED = "RecordsMetrics 1"
"""What `USE` prints for an engine that is recorded."""

PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
PIP_OPTIONS = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]


def make_folder(folder: Path) -> Path:
    """Make a folder like an export's, of links, so that coverage finds the measured files."""
    folder.mkdir()
    (folder / "sqlalchemy_pool_metrics").symlink_to(AGENT)
    for name in SWITCHES:
        (folder / name).symlink_to(AGENT / "injected" / "sitecustomize.py")
    return folder


def run(
    *arguments: str | Path,
    path: list[Path],
    python: str = sys.executable,
    measured: bool = True,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run Python with a PYTHONPATH; `measured=False` keeps coverage out of the process."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "SQLALCHEMY_POOL", "OTEL_"))
        and (measured or not name.startswith("COVERAGE_"))
    }
    kept["PYTHONPATH"] = os.pathsep.join(map(str, path))
    return subprocess.run(
        [python, *map(str, arguments)],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_well(
    *arguments: str | Path,
    path: list[Path],
    python: str = sys.executable,
    measured: bool = True,
    **environment: str,
) -> str:
    """Return what a program prints; it must succeed and write nothing to stderr."""
    ended = run(*arguments, path=path, python=python, measured=measured, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def find_python(version: str) -> str | None:
    """Return a Python of this version (like `3.9`) from pyenv or PATH; None if there is none."""
    installed = sorted(PYENV.glob(f"versions/{version}.*/bin/python{version}"))
    return str(installed[-1]) if installed else shutil.which(f"python{version}")


def find_packages(python: str, version: str, *requirements: str) -> Path:
    """Return a folder in build/ with packages for a Python; it is created only if CI is set."""
    key = "-".join([version, *requirements]).translate(str.maketrans("<>=,", "____"))
    folder = ROOT / "build" / "injection" / key
    if (folder / "ready").exists():
        return folder
    if not os.environ.get("CI"):
        pytest.skip(f"{' '.join(requirements)} for Python {version} is installed with CI=true only")
    subprocess.run(
        [python, "-m", "pip", "install", *PIP_OPTIONS, "--target", folder, *requirements],
        check=True,
    )
    (folder / "ready").touch()
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.parent
