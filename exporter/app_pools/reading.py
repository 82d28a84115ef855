"""What a folder of shared files said at one moment: values, without a trace of how they were read.

It must not know labels or families.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy_pool_metrics import Snapshot


class FileState(StrEnum):
    """What a file is to its reader; the words are a label's values."""

    LIVE = "live"
    DEAD = "dead"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class ProcessPools:
    """The pools of one process, under its id and the file's: `4711-0123456789ab`.

    Of a dead process only counters are left (`processes` 0). `process` is empty for those whose
    files are gone already, all together.
    """

    process: str
    pools: Sequence[Snapshot]


@dataclass(frozen=True, slots=True)
class AppReading:
    """Every process's pools, and how many files there are of each state, if there is a folder.

    `problem` is why the folder cannot be read.
    """

    processes: Sequence[ProcessPools]
    files: Mapping[FileState, int]
    problem: str = ""


NO_FOLDER = AppReading((), {})
# Whatever is in a folder that cannot be read counts as one file, so that its gauge tells of it.
UNREADABLE_FOLDER = AppReading((), dict.fromkeys(FileState, 0) | {FileState.UNREADABLE: 1})
