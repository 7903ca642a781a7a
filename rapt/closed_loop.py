"""The loop closed, in minutes: tastes turn, the model decays, is trained again, and earns its place from its viewers.

Nobody helps: the stack's own processes see it, train, try and promote; this only lets viewers live and watches.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import msgspec

from interest.catalog import Catalog
from interest.experiments.decision import Phase, Status
from interest.experiments.spec import Experiment, Guardrail, Metric, Spec
from interest.simulator.audience import Audience
from interest.simulator.world import VideoLatents
from monitoring.experiments.records import StoredRecords
from rapt import serving, stack
from rapt.retraining import EXPERIMENT
from rapt.settings import Settings
from rapt.traffic import Pages, Plan, Traffic, run
from wire import models
from wire.kafka import KafkaSettings, producer
from wire.objects import ObjectStore

VIEWERS, RATE, RANDOMISED = 1500, 35.0, 0.15
CALM_S = 8.0
"""Seconds of traffic by which engagement before and after is told."""
DEADLINE_S = 150.0
LOOK_S = 0.25
TURNED = {"bq": -1.0}
"""What changes in the world: what everybody liked a little is what everybody dislikes."""
SPEC = Spec(
    candidate="0" * 64,
    share=(0.5,),
    step_after="5s",
    window="3s",
    deadline="3m",
    guardrails=(Guardrail(metric=Metric.ERRORS, margin=0.05),),
)
QUICK = {
    "label_window_s": 1.5,
    "label_slack_s": 1.0,
    "retrain_every_s": 1.0,
    "retrain_least": 2500,
    "retrain_cool_down_s": 10.0,
    "retrain_experiment": msgspec.json.encode(
        {name: value for name, value in msgspec.to_builtins(SPEC).items() if name != "candidate"}
    ).decode(),
}
"""A day in minutes: labels after seconds, looks every second."""


@dataclass(frozen=True)
class Moment:
    """Something that happened, so many seconds after the viewers came."""

    at_s: float
    what: str


@dataclass(frozen=True)
class Seen:
    """What viewers saw in a phase: requests, those that failed, videos that were ranked first and of them engaged."""

    requests: int
    failed: int
    pages: Pages


@dataclass
class Loop:
    """What happened. `phases`: what viewers saw in each; `incomplete` says what did not come about."""

    moments: list[Moment] = field(default_factory=list)
    phases: dict[str, Seen] = field(default_factory=dict)
    requests: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    last_failure: str = ""
    incomplete: str = ""

    def document(self) -> dict[str, object]:
        """For `--json`."""
        shares = {name: seen.pages.share for name, seen in self.phases.items()}
        return {**asdict(self), "engaged": shares}


class Stalled(Exception):
    """Something did not come about in time."""


@contextmanager
def quick(settings: Settings) -> Iterator[Settings]:
    """Inside, the stack joins labels and looks at its model in seconds; afterwards as the settings say."""
    hurried = msgspec.structs.replace(settings, **QUICK)
    try:
        _restart(settings, hurried)
        yield hurried
    finally:
        _restart(hurried, settings)


def close_loop(
    settings: Settings, catalog: Catalog, latents: VideoLatents, tell: Callable[[str], None] = lambda _: None
) -> Loop:
    """Let it happen, with the stack of `quick` settings up; raises EndpointUnavailable, KafkaError, WireError."""
    loop = Loop()
    store = ObjectStore.from_env(settings.environment())
    audience = Audience(catalog, latents, VIEWERS, seed=int(time.time()))
    # Nobody whose history is of another time.
    audience.users = tuple(f"{secrets.token_hex(4)}-{user}" for user in audience.users)
    with _viewers(settings, audience) as (came, begun):

        def note(what: str) -> None:
            loop.moments.append(Moment(round(time.monotonic() - begun, 1), what))
            tell(what)

        try:
            _happen(settings, store, audience, came, loop, note)
        except Stalled as stalled:
            loop.incomplete = str(stalled)
            note(str(stalled))
    loop.requests, loop.failures, loop.last_failure = came.requests, dict(came.failures), came.last_failure
    return loop


def _happen(
    settings: Settings, store: ObjectStore, audience: Audience, came: Traffic, loop: Loop, note: Callable[[str], None]
) -> None:
    old = models.latest(store)
    _until(lambda: came.requests > 0, "the first answer")
    with _phase(loop, "before", came):
        note(f"{VIEWERS} viewers come; {old[:12]} serves them")
        time.sleep(CALM_S)
    audience.shift(**TURNED)
    note("tastes turn: what everybody liked, everybody dislikes")
    with _phase(loop, "tastes turned", came):
        _until(lambda: _decay(settings) != "", "the decay is found")
        note(f"found: {_decay(settings)}")
        _until(lambda: bool(_retraining(settings).get("running")), "a retraining begins")
        note("a retraining begins, with what viewers did since")
        _until(lambda: _new(store) is not None or _fruitless(settings) != "", "the retraining ends")
        name = _new(store)
        if name is None:
            raise Stalled(f"the retraining made no candidate: {_fruitless(settings)}")
        note(f"its model is better on what was kept from it, and goes into the experiment {name}")
    with _phase(loop, "on trial", came):
        ended = _ended(store, name)
        note(f"{ended.phase}: {ended.reason}")
        if ended.phase is not Phase.PROMOTED:
            raise Stalled(f"the retrained model was not promoted: {ended.reason}")
    new = models.latest(store)
    _until(lambda: _served(settings) == new, "the new model serves")
    with _phase(loop, "after", came):
        time.sleep(CALM_S)
    note("now a bad candidate on purpose: the model of before")
    with _phase(loop, "bad candidate on trial", came):
        ended = _tried(store, old)
    note(f"{ended.phase}: {ended.reason}")
    if ended.phase is not Phase.ROLLED_BACK:
        raise Stalled(f"the bad candidate was not rolled back: {ended.reason}")


def _tried(store: ObjectStore, candidate: str) -> Status:
    """What became of an experiment with a model that a person puts up."""
    name = f"old-model-{secrets.token_hex(3)}"
    asked = Experiment(name=name, spec=msgspec.structs.replace(SPEC, candidate=candidate))
    StoredRecords(store).apply(asked, time.time_ns() // 1_000_000)
    return _ended(store, name)


@contextmanager
def _viewers(settings: Settings, audience: Audience) -> Iterator[tuple[Traffic, float]]:
    """Viewers who ask all the while, and when they began."""
    # The embedded broker writes an object for each batch: a few larger ones keep it ahead.
    sending = producer(KafkaSettings.from_env(settings.stream_environment()), linger_ms=100)
    came, ended = Traffic(), threading.Event()
    failed: list[Exception] = []
    plan = Plan(settings.endpoint, RATE, 0, randomised_share=RANDOMISED)

    def live() -> None:
        try:
            run(audience, sending, plan, lambda now: came.__dict__.update(now.__dict__), ended)
        except Exception as error:  # noqa: BLE001 - it is raised where somebody sees it
            failed.append(error)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield came, time.monotonic()
    finally:
        ended.set()
        thread.join()
        sending.close()
    if failed:
        raise failed[0]


@contextmanager
def _phase(loop: Loop, name: str, came: Traffic) -> Iterator[None]:
    requests, failed, pages = came.requests, came.failures.total(), replace(came.ranked)
    try:
        yield
    finally:
        loop.phases[name] = Seen(
            came.requests - requests,
            came.failures.total() - failed,
            Pages(came.ranked.shown - pages.shown, came.ranked.engaged - pages.engaged),
        )


def _until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    give_up_at = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise Stalled(f"within {deadline_s:g} s it did not come about that {what}")
        time.sleep(LOOK_S)


def _retraining(settings: Settings) -> dict[str, object]:
    """What the retraining's process tells of itself."""
    return serving.document(f"http://127.0.0.1:{serving.ports(settings, 'retraining')[0]}/status") or {}


