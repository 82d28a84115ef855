"""The variables of both dashboards; each offers what the ones before it leave."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from grafana.source.panels import DATASOURCE
from grafana.source.queries import FLEET_MATCHERS, POD_MATCHERS

_EXPORTERS: Final = "sqlalchemy_pool_exporter_build_info"
_POOLS: Final = "sqlalchemy_pool_checkouts_total"
# Some databases appear only in probes, others only in an application's pools.
_BOTH: Final = '__name__=~"sqlalchemy_database_up|sqlalchemy_pool_checkouts_total"'

# `.+` if every series has the label; `.*` also matches series without it, as outside Kubernetes.
_QUERIES: Final = {
    "namespace": (_EXPORTERS, ".*"),
    "job": (f'{_EXPORTERS}{{namespace=~"$namespace"}}', ".+"),
    "pod": (f"{_EXPORTERS}{{{FLEET_MATCHERS}}}", ".*"),
    "instance": (f'{_EXPORTERS}{{{FLEET_MATCHERS}, pod=~"$pod"}}', ".+"),
    "application": (f"{_POOLS}{{{POD_MATCHERS}}}", ".*"),
    "database": (f"{{{_BOTH}, {POD_MATCHERS}}}", ".*"),
    "pool": (
        f'{_POOLS}{{{POD_MATCHERS}, application=~"$application", database=~"$database"}}',
        ".*",
    ),
}


def build_variables() -> list[Builder[dashboard.VariableModel]]:
    """Return the variables, in the order of their dependence."""
    source = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    queries = [
        _build_query_variable(name, f"label_values({series}, {name})", all_value)
        for name, (series, all_value) in _QUERIES.items()
    ]
    return [source, *queries]


def build_origin_variable() -> builders.CustomVariable:
    """Return the variable that selects applications' pools or the exporters' own."""
    return (
        builders.CustomVariable("origin")
        .label("Origin")
        .description("app: the applications' pools; probe: the exporters' own pools")
        .values("app,probe")
        .current(dashboard.VariableOption(selected=True, text="app", value="app"))
        .options(
            [
                dashboard.VariableOption(selected=True, text="app", value="app"),
                dashboard.VariableOption(selected=False, text="probe", value="probe"),
            ]
        )
    )


def _build_query_variable(name: str, query: str, all_value: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(name.title())
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
    )
