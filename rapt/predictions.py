"""What a published model says of one viewer and some videos, through the path that serving takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interest.bundle import open_bundle
from interest.datasets.samples import Dataset
from interest.history import Feedback
from interest.models.names import TERMS
from interest.scoring import Scorer
from rapt.errors import NoModel
from wire import models
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore


@dataclass(frozen=True)
class Prediction:
    """One video: the chance of engaging at its position, and the exact terms of the logit by name.

    A video that is not `known` stands with the model's learned tokens for missing content.
    """

    video_id: str
    probability: float
    contributions: dict[str, float]
    known: bool


@dataclass(frozen=True)
class Answer:
    """Predictions for a viewer at `now_ms`, from `events` earlier ones; `known`: there are any."""

    user: str
    model: str
    known: bool
    events: int
    now_ms: int
    position: int
    videos: tuple[Prediction, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Predictor:
    """A model of the store, loaded with the log that it learned from."""

    scorer: Scorer
    dataset: Dataset

    @staticmethod
    def load(store: ObjectStore, cache: Path, model: str = "") -> Predictor:
        """The model whose digest begins with `model`, or the one published last, through the folder `cache`.

        Raises NoModel, InvalidBundle, and the named failures of the object store.
        """
        bundle = models.fetch_bundle(store, chosen(store, model), cache)
        folder = models.fetch_dataset(store, bundle.manifest["data"]["dataset"], cache)
        return Predictor(Scorer(bundle), Dataset.read(folder))

    @staticmethod
    def of(bundle: Path, dataset: Path) -> Predictor:
        """A model and its log from folders of a run."""
        return Predictor(Scorer(open_bundle(bundle)), Dataset.read(dataset))

    def predict(self, user: str, videos: Sequence[str], *, position: int = 1, now_ms: int | None = None) -> Answer:
        """Predict at `now_ms` from strictly earlier events; by default just after the viewer's last one."""
        feedback = self.feedback(user)
        if now_ms is None:
            times = feedback.ts_ms if len(feedback.ts_ms) else self.dataset.targets.ts_ms
            now_ms = int(times.max(initial=0)) + 1
        earlier = feedback.ts_ms < now_ms
        feedback = Feedback(*(getattr(feedback, name)[earlier] for name in Feedback.__dataclass_fields__))
        rows = self.scorer.catalogue.rows(videos)
        made = self.scorer.predict(feedback, now_ms, rows, np.full(len(rows), position))
        predictions = tuple(
            Prediction(
                video, float(made.probability[0, i]),
                dict(zip(TERMS, made.contributions[0, i].tolist(), strict=True)), bool(rows[i] >= 0),
            )
            for i, video in enumerate(videos)
        )  # fmt: skip
        events = len(feedback.video)
        return Answer(
            user, self.scorer.bundle.digest, events > 0, events, now_ms, position, predictions,
            _notes(user, events, predictions),
        )  # fmt: skip

    def feedback(self, user: str) -> Feedback:
        """All feedback of a viewer, oldest first; none for a viewer that the log does not know."""
        start = end = 0
        if user in self.dataset.users:
            start, end = self.dataset.feedback_start[self.dataset.users.index(user) :][:2]
        every = self.dataset.feedback
        return Feedback(*(getattr(every, name)[start:end] for name in Feedback.__dataclass_fields__))


def chosen(store: ObjectStore, model: str) -> str:
    """The full digest of the model meant by `model`; of the latest when it is empty."""
    if model:
        return models.resolve(store, model)
    try:
        return models.latest(store)
    except ObjectNotFound as error:
        raise NoModel("no model is published yet; make one with: rapt pipeline run training") from error


def _notes(user: str, events: int, predictions: Sequence[Prediction]) -> tuple[str, ...]:
    notes = []
    if not events:
        notes.append(f"viewer {user!r} has no earlier events: predicted as a new viewer")
    strangers = [one.video_id for one in predictions if not one.known]
    if strangers:
        notes.append(f"not in the model's catalogue, predicted without content: {', '.join(strangers)}")
    return tuple(notes)