def _decay(settings: Settings) -> str:
    """What has decayed, in words; empty when nothing has."""
    facts = _retraining(settings).get("facts")
    found = facts.get("decay", {}) if isinstance(facts, dict) else {}
    return "; ".join(found.get("reasons", ()))


def _fruitless(settings: Settings) -> str:
    """What became of a retraining that made no candidate; of one that did, the experiment begins a moment later."""
    told = _retraining(settings)
    said = "" if told.get("running") else str(told.get("last_run", ""))
    return "" if said.startswith(EXPERIMENT) else said


def _new(store: ObjectStore) -> str | None:
    """The experiment of the retrained model, once there is one."""
    names = [one for one in StoredRecords(store).all() if one.experiment.name.startswith("retrained-")]
    going = [one.experiment.name for one in names if not one.status.finished]
    return going[0] if going else None


def _ended(store: ObjectStore, name: str) -> Status:
    """An experiment's status when it is over and wound up."""
    found: list[Status] = []

    def over() -> bool:
        kept = StoredRecords(store).get(name)
        found[:] = [kept.status] if kept else []
        return bool(found and found[0].finished)

    _until(over, f"the experiment {name} ends")
    return found[0]


def _served(settings: Settings) -> str:
    address = f"http://127.0.0.1:{serving.ports(settings, 'predictor')[0]}"
    return str((serving.document(f"{address}/status") or {}).get("model_digest", ""))


def _restart(before: Settings, after: Settings) -> None:
    """Have what looks at viewers run with other settings."""
    stack.end(before, ("retraining", "labels"))
    stack.up(after)
