"""The dashboard Overview: every pod, pool and database, and where something is wrong."""

from grafana_foundation_sdk.models import dashboard

from grafana.source.layout import build_dashboard
from grafana.source.links import OVERVIEW
from grafana.source.overview.databases import build_database_row
from grafana.source.overview.exporters import build_exporter_row
from grafana.source.overview.saturation import build_saturation_row
from grafana.source.overview.server_limits import build_server_limits_row
from grafana.source.overview.status import build_status_row
from grafana.source.overview.wait import build_wait_row
from grafana.source.variables import build_variables


def build_overview() -> dashboard.Dashboard:
    """Return the dashboard of the fleet."""
    return build_dashboard(
        OVERVIEW,
        "SQLAlchemy pools / Overview",
        "Every pod, pool and database: where is something wrong? A pool's name links to its "
        "details.",
        build_variables(),
        [
            build_status_row(),
            build_saturation_row(),
            build_wait_row(),
            build_database_row(),
            build_server_limits_row(),
            build_exporter_row(),
        ],
    )
