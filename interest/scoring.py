"""Scoring with a bundle through ONNX Runtime: the path that evaluation, the CLI and serving share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from interest.bundle import Bundle
from interest.history import HISTORY, Feedback, log_length, moment, outcomes

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """For B viewers and N candidates: `probability` [B, N], `logit` [B, N], `contributions` [B, N, 5] in the order
    of `fusion_predictor.TERMS`, `attention` [B, M, N, L + 1] over the start token and the past events."""

    probability: Floats
    logit: Floats
    contributions: Floats
    attention: Floats


class Scorer:
    """A bundle's graphs, loaded; no torch. `drop` names modalities to treat as missing (for ablation)."""

    def __init__(self, bundle: Bundle, *, threads: int = 1, drop: Sequence[int] = ()) -> None:
        table = bundle.catalogue()
        self.bundle = bundle
        self.video_ids = table.video_ids
        self.index = {video_id: row for row, video_id in enumerate(table.video_ids)}
        self.missing = table.missing
        # The last row stands for every unknown video, so that row -1 finds it.
        self.content = np.concatenate([table.content, table.missing[None]])
        self.content[:, list(drop)] = table.missing[list(drop)]
        self.duration_s = np.append(table.duration_s, 0.0)
        self._viewer = session(bundle, "viewer_encoder", threads)
        self._scorer = session(bundle, "scorer", threads)

    def rows(self, video_ids: Sequence[str]) -> Ints:
        """Catalogue rows; -1 for a video that the bundle does not know."""
        return np.array([self.index.get(video_id, -1) for video_id in video_ids], np.int64)

    def predict(self, feedback: Feedback, now_ms: int, video: Ints, position: Ints) -> Predictions:
        """One viewer's `feedback` (arrays [n], oldest first, all of it earlier than `now_ms`) and N candidates."""
        recent = Feedback(*(getattr(feedback, name)[-HISTORY:] for name in Feedback.__dataclass_fields__))
        count = len(recent.video)
        outcome = outcomes(recent, self.duration_s[recent.video])
        last = recent.ts_ms[-1] if count else -1
        return self.score(
            video=_padded(recent.video, -1)[None],
            kind=_padded(recent.kind, 0)[None],
            outcome=np.concatenate([outcome, np.zeros((HISTORY - count, 4), np.float32)])[None],
            length=np.array([[count]]),
            now=moment(np.array([[last]]), np.array([[now_ms]])),
            candidates=video[None],
            position=position[None],
        )

    def score(
        self,
        *,
        video: Ints,
        kind: Ints,
        outcome: Floats,
        length: Ints,
        now: Floats,
        candidates: Ints,
        position: Ints,
    ) -> Predictions:
        """B histories as `datasets.windows` cuts them, and candidate rows [B, N]."""
        state = self._viewer.run(
            None,
            {"content": self.content[video], "kind": kind, "outcome": outcome, "length": length, "now": now},
        )
        names = [value.name for value in self._viewer.get_outputs()]
        inputs = dict(zip(names, state, strict=True)) | {
            "content": self.content[candidates],
            "log_length": log_length(self.duration_s[candidates]),
            "position": position.astype(np.int64),
        }
        return Predictions(*self._scorer.run(None, inputs))


def session(bundle: Bundle, graph: str, threads: int) -> onnxruntime.InferenceSession:
    """One graph of a bundle, ready to run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(bundle.graph(graph), options, providers=["CPUExecutionProvider"])


def _padded(values: Ints, fill: int) -> Ints:
    return np.concatenate([values, np.full(HISTORY - len(values), fill, np.int64)])
