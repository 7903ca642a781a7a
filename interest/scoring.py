"""Scoring with a bundle through ONNX Runtime: the path that evaluation, the CLI and serving share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.datasets import get_example

from interest.bundle import Bundle
from interest.history import HISTORY, Feedback, moment, outcomes
from interest.items import Catalogue, Items

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """For B viewers and N candidates: `probability` [B, N], `logit` [B, N], `contributions` [B, N, 5] in the order
    of `fusion_predictor.TERMS`, `attention` [B, N, M, L + 1] over the start token and the past events."""

    probability: Floats
    logit: Floats
    contributions: Floats
    attention: Floats


class ViewerState(NamedTuple):
    """B viewers' pasts, encoded: `last` [B, 1, D], `states` [B, L + 1, D] after the start token and each event,
    `visible` bool [B, 1, L + 1]. It depends on the history alone, so it can be kept while that stays."""

    last: Floats
    states: Floats
    visible: NDArray[np.bool_]


class Scorer:
    """A bundle's graphs, loaded; no torch. `drop` names modalities to treat as missing (for ablation)."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, drop: Sequence[int] = ()) -> None:
        self.bundle = bundle
        self.catalogue = Catalogue(bundle.catalogue(), session(bundle, "item_encoder", threads), drop)
        self._viewer = session(bundle, "viewer_encoder", threads)
        self._scorer = session(bundle, "scorer", threads)

    def predict(self, feedback: Feedback, now_ms: int, video: Ints, position: Ints) -> Predictions:
        """One viewer's `feedback` (arrays [n], oldest first, all of it earlier than `now_ms`) and N candidates."""
        recent = feedback.last(HISTORY)
        last_ms = recent.ts_ms[-1] if len(recent.video) else -1
        now = moment(np.array([[last_ms]]), np.array([[now_ms]]))
        return self.score(self.encode(recent), now, video[None], position[None])

    def encode(self, feedback: Feedback) -> ViewerState:
        """The state of one viewer after `feedback` (arrays [n], n <= HISTORY, oldest first)."""
        return self.encode_all(
            video=feedback.video[None],
            kind=feedback.kind[None],
            outcome=outcomes(feedback, self.catalogue.duration_s[feedback.video])[None],
            length=np.array([[len(feedback.video)]]),
        )

    def encode_all(self, *, video: Ints, kind: Ints, outcome: Floats, length: Ints) -> ViewerState:
        """The states of B viewers from histories [B, L] as `datasets.windows` cuts them; `length` [B, 1]."""
        inputs = {"token": self.catalogue.items.token[video], "kind": kind, "outcome": outcome, "length": length}
        return ViewerState(*self._viewer.run(None, inputs))

    def score(self, state: ViewerState, now: Floats, candidates: Ints, position: Ints) -> Predictions:
        """B viewers at moments `now` [B, 1, 2], and candidate rows of the catalogue [B, N] at `position` [B, N]."""
        return self.score_items(state, now, self.catalogue.items, candidates, position)

    def score_items(
        self, state: ViewerState, now: Floats, items: Items, candidates: Ints, position: Ints
    ) -> Predictions:
        """As `score`, with candidates out of `items`, which need not be the catalogue's."""
        probability, logit, contributions, attention = self._scorer.run(
            None, _scored(state, now, items, candidates, position)
        )
        modalities = items.query.shape[1]
        by_modality = attention.reshape(*candidates.shape, modalities, attention.shape[-1])
        return Predictions(probability, logit, contributions, by_modality)

    def probability(self, state: ViewerState, now: Floats, candidates: Ints, position: Ints) -> Floats:
        """As `score`, and nothing but the probabilities [B, N]."""
        inputs = _scored(state, now, self.catalogue.items, candidates, position)
        made: Floats = self._scorer.run(["probability"], inputs)[0]
        return made


def _scored(state: ViewerState, now: Floats, items: Items, candidates: Ints, position: Ints) -> dict[str, Any]:
    return state._asdict() | {
        "now": now,
        "content": items.content[candidates],
        "query": items.query[candidates],
        "value": items.value[candidates],
        "appeal": items.appeal[candidates],
        "position": position,
    }


def flush_denormals() -> None:
    """Have this thread take numbers for 0 that are too small for the processor's quick path.

    Softmax over a masked past makes many of them; with them a prediction takes half as long again. ONNX Runtime does
    so only in the thread that makes the process's first session: call this in the one that scores, before any is made.
    """
    onnxruntime.InferenceSession(get_example("mul_1.onnx"), options(1), providers=["CPUExecutionProvider"])


def session(bundle: Bundle, graph: str, threads: int) -> onnxruntime.InferenceSession:
    """One graph of a bundle, ready to run."""
    return onnxruntime.InferenceSession(
        bundle.graph(graph),
        options(threads),
        providers=["CPUExecutionProvider"],
        # Its fused form is slower than an addition and a normalisation.
        disabled_optimizers=["SkipLayerNormFusion"],
    )


def options(threads: int) -> onnxruntime.SessionOptions:
    """How a bundle's graphs are run, each on so many threads."""
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads, made.inter_op_num_threads = threads, 1
    made.log_severity_level = 3
    made.add_session_config_entry("session.set_denormal_as_zero", "1")
    # Threads that spin while they wait take the time of whatever else runs on a small machine.
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return made
