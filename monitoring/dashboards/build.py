"""Grafana's JSON of all dashboards, by Grafana's own foundation SDK."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphThresholdsStyleMode, LegendDisplayMode, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
)

from monitoring.dashboards import experiments, platform, quality, serving, stream
from monitoring.dashboards.marks import MARKS, STEP
from monitoring.dashboards.panels import Board, Panel

BOARDS: tuple[Board, ...] = (serving.BOARD, stream.BOARD, experiments.BOARD, quality.BOARD, platform.BOARD)
RUNBOOK = "docs/runbook.md"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
MEANS = {"$in": 'namespace=~"$namespace"', "$every": "$__rate_interval"}
WIDTH, HEIGHT = 8, 8
"""Of a panel, where the page is 24 wide."""


def build(board: Board, runbook: str = RUNBOOK) -> dict[str, Any]:
    """A dashboard as Grafana takes it; its panels lead to sections of the page at `runbook`."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags(["rapt"])
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_namespace())
    )
    number = count(1)
    for row in board.rows:
        made.with_row(dashboard.Row(row.title).id(next(number)))
        for panel in row.panels:
            made.with_panel(_panel(panel, runbook).id(next(number)))
    document: dict[str, Any] = json.loads(JSONEncoder().encode(made.build()))
    document["annotations"] = {"list": _marks()}
    return document


def promql(query: str) -> str:
    """A query with what its short forms stand for."""
    for short, meaning in MEANS.items():
        query = query.replace(short, meaning)
    return query


def _marks() -> list[dict[str, Any]]:
    """Annotations as Grafana's Prometheus takes them; the SDK knows neither their titles nor their tags."""
    source = {"type": SOURCE.type_val, "uid": SOURCE.uid}
    return [
        {
            "name": mark.name, "datasource": source, "enable": True, "hide": False, "iconColor": mark.colour,
            "expr": promql(mark.query), "step": STEP, "titleFormat": mark.title, "textFormat": "", "tagKeys": mark.tags,
        }
        for mark in MARKS
    ]  # fmt: skip


def _others() -> dashboard.DashboardLink:
    """A way to the other dashboards, with the same time and choice."""
    link = dashboard.DashboardLink("Rapt").type(DashboardLinkType.DASHBOARDS).tags(["rapt"])
    return link.as_dropdown(True).keep_time(True).include_vars(True)


def _namespace() -> dashboard.QueryVariable:
    """All unless one is chosen; a Prometheus beside a laptop's stack knows none."""
    variable = dashboard.QueryVariable("namespace").label("Namespace").datasource(SOURCE)
    everything = VariableOption(text="All", value="$__all")
    return (
        variable.query("label_values(rapt_exposures_lost_total, namespace)")
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def _panel(panel: Panel, runbook: str) -> timeseries.Panel:
    link = dashboard.DashboardLink("Runbook").type(DashboardLinkType.LINK).target_blank(True)
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(WIDTH)
        .height(HEIGHT)
        .links([link.url(f"{runbook}#{panel.section}")])
        .fill_opacity(10)
        .legend(common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for number, (legend, query) in enumerate(panel.queries.items()):
        asked = prometheus.Dataquery().ref_id(chr(ord("A") + number)).datasource(SOURCE)
        made.with_target(asked.expr(promql(query)).legend_format(legend).range())
    if panel.limit is not None:
        steps = [Threshold(value=None, color="transparent"), Threshold(value=panel.limit, color="red")]
        made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return made
