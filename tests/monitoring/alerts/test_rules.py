"""The alerting rules under promtool: each fires on a bad day when it should, and is silent on a good one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.alerts.cases import CASES, UP, Case
from tests.monitoring.exported import asked, exported
from tests.monitoring.promtool import needs_promtool, promtool
from tests.monitoring.runbook import RUNBOOK, anchors

ROOT = Path(__file__).parents[3]
RULES = ROOT / "monitoring" / "alerts" / "rules.yaml"
GROUPS = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def looked(series: dict[str, str], alert: str, *looks: tuple[int, bool]) -> dict[str, Any]:
    """A test of promtool's: whether the alert fires at each minute, and no other at all."""
    present = series if alert == "RaptEndpointAbsent" else {UP: "0x300"} | series
    return {
        "name": alert,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in present.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if fires else [],
            }
            for minute, fires in looks
        ],
    }


def both(case: Case) -> list[dict[str, Any]]:
    return [
        looked(case.bad, case.alert, (case.before, False), (case.after, True)),
        looked(case.good, case.alert, (case.before, False), (case.after, False)),
    ]


@needs_promtool
def test_each_alert_fires_when_it_should_and_no_other_does(tmp_path: Path) -> None:
    assert {case.alert for case in CASES} == ALERTS.keys()
    tests = [one for case in CASES for one in both(case)]
    made = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    promtool("test", "rules", tmp_path / "tests.yaml")


@needs_promtool
def test_a_case_that_is_wrong_is_found(tmp_path: Path) -> None:
    case = CASES[0]
    made = {"rule_files": [str(RULES)], "tests": [looked(case.good, case.alert, (case.after, True))]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    with pytest.raises(AssertionError, match="FAILED"):
        promtool("test", "rules", tmp_path / "tests.yaml")


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", RULES)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_it_means_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    told = rule["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert told["summary"].endswith(".")
    assert told["description"].endswith((".", ")."))
    page, _, anchor = told["runbook_url"].partition("#")
    assert page == "docs/runbook.md"
    assert anchor in anchors()


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_asks_for_metrics_that_are_exported(name: str) -> None:
    names = asked(ALERTS[name]["expr"])
    assert names
    assert names <= exported()


def test_the_runbook_names_metrics_that_are_exported() -> None:
    named = {name for name in asked(RUNBOOK.read_text(encoding="utf-8")) if not name.endswith("_")}
    assert {name for name in named if not {name, f"{name}_bucket"} & exported()} == set()


def test_what_cannot_be_had_again_comes_first() -> None:
    names = [group["name"] for group in GROUPS]
    assert names[:3] == ["rapt-exposures", "rapt-labels", "rapt-model"]
