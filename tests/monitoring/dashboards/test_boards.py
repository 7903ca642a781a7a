"""The dashboards as Grafana gets them: complete, with queries that Prometheus parses and metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.dashboards.build import BOARDS, build
from monitoring.dashboards.panels import Board
from tests.monitoring.alerts.test_rules import ALERTS
from tests.monitoring.exported import asked, exported
from tests.monitoring.promtool import needs_promtool, promtool
from tests.monitoring.runbook import anchors

RUNBOOK = "https://example.com/runbook"
FOR_GRAFANA = {"$__rate_interval": "5m", "$namespace": ".*"}
"""Grafana's variables, and what it may put in their place."""

each = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)


def shown(board: Board) -> list[dict[str, Any]]:
    """The panels of Grafana's JSON but the rows' headings."""
    return [one for one in build(board, RUNBOOK)["panels"] if one["type"] != "row"]


def panel_queries(board: Board) -> dict[str, str]:
    """The queries of panels and marks, as Grafana has them, by where they stand."""
    made = build(board)
    of_panels = {
        f"{panel['title']}, {target['legendFormat']}": target["expr"]
        for panel in made["panels"]
        for target in panel.get("targets", [])
    }
    return of_panels | {f"mark {mark['name']}": mark["expr"] for mark in made["annotations"]["list"]}


def queries(board: Board) -> list[str]:
    """All that Grafana will ask Prometheus."""
    return [filled(query) for query in panel_queries(board).values()]


def filled(query: str) -> str:
    """A query with values of Grafana's variables."""
    for variable, value in FOR_GRAFANA.items():
        query = query.replace(variable, value)
    return query


def test_each_has_an_address_of_its_own() -> None:
    assert len({board.uid for board in BOARDS}) == len(BOARDS) == 5
    assert all(build(board)["uid"] == board.uid for board in BOARDS)


@each
def test_each_panel_says_what_it_shows_and_leads_to_the_runbook(board: Board) -> None:
    assert [panel["title"] for panel in shown(board)] == [panel.title for panel in board.panels]
    for panel in shown(board):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        (link,) = panel["links"]
        page, _, section = link["url"].partition("#")
        assert page == RUNBOOK
        assert section in anchors(), panel["title"]


@each
def test_panels_are_told_apart_and_do_not_overlap(board: Board) -> None:
    panels = build(board)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells


@each
def test_queries_of_a_panel_are_told_apart(board: Board) -> None:
    for panel in shown(board):
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


@each
def test_the_limit_is_drawn_where_there_is_one(board: Board) -> None:
    for panel, made in zip(board.panels, shown(board), strict=True):
        steps = made["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        assert [step["value"] for step in steps if step["value"] is not None] == (
            [] if panel.limit is None else [panel.limit]
        )


@each
def test_rollouts_models_and_retrainings_are_marked_on_every_board(board: Board) -> None:
    marks = build(board)["annotations"]["list"]
    assert [mark["name"] for mark in marks] == ["Rollouts", "Models", "Retrainings", "Retrainings ended"]
    for mark in marks:
        assert mark["enable"]
        assert mark["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        named = set(re.findall(r"{{(\w+)}}", mark["titleFormat"])) | set(mark["tagKeys"].split(","))
        (kept,) = set(re.findall(r"by \(([\w, ]+)\)", mark["expr"]))
        assert named <= set(kept.split(", "))


@needs_promtool
def test_a_mark_stands_where_something_happened_and_nowhere_else(tmp_path: Path) -> None:
    """Asked once a minute, as Grafana asks."""
    marks = {mark["name"]: mark["expr"] for mark in build(BOARDS[0])["annotations"]["list"]}
    series = {
        'rapt_experiment_phase{experiment="e", phase="Running", instance="a"}': "0x24 1x13 _x40",
        # Another instance goes on with the experiment, in the same phase until it is promoted.
        'rapt_experiment_phase{experiment="e", phase="Running", instance="b"}': "_x37 1x6 0x30",
        'rapt_experiment_phase{experiment="e", phase="Promoted", instance="b"}': "_x37 0x6 1x30",
        'rapt_predictions_total{arm="stable", model="old", instance="t"}': "0+60x44 2640x30",
        'rapt_predictions_total{arm="stable", model="new", instance="t"}': "0x44 0+60x30",
        "rapt_retraining_runs_total": "1x29 2x30",
        "rapt_retraining_running": "0x29 1x10 0x30",
    }
    at = {
        "Rollouts": {25: '{experiment="e", phase="Running"}', 44: '{experiment="e", phase="Promoted"}'},
        "Models": {46: '{model="new"}'},
        "Retrainings": {30: "{}"},
        "Retrainings ended": {41: "{}"},
    }
    looks = [
        {
            "expr": f"sum by (experiment, phase, model) (({filled(query)}) * 0 + 1)",
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": at[name][minute], "value": 1}] if minute in at[name] else [],
        }
        for name, query in marks.items()
        for minute in range(20, 55)
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": looks,
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", tmp_path / "tests.yaml")


@needs_promtool
@each
def test_prometheus_parses_each_query(board: Board, tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries(board))]
    assert not any("$" in rule["expr"] for rule in rules)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yaml")


@each
def test_each_metric_of_ours_is_exported(board: Board) -> None:
    for query in queries(board):
        assert asked(query) <= exported()
        assert asked(query) or board.uid == "rapt-platform", f"asks for no metric of ours: {query}"


def test_no_section_of_the_runbook_is_left_alone() -> None:
    alerts = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in ALERTS.values()}
    assert alerts | {panel.section for board in BOARDS for panel in board.panels} == anchors()
