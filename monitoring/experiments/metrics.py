"""What the reconciler tells of itself and of its experiments: /status and Prometheus metrics `rapt_experiment_*`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from interest.experiments.decision import Phase
from monitoring.experiments.records import Kept

GAUGES = {
    "share": "Share of the viewers that see the candidate.",
    "lift": "Lift of the primary metric, as a share of the stable arm's.",
    "lift_lower": "The lift is at least this, at all looks.",
    "lift_upper": "The lift is at most this, at all looks.",
    "sample_ratio_p": "Always-valid p-value of the arms' viewers being as drawn.",
    "guardrails_broken": "Guardrails that the candidate is shown to break.",
    "data_age_seconds": "Seconds since the statistics' last window ended.",
}


class Told(msgspec.Struct, kw_only=True):
    """What /status says."""

    waits_for: str = "the first look"
    looks: int = 0
    failures: int = 0
    last_failure: str = ""
    looked_ms: int = 0
    experiments: list[Kept] = []


class _Collected(Collector):
    def __init__(self, told: Told) -> None:
        self.told = told

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily("rapt_experiments_looks", "Looks at all experiments.", value=self.told.looks)
        yield CounterMetricFamily("rapt_experiments_failures", "Looks that failed.", value=self.told.failures)
        phases = GaugeMetricFamily(
            "rapt_experiment_phase", "1 for the phase that it is in.", labels=("experiment", "phase")
        )
        viewers = GaugeMetricFamily("rapt_experiment_viewers", "Viewers of an arm.", labels=("experiment", "arm"))
        gauges = {
            name: GaugeMetricFamily(f"rapt_experiment_{name}", meaning, labels=("experiment",))
            for name, meaning in GAUGES.items()
        }
        for one in self.told.experiments:
            name, status = one.experiment.name, one.status
            for phase in Phase:
                phases.add_metric((name, phase), float(phase is status.phase))
            for arm, count in status.viewers.items():
                viewers.add_metric((name, arm), count)
            for gauge, value in self._values(one).items():
                if value is not None:
                    gauges[gauge].add_metric((name,), value)
        yield from (phases, viewers, *gauges.values())

    def _values(self, kept: Kept) -> dict[str, float | None]:
        status = kept.status
        live = status.phase is Phase.RUNNING
        return {
            "share": status.share,
            "lift": status.lift.value,
            "lift_lower": status.lift.lower,
            "lift_upper": status.lift.upper,
            "sample_ratio_p": status.sample_ratio.p_value,
            "guardrails_broken": float(sum(not rail.holds for rail in status.guardrails)),
            "data_age_seconds": (self.told.looked_ms - status.data_ms) / 1e3 if live and status.data_ms else None,
        }


def registry(told: Told) -> CollectorRegistry:
    """A registry of that alone."""
    own = CollectorRegistry()
    own.register(_Collected(told))
    return own
