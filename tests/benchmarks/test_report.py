"""Figures are merged by name: a new run replaces its own and keeps those of others."""

import json
from pathlib import Path

from benchmarks.report import record


def test_a_row_replaces_the_one_of_its_name_and_keeps_the_others(tmp_path: Path) -> None:
    record("b", [{"name": "x", "value": 1.0, "unit": "s", "better": "lower"}], tmp_path)
    record("b", [{"name": "y", "value": 2.0, "unit": "s", "better": "lower", "ratio": 3.0}], tmp_path)
    path = record("b", [{"name": "x", "value": 5.0, "unit": "s", "better": "lower"}], tmp_path)
    rows = {row["name"]: row for row in json.loads(path.read_text())}
    assert {name: row["value"] for name, row in rows.items()} == {"x": 5.0, "y": 2.0}
    assert rows["y"]["ratio"] == 3.0
    assert set(rows["x"]) == {"name", "value", "unit", "better", "peer", "peer_value", "ratio", "interval"}
