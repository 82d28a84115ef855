"""Run slices of a benchmark in its own process, each at a request of `workers`.

It runs in any environment, so it needs only the standard library.
"""

from __future__ import annotations

import gc
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import NoReturn

__all__ = ["REFUSED", "refuse", "serve"]

REFUSED = "refused: "


def serve(run: Callable[[int], int], warm_up: int) -> None:
    """Answer each line of standard input, a number of cycles, with the nanoseconds of `run`.

    Warms up first, and freezes the objects of the start-up out of garbage collection.
    """
    run(warm_up)
    gc.collect()
    gc.freeze()
    print(f"CPython {platform.python_version()}, SQLAlchemy {version('sqlalchemy')}", flush=True)
    for line in sys.stdin:
        print(run(int(line)), flush=True)


def refuse(reason: str) -> NoReturn:
    """Exit instead of serving, because the variant does not work here."""
    print(f"{REFUSED}{reason}", flush=True)
    sys.exit()
