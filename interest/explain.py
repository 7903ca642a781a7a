"""Why a prediction is what it is: where in the frames, which past events, which modality.

All of it comes out of the ONNX graphs of a bundle, with no backward pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from interest.bundle import Bundle, weights
from interest.models.names import MODALITIES, TERMS
from interest.scoring import Predictions, Scorer, ViewerState, session

Floats = NDArray[np.float32]
HEAT = "inferno"
"""Name of the colours of heat, the same in OpenCV and matplotlib; without colour vision they go from dark to bright."""


@dataclass(frozen=True)
class PastEvent:
    """One past event's weight in a prediction: `index` counts from the oldest of the history, from 0."""

    index: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """One candidate's prediction taken apart: the terms add up to the logit exactly."""

    probability: float
    logit: float
    terms: dict[str, float]
    past: tuple[PastEvent, ...]
    start_weight: float


def explain(predictions: Predictions, candidate: int, *, history: int, viewer: int = 0) -> Explanation:
    """Take a prediction apart; `history` is how many events the viewer's state held.

    The weight of a past event is its target attention, averaged over modalities by the size of their
    contributions; `start_weight` is what attention gave to "none of these".
    """
    terms = dict(zip(TERMS, predictions.contributions[viewer, candidate].tolist(), strict=True))
    size = np.abs([terms[name] for name in MODALITIES]) + 1e-9
    attention = predictions.attention[viewer, candidate, :, : history + 1]
    weight = (size / size.sum()) @ attention
    order = np.argsort(-weight[1:], kind="stable")
    return Explanation(
        probability=float(predictions.probability[viewer, candidate]),
        logit=float(predictions.logit[viewer, candidate]),
        terms=terms,
        past=tuple(PastEvent(int(i), float(weight[1 + i])) for i in order),
        start_weight=float(weight[0]),
    )


class ActivationMaps:
    """Class activation maps of a video's frames, in closed form.

    The video's embedding is a linear layer on globally averaged feature maps, so Grad-CAM (Selvaraju et
    al. 2017) of any direction d in embedding space is sum_k (W^T d)_k A_k / (t h w), with no gradient.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self._graph = session(bundle, "content_video", threads)
        arrays = {name: np.asarray(value, np.float32) for name, value in weights(bundle).items()}
        self._head, self._head_bias = (arrays[f"encoders.video.head.{part}"] for part in ("weight", "bias"))
        number = MODALITIES.index("video")
        self._mean, self._spread = (arrays[f"fusion.embedding_{part}"][number] for part in ("mean", "spread"))
        self._layers = [
            (arrays[f"fusion.adapters.{number}.{layer}.weight"], arrays[f"fusion.adapters.{number}.{layer}.bias"])
            for layer in (0, 3)
        ]

    def direction(self, channels: Floats, size: tuple[int, int, int]) -> Floats:
        """Gradient of an embedding direction [E] with respect to the feature maps: one weight a channel [K]."""
        t, h, w = size
        return np.asarray((channels @ self._head) / (t * h * w), np.float32)

    def maps(self, frames: NDArray[np.uint8]) -> Floats:
        """Feature maps [W, K, t, h, w] of one video's frames uint8 [W, T, S, S, 3]."""
        result: Floats = self._graph.run(["maps"], {"frames": frames[None]})[0][0]
        return result

    def sensitivity(
        self, maps: Floats, scorer: Scorer, state: ViewerState, now: Floats, row: int, position: int
    ) -> Floats:
        """How the video's term of a prediction changes with each channel of the embedding behind `maps`: [E].

        Central differences through the very graphs that serve: 2 E candidates in one pass.
        """
        embedding = maps.mean(axis=(0, 2, 3, 4)) @ self._head.T + self._head_bias
        steps = 0.02 * self._spread * np.eye(len(embedding), dtype=np.float32)
        near = np.concatenate([embedding + steps, embedding - steps])
        content = np.repeat(scorer.catalogue.items.content[row][None], len(near), axis=0)
        content[:, MODALITIES.index("video")] = self._adapted(near)
        items = scorer.catalogue.encode(content, np.full(len(near), scorer.catalogue.duration_s[row]))
        order = np.arange(len(near))[None]
        made = scorer.score_items(state, now, items, order, np.full_like(order, position))
        term = made.contributions[0, :, TERMS.index("video")]
        plus, minus = np.split(term, 2)
        return np.asarray((plus - minus) / (2 * np.diag(steps)), np.float32)

    def _adapted(self, embeddings: Floats) -> Floats:
        """Embeddings [n, E] to content [n, C], as the fusion's adapter does."""
        (first, first_bias), (second, second_bias) = self._layers
        hidden = ((embeddings - self._mean) / self._spread) @ first.T + first_bias
        gelu = 0.5 * hidden * (1.0 + np.vectorize(math.erf, otypes=[np.float32])(hidden / math.sqrt(2.0)))
        return np.asarray(gelu @ second.T + second_bias, np.float32)

    def heat(self, frames: NDArray[np.uint8], channels: Floats, maps: Floats | None = None) -> Floats:
        """How much each pixel speaks for direction `channels` [E] of the embedding: [W, T, S, S], 0 to 1."""
        maps = self.maps(frames) if maps is None else maps
        weight = self.direction(channels, (maps.shape[2], maps.shape[3], maps.shape[4]))
        cam = np.maximum(np.einsum("k,wkthv->wthv", weight, maps), 0.0)
        cam = cam / max(float(cam.max()), 1e-12)
        return _enlarged(cam, frames.shape[1], frames.shape[2])


def overlaid(picture: NDArray[np.uint8], heat: Floats) -> NDArray[np.uint8]:
    """A frame [S, S, 3] under its heat [S, S]: what is cold stays as it is."""
    scale = cv2.applyColorMap((255 * heat).astype(np.uint8), getattr(cv2, f"COLORMAP_{HEAT.upper()}"))
    strength = 0.75 * heat[..., None]
    return (picture * (1 - strength) + cv2.cvtColor(scale, cv2.COLOR_BGR2RGB) * strength).astype(np.uint8)


def _enlarged(cam: Floats, frames: int, size: int) -> Floats:
    """[W, t, h, w] to [W, T, S, S]: nearest in time, bilinear in space."""
    steps = np.minimum(np.arange(frames) * cam.shape[1] // frames, cam.shape[1] - 1)
    pictures = [[cv2.resize(np.ascontiguousarray(window[step]), (size, size)) for step in steps] for window in cam]
    return np.clip(np.array(pictures, np.float32), 0.0, 1.0)
