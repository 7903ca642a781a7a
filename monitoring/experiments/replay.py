"""Each decision once more, from the observations alone: what an audit is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from interest.experiments.decision import decide
from interest.experiments.spec import Experiment
from monitoring.experiments.followed import Followed
from monitoring.experiments.records import Audit, Kept, audits
from wire.objects import ObjectStore


@dataclass(frozen=True)
class Replayed:
    """A decision, and the fields of the status in which it comes out otherwise."""

    audit: Audit
    differs: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether it is the same to the last digit."""
        return not self.differs


def replay(store: ObjectStore, name: str) -> Iterator[Replayed]:
    """All decisions on an experiment, each from what the joiner had written by then; raises WireError."""
    for audit in audits(store, name):
        experiment = Experiment(name=name, spec=audit.spec)
        followed = Followed(store)
        running = [Kept(experiment=experiment, status=audit.before)] if audit.before.started_ms else []
        followed.read(running, upto=audit.head)
        # Requests are counted as they happen, ahead of the observations: as the audit has them.
        statistics = replace(
            followed.statistics(experiment, audit.before),
            stable=audit.statistics.stable,
            candidate=audit.statistics.candidate,
        )
        after = decide(audit.spec, audit.before, statistics, audit.around, audit.at_ms)
        then, now = msgspec.to_builtins(audit.after), msgspec.to_builtins(after)
        yield Replayed(audit, tuple(field for field in then if then[field] != now[field]))
