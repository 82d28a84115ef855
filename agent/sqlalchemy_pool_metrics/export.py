"""Writes the folder that, put on PYTHONPATH, switches the recording on in an application.

It knows files, not SQLAlchemy: it runs where neither SQLAlchemy nor the application is.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["MANIFEST", "NotOursError", "export"]

PACKAGE = "sqlalchemy_pool_metrics"
SWITCH = "sitecustomize.py"
MANIFEST = f"{PACKAGE}/.exported"
"""Lists the files that an export wrote, so that a later one deletes those that are no more."""

_SWITCH_BEGINS = b'"""Switches sqlalchemy_pool_metrics on'
_OURS = re.compile(rf"{PACKAGE}/(\w+/)?\w+\.(py|typed)")
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


class NotOursError(Exception):
    """Something in the way that an export did not write; the message names its path."""


def export(folder: Path) -> None:
    """Write the folder, or bring an older export in it up to date.

    Every file is replaced in one step, so that a program that starts meanwhile reads a whole one;
    everybody may read them, whatever the umask. Files of other owners in the folder stay.
    Raises NotOursError when one of them has a name that is needed, and OSError.
    """
    files = dict(_read_files())
    _check_way_is_free(folder)
    old = _read_manifest(folder)
    _make_folder(folder)
    _make_folder(folder / PACKAGE)
    # First, and with the old names: an export that is cut off is known as ours by the next one.
    _replace(folder / MANIFEST, "\n".join(sorted(old | files.keys())).encode())
    for name, content in files.items():
        _make_folder((folder / name).parent)
        _replace(folder / name, content)
    # Last: what it imports is there by now.
    _replace(folder / SWITCH, files[f"{PACKAGE}/injected/{SWITCH}"])
    for name in old - files.keys():
        (folder / name).unlink(missing_ok=True)
    _replace(folder / MANIFEST, "\n".join(sorted(files)).encode())


def _read_files() -> Iterator[tuple[str, bytes]]:
    """The package's own files by their path in the folder."""
    package = resources.files(PACKAGE)
    for parent, prefix in ((package, PACKAGE), (package / "injected", f"{PACKAGE}/injected")):
        for file in _listed(parent):
            name = f"{prefix}/{file.name}"
            if _OURS.fullmatch(name) and file.is_file():
                yield name, file.read_bytes()


def _listed(parent: Any) -> list[Any]:
    return sorted(parent.iterdir(), key=lambda file: str(file.name))


def _check_way_is_free(folder: Path) -> None:
    package, switch = folder / PACKAGE, folder / SWITCH
    if os.path.lexists(package):
        if package.is_symlink() or not package.is_dir():
            raise NotOursError(f"{package} is in the way: not a folder")
        if not (folder / MANIFEST).is_file() and any(package.iterdir()):
            raise NotOursError(f"{package} is in the way: not written by an export")
    if os.path.lexists(switch) and not _is_switch(switch):
        raise NotOursError(f"{switch} is in the way: not written by an export")


def _is_switch(path: Path) -> bool:
    """Whether it is our sitecustomize; another one may well mention the package."""
    is_file = path.is_file() and not path.is_symlink()
    return is_file and path.read_bytes().startswith(_SWITCH_BEGINS)


def _read_manifest(folder: Path) -> set[str]:
    """The files that older exports wrote; a name that none of them can have is passed over."""
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
    """Put a file in its place in one step; an error names the path, and nothing half is left."""
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
