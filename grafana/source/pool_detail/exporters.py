"""Pool detail, last row: where these numbers come from."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series, build_timeline
from grafana.source.pool_detail.selection import BY_POD, SELECTED
from grafana.source.queries import POD, POOL, Query, at, exporter, of_exporters
from grafana.source.shared import NO_EXPORTER
from grafana.source.thresholds import build_names


def build_exporter_row() -> Row:
    """Return the row of the exporters that see these pools."""
    return Row("Exporter", [Line(8, [_show_processes(), _show_files(), _show_scraped()])])


def _show_processes() -> PanelBuilder:
    return build_time_series(
        "How many processes have this pool?",
        "Live processes in which a caller has requested a connection at least once. **Good:** as "
        "many as workers, once each has had a request. **Bad:** fewer: workers die or are not "
        "instrumented. **Do:** see docs/application.md.",
        "short",
        Query(at(f"sum by ({POOL}) ({SELECTED.pool('processes')})"), BY_POD),
        no_value="the exporter's own pools have none, and no application's is seen",
    )


def _show_files() -> PanelBuilder:
    files = exporter("sqlalchemy_pool_exporter_app_files")
    return build_time_series(
        "Are the files of the processes read?",
        "Files in app.dir by pod and state. **Good:** one live file for each process. **Bad:** "
        "unreadable: damaged or of a newer version. **Do:** see docs/application.md.",
        "short",
        Query(at(f"sum by ({POD}, state) ({files})"), "{{state}} · {{at}}"),
        no_value="app.dir is not set",
    )


def _show_scraped() -> PanelBuilder:
    return build_timeline(
        "When was the exporter scraped?",
        "**Good:** yes throughout. **Bad:** no: only the counters, which catch up at the next "
        "scrape, cover that time. **Do:** look at the target's error in Prometheus.",
        "short",
        Query(at(of_exporters(exporter("up"))), "{{at}}"),
        mappings=[build_names({"0": ("no", "red"), "1": ("yes", "green")})],
        no_value=NO_EXPORTER,
    )
