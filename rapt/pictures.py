"""What `rapt picture` draws, out of the store: embeddings and what is known of them, frames, heat, calibration."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.evaluate.step import predict
from inference.explainer.frames import Frames, NoPictures
from inference.transformer.messages import ExplainedVideo
from interest.bundle import Bundle
from interest.catalog import VIDEOS, Catalog
from interest.datasets import observed
from interest.datasets.samples import Dataset, Split
from interest.errors import NotEnoughData
from interest.explain import ActivationMaps, overlaid
from interest.history import HISTORY, Feedback, moment
from interest.layers import LayerMaps
from interest.quality import Bin, calibration_curve
from interest.simulator.world import LATENTS, VideoLatents, latents_of
from monitoring.pictures.embedding import UNKNOWN
from monitoring.pictures.heat import Shown
from rapt.errors import InvalidOption
from rapt.predictions import Predictor, chosen
from wire import models
from wire.objects import ObjectStore
from wire.observations import Reader

COLUMNS = ("request_id", "user_id", "model_digest", "logged_ms", "video_id", "score", "scored_position", "position",
           "engaged")  # fmt: skip
MOST_IMPRESSIONS = 200_000
LEAST_ROWS = 100
"""Impressions of a calibration curve."""
MOST_TARGETS = 12_000
"""Of the test part of a log, spread over it."""


@dataclass(frozen=True)
class Modelled:
    """A published model, its bundle on disk, and the folder of the data that it learned from."""

    store: ObjectStore
    bundle: Bundle
    folder: Path

    @staticmethod
    def load(store: ObjectStore, cache: Path, model: str = "") -> Modelled:
        """The model whose digest begins with `model`, or the latest; raises NoModel, InvalidBundle, WireError."""
        bundle = models.fetch_bundle(store, chosen(store, model), cache)
        return Modelled(store, bundle, models.fetch_dataset(store, bundle.manifest["data"]["dataset"], cache))

    def dataset(self) -> Dataset:
        """The log that it learned from."""
        return Dataset.read(self.folder)

    @contextmanager
    def frames(self, video: str) -> Iterator[NDArray[np.uint8]]:
        """A video's frames uint8 [W, T, S, S, 3], as the model sees them; raises InvalidOption when there are none."""
        frames = Frames(self.store, self.bundle)
        try:
            yield frames.of(video)
        except NoPictures as error:
            raise InvalidOption(f"--video {video!r} cannot be shown: {error}") from error
        finally:
            frames.close()


def topics(found: Modelled, dataset: Dataset) -> list[str]:
    """The topic of each video of the dataset: its own, or the strongest one in a simulated world's truth."""
    if not (found.folder / VIDEOS).exists():
        return [UNKNOWN] * len(dataset.videos)
    catalog = Catalog.read(found.folder)
    of = {video.video_id: video.topic for video in catalog if video.topic}
    if not of and (found.folder / LATENTS).exists():
        strongest = latents_of(catalog, VideoLatents.read(found.folder)).theta.argmax(1)
        of = {video.video_id: f"topic {topic}" for video, topic in zip(catalog, strongest, strict=True)}
    return [of.get(video, UNKNOWN) for video in dataset.videos]


