"""Write a folder that switches the recording on in applications that have it on PYTHONPATH."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from . import __version__

__all__ = ["ENTRY_POINTS", "MANIFEST", "ForeignFileError", "export"]

PACKAGE = "sqlalchemy_pool_metrics"
SWITCHES = ("sitecustomize.py", "usercustomize.py")
"""The same file twice: Python imports both modules, but finds only the first of each name."""
SUBFOLDERS = ("failures/", "injected/")
MANIFEST = f"{PACKAGE}/.exported"
"""Lists the files that an export wrote, so that a later export deletes those it no longer has."""
ENTRY_POINTS = f"""\
[opentelemetry_pre_instrument]
pool_metrics = {PACKAGE}.injected.sitecustomize:watch

[sqlalchemy.plugins]
pool_metrics = {PACKAGE}.plugin:PoolMetricsPlugin
"""
"""What the folder offers as a distribution.

OpenTelemetry's sitecustomize hides ours, but calls the first. The second lets a URL with
`?plugin=pool_metrics` record where no sitecustomize of ours runs.
"""

_DISTRIBUTION = f"{PACKAGE}-{__version__}.dist-info"
_METADATA = f"Metadata-Version: 2.1\nName: sqlalchemy-pool-metrics\nVersion: {__version__}\n"

# An export recognises the sitecustomize.py of an older one by this first line: never change it.
_SWITCH_BEGINS = b'"""Switches sqlalchemy_pool_metrics on'
_OURS = re.compile(
    rf"{PACKAGE}/(\w+/)?\w+\.(py|typed)|{PACKAGE}-[\w.]+\.dist-info/(METADATA|entry_points\.txt)"
)
# A line of the manifest: the folder had nothing else when an export wrote it.
_ALL_IS_OURS = "."
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


class ForeignFileError(Exception):
    """A file that no export wrote has a name that the export needs; the message has its path."""


def export(folder: Path, *, repair: bool = False) -> None:
    """Write the folder, or update an older export in it.

    Each file is replaced in one step: a program that starts meanwhile reads complete files.
    All users may read them, whatever the umask. Other files in the folder stay.

    Args:
        folder: The folder, created if it does not exist.
        repair: Remove files that are in the way, or that Python would import instead of ours. In a
            folder that had nothing else at an earlier export, remove everything that Python could
            import. After a failure the folder switches nothing on.

    Raises:
        ForeignFileError: One of the other files has a name that the export needs.
        OSError: A file cannot be written.
    """
    if not repair:
        _check_no_foreign_files(folder)
        _write(folder)
        return
    try:
        _remove_foreign_files(folder)
        _write(folder)
    except OSError:
        _switch_off(folder)
        raise


def _write(folder: Path) -> None:
    files = dict(_read_files())
    old = _read_manifest(folder)
    keep = {_ALL_IS_OURS} if _ALL_IS_OURS in old or _has_nothing_else(folder) else set()
    _make_folder(folder)
    _make_folder(folder / PACKAGE)
    # First, and with the old names: if this export is interrupted, the next one finds all files.
    _replace(folder / MANIFEST, "\n".join(sorted(old | files.keys() | keep)).encode())
    for name, content in files.items():
        _make_folder((folder / name).parent)
        _replace(folder / name, content)
    # Last, when everything that they import is there.
    for name in SWITCHES:
        _replace(folder / name, files[f"{PACKAGE}/injected/sitecustomize.py"])
    _replace(folder / _DISTRIBUTION / "entry_points.txt", ENTRY_POINTS.encode())
    for name in old - files.keys() - keep:
        (folder / name).unlink(missing_ok=True)
        if name.startswith(f"{PACKAGE}-"):
            _remove_if_empty((folder / name).parent)
    _replace(folder / MANIFEST, "\n".join(sorted(files.keys() | keep)).encode())


def _read_files() -> Iterator[tuple[str, bytes]]:
    """Yield the files that switch nothing on by themselves, with their paths in the folder."""
    package = resources.files(PACKAGE)
    for parent in ("", *SUBFOLDERS):
        for file in _list_sorted(package / parent):
            name = f"{PACKAGE}/{parent}{file.name}"
            if _OURS.fullmatch(name) and file.is_file():
                yield name, file.read_bytes()
    yield f"{_DISTRIBUTION}/METADATA", _METADATA.encode()


def _list_sorted(parent: Any) -> list[Any]:
    return sorted(parent.iterdir(), key=lambda file: str(file.name))


def _check_no_foreign_files(folder: Path) -> None:
    package = folder / PACKAGE
    if os.path.lexists(package):
        if package.is_symlink() or not package.is_dir():
            raise ForeignFileError(f"{package} is in the way: not a folder")
        if not (folder / MANIFEST).is_file() and any(package.iterdir()):
            raise ForeignFileError(f"{package} is in the way: not written by an export")
    for name in SWITCHES:
        if os.path.lexists(folder / name) and not _is_switch(folder / name):
            raise ForeignFileError(f"{folder / name} is in the way: not written by an export")


def _is_switch(path: Path) -> bool:
    """Return whether it is our sitecustomize.py; another one may mention the package, too."""
    is_file = path.is_file() and not path.is_symlink()
    return is_file and path.read_bytes().startswith(_SWITCH_BEGINS)


def _remove_foreign_files(folder: Path) -> None:
    """Remove files that are in the way, or that Python would import instead of ours."""
    if not folder.is_dir():
        return
    wanted = {folder / name for name in (*dict(_read_files()), *SWITCHES, MANIFEST)}
    wanted.add(folder / _DISTRIBUTION / "entry_points.txt")
    is_ours = _ALL_IS_OURS in _read_manifest(folder)
    for path in folder.iterdir():
        if _is_shadow(path) or (is_ours and _is_importable(path)):
            _remove_unwanted(path, wanted)


def _has_nothing_else(folder: Path) -> bool:
    return not folder.exists() or all(_is_shadow(path) for path in folder.iterdir())


def _is_shadow(path: Path) -> bool:
    """Return whether it is ours, or Python may import it instead of ours.

    A module may be a folder, a source, a library or a cached file.
    """
    module = re.split(r"[.-]", path.name)[0]
    return path.name == "__pycache__" or module in (PACKAGE, "sitecustomize", "usercustomize")


def _is_importable(path: Path) -> bool:
    suffixes = tuple(importlib.machinery.all_suffixes())
    return path.is_dir() or path.is_symlink() or path.name.endswith(suffixes)


def _remove_unwanted(path: Path, wanted: set[Path]) -> None:
    """Remove the path, except for the wanted files at it or below it."""
    is_folder = path.is_dir() and not path.is_symlink()
    if is_folder and any(path in each.parents for each in wanted):
        for child in path.iterdir():
            _remove_unwanted(child, wanted)
    elif is_folder:
        shutil.rmtree(path)
    elif path not in wanted or path.is_symlink():
        path.unlink(missing_ok=True)


def _switch_off(folder: Path) -> None:
    """Remove the files that switch the recording on, as far as possible."""
    for path in (*(folder / name for name in SWITCHES), *folder.glob("*/entry_points.txt")):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _read_manifest(folder: Path) -> set[str]:
    """Return the lines of older exports; names that no export writes are ignored."""
    try:
        lines = (folder / MANIFEST).read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return set()
    return {line for line in lines if line == _ALL_IS_OURS or _OURS.fullmatch(line)}


def _make_folder(folder: Path) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        path.chmod(_FOLDER_MODE)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file in one step; an OSError has its path, and no temporary file stays."""
    try:
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no Path
                os.fchmod(descriptor, _FILE_MODE)
                file.write(content)
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
