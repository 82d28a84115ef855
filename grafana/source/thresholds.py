"""Which values are good and which bad, as colours and as words; knows nothing of panels."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

# Each value and the colour from there on; the first has no value.
Steps = Sequence[tuple[float | None, str]]
NEUTRAL: Final[Steps] = ((None, "text"),)
NONE_IS_GOOD: Final[Steps] = ((None, "green"), (1, "red"))
SOME_IS_BAD: Final[Steps] = ((None, "green"), (1e-9, "red"))
FIFTH_IS_BAD: Final[Steps] = ((None, "green"), (0.2, "red"))
# Nine in ten: what is left does not last through a burst.
FULL: Final[Steps] = ((None, "green"), (0.7, "orange"), (0.9, "red"))
# What pools may open of what a server has: above 80 %, a rollout's second set hardly fits.
COMMITTED: Final[Steps] = ((None, "green"), (0.8, "orange"), (1, "red"))
# Callers that wait, or pools in which they do: who waits has not failed yet.
WAITERS: Final[Steps] = ((None, "green"), (1, "orange"))
# Seconds that a caller may wait; half a second is what the alert on slow checkouts begins at.
WAITS: Final[Steps] = ((None, "green"), (0.1, "orange"), (0.5, "red"))
# Seconds that a connection may be out; five minutes is what the alert on long holds begins at.
HELD: Final[Steps] = ((None, "green"), (60, "orange"), (300, "red"))
# The share of pods that reach a database.
UP: Final[Steps] = ((None, "red"), (0.0001, "orange"), (1, "green"))


def build_thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Returns the colours from each value on; the first step has none."""
    config = builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE)
    return config.steps([dashboard.Threshold(value=value, color=color) for value, color in steps])


def build_names(names: dict[str, tuple[str, str]]) -> dashboard.ValueMap:
    """Returns words (and their colours) for values."""
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(text=text, color=color)
            for value, (text, color) in names.items()
        }
    )


def build_range_name(low: float, high: float, text: str, color: str) -> dashboard.RangeMap:
    """Returns a word and its colour for values from `low` to `high`."""
    result = dashboard.ValueMappingResult(text=text, color=color)
    options = dashboard.DashboardRangeMapOptions(from_val=low, to=high, result=result)
    return dashboard.RangeMap(options=options)
