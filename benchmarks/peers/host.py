"""The same scorer in one tier, as a peer's user would write it: histories in memory, one call a request.

That favours the peers: their histories never change and lie there ready for the model, with catalogue rows in the
place of keys; nobody reads a state, checks a request, assigns an arm or logs an exposure. The module needs only what
serving needs, so that it runs in the peers' environments with the project on PYTHONPATH.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from interest.bundle import open_bundle
from interest.history import Feedback
from interest.scoring import Scorer
from interest.viewer_rows import feedback, video_key

BUNDLE, HISTORIES, NOW_MS = "BENCH_BUNDLE", "BENCH_HISTORIES", "BENCH_NOW_MS"


class Host:
    """Answers predictions; histories come from the file that the benchmark wrote, ready for the model."""

    def __init__(self, bundle: Path, histories: Path, now_ms: int) -> None:
        self.scorer = Scorer(open_bundle(bundle), threads=1)
        self.now_ms = now_ms
        rows = {video_key(video_id): row for video_id, row in self.scorer.catalogue.index.items()}
        with np.load(histories) as file:
            self.histories: dict[str, Feedback] = {
                user: feedback(history, lambda keys: np.array([rows.get(int(key), -1) for key in keys]))
                for user, history in zip(file["users"].tolist(), file["rows"], strict=True)
            }

    @classmethod
    def from_env(cls) -> Self:
        """As the benchmark's environment says."""
        return cls(Path(os.environ[BUNDLE]), Path(os.environ[HISTORIES]), int(os.environ[NOW_MS]))

    def scores(self, user_id: str, video_ids: Sequence[str]) -> list[float]:
        """The probability of each video, all at position 1."""
        candidates = self.scorer.catalogue.rows(video_ids)
        made = self.scorer.predict(self.histories[user_id], self.now_ms, candidates, np.ones(len(candidates), np.int64))
        result: list[float] = made.probability[0].tolist()
        return result

    def answer(self, document: dict[str, list[dict[str, object]]]) -> dict[str, object]:
        """The v1 protocol: `instances` in, `predictions` out."""
        return {"predictions": [self._one(**one) for one in document["instances"]]}  # type: ignore[arg-type]

    def _one(self, user_id: str, video_ids: list[str], context: object = None) -> dict[str, object]:  # noqa: ARG002
        scores = self.scores(user_id, video_ids)
        pairs = zip(video_ids, scores, strict=True)
        return {"user_id": user_id, "videos": [{"video_id": one, "probability": score} for one, score in pairs]}
