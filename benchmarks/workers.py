"""Compare variants: a process for each, in slices that take turns on one CPU.

Processes, because variants in one process influence each other: CPython specializes the code of
SQLAlchemy that they share, and listeners and environment variables apply to the whole process.
Slices, because the machine's speed drifts: each slice is compared to the peer's in the same round.
Several launches, because the memory layout of a process changes times by a few percent.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.slices import REFUSED

__all__ = ["Command", "Extent", "Measured", "compare"]


@dataclass(frozen=True)
class Command:
    """The command of a variant's process; `environment` is added to ours, None removes a name."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Extent:
    """The extent of a measurement: `launches` of all processes, `rounds` of slices in each."""

    launches: int
    rounds: int
    cycles: int


@dataclass
class Measured:
    """The results of one variant: nanoseconds per cycle, and ratios to the peer's, by launch."""

    refusal: str = ""
    cycle_ns: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """The median of each launch."""

    @property
    def typical_ns(self) -> float:
        """The median of the nanoseconds per cycle."""
        return median(self.cycle_ns)

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)


class Worker:
    """A variant's process; `greeting` names its versions, `refusal` why it does not run."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        greeting = self._read()
        self.refusal = greeting.removeprefix(REFUSED) if greeting.startswith(REFUSED) else ""
        self.greeting = greeting

    def run(self, cycles: int) -> float:
        """Run one slice and return its nanoseconds per cycle."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{cycles}\n")
        self._process.stdin.flush()
        return int(self._read()) / cycles

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return line


def compare(variants: Mapping[str, Command], extent: Extent) -> tuple[str, dict[str, Measured]]:
    """Return the versions of the peer, which is the first variant, and the results of all."""
    peer = next(iter(variants))
    measured = {name: Measured() for name in variants}
    greeting = ""
    for _ in range(extent.launches):
        with _launch(variants) as workers:
            greeting = workers[peer].greeting
            for name, worker in workers.items():
                measured[name].refusal = worker.refusal
            _measure(measured, peer, workers, extent)
    return greeting, measured


def _measure(
    measured: Mapping[str, Measured], peer: str, workers: Mapping[str, Worker], extent: Extent
) -> None:
    running = [name for name, worker in workers.items() if not worker.refusal]
    slices: dict[str, list[float]] = {name: [] for name in running}
    for number in range(extent.rounds):
        # Every other round backwards: nobody has the same neighbours each time.
        for name in running[:: -1 if number % 2 else 1]:
            slices[name].append(workers[name].run(extent.cycles))
    for name, own in slices.items():
        ratios = [mine / plain for mine, plain in zip(own, slices[peer], strict=True)]
        measured[name].cycle_ns += own
        measured[name].ratios.append(median(ratios))


@contextmanager
def _launch(variants: Mapping[str, Command]) -> Iterator[dict[str, Worker]]:
    with ExitStack() as stack:
        started = {name: stack.enter_context(_start(c)) for name, c in variants.items()}
        yield {name: Worker(process) for name, process in started.items()}


@contextmanager
def _start(command: Command) -> Iterator[subprocess.Popen[str]]:
    changed = {**os.environ, **command.environment}
    environment = {name: value for name, value in changed.items() if value is not None}
    with subprocess.Popen(
        command.arguments,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        _pin(process.pid)
        try:
            yield process
        finally:
            process.kill()


def _pin(pid: int) -> None:
    """Pin a process to the last CPU that it may use, if the operating system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {max(os.sched_getaffinity(0))})
