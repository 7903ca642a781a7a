"""One look at all experiments: read what is new, decide, and bring the world nearer to what was decided.

Nothing is remembered that cannot be found again: a status is kept before it takes effect, and every effect is made sure
of at every look. So a reconciler may be killed anywhere, and a second one at the same time does the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from interest.errors import InterestError
from interest.experiments.assignment import Trial
from interest.experiments.decision import Phase, Status, Surroundings, decide
from interest.experiments.spec import Experiment
from monitoring.experiments.arms import ArmsWriter
from monitoring.experiments.followed import Followed
from monitoring.experiments.records import Audit, Kept, Records, write_audit
from wire.objects import ObjectStore
from wire.proposals import begun, proposed

LOG = logging.getLogger(__name__)
DRAIN_MS = 5_000
"""From the moment that nobody is sent to a candidate until it is ended: transformers hear of it within 2 s."""


@dataclass(frozen=True)
class Candidate:
    """A candidate's predictor: `waits` says why it cannot be asked yet."""

    address: str
    waits: str = ""


class World(Protocol):
    """What an experiment changes: processes on a laptop, InferenceServices on a cluster. Each call may be repeated."""

    def served(self) -> str:
        """Digest of the model that is wanted for everybody; empty when there is none."""

    def serves(self, digest: str) -> bool:
        """Whether every predictor of the stable arm answers with that model."""

    def lacks(self, digest: str) -> str:
        """Why that model cannot come to serve, however long one waits; empty when it can."""

    def promote(self, digest: str) -> None:
        """Have that model serve everybody, with no failed request."""

    def candidate(self, experiment: str, digest: str, *, asked: bool = False) -> Candidate:
        """Have a predictor of that model, and say where it is and what it waits for.

        `asked`: its viewers are sent there already, so that it need not be probed, which takes long when it hangs.
        """

    def candidates(self) -> Sequence[str]:
        """Experiments for which there is a predictor."""

    def end_candidate(self, experiment: str) -> None:
        """Have none."""


