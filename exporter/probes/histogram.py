"""The histogram of a probe's phases; knows neither labels nor the text format."""

from __future__ import annotations

from bisect import bisect_left

# The buckets that docs/metrics.md gives for opening a connection.
CONNECT_BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip


class DurationHistogram:
    """Counts durations by bucket.

    `bounds` are the buckets' upper ends in seconds, inclusive. `counts` has one number more than
    `bounds` (the last is what lies above all of them) and is not cumulative. `sum` is in seconds.
    """

    def __init__(self, bounds: tuple[float, ...] = CONNECT_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def __repr__(self) -> str:
        return f"<DurationHistogram count={sum(self.counts)} sum={self.sum:.6f}>"
