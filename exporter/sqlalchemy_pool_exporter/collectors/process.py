"""The process_ and python_ families of prometheus_client, read in a tenth of its time."""

import os
import platform
import resource
import time
from pathlib import Path
from typing import Final, NamedTuple

from sqlalchemy_pool_exporter.collectors.exposition import Scrape
from sqlalchemy_pool_exporter.collectors.families import FamilyRenderer
from sqlalchemy_pool_metrics.families import Family, Series, single

MEMORY: Final = "/proc/self/statm"
FILES: Final = "/proc/self/fd"
PAGE_BYTES: Final = resource.getpagesize()


class Usage(NamedTuple):
    """What the process uses now; numbers in the units of the families."""

    virtual_memory: int
    resident_memory: int
    started_at: float
    cpu_time: float
    open_files: int
    max_files: int


PROCESS_FAMILIES: Final[tuple[Family[Usage], ...]] = (
    Family(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        lambda usage: single(usage.virtual_memory),
    ),
    Family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        lambda usage: single(usage.resident_memory),
    ),
    Family(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        lambda usage: single(usage.started_at),
    ),
    Family(
        "process_cpu_seconds",
        "counter",
        "Total user and system CPU time spent in seconds.",
        lambda usage: single(usage.cpu_time),
    ),
    Family(
        "process_open_fds",
        "gauge",
        "Number of open file descriptors.",
        lambda usage: single(usage.open_files),
    ),
    Family(
        "process_max_fds",
        "gauge",
        "Maximum number of open file descriptors.",
        lambda usage: single(usage.max_files),
    ),
)


def read_python(_: None) -> Series:
    """Return which Python this is."""
    version, implementation = platform.python_version(), platform.python_implementation()
    return [(version, implementation, *platform.python_version_tuple())], [1]


PYTHON_FAMILIES: Final[tuple[Family[None], ...]] = (
    Family(
        "python_info",
        "gauge",
        "Python platform information",
        read_python,
        labels=("version", "implementation", "major", "minor", "patchlevel"),
    ),
)


class ProcessCollector:
    """This process, as Linux sees it; elsewhere it has no series."""

    def __init__(self) -> None:
        self._started_at = read_start_time() if Path(MEMORY).exists() else None
        self._renderer = FamilyRenderer(PROCESS_FAMILIES)

    def render(self, scrape: Scrape) -> list[str]:
        """Return memory, CPU time and files."""
        usage = None if self._started_at is None else read_usage(self._started_at)
        return self._renderer.render(scrape, [({}, usage)] if usage else [])


class PythonCollector:
    """The interpreter."""

    def __init__(self) -> None:
        self._renderer = FamilyRenderer(PYTHON_FAMILIES)

    def render(self, scrape: Scrape) -> list[str]:
        """Return its version."""
        return self._renderer.render(scrape, [({}, None)])


def read_usage(started_at: float) -> Usage:
    """Return what a process that started then uses now."""
    virtual_pages, resident_pages, *_ = read_bytes(MEMORY).split()
    with os.scandir(FILES) as files:
        open_files = len(list(files))
    return Usage(
        virtual_memory=int(virtual_pages) * PAGE_BYTES,
        resident_memory=int(resident_pages) * PAGE_BYTES,
        started_at=started_at,
        cpu_time=time.process_time(),
        open_files=open_files,
        max_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def read_start_time() -> float:
    """Return when this process started, in Unix seconds: the time of the boot, and ticks since."""
    ticks = int(read_bytes("/proc/self/stat").rpartition(b")")[2].split()[19])
    with Path("/proc/stat").open("rb") as lines:
        (boot,) = [int(line.split()[1]) for line in lines if line.startswith(b"btime ")]
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def read_bytes(path: str) -> bytes:
    """Return a short file of the kernel, in a tenth of the time that Python's files take."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
