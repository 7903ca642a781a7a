"""Objects as a person and the chart write them."""

from __future__ import annotations

import copy
from typing import Any

from tests.charts.rendered import release

GOOD, OTHER, STABLE = "b" * 64, "c" * 64, "a" * 64


def experiment(name: str = "new-model", **spec: Any) -> dict[str, Any]:
    """An Experiment for `kubectl apply`."""
    return {
        "apiVersion": "rapt.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {"candidate": GOOD, **spec},
    }


def stable(case: str = "default") -> dict[str, Any]:
    """The chart's InferenceService."""
    return copy.deepcopy(release(case).service)
