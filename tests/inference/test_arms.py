"""Which arm a request gets: allocations whole and by version, shares that grow, a stable model that stands in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from inference.arms import Arms
from inference.errors import Unavailable
from inference.transformer.arms import Trials
from inference.transformer.backend import Limits
from interest.experiments.assignment import Allocation, Arm, Trial, assign
from interest.serving import Answer, Ask
from interest.viewer_rows import ROW
from monitoring.experiments.arms import ArmsWriter, newest
from tests.brokers import EmbeddedBroker
from tests.waiting import until
from wire.kafka import ALL, ARMS, Admin, KafkaSettings, Record

STABLE, CANDIDATE = "a" * 64, "b" * 64
ASK = Ask(np.empty(0, ROW), 1, np.array([1, 2], np.uint64), np.array([1, 1]))
USERS = [f"u{number}" for number in range(4000)]


def trial(share: float = 0.5, low: float = 0.0, high: float = 1.0, name: str = "x") -> Trial:
    return Trial(experiment=name, salt="", traffic=(low, high), share=share, candidate=CANDIDATE, address="there:80")


def record(body: bytes | None, offset: int = 0) -> Record:
    return Record(ARMS, 0, offset, 0, b"allocation", body)


def test_the_highest_version_counts_and_what_cannot_be_read_changes_nothing() -> None:
    arms = Arms(KafkaSettings("nowhere:1"))
    made = [Allocation(version=version, trials=(trial(version / 10),)) for version in (1, 3, 2)]
    arms.apply([record(msgspec.json.encode(one)) for one in made])
    arms.apply([record(b"{"), record(None), record(b'{"version": "many"}')])
    assert arms.current == made[1]
    assert arms.rejected == 3


def test_trials_on_disjoint_traffic_have_disjoint_viewers_and_a_share_moves_nobody_back() -> None:
    both = Allocation(version=1, trials=(trial(low=0.0, high=0.3, name="x"), trial(low=0.3, high=0.5, name="y")))
    found = [both.trial(user) for user in USERS]
    shares = [sum(one is not None and one.experiment == name for one in found) / len(USERS) for name in ("x", "y")]
    assert shares == pytest.approx([0.3, 0.2], abs=0.03)
    before: set[str] = set()
    for share in (0.05, 0.25, 0.5, 1.0):
        mine = {user for user in USERS if assign("", "x", user, share) is Arm.CANDIDATE}
        assert before <= mine
        assert len(mine) / len(USERS) == pytest.approx(share, abs=0.03)
        before = mine


class Known:
    """A predictor whose answers are known."""

    model = "interest"

    def __init__(self, digest: str, score: float, error: Exception | None = None) -> None:
        self.digest, self.score, self.error = digest, score, error

    async def answer(self, ask: Ask) -> tuple[str, Answer]:
        if self.error is not None:
            raise self.error
        return self.digest, Answer(np.full(len(ask.videos), self.score, np.float32), np.ones(len(ask.videos), bool))

    async def close(self) -> None:
        pass


def answered(user: str, stable: Known, candidate: Known, allocation: Allocation | None) -> object:
    async def run() -> object:
        trials = Trials(stable, Limits())  # type: ignore[arg-type]
        trials._candidates["there:80"] = candidate  # type: ignore[assignment]
        return await trials.answer(allocation, user, ASK)

    return asyncio.run(run())


def of(arm: Arm) -> str:
    return next(user for user in USERS if assign("", "x", user, 0.2) is arm)


@pytest.mark.parametrize("arm", list(Arm))
def test_each_viewer_gets_their_arm_with_its_chance_and_the_stable_models_opinion(arm: Arm) -> None:
    made = answered(of(arm), Known(STABLE, 0.3), Known(CANDIDATE, 0.6), Allocation(version=1, trials=(trial(0.2),)))
    digest, chance, score = {Arm.STABLE: (STABLE, 0.8, 0.3), Arm.CANDIDATE: (CANDIDATE, 0.2, 0.6)}[arm]
    assert (made.arm, made.digest, made.experiment, made.propensity) == (arm, digest, "x", pytest.approx(chance))
    assert (made.baseline, made.failed) == (pytest.approx(0.3), False)
    assert made.answer.probability.tolist() == pytest.approx([score, score])


@pytest.mark.parametrize("candidate", [Known(CANDIDATE, 0.6, Unavailable("gone")), Known("c" * 64, 0.6)],
                         ids=["it fails", "it is another model"])  # fmt: skip
def test_the_stable_model_stands_in_and_the_exposure_says_so(candidate: Known) -> None:
    made = answered(of(Arm.CANDIDATE), Known(STABLE, 0.3), candidate, Allocation(version=1, trials=(trial(0.2),)))
    assert (made.arm, made.digest, made.failed, made.experiment) == (Arm.CANDIDATE, STABLE, True, "x")


def test_a_candidate_answers_its_viewers_though_the_stable_model_fails() -> None:
    made = answered(of(Arm.CANDIDATE), Known(STABLE, 0.3, Unavailable("gone")), Known(CANDIDATE, 0.6),
                    Allocation(version=1, trials=(trial(0.2),)))  # fmt: skip
    assert (made.digest, made.baseline, made.failed) == (CANDIDATE, None, False)
    with pytest.raises(Unavailable):
        answered(of(Arm.CANDIDATE), Known(STABLE, 0.3, Unavailable("gone")), Known(CANDIDATE, 0.6, Unavailable("too")),
                 Allocation(version=1, trials=(trial(0.2),)))  # fmt: skip


def test_where_no_exposure_can_be_logged_everybody_sees_the_stable_model_in_no_experiment() -> None:
    made = answered(of(Arm.CANDIDATE), Known(STABLE, 0.3), Known(CANDIDATE, 0.6), None)
    assert (made.arm, made.experiment, made.propensity) == (Arm.STABLE, None, 1.0)


@pytest.fixture
def arms(embedded_broker: EmbeddedBroker) -> Iterator[tuple[ArmsWriter, Arms]]:
    kafka = embedded_broker.settings
    admin = Admin(kafka)
    admin.create([topic for topic in ALL if topic.name == ARMS])
    admin.close()
    writer, reader = ArmsWriter(kafka), Arms(kafka)
    reader.start()
    yield writer, reader
    reader.close()
    writer.close()


def test_an_allocation_is_in_effect_within_two_seconds_and_found_again_by_the_next_writer(
    arms: tuple[ArmsWriter, Arms],
) -> None:
    writer, reader = arms
    until(lambda: reader.caught_up, "the reader is level")
    took = []
    for share in (0.1, 0.2, 0.3):
        began = time.monotonic()
        assert writer.say((trial(share),))
        until(lambda: reader.current == writer.current, "it is in effect")
        took.append(time.monotonic() - began)
    print(f"in effect after {max(took):.2f} s at most")
    assert not writer.say((trial(0.3),)), "nothing new is not said"
    again = newest(writer.settings)
    assert again == writer.current
    assert again.version > 0
