"""An experiment as its author writes it: the `Experiment` resource, on a cluster and on a laptop the same YAML."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from interest.errors import InvalidExperiment

API_VERSION = "rapt.dev/v1alpha1"
KIND = "Experiment"
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MIN_WINDOW_S, MOST_S = 1.0, 3650 * 86400.0
"""The shortest window, and the longest duration of any kind."""

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Duration = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$")]
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]


class Metric(StrEnum):
    """What is compared; the first is what an experiment is about, the others must not get worse."""

    ENGAGEMENT = "engagement"
    CALIBRATION = "calibration"
    FALLBACKS = "fallbacks"
    LATENCY = "latency"
    ERRORS = "errors"


PANEL = (Metric.ENGAGEMENT, Metric.CALIBRATION, Metric.FALLBACKS, Metric.LATENCY)
"""Those that come with observations, in the order of a panel's columns; errors are counted as they happen."""


class Forced(StrEnum):
    """What a person decides, whatever the statistics say."""

    PROMOTE = "promote"
    ROLL_BACK = "rollback"


class Primary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The candidate is promoted when it is shown to lose less than `margin`, as a share of the stable one's value."""

    metric: Metric = Metric.ENGAGEMENT
    margin: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0


class Guardrail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The candidate is rolled back when it is shown to be worse by more than `margin`.

    In units of the metric: share of requests that failed (`errors`, at most the margin, whatever the stable one's), of
    candidates that the model did not know (`fallbacks`), milliseconds of a predictor's answer (`latency`), difference
    of predicted and true engagement, further off than the stable one's, up or down (`calibration`).
    """

    metric: Metric
    margin: Annotated[float, Meta(ge=0.0)]


GUARDRAILS = (
    Guardrail(metric=Metric.ERRORS, margin=0.01),
    Guardrail(metric=Metric.FALLBACKS, margin=0.05),
    Guardrail(metric=Metric.LATENCY, margin=20.0),
    Guardrail(metric=Metric.CALIBRATION, margin=0.05),
)


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """`share`: the candidate's viewers, step by step, each for `step_after` at least. `stable`: empty for the model
    that is served when the experiment begins. `traffic`: the part of all viewers that takes part; experiments
    whose parts overlap wait for each other. `window`: one outcome a viewer comes from so much time.
    """

    candidate: Digest
    stable: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    share: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=20)] = (0.05, 0.25, 0.5)
    step_after: Duration = "1h"
    salt: Annotated[str, Meta(max_length=200)] = ""
    traffic: tuple[Annotated[float, Meta(ge=0.0, le=1.0)], Annotated[float, Meta(ge=0.0, le=1.0)]] = (0.0, 1.0)
    primary: Primary = Primary()
    guardrails: tuple[Guardrail, ...] = GUARDRAILS
    alpha: Annotated[float, Meta(gt=0.0, le=0.2)] = 0.05
    window: Duration = "1h"
    deadline: Duration = "14d"
    paused: bool = False
    decision: Forced | None = None


FIXED = ("candidate", "stable", "salt", "traffic", "primary", "guardrails", "alpha", "window")
"""What must not change once somebody may have looked at the data."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment by name."""

    name: Name
    spec: Spec


def seconds(duration: str) -> float:
    """`10m` in seconds."""
    match = re.fullmatch(r"([0-9.]+)(ms|s|m|h|d)", duration)
    if match is None:
        raise InvalidExperiment(f"{duration!r} is no duration; write 30s, 10m, 2h or 7d")
    return float(match[1]) * UNITS_S[match[2]]


def parse(document: Any) -> Experiment:
    """The resource as plain values (from YAML or JSON); raises InvalidExperiment naming the field."""
    if not isinstance(document, dict):
        raise InvalidExperiment(f"an experiment has apiVersion, kind, metadata and spec; this is {document!r}")
    if document.get("apiVersion") != API_VERSION or document.get("kind") != KIND:
        found = f"{document.get('apiVersion')!r}, {document.get('kind')!r}"
        raise InvalidExperiment(f"apiVersion and kind are {found}; expected {API_VERSION!r}, {KIND!r}")
    metadata = document.get("metadata")
    try:
        name = msgspec.convert(metadata.get("name") if isinstance(metadata, dict) else None, Name)
    except msgspec.ValidationError as error:
        raise InvalidExperiment(f"metadata.name: {error}") from error
    try:
        spec = msgspec.convert(document.get("spec"), Spec)
    except msgspec.ValidationError as error:
        raise InvalidExperiment(f"experiment {name!r}: spec: {error}") from error
    _check(name, spec)
    return Experiment(name=name, spec=spec)


def document(experiment: Experiment) -> dict[str, Any]:
    """The resource as plain values, which `parse` takes."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": experiment.name},
        "spec": msgspec.to_builtins(experiment.spec),
    }


def refuse_change(name: str, old: Spec, new: Spec) -> None:
    """Raise InvalidExperiment when a running experiment is changed in what its statistics stand on."""
    changed = [field for field in FIXED if getattr(old, field) != getattr(new, field)]
    if changed:
        raise InvalidExperiment(
            f"experiment {name!r}: {', '.join(changed)} cannot change while it runs; "
            f"abort it, or start another under a new name"
        )


def _check(name: str, spec: Spec) -> None:
    wrong = ""
    low, high = spec.traffic
    metrics = [one.metric for one in spec.guardrails]
    durations = {"stepAfter": spec.step_after, "window": spec.window, "deadline": spec.deadline}
    # A process whose libraries take denormal numbers for 0, as fast ones do, lets a bound like "above 0" pass 0.
    if min(*spec.share, spec.alpha) == 0.0:
        wrong = "share and alpha: 0 is not above 0"
    elif list(spec.share) != sorted(set(spec.share)):
        wrong = f"share: {list(spec.share)} must grow from step to step"
    elif low >= high:
        wrong = f"traffic: {[low, high]} must be a range within [0, 1]"
    elif spec.candidate == spec.stable:
        wrong = "candidate: it is the stable model itself"
    elif len(set(metrics)) != len(metrics):
        wrong = f"guardrails: {[str(one) for one in metrics]} names a metric twice"
    elif spec.primary.metric is not Metric.ENGAGEMENT:
        wrong = f"primary.metric: {spec.primary.metric!s} is a guardrail; the primary one is {Metric.ENGAGEMENT!s}"
    elif Metric.ENGAGEMENT in metrics:
        wrong = "guardrails: engagement is the primary metric already"
    elif seconds(spec.window) < MIN_WINDOW_S:
        wrong = f"window: {spec.window} is below {MIN_WINDOW_S:g}s"
    elif long := [name for name, duration in durations.items() if seconds(duration) > MOST_S]:
        wrong = f"{long[0]}: {durations[long[0]]} is over {MOST_S / 86400:g}d"
    if wrong:
        raise InvalidExperiment(f"experiment {name!r}: spec.{wrong}")