class Reconciler:
    """Looks at all experiments of `records`, with the observations and audits in `store`."""

    def __init__(self, records: Records, world: World, arms: ArmsWriter, store: ObjectStore) -> None:
        self.records, self.world, self.arms, self.store = records, world, arms, store
        self.followed = Followed(store)
        self._unasked_since: dict[str, int] = {}

    def look(self, now_ms: int) -> list[Kept]:
        """Decide all, make sure of all; raises WireError, after which the next look goes on."""
        for asked in proposed(self.store):
            self._begin(asked, now_ms)
        every = self.records.all()
        try:
            self.followed.read([one for one in every if one.status.phase is Phase.RUNNING])
        except BaseException:
            self.followed = Followed(self.store)  # a commit may have been taken in by half
            raise
        kept: list[Kept] = []
        for one in every:
            kept.append(Kept(experiment=one.experiment, status=self._decided(one, kept, now_ms)))
        self._allocate(kept, now_ms)
        return [self._settled(one) for one in kept]

    def close(self) -> None:
        """End its clients."""
        self.arms.close()

    def _begin(self, asked: Experiment, now_ms: int) -> None:
        """Begin an experiment that a pipeline asks for; one of that name that is there already stays as it is."""
        try:
            self.records.begin(asked, now_ms)
        except InterestError as error:
            LOG.error("experiment %s, which was proposed, is not begun: %s", asked.name, error)
        begun(self.store, asked.name)

    def _decided(self, kept: Kept, before: Sequence[Kept], now_ms: int) -> Status:
        experiment, status = kept.experiment, kept.status
        if status.phase.ended:
            return status
        around = self._around(experiment, status, before)
        statistics = self.followed.statistics(experiment, status)
        after = decide(experiment.spec, status, statistics, around, now_ms)
        if (after.phase, after.step) != (status.phase, status.step):
            audit = Audit(
                experiment=experiment.name, at_ms=now_ms, head=self.followed.head, spec=experiment.spec,
                before=status, statistics=statistics, around=around, after=after,
            )  # fmt: skip
            write_audit(self.store, audit)
            LOG.info("experiment %s: %s at %g: %s", experiment.name, after.phase, after.share, after.reason)
        if after != status:
            self.records.note(experiment.name, after)
        return after

    def _around(self, experiment: Experiment, status: Status, before: Sequence[Kept]) -> Surroundings:
        """What is so in the world; the candidate's predictor is started when it is this experiment's turn."""
        served = self.world.served()
        if never := self.world.lacks(experiment.spec.candidate):
            return Surroundings(served=served, candidate_waits=never, hopeless=True)
        blocked = next((one.experiment.name for one in before if _in_the_way(experiment, one)), "")
        if blocked:
            return Surroundings(served=served, blocked_by=blocked)
        if experiment.spec.decision is not None and status.phase is Phase.PENDING:
            return Surroundings(served=served)
        running = status.phase is Phase.RUNNING
        found = self.world.candidate(experiment.name, experiment.spec.candidate, asked=running)
        return Surroundings(served=served, candidate_waits=found.waits)

    def _allocate(self, kept: Sequence[Kept], now_ms: int) -> None:
        """Send viewers to the candidates of all that run, and of what is promoted until all have the new model."""
        trials = []
        for one in kept:
            spec, status = one.experiment.spec, one.status
            promoting = status.phase is Phase.PROMOTED and not status.finished
            if promoting:
                # Over the model that it was compared with, and no other that was made to serve meanwhile; again when
                # the candidate serves, since a promotion may have been cut off in the middle.
                if self.world.served() in {status.stable, spec.candidate, ""} and not self.world.lacks(spec.candidate):
                    self.world.promote(spec.candidate)
                ours = self.world.served() == spec.candidate
                promoting = ours and status.share > 0 and not self.world.serves(spec.candidate)
            if status.phase is Phase.RUNNING or promoting:
                address = self.world.candidate(one.experiment.name, spec.candidate, asked=True).address
                trials.append(
                    Trial(
                        experiment=one.experiment.name, salt=spec.salt, traffic=spec.traffic, share=status.share,
                        candidate=spec.candidate, address=address,
                    )
                )  # fmt: skip
        if self.arms.say(tuple(trials)):
            LOG.info("arms: %s", ", ".join(f"{one.experiment} {one.share:.0%}" for one in trials) or "stable only")
        asked = {one.experiment for one in trials} | {
            one.experiment.name for one in kept if one.status.phase is Phase.PENDING
        }
        for name in self.world.candidates():
            if name in asked:
                self._unasked_since.pop(name, None)
            elif now_ms >= self._unasked_since.setdefault(name, now_ms) + DRAIN_MS:
                self.world.end_candidate(name)
                del self._unasked_since[name]

    def _settled(self, kept: Kept) -> Kept:
        """Note when all that was decided is so."""
        name, status = kept.experiment.name, kept.status
        if not status.phase.ended or status.finished or name in self.world.candidates():
            return kept
        if any(one.experiment == name for one in self.arms.current.trials):
            return kept
        candidate = kept.experiment.spec.candidate
        if status.phase is Phase.PROMOTED and self.world.served() == candidate and not self.world.serves(candidate):
            return kept
        after = replace(status, finished=True, share=0.0)
        self.records.note(name, after)
        self.followed.forget(name)
        LOG.info("experiment %s: finished, %s", name, status.phase)
        return Kept(experiment=kept.experiment, status=after)


def _in_the_way(experiment: Experiment, other: Kept) -> bool:
    """Whether an older experiment has some of the same viewers; one that is being wound up still has."""
    if other.status.finished:
        return False
    (low, high), (begin, end) = experiment.spec.traffic, other.experiment.spec.traffic
    return low < end and begin < high
