"""Programs run with the injected folder on PYTHONPATH, on this Python and on others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agent" / "sqlalchemy_pool_metrics"
BASE_PYTHON = str(Path(sys.base_prefix) / "bin" / "python3")
"""This Python outside its virtual environment: without SQLAlchemy, and with usercustomize."""

PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
PIP_OPTIONS = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]


def make_folder(folder: Path) -> Path:
    """The folder as an export writes it, of links: coverage finds what it measures in its place."""
    folder.mkdir()
    (folder / "sqlalchemy_pool_metrics").symlink_to(AGENT)
    (folder / "sitecustomize.py").symlink_to(AGENT / "injected" / "sitecustomize.py")
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
    """What the program prints; it must end well and say nothing on stderr."""
    ended = run(*arguments, path=path, python=python, measured=measured, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def find_python(version: str) -> str | None:
    """A Python of this version, as `3.9`, on PATH or among pyenv's; None when there is none."""
    installed = sorted(PYENV.glob(f"versions/{version}.*/bin/python{version}"))
    return str(installed[-1]) if installed else shutil.which(f"python{version}")


def find_packages(python: str, version: str, *requirements: str) -> Path:
    """A folder with packages for a Python, kept in build/; made only where CI is set."""
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
