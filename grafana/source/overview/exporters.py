"""Overview, last row: whether the exporters themselves work."""

from grafana.source.layout import Line, PanelBuilder, Row
from grafana.source.panels import build_time_series
from grafana.source.queries import (
    POD,
    Query,
    Selectors,
    at,
    exporter,
    of_exporters,
    rate,
    scraped,
    top,
)
from grafana.source.shared import NO_EXPORTER, build_pool_table
from grafana.source.tables import Column, build_table
from grafana.source.thresholds import NONE_IS_GOOD

_OWN = "sqlalchemy_pool_exporter_"


def build_exporter_row() -> Row:
    """Return the row of the exporters."""
    own_pools = build_pool_table(
        "What do the exporters' own pools do?",
        "The pools that the probes use, one for each database; they are separate from the "
        "applications' pools. **Good:** one connection, nearly always idle. **Bad:** callers wait "
        "or time out: probes take longer than their interval. **Do:** see the row Database above.",
        Selectors("probe"),
        no_value="no exporter has a database, or shows it (metrics.probe_pools)",
        origin="probe",
    )
    lines = [
        Line(8, [_list_exporters()]),
        Line(8, [_show_scrapes(), _show_collectors(), _show_memory(), _show_files()]),
        Line(7, [own_pools]),
    ]
    return Row("Exporter", lines)


def _list_exporters() -> PanelBuilder:
    def of_pod(name: str, extra: str = "") -> str:
        return at(f"max by ({POD}) ({exporter(_OWN + name, extra)})")

    collectors = exporter(f"{_OWN}collector_success")
    processor = rate(exporter("process_cpu_seconds_total"))
    failed = {"0": ("failed", "red"), "1": ("ok", "green")}
    loaded = of_pod("config_last_reload_success_timestamp_seconds")
    columns = [
        Column(
            "Build",
            at(
                f"max by ({POD}, version, python, sqlalchemy) "
                f"({exporter('sqlalchemy_pool_exporter_build_info')})"
            ),
            hidden=True,
        ),
        Column("Scraped", at(f"max by ({POD}) ({scraped()})"), names=failed),
        Column("Configuration", of_pod("config_last_reload_successful"), names=failed),
        Column("Loaded", f"1000 * {loaded}", "dateTimeFromNow"),
        Column("Collectors", at(f"min by ({POD}) ({collectors})"), names=failed),
        Column("Unreadable files", of_pod("app_files", 'state="unreadable"'), steps=NONE_IS_GOOD),
        Column("Pools not shown", of_pod("app_pools_not_shown"), steps=NONE_IS_GOOD),
        Column("CPU", at(of_exporters(f"sum by ({POD}) ({processor})")), "percentunit", 1),
    ]
    return build_table(
        "Can each exporter be believed?",
        "**Good:** everything is ok, with one version everywhere. **Bad:** configuration failed: "
        "the exporter continues with the previous one, and its log names each mistake; a collector "
        "failed, files are unreadable or pools are not shown: some metrics are missing. **Do:** "
        "read the log of the container pool-exporter in that pod; for pools, the application's.",
        columns,
        first=("at", "namespace", "version", "python", "sqlalchemy"),
        sort="Pod",
        descending=False,
        no_value=NO_EXPORTER,
    )


def _show_scrapes() -> PanelBuilder:
    duration = of_exporters(exporter("scrape_duration_seconds"))
    return build_time_series(
        "How long does a scrape take?",
        "The ten longest, including the network. **Good:** far below a second. **Bad:** near "
        "Prometheus' scrape_timeout (10 s by default): scrapes fail. **Do:** see which collector "
        "is slow; the usual cause is too little CPU.",
        "s",
        Query(top(10, duration), "{{at}}"),
        no_value=NO_EXPORTER,
    )


def _show_collectors() -> PanelBuilder:
    duration = exporter(f"{_OWN}collector_duration_seconds")
    return build_time_series(
        "Which part of a scrape is slow?",
        "Longest duration over all exporters, by collector. **Good:** milliseconds. **Bad:** the "
        "application's pools take long: very many processes or files. **Do:** see the panel on "
        "files in this row.",
        "s",
        Query(f"max by (collector) ({duration})", "{{collector}}"),
        no_value=NO_EXPORTER,
    )


def _show_memory() -> PanelBuilder:
    resident = of_exporters(exporter("process_resident_memory_bytes"))
    return build_time_series(
        "How much memory do exporters use?",
        "The ten largest. **Good:** below 100 MB, and flat. **Bad:** rising for days. **Do:** "
        "raise the container's limit for now, and report the problem with the number of databases "
        "and pools.",
        "bytes",
        Query(top(10, resident), "{{at}}"),
        no_value="not available on this system",
    )


def _show_files() -> PanelBuilder:
    return build_time_series(
        "Are the files of the applications' processes read?",
        "Files in app.dir over all exporters, by state. **Good:** one live file for each process, "
        "few dead. **Bad:** unreadable: damaged or of a newer version; 0 live: the application "
        "does not write there. **Do:** check the folder, its owner and the environment variable as "
        "docs/application.md explains.",
        "short",
        Query(f"sum by (state) ({exporter(_OWN + 'app_files')})", "{{state}}"),
        no_value="app.dir is not set",
    )
