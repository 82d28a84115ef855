"""Write a folder that switches the recording on in applications that have it on PYTHONPATH."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST", "ForeignFileError", "export"]

PACKAGE = "sqlalchemy_pool_metrics"
SWITCH = "sitecustomize.py"
MANIFEST = f"{PACKAGE}/.exported"
"""Lists the files that an export wrote, so that a later export deletes those it no longer has."""

# An export recognises the sitecustomize.py of an older one by this first line: never change it.
_SWITCH_BEGINS = b'"""Switches sqlalchemy_pool_metrics on'
_OURS = re.compile(rf"{PACKAGE}/(\w+/)?\w+\.(py|typed)")
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


class ForeignFileError(Exception):
    """A file that no export wrote has a name that the export needs; the message has its path."""


def export(folder: Path) -> None:
    """Write the folder, or update an older export in it.

    Each file is replaced in one step: a program that starts meanwhile reads complete files.
    All users may read them, whatever the umask. Other files in the folder stay.

    Raises:
        ForeignFileError: One of the other files has a name that the export needs.
        OSError: A file cannot be written.
    """
    files = dict(_read_files())
    _check_no_foreign_files(folder)
    old = _read_manifest(folder)
    _make_folder(folder)
    _make_folder(folder / PACKAGE)
    # First, and with the old names: if this export is interrupted, the next one finds all files.
    _replace(folder / MANIFEST, "\n".join(sorted(old | files.keys())).encode())
    for name, content in files.items():
        _make_folder((folder / name).parent)
        _replace(folder / name, content)
    # Last, when everything that it imports is there.
    _replace(folder / SWITCH, files[f"{PACKAGE}/injected/{SWITCH}"])
    for name in old - files.keys():
        (folder / name).unlink(missing_ok=True)
    _replace(folder / MANIFEST, "\n".join(sorted(files)).encode())


def _read_files() -> Iterator[tuple[str, bytes]]:
    """Yield the package's own files with their paths in the folder."""
    package = resources.files(PACKAGE)
    for parent, prefix in ((package, PACKAGE), (package / "injected", f"{PACKAGE}/injected")):
        for file in _list_sorted(parent):
            name = f"{prefix}/{file.name}"
            if _OURS.fullmatch(name) and file.is_file():
                yield name, file.read_bytes()


def _list_sorted(parent: Any) -> list[Any]:
    return sorted(parent.iterdir(), key=lambda file: str(file.name))


def _check_no_foreign_files(folder: Path) -> None:
    package, switch = folder / PACKAGE, folder / SWITCH
    if os.path.lexists(package):
        if package.is_symlink() or not package.is_dir():
            raise ForeignFileError(f"{package} is in the way: not a folder")
        if not (folder / MANIFEST).is_file() and any(package.iterdir()):
            raise ForeignFileError(f"{package} is in the way: not written by an export")
    if os.path.lexists(switch) and not _is_switch(switch):
        raise ForeignFileError(f"{switch} is in the way: not written by an export")


def _is_switch(path: Path) -> bool:
    """Return whether it is our sitecustomize.py; another one may mention the package, too."""
    is_file = path.is_file() and not path.is_symlink()
    return is_file and path.read_bytes().startswith(_SWITCH_BEGINS)


def _read_manifest(folder: Path) -> set[str]:
    """Return the files that older exports wrote; names that no export writes are ignored."""
    try:
        lines = (folder / MANIFEST).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return set()
    return {line for line in lines if _OURS.fullmatch(line)}


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
