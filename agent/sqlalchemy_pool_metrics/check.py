"""Check whether an application that Python starts in this environment is recorded and shared.

It runs without SQLAlchemy, in the container of the application, with the application's Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from .holders import HOLDERS_VARIABLE, read_switch
from .injected.sitecustomize import OFF, OLDEST_PYTHON, SWITCH
from .injection import SUPPORTED, is_supported
from .process_file import FOLDER_VARIABLE, ProcessFile

__all__ = ["Finding", "check"]


class Finding(NamedTuple):
    """One thing that was checked.

    Attributes:
        is_good: None if that depends on what is wanted.
        text: What was found.
    """

    is_good: bool | None
    text: str


def check() -> Iterator[Finding]:
    """Check the versions, the injection, the shared folder and the holders."""
    yield _check_python()
    yield _check_sqlalchemy()
    yield _check_injection()
    yield _check_folder(os.environ.get(FOLDER_VARIABLE, ""))
    yield _check_holders(os.environ.get(HOLDERS_VARIABLE, ""))


def _check_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Finding(
        sys.version_info >= OLDEST_PYTHON, f"Python {version} ({sys.executable}), needs {oldest}"
    )


def _check_sqlalchemy() -> Finding:
    try:
        version = metadata.version("sqlalchemy")
    except metadata.PackageNotFoundError:
        return Finding(False, f"SQLAlchemy is not installed for {sys.executable}")
    return Finding(is_supported(version), f"SQLAlchemy {version}: {SUPPORTED}")


def _check_injection() -> Finding:
    """Check whether engines are recorded without changing the application."""
    if os.environ.get(SWITCH, "").lower() in OFF:
        return Finding(False, f"{SWITCH}={os.environ[SWITCH]} switches the injection off")
    for is_set, flag, effect in (
        (sys.flags.no_site, "-S", "imports no sitecustomize"),
        (sys.flags.isolated, "-I", "ignores PYTHONPATH"),
        (sys.flags.ignore_environment, "-E", "ignores PYTHONPATH"),
    ):
        if is_set:
            return Finding(False, f"Python runs with {flag} and so {effect}")
    found = sys.modules.get("sitecustomize")
    if any(hasattr(finder, "watches_sqlalchemy") for finder in sys.meta_path):
        return Finding(True, "every engine is recorded: a folder of `export` is on PYTHONPATH")
    if found is not None:
        return Finding(
            False, f"{found.__file__} runs in place of an exported folder's sitecustomize.py"
        )
    return Finding(
        None,
        f"no folder of `export` is on PYTHONPATH={os.environ.get('PYTHONPATH', '')}: only engines "
        "with the plugin, instrument() or a recording pool class are recorded",
    )


def _check_folder(folder: str) -> Finding:
    """Check whether processes can share their numbers, by creating a file as they do."""
    if not folder:
        return Finding(False, f"{FOLDER_VARIABLE} is not set: nothing is shared")
    try:
        file = ProcessFile.create(Path(folder).absolute(), "check", {}, lambda: None)
        file.path.unlink()
        file.close()
    except (OSError, ValueError) as error:
        return Finding(False, f"{FOLDER_VARIABLE}={folder}: cannot create a file there: {error}")
    return Finding(True, f"{FOLDER_VARIABLE}={folder}: files can be created (user {_user()})")


def _check_holders(text: str) -> Finding:
    """Check whether every checkout has a holder."""
    switch = read_switch(text)
    if switch:
        return Finding(True, f"{HOLDERS_VARIABLE}={text}: every checkout has a holder")
    if switch is None:
        return Finding(False, f"{HOLDERS_VARIABLE}={text} is neither on nor off: holders are off")
    return Finding(
        None, f"{HOLDERS_VARIABLE}={text}: only holder(), or an engine's own setting, names holders"
    )


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
