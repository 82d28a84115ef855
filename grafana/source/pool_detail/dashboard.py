"""The dashboard Pool detail: what one pool (or some) does, and why."""

from grafana_foundation_sdk.models import dashboard

from grafana.source.layout import build_dashboard
from grafana.source.links import POOL_DETAIL
from grafana.source.pool_detail.busy import build_busy_row
from grafana.source.pool_detail.churn import build_churn_row
from grafana.source.pool_detail.databases import build_database_row
from grafana.source.pool_detail.exporters import build_exporter_row
from grafana.source.pool_detail.holders import build_holders_row
from grafana.source.pool_detail.leaks import build_leaks_row
from grafana.source.pool_detail.saturation import build_saturation_row
from grafana.source.pool_detail.selection import AFFECTED
from grafana.source.pool_detail.server_limits import build_server_limits_row
from grafana.source.pool_detail.status import build_status_row
from grafana.source.pool_detail.use import build_use_row
from grafana.source.pool_detail.wait import build_wait_row
from grafana.source.variables import build_origin_variable, build_variables


def build_pool_detail() -> dashboard.Dashboard:
    """Return the dashboard of single pools."""
    return build_dashboard(
        POOL_DETAIL,
        "SQLAlchemy pools / Pool detail",
        "What a pool does, and why. Choose one above, or come from the Overview. Several pools are "
        "added up, or shown by pod.",
        [*build_variables(), build_origin_variable()],
        [
            build_status_row(),
            build_saturation_row(),
            build_wait_row(),
            build_holders_row(),
            build_busy_row(),
            build_use_row(),
            build_churn_row(),
            build_leaks_row(),
            build_database_row(),
            build_server_limits_row(),
            build_exporter_row(),
        ],
        affected=AFFECTED,
    )
