"""What dashboards and alerts ask of a Prometheus, in the form in which a real one is asked by tests."""

from __future__ import annotations

import re
from collections.abc import Collection

from monitoring.dashboards.build import BOARDS
from tests.monitoring.alerts.test_rules import ALERTS
from tests.monitoring.dashboards.test_boards import FOR_GRAFANA, panel_queries

KUBELET = (
    "container_cpu_cfs_periods_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kubelet_volume_stats_used_bytes",
)
KUBE_STATE_METRICS = (
    "kube_pod_completion_time",
    "kube_pod_container_resource_limits",
    "kube_pod_container_status_restarts_total",
    "kube_pod_start_time",
    "kube_pod_status_phase",
)


def asked() -> dict[str, str]:
    """Every query of every dashboard and what every alert compares, by where it stands."""
    found = {f"{board.uid}: {name}": query for board in BOARDS for name, query in panel_queries(board).items()}
    for name, rule in ALERTS.items():
        found |= {f"{name}: {part}": part for part in operands(rule["expr"])}
    return found


def names(query: str, metrics: Collection[str]) -> set[str]:
    """Those of the metrics that a query names."""
    return set(metrics) & set(re.findall(r"\w+", query))


def filled(query: str, interval: str) -> str:
    """A query with something in the place of Grafana's variables."""
    for variable, value in (FOR_GRAFANA | {"$__rate_interval": interval}).items():
        query = query.replace(variable, value)
    return query


def operands(expression: str) -> list[str]:
    """What an alert compares, without the comparisons that make it fire."""
    parts = re.split(r"\s(?:or|and(?: on \([^)]*\))?)\s", expression)
    bare = [re.sub(r"\s*(?:==|!=|<=|>=|<|>)\s*[0-9.]+\s*$", "", part).strip() for part in parts]
    return [re.sub(r"^absent\((.*)\)$", r"\1", part) for part in bare]
