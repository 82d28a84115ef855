"""Links between the dashboards, which keep the time range and the selection."""

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

OVERVIEW: Final = "sqlalchemy-pool-overview"
POOL_DETAIL: Final = "sqlalchemy-pool-detail"
TAG: Final = "sqlalchemy-pool"
# The alerts' links lead here too. The chart puts the address of the docs in front.
RUNBOOKS: Final = "docs/runbooks.md"

# Kept from the page: without Kubernetes, no row has these labels.
_KEPT: Final = ("datasource", "namespace", "pod")


def build_dashboard_links() -> list[builders.DashboardLink]:
    """Return the links at the top: the dashboards with time and variables, and the runbooks."""
    others = (
        builders.DashboardLink("SQLAlchemy pools")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .keep_time(True)
        .include_vars(True)
    )
    runbooks = (
        builders.DashboardLink("Runbooks")
        .type(dashboard.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip("What each alert means, what to look at and what to change")
        .url(RUNBOOKS)
        .target_blank(True)
    )
    return [others, runbooks]


def build_pool_link(origin: str = "app") -> dict[str, Any]:
    """Return the link from a row of a table of pools to that pool of that pod."""
    row = ("job", "instance", "application", "pool", "database")
    return _build_link("Show this pool", POOL_DETAIL, row, f"var-origin={origin}")


def build_database_link() -> dict[str, Any]:
    """Return the link from a row of a table of databases to the pools that use it."""
    return _build_link("Show its pools", POOL_DETAIL, ("job", "database"), "var-origin=app")


def build_runbook_link() -> dict[str, Any]:
    """Return the link from a row of a table of alerts to that alert's section."""
    url = f"{RUNBOOKS}#${{__data.fields.alertname}}"
    return {"title": "What to do", "url": url, "targetBlank": True}


def _build_link(title: str, uid: str, row: tuple[str, ...], *more: str) -> dict[str, Any]:
    kept = [f"${{{name}:queryparam}}" for name in _KEPT]
    taken = [f"var-{name}=${{__data.fields.{name}:percentencode}}" for name in row]
    parameters = "&".join(["${__url_time_range}", *kept, *taken, *more])
    return {"title": title, "url": f"/d/{uid}?{parameters}", "targetBlank": False}
