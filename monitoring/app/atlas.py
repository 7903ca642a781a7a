"""The map of a model's videos or viewers: fitted once a model, kept in the object store, and grown by what comes later.

`projections/<digest>/<kind>/` holds the projection and, written last, `ids.json` with what its points stand for.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interest.errors import InterestError
from interest.projection import FILE, Projection, fit
from monitoring.app.served import Served
from wire.errors import ObjectNotFound, WireError
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
MOST_POINTS = 4000
"""More are not fitted: a draw stands for them, always the same."""
IDS = "ids.json"
AGAIN_S = 5.0

Floats = NDArray[np.float32]


class Kind(StrEnum):
    """What a map is of. Videos and viewers are vectors of different spaces, so each has a map of its own."""

    VIDEOS = "videos"
    VIEWERS = "viewers"


class Atlas:
    """One map; `ready` when its points are there, `trouble` while they cannot be. It is made in a thread of its own,
    which tries again when the store did not answer.
    """

    def __init__(self, served: Served, kind: Kind) -> None:
        self.served, self.kind = served, kind
        self.ids: tuple[str, ...] = ()
        self.of = 0
        self.trouble = ""
        self.ready = threading.Event()
        self._projection: Projection | None = None
        self._later: dict[str, tuple[float, float]] = {}
        self._turn = threading.Lock()
        threading.Thread(target=self._make, name=f"map of {kind}", daemon=True).start()

    @property
    def points(self) -> Floats:
        """[N, 2], in the order of `ids`."""
        assert self._projection is not None  # noqa: S101 - callers wait for `ready`
        return self._projection.points

    def later(self, ids: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Places of videos that came after training, found once each; the others stay where they are."""
        assert self._projection is not None  # noqa: S101
        with self._turn:
            new = [one for one in ids if one not in self._later]
            if new:
                places = self._projection.transform(self.served.content(new)).tolist()
                self._later |= {one: (place[0], place[1]) for one, place in zip(new, places, strict=True)}
            return {one: self._later[one] for one in ids}

    def _make(self) -> None:
        while not self.ready.is_set():
            try:
                self._fit()
                self.trouble = ""
                self.ready.set()
            except (WireError, InterestError, OSError) as error:
                LOG.warning("no map of %s: %s", self.kind, error)
                self.trouble = str(error)
                if not isinstance(error, WireError):
                    return
                time.sleep(AGAIN_S)

    def _fit(self) -> None:
        ids, vectors = self._vectors()
        self.of = len(ids)
        chosen = sample(len(ids))
        self.ids = tuple(ids[row] for row in chosen.tolist())
        found = projection(self.served.store, self.served.digest, self.kind, self.ids, vectors[chosen])
        found.transform(vectors[chosen[:1]])  # finds the neighbours of all, which the first placing would wait for
        self._projection = found

    def _vectors(self) -> tuple[Sequence[str], Floats]:
        if self.kind is Kind.VIEWERS:
            viewers = self.served.bundle.viewers()
            return viewers.user_ids, viewers.taste
        videos = self.served.bundle.catalogue()
        return videos.video_ids, videos.content.reshape(len(videos.content), -1)


def sample(count: int) -> NDArray[np.int64]:
    """Which of so many get a point, in order."""
    if count <= MOST_POINTS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_POINTS, replace=False))


def projection(store: ObjectStore, digest: str, kind: str, ids: Sequence[str], vectors: Floats) -> Projection:
    """The kept projection of these, or a new one, which is kept; raises ObjectStoreError, InvalidRecord."""
    folder = f"projections/{digest}/{kind}/"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        try:
            if json.loads(store.get_bytes(folder + IDS)) == list(ids):
                store.get_file(folder + FILE, path / FILE)
                return Projection.read(path)
        except (ObjectNotFound, InterestError, ValueError):
            LOG.info("the map of %s of model %s is fitted", kind, digest[:12])
        made = fit(vectors)
        made.write(path)
        try:
            store.put_file(folder + FILE, path / FILE)
            store.put_bytes(folder + IDS, json.dumps(list(ids)).encode())
        except WireError as error:
            LOG.warning("the map of %s is not kept: %s", kind, error)  # it will be fitted again
        return made
