"""A step whose figures the Kubeflow Pipelines page shows beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp import dsl

from components.runtime import run_step


def run_measured(
    name: str,
    metrics: dsl.Metrics,
    *,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    params: Mapping[str, Any],
    fresh: bool = False,
) -> dict[str, Any]:
    """`run_step`, with the numbers of its result's "metrics" logged; returns what it returned."""
    result = run_step(name, inputs=inputs, outputs=outputs, params=params, fresh=fresh)
    for figure, value in result["metrics"].items():
        if isinstance(value, int | float):
            metrics.log_metric(figure, float(value))
    return result
