"""`python -m grafana.source` writes the dashboards' files; `make dashboards` calls it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.models import dashboard

from grafana.source.layout import render_dashboard
from grafana.source.overview.dashboard import build_overview
from grafana.source.pool_detail.dashboard import build_pool_detail

FOLDER: Final = Path(__file__).parents[1] / "dashboards"
DASHBOARDS: Final[dict[str, Callable[[], dashboard.Dashboard]]] = {
    "overview.json": build_overview,
    "pool-detail.json": build_pool_detail,
}


def main() -> None:
    """Write every dashboard into grafana/dashboards/."""
    FOLDER.mkdir(exist_ok=True)
    for name, build in DASHBOARDS.items():
        (FOLDER / name).write_text(render_dashboard(build()), encoding="utf-8")


if __name__ == "__main__":
    main()
