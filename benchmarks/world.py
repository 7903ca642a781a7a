"""The reference world: how much of what is knowable the model learns from the rendered files.

    python -m benchmarks.world

2,000 rendered videos, 4,000 viewers, 120 impressions each, eight topics; the training pipeline as a user runs it.
Beside it stands the best honest predictor, whose share is 1, and popularity.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report import Row, record
from rapt import runs, settings, stack

SCALE = {"world_videos": 2000, "viewers": 4000, "events_per_viewer": 120, "max_targets": 48_000}


def main() -> None:
    laptop = settings.load()
    stack.up(laptop)
    outcome = runs.run(laptop, "training", SCALE, Console(stderr=True))
    report = json.loads((Path(outcome.step("evaluate").outputs["report"]) / "report.json").read_text())
    slices = report["slices"]
    rows = [
        _row("share_auc", slices["all"], "share_auc", "auc"),
        _row("share_ne", slices["all"], "share_ne", "ne"),
        _row("share_auc_cold", slices["cold videos"], "share_auc", "auc"),
        _row("ece", slices["all"], "ece", None, better="lower"),
    ]
    for modality, cost in report["without"].items():
        figure = cost["auc"]
        rows.append(
            {
                "name": f"auc_lost_without_{modality}",
                "value": figure["value"],
                "unit": "AUC",
                "better": "higher",
                "interval": (figure["low"], figure["high"]),
            }
        )
    record("main", rows)


def _row(name: str, figures: dict[str, Any], key: str, beside: str | None, better: Any = "higher") -> Row:
    figure = figures[key]
    row: Row = {
        "name": name,
        "value": figure["value"],
        "unit": "share of the best honest predictor" if beside else "probability",
        "better": better,
        "interval": (figure["low"], figure["high"]),
    }
    if beside == "auc":
        row |= {"peer": "popularity", "peer_value": (figures["baseline_auc"] - 0.5) / (figures["honest_auc"] - 0.5)}
    if beside == "ne":
        row |= {"peer": "popularity", "peer_value": (1 - figures["baseline_ne"]) / (1 - figures["honest_ne"])}
    if beside:
        row["ratio"] = row["value"] / (row["peer_value"] or 1.0)
    return row


if __name__ == "__main__":
    main()
