"""Thresholds and value mappings: which values are good and which bad."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

# Values and the colour from each on; the first has no value.
Steps = Sequence[tuple[float | None, str]]
NEUTRAL: Final[Steps] = ((None, "text"),)
NONE_IS_GOOD: Final[Steps] = ((None, "green"), (1, "red"))
SOME_IS_BAD: Final[Steps] = ((None, "green"), (1e-9, "red"))
FIFTH_IS_BAD: Final[Steps] = ((None, "green"), (0.2, "red"))
# At 90 %, the rest does not last through a burst.
FULL: Final[Steps] = ((None, "green"), (0.7, "orange"), (0.9, "red"))
# The pools' share of the server's connections: above 80 % a rollout's second set hardly fits.
COMMITTED: Final[Steps] = ((None, "green"), (0.8, "orange"), (1, "red"))
# Waiting callers, or pools that have some: orange, because they have not failed yet.
WAITERS: Final[Steps] = ((None, "green"), (1, "orange"))
# Seconds that a caller waits; the alert on slow checkouts begins at half a second.
WAITS: Final[Steps] = ((None, "green"), (0.1, "orange"), (0.5, "red"))
# Seconds that a connection is out; the alert on long holds begins at five minutes.
HELD: Final[Steps] = ((None, "green"), (60, "orange"), (300, "red"))
# The share of pods that reach a database.
UP: Final[Steps] = ((None, "red"), (0.0001, "orange"), (1, "green"))


def build_thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Return the colours from each value on; the first step has none."""
    config = builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    return config.steps([dashboard.Threshold(value=value, color=color) for value, color in steps])


def build_names(names: dict[str, tuple[str, str]]) -> dashboard.ValueMap:
    """Return words (and their colours) for values."""
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(text=text, color=color)
            for value, (text, color) in names.items()
        }
    )


def build_range_name(low: float, high: float, text: str, color: str) -> dashboard.RangeMap:
    """Return a word and its colour for values from `low` to `high`."""
    result = dashboard.ValueMappingResult(text=text, color=color)
    options = dashboard.DashboardRangeMapOptions(from_val=low, to=high, result=result)
    return dashboard.RangeMap(options=options)
