"""What is selected on Pool detail, and the words that its rows share."""

from typing import Final

from grafana.source.queries import Selectors

SELECTED: Final = Selectors("$origin")
BY_POD: Final = "{{pool}} · {{at}}"
AFFECTED: Final = 'pool=~"$pool|"'
NO_POOL: Final = "no such pool is seen: is app.dir set? The exporter's own are under origin: probe"
NO_LIMIT: Final = "these pools have no limit, or none is seen"
NO_DATABASE: Final = "this pool's database is not configured, so not probed"
