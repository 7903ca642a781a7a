"""A KServe model that serves whichever bundle is wanted now: what predictor and explainer share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

from inference.bundles import BundleFollower, Served, cache_folder
from inference.errors import Unavailable
from inference.new_videos import NewVideos
from inference.server.flags import Listen
from inference.server.model import ServedModel
from inference.server.serve import serve
from interest.bundle import Bundle
from interest.scoring import Scorer
from wire.kafka import KafkaSettings
from wire.objects import ObjectStore

T = TypeVar("T", bound=Served)


class BundleModel(ServedModel, Generic[T]):
    """`load` makes a bundle serve; the follower keeps what it made until another bundle takes its place.

    `INPUTS` and `OUTPUTS` are the tensors of its v2 interface, names to datatypes.
    """

    INPUTS: ClassVar[Mapping[str, str]]
    OUTPUTS: ClassVar[Mapping[str, str]]

    def __init__(self, name: str, store: ObjectStore, kafka: KafkaSettings | None, pinned: str = "") -> None:
        super().__init__(name)
        self.store, self.kafka = store, kafka
        home = os.environ.get("RAPT_HOME")
        self.bundles: BundleFollower[T] = BundleFollower(store, cache_folder(home), self.load, pinned=pinned)

    @abstractmethod
    def load(self, bundle: Bundle) -> T:
        """The bundle, ready to answer; raises InvalidBundle."""

    @abstractmethod
    def scorer(self, current: T) -> Scorer:
        """The scorer of what is served."""

    def current(self) -> T:
        """What is served now; raises Unavailable."""
        found = self.bundles.current
        if found is None:
            raise Unavailable(f"no model is served yet: it waits for {self.bundles.waits}")
        return found

    def new_videos(self, scorer: Scorer) -> NewVideos | None:
        """What keeps the scorer's catalogue growing, begun; None without a stream."""
        if self.kafka is None:
            return None
        made = NewVideos(self.kafka, scorer)
        made.start()
        return made

    async def begin(self) -> None:
        self.bundles.start()

    async def end(self) -> None:
        self.bundles.stop()

    def missing(self) -> str:
        return "" if self.bundles.current is not None else self.bundles.waits

    def status(self) -> dict[str, object]:
        found = self.bundles.current
        videos = len(self.scorer(found).catalogue) if found is not None else 0
        return self.bundles.status() | {"videos": videos}

    def get_input_types(self) -> list[dict[str, object]]:
        return [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in self.INPUTS.items()]

    def get_output_types(self) -> list[dict[str, object]]:
        return [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in self.OUTPUTS.items()]


def serve_bundles(kind: type[BundleModel[T]], listen: Listen, pinned: str) -> None:
    """Serve a model of that kind, with store and stream as the environment says, until SIGTERM."""
    kafka = KafkaSettings.from_env() if os.environ.get("RAPT_KAFKA_BOOTSTRAP") else None
    serve(lambda: kind(listen.model_name, ObjectStore.from_env(), kafka, pinned), listen)
