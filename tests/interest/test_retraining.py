"""When a retraining is due: every reason to, every reason not to."""

from __future__ import annotations

import pytest

from interest.decay import Decay
from interest.errors import InvalidSetting
from interest.retraining import Facts, Policy, due

POLICY = Policy(least=1000, cool_down_s=60, oldest_s=3600)
BROKEN = Decay(decayed=True, reasons=("viewers engage 30% less than predicted",))


def facts(decayed: Decay = BROKEN, usable: int = 1000, served_s: float | None = 100.0, **more: object) -> Facts:
    return Facts(decay=decayed, usable=usable, served_s=served_s, **more)


def test_decay_and_drift_start_one_and_say_why() -> None:
    assert due(POLICY, facts()) == due(POLICY, facts(drift=("x",)))
    assert due(POLICY, facts()).now and due(POLICY, facts()).why == "decay: viewers engage 30% less than predicted"
    found = due(POLICY, facts(Decay(), drift=("duration_s fell",)))
    assert found.now and found.why == "drift: duration_s fell"


def test_a_model_that_does_well_is_left_alone_until_it_is_old() -> None:
    assert not due(POLICY, facts(Decay())).now
    found = due(POLICY, facts(Decay(), served_s=3600.0))
    assert found.now and found.why.startswith("schedule")
    assert not due(POLICY, facts(Decay(), served_s=3600.0, since_last_s=10.0)).now
    assert not due(Policy(oldest_s=0), facts(Decay(), served_s=1e9)).now


def test_after_a_retraining_or_a_promotion_it_cools_down() -> None:
    found = due(POLICY, facts(since_last_s=20.0))
    assert not found.now and found.why.endswith("cooling down for 40 s more")
    assert not due(POLICY, facts(served_s=59.0)).now
    assert due(POLICY, facts(served_s=60.0, since_last_s=60.0)).now


def test_it_waits_for_enough_to_learn_from() -> None:
    found = due(POLICY, facts(usable=999))
    assert not found.now and "999 of 1000" in found.why


def test_of_few_viewers_nothing_is_promised() -> None:
    assert due(POLICY, facts(Decay(viewers=3))).why == "3 viewers of 100 who tell how the model does"
    assert due(POLICY, facts(Decay(viewers=100))).why == "the model does what it promises"


@pytest.mark.parametrize("name", ["least", "cool_down_s", "oldest_s", "bias_margin", "loss_margin"])
def test_a_policy_below_nothing_is_refused(name: str) -> None:
    for value in (-1, float("nan")):
        with pytest.raises(InvalidSetting, match=name):
            Policy(**{name: value})
