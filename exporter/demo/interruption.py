"""Signals that end the demo, noted instead of obeyed at once.

So nothing is cut off half made: what was started is known and will be stopped, also when somebody
presses Ctrl-C again while it is.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody wants this to end."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, number: int, _frame: FrameType | None) -> None:
        """The handler of the signals."""
        self.requested = True
        if number == signal.SIGHUP:  # the terminal is gone; the web server knows the other two
            signal.raise_signal(signal.SIGTERM)


@contextmanager
def note_interruption() -> Iterator[Interruption]:
    """Notes SIGINT, SIGTERM and SIGHUP for the time of the block; in the main thread only."""
    interruption = Interruption()
    before = {
        number: signal.signal(number, interruption.request)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as nohup has it
    }
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
