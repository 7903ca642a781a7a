"""What the process of reports tells Prometheus: the model's quality, what has drifted, whether anybody looks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interest.quality import ALL, Quality
from wire.reports import Report

FIGURES = {
    "ne": "Normalised entropy",
    "predicted_over_actual": "Predicted over actual engagements",
    "auc": "Chance that an engaged impression ranks above another",
    "gauc": "The same within each viewer",
}
LEVELS = 20
"""Of a slice, the largest ones: each is a time series."""


class Told(msgspec.Struct, kw_only=True):
    """What /status says: the last look and the last report, and how often each was done and failed."""

    looks: int = 0
    failures: int = 0
    last_failure: str = ""
    reports: int = 0
    reports_failed: int = 0
    newest: str = ""
    newest_ms: int = 0
    report: Report | None = None


class _Collected(Collector):
    def __init__(self, told: Told) -> None:
        self.told = told

    def collect(self) -> Iterator[Metric]:
        told = self.told
        yield CounterMetricFamily("rapt_reports_looks", "Looks at the serving model.", value=told.looks)
        yield CounterMetricFamily("rapt_reports_looks_failed", "Those that failed.", value=told.failures)
        yield CounterMetricFamily("rapt_reports_made", "Reports that this process had made.", value=told.reports)
        yield CounterMetricFamily("rapt_reports_failed", "Reports that could not be made.", value=told.reports_failed)
        if told.newest_ms:
            yield GaugeMetricFamily("rapt_reports_newest_timestamp_seconds", "When the newest report was made.",
                                    value=told.newest_ms / 1000)  # fmt: skip
        if told.report is not None:
            yield from _of(told.report)


def _of(report: Report) -> Iterator[Metric]:
    """Of the last look."""
    if report.decay is not None:
        yield GaugeMetricFamily("rapt_model_decayed", "1 when the serving model is shown not to keep its promises.",
                                value=float(report.decay.decayed))  # fmt: skip
    if report.verdict is not None:
        yield GaugeMetricFamily("rapt_model_drifted", "How much of what it is given, says and gets has drifted.",
                                value=float(len(report.verdict.reasons)))  # fmt: skip
        distance = GaugeMetricFamily("rapt_drift_distance", "Share of rows that lie elsewhere.", labels=("column",))
        for column in report.verdict.columns:
            if column.distance is not None:
                distance.add_metric((column.name,), column.distance)
        yield distance
    whole = [one for one in report.quality if one.slice == ALL]
    parts = [
        part for _, levels in itertools.groupby(report.quality, lambda one: one.slice) for part in _largest(levels)
    ]
    for name, meaning in FIGURES.items():
        yield from (GaugeMetricFamily(f"rapt_model_{name}", f"{meaning}, of the serving model.", value=value.value)
                    for one in whole if (value := getattr(one, name)) is not None)  # fmt: skip
        by_slice = GaugeMetricFamily(f"rapt_slice_{name}", f"{meaning}, by slice.", labels=("slice", "level"))
        for one in parts:
            if one.slice != ALL and (value := getattr(one, name)) is not None:
                by_slice.add_metric((one.slice, one.level), value.value)
        yield by_slice
    seen = GaugeMetricFamily("rapt_slice_impressions", "Impressions that were looked at.", labels=("slice", "level"))
    for one in parts:
        seen.add_metric((one.slice, one.level or ALL), one.impressions)
    yield seen


def _largest(levels: Iterator[Quality]) -> list[Quality]:
    return sorted(levels, key=lambda one: -one.impressions)[:LEVELS]


def registry(told: Told) -> CollectorRegistry:
    """A registry of that alone."""
    own = CollectorRegistry()
    own.register(_Collected(told))
    return own
