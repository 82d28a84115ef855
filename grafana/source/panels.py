"""Kinds of panels, with a common look."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import common as styles
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.source.queries import Query
from grafana.source.thresholds import NEUTRAL, Steps, build_thresholds

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="$datasource")


def build_time_series(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    no_value: str,
    stacked: bool = False,
    bars: bool = False,
    thresholds: Steps | None = None,
) -> timeseries.Panel:
    """Return lines over time, or with `stacked` areas that add up; thresholds are dashed lines."""
    panel = (
        timeseries.Panel()
        .unit(unit)
        .min(0)
        .draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
        .fill_opacity(60 if bars else 25 if stacked else 5)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER if bars else common.VisibilityMode.AUTO)
        .legend(_build_legend())
        .tooltip(_build_tooltip())
        .title(title)
        .description(description)
        .no_value(no_value)
        .datasource(DATASOURCE)
        .targets(build_targets(queries))
    )
    if stacked or bars:
        panel.stacking(styles.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if thresholds:
        panel.thresholds(build_thresholds(thresholds))
        style = styles.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    return panel


def build_stat(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    thresholds: Steps,
    no_value: str,
    named: bool = False,
) -> stat.Panel:
    """Return one number as of now, coloured by `thresholds`; `named` shows names beside values."""
    text_mode = common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.VALUE
    return (
        stat.Panel()
        .unit(unit)
        .reduce_options(styles.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(text_mode)
        .thresholds(build_thresholds(thresholds))
        .title(title)
        .description(description)
        .no_value(no_value)
        .datasource(DATASOURCE)
        .targets(build_targets(queries, instant=True))
    )


def build_timeline(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    no_value: str,
    thresholds: Steps = NEUTRAL,
    mappings: Sequence[dashboard.ValueMapping] = (),
) -> statetimeline.Panel:
    """Return a line of states for each series, coloured by `thresholds` or `mappings`."""
    # With colours by threshold, Grafana names a state by its threshold instead of its mapping.
    modes = dashboard.FieldColorModeId
    mode = modes.PALETTE_CLASSIC if mappings else modes.THRESHOLDS
    return (
        statetimeline.Panel()
        .unit(unit)
        .color_scheme(builders.FieldColor().mode(mode))
        .thresholds(build_thresholds(thresholds))
        .mappings(list(mappings))
        .show_value(common.VisibilityMode.AUTO)
        .merge_values(True)
        .row_height(0.8)
        .legend(styles.VizLegendOptions().show_legend(False).calcs([]))
        .title(title)
        .description(description)
        .no_value(no_value)
        .datasource(DATASOURCE)
        .targets(build_targets(queries))
    )


def build_heatmap(
    title: str, description: str, unit: str, buckets: str, *, no_value: str
) -> heatmap.Panel:
    """Return a heatmap of a histogram's buckets, the longest on top."""
    target = build_target("A", Query(buckets, "{{le}}")).format(PromQueryFormat.HEATMAP)
    colors = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return (
        heatmap.Panel()
        .unit("cps")
        .calculate(False)
        .color(colors)
        .y_axis(heatmap.YAxisConfig().unit(unit).reverse(False))
        .title(title)
        .description(description)
        .no_value(no_value)
        .datasource(DATASOURCE)
        .targets([target])
    )


def build_targets(
    queries: Sequence[Query], instant: bool = False
) -> list[Builder[variants.Dataquery]]:
    """Return the queries of a panel under the names A, B, C and so on."""
    return [
        build_target(chr(ord("A") + position), query, instant)
        for position, query in enumerate(queries)
    ]


def build_target(name: str, query: Query, instant: bool = False) -> prometheus.Dataquery:
    """Return a query of a panel, over time or as of now."""
    target = prometheus.Dataquery().ref_id(name).expr(query.expr).legend_format(query.legend)
    return target.instant() if instant else target.range()


def draw_as_line(panel: timeseries.Panel, names: str, color: str = "red") -> timeseries.Panel:
    """Draw the series whose names match, such as a limit, as a dashed line across the others."""
    properties = {
        "color": {"mode": "fixed", "fixedColor": color},
        "custom.fillOpacity": 0,
        "custom.lineWidth": 2,
        "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
        "custom.stacking": {"mode": "none", "group": "A"},
    }
    return panel.override_by_regexp(
        f"/^{names}$/",
        [dashboard.DynamicConfigValue(id_val=name, value=v) for name, v in properties.items()],
    )


def _build_legend() -> styles.VizLegendOptions:
    return (
        styles.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
        .sort_by("Last *")
        .sort_desc(True)
    )


def _build_tooltip() -> styles.VizTooltipOptions:
    mode, order = common.TooltipDisplayMode.MULTI, common.SortOrder.DESCENDING
    return styles.VizTooltipOptions().mode(mode).sort(order)