def engagement(dataset: Dataset, by: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Share of the impressions of each video or viewer that engaged, [count]; NaN without any."""
    shown = np.bincount(by, minlength=count)
    done = np.bincount(by, dataset.targets.engaged, minlength=count)
    return np.asarray(np.divide(done, shown, out=np.full(count, np.nan), where=shown > 0))


def favourites(dataset: Dataset, topic: Sequence[str]) -> list[str]:
    """The topic whose videos each viewer of the dataset engages with most often."""
    names = sorted({name for name in topic if name != UNKNOWN})
    place = {name: number for number, name in enumerate(names)}
    of = np.array([place.get(name, -1) for name in topic], np.int64)[dataset.targets.video]
    known = (of >= 0) & dataset.targets.engaged
    counts = np.zeros((len(dataset.users), max(len(names), 1)))
    np.add.at(counts, (dataset.targets.viewer[known], of[known]), 1.0)
    return [names[row.argmax()] if row.any() else UNKNOWN for row in counts]


def layers(found: Modelled, frames: NDArray[np.uint8], most: int) -> dict[str, NDArray[np.float32]]:
    """The maps of at most `most` of the encoder's layers, evenly from the first to the last."""
    made = LayerMaps(found.bundle).maps(frames)
    names = list(made)
    places = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    return {names[place]: made[names[place]] for place in places}


def heat(found: Modelled, frames: NDArray[np.uint8], user: str, video: str, position: int) -> list[list[Shown]]:
    """All frames under the heat of a viewer's prediction, from the log that the model learned from.

    A viewer that it does not know has no history. Raises InvalidOption for a video that the model does not know.
    """
    predictor = Predictor.of(found.bundle.folder, found.folder)
    scorer, maps = predictor.scorer, ActivationMaps(found.bundle)
    row = int(scorer.catalogue.rows([video])[0])
    if row < 0:
        raise InvalidOption(f"--video {video!r} is not in the catalogue of model {found.bundle.digest[:12]}")
    past = predictor.feedback(user)
    past = Feedback(*(getattr(past, name)[-HISTORY:] for name in Feedback.__dataclass_fields__))
    last_ms = int(past.ts_ms[-1]) if len(past.ts_ms) else -1
    now = moment(np.array([[last_ms]]), np.array([[last_ms + 1]]))
    made = maps.maps(frames)
    channels = maps.sensitivity(made, scorer, scorer.encode(past), now, row, position)
    strength = maps.heat(frames, channels, made)
    return [
        [Shown(number, frame, overlaid(frame, hot)) for number, (frame, hot) in enumerate(zip(*window, strict=True))]
        for window in zip(frames, strength, strict=True)
    ]


def explained_heat(explained: ExplainedVideo) -> list[list[Shown]]:
    """The hottest frame of each window, as an endpoint's explainer sent it; raises InvalidOption when it sent none."""
    if not explained.pictures:
        raise InvalidOption(f"--video {explained.video_id!r} cannot be shown: {explained.pictures_missing}")
    return [[Shown(one.frame, _decoded(one.plain), _decoded(one.heat))] for one in explained.pictures]


@dataclass(frozen=True)
class Calibration:
    """The curve, and the predictions behind it, [N]."""

    curve: tuple[Bin, ...]
    chance: NDArray[np.float64]


def observed_calibration(found: Modelled) -> Calibration:
    """Of what viewers did who saw this model's answers; raises NotEnoughData, WireError."""
    shown = observed.impressions(Reader(found.store, COLUMNS).newest(most=MOST_IMPRESSIONS))
    of_it = pc.and_(pc.equal(shown["model_digest"].cast(pa.string()), found.bundle.digest), pc.is_valid(shown["score"]))
    mine = shown.filter(of_it)
    if not len(mine):
        raise NotEnoughData(
            f"no observation is of model {found.bundle.digest[:12]}: nobody was served by it, or labels are not joined "
            "yet; for the log that it learned from: --on test"
        )
    return _calibration(
        observed.chances(mine, found.bundle), mine["engaged"].to_numpy().astype(bool), observed.viewers(mine)
    )


def tested_calibration(found: Modelled) -> Calibration:
    """Of the last tenth of the log that the model learned from, which it has not seen; raises NotEnoughData."""
    samples = found.dataset()
    rows = samples.rows(Split.TEST)
    rows = rows[:: max(1, -(-len(rows) // MOST_TARGETS))]
    scorer = Predictor.of(found.bundle.folder, found.folder).scorer
    return _calibration(predict(scorer, samples, rows), samples.targets.engaged[rows], samples.targets.viewer[rows])


def _calibration(chance: NDArray[np.float64], engaged: NDArray[np.bool_], viewer: NDArray[np.int64]) -> Calibration:
    if len(chance) < LEAST_ROWS:
        raise NotEnoughData(f"{len(chance)} impressions are too few for a calibration curve; it takes {LEAST_ROWS}")
    return Calibration(calibration_curve(chance, engaged, viewer), chance)


def _decoded(png: str) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(b64decode(png), np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(picture, np.uint8)
