"""The selection of Pool detail, and texts that its rows share."""

from typing import Final

from grafana.source.queries import Query, Selectors

SELECTED: Final = Selectors("$origin")
BY_POD: Final = "{{pool}} · {{at}}"
AFFECTED: Final = 'pool=~"$pool|"'
NO_POOL: Final = "no such pool is seen: is app.dir set? The exporter's own are under origin: probe"
NO_HOLDERS: Final = "no holders: set SQLALCHEMY_POOL_METRICS_HOLDERS=1 in the application"
NO_LIMIT: Final = "these pools have no limit, or none is seen"
NO_DATABASE: Final = "this pool's database is not configured, so not probed"
_QUANTILES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def list_quantiles(histogram: str) -> list[Query]:
    """Return the median, 95th and 99th percentile of a histogram of the selected pools."""
    return [Query(SELECTED.quantile(value, histogram), name) for value, name in _QUANTILES]
