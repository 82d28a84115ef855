"""A worker that obeys commands, a line each on standard input; a program of its own.

    python -m tests.faults.steady_worker [UID]

Each answer is a line of JSON. Its log goes to standard error.
"""

import json
import os
import re
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.pool import QueuePool

from sqlalchemy_pool_metrics import instrument, read_pool
from sqlalchemy_pool_metrics.registry import PROCESS
from tests.agent.stub_driver import build_engine


class Worker:
    """A worker with one engine, which is recorded unless the command says otherwise."""

    def __init__(self) -> None:
        self.engine = build_engine(QueuePool, pool_size=5)
        self.out: list[Any] = []

    def instrument(self) -> None:
        instrument(self.engine, name="steady")

    def use(self, times: int = 1) -> int:
        for _ in range(times):
            self.engine.raw_connection().close()
        return os.getpid()

    def hold(self) -> int:
        self.out.append(self.engine.raw_connection())
        return len(self.out)

    def read(self) -> int:
        return read_pool(self.engine).checkouts

    def fill(self) -> None:
        """Use all space of the folder."""
        path = Path(os.environ["SQLALCHEMY_POOL_METRICS_DIR"], "full")
        with path.open("wb") as file, suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(4096))

    def look(self) -> bool:
        """Run the maintenance of the file, which is due every few seconds."""
        file = PROCESS._sharing.file
        if file is not None:
            file.request_check()
            PROCESS.request_maintenance()
        return file is not None

    def describe(self) -> dict[str, Any]:
        """Return what recording must not change in an application's process."""
        status = Path("/proc/self/status").read_text()
        links = [
            str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()
        ]
        return {
            "threads": threading.active_count(),
            "tasks": len(list(Path("/proc/self/task").iterdir())),
            "handlers": [str(signal.getsignal(number)) for number in signal.valid_signals()],
            # Not SigQ, which counts the pending signals of all processes of this user.
            "caught": re.findall(r"^Sig(?!Q).*", status, re.MULTILINE),
            "descriptors": sorted(
                re.sub(r"\d+", "", link) for link in links if not link.endswith(".pool")
            ),
            "files": sum(link.endswith(".pool") for link in links),
            "meta_path": [str(type(each)) for each in sys.meta_path],
            "children": Path("/proc/self/task", str(os.getpid()), "children").read_text(),
        }


def main() -> None:
    """Run until standard input ends."""
    worker = Worker()
    if len(sys.argv) > 1:
        os.setgid(int(sys.argv[1]))
        os.setuid(int(sys.argv[1]))
    for line in sys.stdin:
        name, *numbers = line.split()
        answer = getattr(worker, name)(*map(int, numbers))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
