"""Merge the files of dead processes into the file `retired` and delete them.

The counters of a dead process must be kept: Prometheus takes a counter that falls for a restart and
adds its whole value again. Each new process of the application merges; readers never write.

Readers need no lock. They read `retired`, then the files whose ids it does not name, then check
that `retired` is still the same. It is replaced in one step. A process killed before that step has
changed nothing; one killed after it leaves files that no reader counts any more.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .clock import monotonic_ns
from .file_format import (
    FileContents,
    Header,
    OtherVersion,
    UnreadableFile,
    build_file,
    read_contents,
)
from .file_reader import RETIRED, SUFFIX, fcntl, is_alive, list_files, open_file, read_bytes
from .process_file import MODE
from .snapshot import PoolDescription, Snapshot, keep_counters, merge

__all__ = ["DROPPED", "MAX_DROPPED_POOLS", "merge_dead_files"]

LOCK = "gc.lock"
LOCK_MODE = 0o644
MAX_DROPPED_POOLS = 256
"""Pools that are gone and that a process keeps under their names."""
MAX_RETIRED_POOLS = 1000
"""Pools of all dead processes that `retired` keeps under their names."""
DROPPED = PoolDescription(name="dropped")
"""Counts all pools that are gone beyond those."""
ABANDONED_SECONDS = 60.0
_TEMPORARY = re.compile(r"\..+-\d+-[0-9a-f]{12}\.tmp")
MARGINS_NS = (20_000_000, 200_000_000, 2_000_000_000)
"""Operations in flight in a dead process count until this long after now. Until `retired` is
replaced, readers count them until their own time, and no counter may fall afterwards. A merge that
takes longer is tried again with the next margin."""
_NOTHING = FileContents(0, 0, 0, frozenset(), True, ())


def merge_dead_files(folder: Path) -> None:
    """Merge and delete the files of dead processes, unless another process is doing it.

    Never waits for a lock. On an OSError nothing that readers count has changed.
    """
    with _try_lock(folder) as is_locked:
        if is_locked:
            _remove_abandoned(folder)
            any(_merge(folder, margin_ns) for margin_ns in MARGINS_NS)


def _merge(folder: Path, margin_ns: int) -> bool:
    """Merge the files; return False when that took longer than the margin."""
    now_ns = monotonic_ns() + margin_ns
    paths = list_files(folder)
    names = " ".join(paths)
    found = [each for path in paths if (each := _read_dead(path, now_ns))]
    # Of two files with the same id one is a copy, perhaps of a live one.
    dead = {each.contents.id: each for each in found if names.count(_hex(each.contents.id)) == 1}
    retired = _read_retired(folder, now_ns) if dead else None
    if retired is None:
        return True
    new = [each.contents for number, each in dead.items() if number not in retired.merged_ids]
    # An id stays listed while its file exists: one that cannot be deleted must not count again.
    still_there = {number for number in retired.merged_ids if _hex(number) in names}
    generation = max(min(retired.generation, 1 << 62) + 1, time.time_ns())
    header = Header(pid=os.getpid(), created_ns=time.time_ns(), generation=generation)
    pools = [*retired.pools, *(keep_counters(pool) for each in new for pool in each.pools)]
    total = _merge_by_identity(pools)
    if not all(pool.is_sane for pool in total):
        return True  # readers would reject the sum, but they accept each file by itself
    data = build_file(header, total, sorted(still_there | dead.keys()))
    if not _replace_retired(folder, data, now_ns):
        return False
    for each in dead.values():
        with suppress(OSError):  # another user's, in a folder with the sticky bit
            Path(each.path).unlink()
    return True


def _hex(number: int) -> str:
    return f"{number:012x}"


@dataclass(frozen=True)
class _DeadFile:
    path: str
    contents: FileContents


@contextmanager
def _try_lock(folder: Path) -> Iterator[bool]:
    """Hold the folder's merge lock for the block; yield whether it was free."""
    lock = _open_lock(folder / LOCK)
    try:
        yield _lock_if_free(lock)
    finally:
        # LOCK_UN, because a child that was forked meanwhile has the descriptor, too.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _open_lock(path: Path) -> int:
    """Return a descriptor of the lock file; OSError for a pipe or the like, which could block."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        lock = os.open(path, flags)
    except FileNotFoundError:
        lock = os.open(path, flags | os.O_CREAT, LOCK_MODE)
    status = os.fstat(lock)
    if stat.S_ISREG(status.st_mode):
        if status.st_uid == os.geteuid():
            os.fchmod(lock, LOCK_MODE)  # for processes of every user, whatever the umask
        return lock
    os.close(lock)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def _lock_if_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_dead(path: str, now_ns: int) -> _DeadFile | None:
    """Return a dead process's file; None for others, and for one of a later format.

    A damaged file stays where it is, and the exporter reports it.
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
    is_sound = (
        contents.complete and contents.is_sane and path.endswith(f"{_hex(contents.id)}{SUFFIX}")
    )
    return _DeadFile(path, contents) if is_sound else None


def _read_retired(folder: Path, now_ns: int) -> FileContents | None:
    """Return the counters merged so far; None if this version cannot read all of them.

    A damaged file counts as an empty one: its counters are lost already.
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


def _merge_by_identity(pools: Iterable[Snapshot]) -> list[Snapshot]:
    """Return one snapshot of counters per identity, at most MAX_RETIRED_POOLS and `DROPPED`."""
    found: dict[object, list[Snapshot]] = {}
    for pool in pools:
        if not any(pool.additive):
            continue
        key = pool.pool.identity
        if key not in found and len(found) >= MAX_RETIRED_POOLS:
            pool = pool._replace(pool=DROPPED)
            key = DROPPED.identity
        found.setdefault(key, []).append(pool)
    return [merge(same) for same in found.values()]


def _replace_retired(folder: Path, data: bytes, deadline_ns: int) -> bool:
    """Replace `retired`, unless the deadline has passed: a reader may have counted more by then."""
    temporary = folder / f".{RETIRED}-{os.getpid()}-{os.urandom(6).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, MODE)
            file.write(data)
        is_in_time = monotonic_ns() < deadline_ns
        if is_in_time:
            temporary.rename(folder / RETIRED)
            return True
    except BaseException:
        temporary.unlink()
        raise
    temporary.unlink()
    return False


def _remove_abandoned(folder: Path) -> None:
    """Delete the temporary files of processes that were killed while they created a file."""
    before = time.time() - ABANDONED_SECONDS
    with os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                # Another process may be creating its file now; none replaces `retired`: we have
                # the lock.
                is_retired = entry.name.startswith(f".{RETIRED}-")
                with suppress(OSError):
                    if is_retired or entry.stat(follow_symlinks=False).st_mtime < before:
                        Path(entry.path).unlink()
