"""Report how the serving model does, as the CronJob of a cluster and the laptop's service do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitoring.reports.job import KEEP_DAYS, make, words
from wire.objects import ObjectStore

DRIFTED, STEADY, UNKNOWN = "drifted", "steady", "unknown"
HTML = "evidently.html"
NOTHING = "<!doctype html><title>Rapt</title><p>There is nothing to report yet: no model serves, or too few saw it.</p>"


def run(page: Path, *, keep_days: float = KEEP_DAYS) -> dict[str, Any]:
    """Write Evidently's HTML to the file `page`; returns the verdict, in words why, and the main figures."""
    store = ObjectStore.from_env()
    made = make(store, keep_days=keep_days)
    page.parent.mkdir(parents=True, exist_ok=True)
    if not made or HTML not in made[0].files:
        page.write_text(NOTHING)
        return {"verdict": UNKNOWN, "reasons": words(made[0]) if made else "no model serves", "metrics": {}}
    report = made[0]
    page.write_bytes(store.get_bytes(report.files[HTML]))
    whole = report.quality[0]
    figures = {name: getattr(whole, name) for name in ("ne", "predicted_over_actual", "auc", "gauc")}
    metrics = {name: figure.value for name, figure in figures.items() if figure is not None}
    metrics |= {"impressions": whole.impressions, "drifted": len(report.verdict.reasons) if report.verdict else 0}
    verdict = DRIFTED if report.drifted else STEADY
    return {"verdict": verdict, "reasons": words(report), "metrics": metrics, "report": report.name}
