"""How many examples to try: a few by default, FUZZ_EXAMPLES if it is set."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
# Far more than anything here takes, on a machine that is busy.
HANGS_SECONDS = 60
SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


def fuzz(share: float = 1.0) -> settings:
    """Return the settings of a test that runs this share of FUZZ_EXAMPLES."""
    count = max(1, int(EXAMPLES * share))
    return settings(max_examples=count, deadline=None, suppress_health_check=SUPPRESSED)


@contextmanager
def fail_when_it_hangs(seconds: int = HANGS_SECONDS) -> Iterator[None]:
    """Raise TimeoutError in a block that takes too long; for the main thread."""
    before = signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("it hangs")
