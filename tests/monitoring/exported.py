"""Every metric that our processes export, asked of their own registries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache

import numpy as np
from prometheus_client import CollectorRegistry

from inference.catalogue_feed.metrics import Metrics
from inference.feeder import metrics as feeder
from interest.decay import Decay
from interest.drift.verdict import verdict
from interest.quality import quality
from monitoring.experiments import metrics as experiments
from monitoring.labels import metrics as labels
from monitoring.reports import metrics as reports
from rapt import retraining
from wire.reports import MODEL, Report, Span

SERVERS = ("transformer", "predictor")
"""Their metrics are in the client's global registry, some of one name: each is asked in its own process."""
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
ASK = """
import json
from inference.server import sdk
sdk.without_kubernetes()
import inference.{}.model
from prometheus_client import REGISTRY
print(json.dumps([(one.name, one.type) for one in REGISTRY.collect() if one.name.startswith("rapt_")]))
"""


def asked(query: str) -> set[str]:
    """The metrics of ours that a query names."""
    return set(re.findall(r"\brapt_\w+", query))


@cache
def exported() -> frozenset[str]:
    """Names as Prometheus knows them: with `_total`, `_bucket` and the like."""
    processes = [subprocess.Popen([sys.executable, "-c", ASK.format(name)], stdout=subprocess.PIPE) for name in SERVERS]
    own: list[CollectorRegistry] = [
        feeder.registry(feeder.Status()),
        labels.registry(labels.Status()),
        Metrics().registry,
        experiments.registry(experiments.Told()),
        retraining.registry(retraining.Told()),
        reports.registry(_a_look()),
    ]
    families = [(one.name, one.type) for registry in own for one in registry.collect()]
    for process in processes:
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        families += [tuple(one) for one in json.loads(said)]
    return frozenset(name + suffix for name, kind in families for suffix in SUFFIXES[kind])


def _a_look() -> reports.Told:
    """All that one look can find."""
    rng = np.random.default_rng(0)
    chance, viewer = rng.random(400), np.arange(400) // 4
    engaged = rng.random(400) < chance
    span, rows = Span(name="", rows=400), {"score": chance}
    seen = Report(
        kind=MODEL, name="", made_ms=1, reference=span, current=span, verdict=verdict(rows, rows), decay=Decay(),
        quality=quality(chance, engaged, viewer, {"arm": ["stable"] * 400}),
    )  # fmt: skip
    return reports.Told(report=seen, newest_ms=1)
