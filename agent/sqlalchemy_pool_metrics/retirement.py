"""Folds the files of dead processes into one, `retired`, and removes what is left over.

What the dead counted must be kept: Prometheus takes a counter that falls for a restart and adds
the whole of it again. Only the application's side writes, at the start of each new process.

Readers need no lock: they read `retired`, then the files except those whose ids it names, then
whether `retired` is still the same. It is replaced in one step; whoever is killed before it has
changed nothing, and after it has at most left files behind that nobody counts any more.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from .file_format import (
    FileContents,
    Header,
    OtherVersion,
    UnreadableFile,
    build_file,
    read_contents,
)
from .files import (
    MODE,
    RETIRED,
    SUFFIX,
    fcntl,
    is_alive,
    list_files,
    open_file,
    read_bytes,
)
from .snapshot import PoolDescription, Snapshot, keep_counters, merge

__all__ = ["MAX_RETIRED_POOLS", "add_up", "fold_dead"]

LOCK = "gc.lock"
LOCK_MODE = 0o644
MAX_RETIRED_POOLS = 256
BEYOND = PoolDescription(name="dropped")
"""Under this name pools are added up that are gone when MAX_RETIRED_POOLS others are already."""
ABANDONED_SECONDS = 60.0
_TEMPORARY = re.compile(r"\..+-\d+-[0-9a-f]{12}\.tmp")
MARGINS_NS = (20_000_000, 200_000_000, 2_000_000_000)
"""What the dead still had running counts up to so long after now: whoever reads their files until
`retired` is replaced counts it up to his own time, and no counter may ever fall."""
_NOTHING = FileContents(0, 0, 0, frozenset(), True, ())


def fold_dead(folder: Path) -> None:
    """Fold and remove the files of dead processes, unless another process is at it.

    Raises OSError, having changed nothing that anybody counts. Never waits for a lock.
    """
    with _only_one(folder) as is_ours:
        if is_ours:
            _remove_abandoned(folder)
            any(_fold(folder, margin_ns) for margin_ns in MARGINS_NS)


def _fold(folder: Path, margin_ns: int) -> bool:
    """Whether it is done, or there was nothing to do; False when it took longer than that."""
    now_ns = time.monotonic_ns() + margin_ns
    paths = list_files(folder)
    names = " ".join(paths)
    found = [each for path in paths if (each := _read_dead(path, now_ns))]
    # Of two files with the same id one is a copy, perhaps of a live one.
    dead = {each.contents.id: each for each in found if names.count(_hex(each.contents.id)) == 1}
    retired = _read_retired(folder, now_ns) if dead else None
    if retired is None:
        return True
    new = [each.contents for number, each in dead.items() if number not in retired.folded]
    # Also of files that cannot be read or removed, which must not be counted again.
    still_there = {number for number in retired.folded if _hex(number) in names}
    generation = max(min(retired.generation, 1 << 62) + 1, time.time_ns())
    header = Header(pid=os.getpid(), created_ns=time.time_ns(), generation=generation)
    pools = [*retired.pools, *(keep_counters(pool) for each in new for pool in each.pools)]
    total = add_up(pools)
    if not all(pool.is_sane for pool in total):
        return True  # nobody would believe it; each file by itself is believed
    data = build_file(header, total, sorted(still_there | dead.keys()))
    if not _replace(folder, data, now_ns):
        return False
    for each in dead.values():
        with suppress(OSError):  # another user's, in a folder with the sticky bit
            Path(each.path).unlink()
    return True


def _hex(number: int) -> str:
    return f"{number:012x}"


@dataclass(frozen=True)
class _Dead:
    path: str
    contents: FileContents


@contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    """Whether nobody else is at it; for the time of the block nobody else is then."""
    lock = _open_lock(folder / LOCK)
    try:
        yield _is_taken(lock)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # also in a child that was forked meanwhile
        os.close(lock)


def _open_lock(path: Path) -> int:
    """Raises OSError for what is no plain file: a pipe would block."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        lock = os.open(path, flags)
    except FileNotFoundError:
        lock = os.open(path, flags | os.O_CREAT, LOCK_MODE)
    status = os.fstat(lock)
    if stat.S_ISREG(status.st_mode):
        if status.st_uid == os.geteuid():
            os.fchmod(lock, LOCK_MODE)  # for every user's processes, whatever the umask
        return lock
    os.close(lock)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_dead(path: str, now_ns: int) -> _Dead | None:
    """A dead process's file; None for any other, and for one that only a later version understands.

    A damaged one is left where it is: the exporter tells that there is one.
    """
    try:
        descriptor = open_file(path)
    except (OSError, UnreadableFile):
        return None
    try:
        if is_alive(descriptor):
            return None
        contents = read_contents(read_bytes(descriptor), now_ns)
    except (OSError, UnreadableFile):
        return None
    finally:
        os.close(descriptor)
    sound = contents.complete and contents.is_sane and path.endswith(f"{_hex(contents.id)}{SUFFIX}")
    return _Dead(path, contents) if sound else None


def _read_retired(folder: Path, now_ns: int) -> FileContents | None:
    """What was folded before; None when it is to be left as it is, to whoever understands it.

    A damaged one is as good as none: what it said is lost already.
    """
    try:
        descriptor = open_file(str(folder / RETIRED))
    except FileNotFoundError:
        return _NOTHING
    except UnreadableFile:
        return None
    try:
        contents = read_contents(read_bytes(descriptor), now_ns)
    except OtherVersion:
        return None
    except UnreadableFile:
        return _NOTHING
    finally:
        os.close(descriptor)
    if not contents.is_sane:
        return _NOTHING
    return contents if contents.complete else None


def add_up(pools: Iterable[Snapshot]) -> list[Snapshot]:
    """The counters of pools that are gone, one snapshot for each identity, a bounded number."""
    found: dict[object, list[Snapshot]] = {}
    for pool in pools:
        if not any(pool.additive):
            continue
        key = pool.pool.identity
        if key not in found and len(found) >= MAX_RETIRED_POOLS:
            pool = replace(pool, pool=BEYOND)
            key = BEYOND.identity
        found.setdefault(key, []).append(pool)
    return [merge(same) for same in found.values()]


def _replace(folder: Path, data: bytes, deadline_ns: int) -> bool:
    """Put a new `retired` in place, unless it is so late that somebody may have counted more."""
    temporary = folder / f".{RETIRED}-{os.getpid()}-{os.urandom(6).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, MODE)
            file.write(data)
        is_in_time = time.monotonic_ns() < deadline_ns
        if is_in_time:
            temporary.rename(folder / RETIRED)
            return True
    except BaseException:
        temporary.unlink()
        raise
    temporary.unlink()
    return False


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes left that were killed while they made a file.

    Another process may be about to make one, but no other is at `retired`.
    """
    before = time.time() - ABANDONED_SECONDS
    with os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                is_retired = entry.name.startswith(f".{RETIRED}-")
                with suppress(OSError):
                    if is_retired or entry.stat(follow_symlinks=False).st_mtime < before:
                        Path(entry.path).unlink()
