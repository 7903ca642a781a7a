"""What a Prometheus beside the laptop's stack is told: which processes to read, and the alerts."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from rapt import serving
from rapt.settings import Settings

INTERVAL = "15s"
UNMEASURED = "dashboard"
"""It has no metrics."""


def prometheus(settings: Settings) -> dict[str, Any]:
    """Prometheus' configuration: a job for each process that can run, and the rules of `monitoring/alerts`.

    The candidate's predictor runs while an experiment does, so its job is down at other times.
    """
    left_out = (
        {UNMEASURED}
        | (set() if settings.retrain_every_s else {"retraining"})
        | (set() if settings.dashboard else {"reports"})
    )
    names = [name for name in serving.OFFSETS if name not in left_out]
    return {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(files("monitoring") / "alerts" / "rules.yaml")],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{serving.ports(settings, name)[0]}"]}]}
            for name in names
        ],
    }
