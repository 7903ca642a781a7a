"""The explainer as a KServe model: a predictor's tensors in, an explanation as JSON out."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from typing import ClassVar

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.errors import InvalidRequest
from inference.explainer.frames import Frames, NoPictures
from inference.new_videos import NewVideos
from inference.predictor import tensors
from inference.protocol import Call
from inference.server.bundle_model import BundleModel
from inference.transformer.messages import MOST_EXPLAINED, ExplainedVideo, PastEvent, Picture
from interest.bundle import Bundle
from interest.explain import ActivationMaps, explain, overlaid
from interest.history import HISTORY, moment
from interest.records import FEEDBACK
from interest.scoring import Scorer, ViewerState
from interest.serving import Ask
from interest.viewer_rows import feedback
from wire.kafka import KafkaSettings
from wire.objects import ObjectStore

MOST_EVENTS = 20
"""Past events that an explanation lists, the weightiest first."""


@dataclass(frozen=True)
class Loaded:
    """A bundle that explains."""

    scorer: Scorer
    maps: ActivationMaps
    frames: Frames
    new_videos: NewVideos | None

    @property
    def bundle(self) -> Bundle:
        return self.scorer.bundle

    def close(self) -> None:
        self.frames.close()
        if self.new_videos is not None:
            self.new_videos.close()


class Explainer(BundleModel[Loaded]):
    """Explains one request at a time."""

    INPUTS: ClassVar = {**tensors.INPUTS, "video_id": "BYTES"}
    OUTPUTS: ClassVar = {"explanation": "BYTES"}

    def __init__(self, name: str, store: ObjectStore, kafka: KafkaSettings | None, pinned: str = "") -> None:
        super().__init__(name, store, kafka, pinned)
        self._turn = asyncio.Lock()

    def load(self, bundle: Bundle) -> Loaded:
        scorer = Scorer(bundle)
        return Loaded(scorer, ActivationMaps(bundle), Frames(self.store, bundle), self.new_videos(scorer))

    def scorer(self, current: Loaded) -> Scorer:
        return current.scorer

    async def infer(self, call: Call) -> Call:
        asks = tensors.asks(call)
        names = call.tensor("video_id", "BYTES").tolist()
        if len(asks) != 1 or len(names) != len(asks[0].videos) or not 1 <= len(names) <= MOST_EXPLAINED:
            raise InvalidRequest(f"one request with 1 to {MOST_EXPLAINED} videos is explained, each with its video_id")
        current = self.current()
        pictures = bool(call.parameters.get("pictures", False))
        async with self._turn:
            videos = await asyncio.to_thread(_explained, current, asks[0], [one.decode() for one in names], pictures)
        document = np.empty(1, object)
        document[0] = msgspec.json.encode({"model_digest": current.bundle.digest, "videos": videos})
        return Call({"explanation": document})


def _explained(loaded: Loaded, ask: Ask, video_ids: list[str], pictures: bool) -> list[ExplainedVideo]:
    scorer = loaded.scorer
    past = feedback(ask.history[-HISTORY:], scorer.catalogue.rows_of)
    state = scorer.encode(past)
    last_ms = past.ts_ms[-1] if len(past.video) else -1
    now = moment(np.array([[last_ms]]), np.array([[ask.now_ms]]))
    rows = scorer.catalogue.rows_of(ask.videos)
    made = scorer.score(state, now, rows[None], ask.position[None])
    ids = {row: video_id for video_id, row in scorer.catalogue.index.items()} if len(past.video) else {}

    def event(index: int, weight: float) -> PastEvent:
        return PastEvent(
            ids.get(int(past.video[index])), FEEDBACK[past.kind[index]], int(past.ts_ms[index]),
            int(past.watch_ms[index]), weight,
        )  # fmt: skip

    def one(number: int, video_id: str) -> ExplainedVideo:
        why = explain(made, number, history=len(past.video))
        shown, missing = _pictures(loaded, video_id, int(rows[number]), state, now, int(ask.position[number]), pictures)
        return ExplainedVideo(
            video_id=video_id, known=bool(rows[number] >= 0), probability=why.probability, logit=why.logit,
            terms=why.terms, past=[event(item.index, item.weight) for item in why.past[:MOST_EVENTS]],
            start_weight=why.start_weight, pictures=shown, pictures_missing=missing,
        )  # fmt: skip

    return [one(number, video_id) for number, video_id in enumerate(video_ids)]


def _pictures(
    loaded: Loaded, video_id: str, row: int, state: ViewerState, now: NDArray[np.float32], position: int, wanted: bool
) -> tuple[list[Picture], str]:
    """The hottest frame of each window, and why there is none."""
    if not wanted:
        return [], ""
    if row < 0:
        return [], "the model does not know the video"
    try:
        frames = loaded.frames.of(video_id)
    except NoPictures as error:
        return [], str(error)
    maps = loaded.maps.maps(frames)
    channels = loaded.maps.sensitivity(maps, loaded.scorer, state, now, row, position)
    heat = loaded.maps.heat(frames, channels, maps)
    found = []
    for window in range(len(frames)):
        frame = int(heat[window].mean(axis=(1, 2)).argmax())
        plain = frames[window, frame]
        found.append(Picture(window, frame, _png(plain), _png(overlaid(plain, heat[window, frame]))))
    return found, ""


def _png(picture: NDArray[np.uint8]) -> str:
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return b64encode(data.tobytes()).decode()
