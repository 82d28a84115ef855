"""The shop in a multiprocessing.Pool: `python -m tests.workers.shop.process_pool METHOD PORT`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys

from tests.workers.shop import sales
from tests.workers.shop.front import serve_front
from tests.workers.shop.pool import WORKERS

WORK = {"/": sales.sell, "/gate": sales.wait_at_gate}


def begin_worker() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sales.begin_worker()


def main(method: str, port: int) -> None:
    context = multiprocessing.get_context(method)
    tasks = int(os.environ.get("SHOP_TASKS_PER_WORKER", 0)) or None
    with context.Pool(WORKERS, begin_worker, maxtasksperchild=tasks) as pool:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the workers end with the pool
        serve_front(port, lambda path: pool.apply(WORK[path]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
