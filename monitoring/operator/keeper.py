"""The reconciler on a cluster, which also knows when an experiment that was deleted has left nothing behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from monitoring.experiments.arms import ArmsWriter
from monitoring.experiments.reconciler import Reconciler
from monitoring.experiments.records import Kept
from monitoring.operator.api import Access, Api
from monitoring.operator.records import KubernetesRecords
from monitoring.operator.world import KubernetesWorld
from wire.kafka import KafkaSettings
from wire.objects import ObjectStore


@dataclass
class Traces:
    """What the last look left: experiments whose candidates are there, or that transformers are told of."""

    clock: Callable[[], float] = time.monotonic
    _names: frozenset[str] = frozenset()
    _began: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, began: float, names: Collection[str]) -> None:
        """Of a look that began then."""
        with self._lock:
            self._began, self._names = began, frozenset(names)

    def of(self, name: str, since: float) -> bool:
        """Whether a look that began after `since` has left some of this experiment, or there was none yet."""
        with self._lock:
            return self._began <= since or name in self._names


class Keeper(Reconciler):
    """Looks as any reconciler does, and tells `traces`."""

    def __init__(
        self, records: KubernetesRecords, world: KubernetesWorld, arms: ArmsWriter, store: ObjectStore, traces: Traces
    ) -> None:
        super().__init__(records, world, arms, store)
        self.traces = traces

    @classmethod
    def from_env(cls, access: Access, release: str, traces: Traces) -> Keeper:
        """With the store and stream of the environment; raises WireError."""
        api, store = Api(access), ObjectStore.from_env()
        arms = ArmsWriter(KafkaSettings.from_env())
        return cls(KubernetesRecords(api), KubernetesWorld(api, store, release), arms, store, traces)

    def look(self, now_ms: int) -> list[Kept]:
        began = self.traces.clock()
        kept = super().look(now_ms)
        self.traces.note(began, {*(one.experiment for one in self.arms.current.trials), *self.world.candidates()})
        return kept
