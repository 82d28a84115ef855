"""Arranges panels in rows and builds a dashboard from them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from grafana.source.links import TAG, build_dashboard_links
from grafana.source.panels import DATASOURCE
from grafana.source.queries import alerts, join_labels

COLUMNS: Final = 24
PanelBuilder = Builder[dashboard.Panel]


@dataclass(frozen=True, slots=True)
class Line:
    """Panels side by side; `widths` if they do not share the line evenly."""

    height: int
    panels: Sequence[PanelBuilder]
    widths: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Lines of panels under a heading."""

    title: str
    lines: Sequence[Line]


def build_dashboard(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Builder[dashboard.VariableModel]],
    rows: Sequence[Row],
    affected: str = "",
) -> dashboard.Dashboard:
    """Return a dashboard; alerts whose labels match `affected` are drawn into its panels."""
    model = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .variables(list(variables))
        .annotations(
            [
                _build_annotation("Pages", "red", join_labels(affected, 'severity="page"')),
                _build_annotation("Tickets", "orange", join_labels(affected, 'severity="ticket"')),
            ]
        )
        .links(list(build_dashboard_links()))
        .build()
    )
    model.panels = list(_place(rows))
    return model


def render_dashboard(model: dashboard.Dashboard) -> str:
    """Return a dashboard as the text of its file."""
    encoded = json.loads(JSONEncoder().encode(model))
    # The SDK always puts links and annotations into a menu; without this key they show at the top.
    for each in (*encoded["links"], *encoded["annotations"]["list"]):
        del each["placement"]
    return json.dumps(encoded, indent=2, ensure_ascii=False) + "\n"


def _place(rows: Sequence[Row]) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
    number = y = 0
    for row in rows:
        number += 1
        place = dashboard.GridPos(x=0, y=y, w=COLUMNS, h=1)
        yield dashboard.RowPanel(title=row.title, id_val=number, grid_pos=place)
        y += 1
        for line in row.lines:
            x = 0
            for panel, width in zip(line.panels, _divide(line), strict=True):
                number += 1
                model = panel.build()
                model.id_val = number
                model.grid_pos = dashboard.GridPos(x=x, y=y, w=width, h=line.height)
                yield model
                x += width
            y += line.height


def _divide(line: Line) -> Sequence[int]:
    return line.widths or [COLUMNS // len(line.panels)] * len(line.panels)


def _build_annotation(name: str, color: str, affected: str) -> builders.AnnotationQuery:
    expr = alerts(affected)
    target = prometheus.Dataquery().ref_id("Anno").expr(expr).range()
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(color)
        .target(target)
        # For a Grafana that looks for the expression here.
        .expr(expr)
        .step("60s")
        .title_format("{{alertname}}")
        .text_format("{{application}} {{pool}} {{database}} {{pod}} {{instance}}")
        .tag_keys("severity,database,pool")
        .use_value_for_time(False)
    )
