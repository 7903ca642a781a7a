"""Batches of requests as tensors of the v2 protocol: what the transformer sends and the predictor answers.

Ragged lists lie behind each other, and a tensor of lengths says where each ends:
`history` UINT8 [sum of events x 28] (`viewer_rows.ROW`), `events` INT64 [B], `now_ms` INT64 [B],
`video` UINT64 [N] (`viewer_rows.video_key`), `position` INT64 [N], `candidates` INT64 [B].
Answered: `probability` FP32 [N], `known` BOOL [N]; parameter `model_digest`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np

from inference.errors import InvalidRequest
from inference.protocol import Array, Call
from interest.history import HISTORY
from interest.serving import Answer, Ask
from interest.viewer_rows import ROW

INPUTS = {"history": "UINT8", "events": "INT64", "now_ms": "INT64", "video": "UINT64", "position": "INT64",
          "candidates": "INT64"}  # fmt: skip
OUTPUTS = {"probability": "FP32", "known": "BOOL"}
DIGEST = "model_digest"
MOST_REQUESTS = 64
MOST_CANDIDATES = 32_000


def asked(asks: Sequence[Ask]) -> dict[str, Array]:
    """The tensors of a batch."""
    return {
        "history": np.frombuffer(b"".join(ask.history.tobytes() for ask in asks), np.uint8),
        "events": np.array([len(ask.history) for ask in asks]),
        "now_ms": np.array([ask.now_ms for ask in asks]),
        "video": np.concatenate([ask.videos for ask in asks]),
        "position": np.concatenate([ask.position for ask in asks]),
        "candidates": np.array([len(ask.videos) for ask in asks]),
    }


def asks(call: Call) -> list[Ask]:
    """The batch in a call; raises InvalidRequest naming the tensor that does not fit."""
    history, events, now_ms, video, position, candidates = (call.tensor(name, kind) for name, kind in INPUTS.items())
    requests = len(now_ms)
    if not 1 <= requests <= MOST_REQUESTS:
        raise InvalidRequest(f"now_ms has {requests} elements: 1 to {MOST_REQUESTS} requests a call")
    counts = _lengths("events", events, requests, len(history) // ROW.itemsize, HISTORY)
    if len(history) % ROW.itemsize:
        raise InvalidRequest(f"history has {len(history)} bytes, not a multiple of {ROW.itemsize}")
    shown = _lengths("candidates", candidates, requests, len(video), MOST_CANDIDATES)
    if len(position) != len(video):
        raise InvalidRequest(f"position has {len(position)} elements, video has {len(video)}")
    if len(position) and position.min() < 1:
        raise InvalidRequest(f"position {position.min()} is below 1")
    rows = history.view(ROW)
    if len(rows) and rows["kind"].max() >= 4:
        raise InvalidRequest(f"history holds kind {rows['kind'].max()}; kinds are 0 to 3")
    return [
        Ask(rows[first:end], now, video[start:stop], position[start:stop])
        for (first, end), (start, stop), now in zip(_bounds(counts), _bounds(shown), now_ms.tolist(), strict=True)
    ]


def answered(digest: str, answers: Sequence[Answer]) -> Call:
    """The answer to a call."""
    return Call(
        {
            "probability": np.concatenate([one.probability for one in answers]),
            "known": np.concatenate([one.known for one in answers]),
        },
        {DIGEST: digest},
    )


def answers(call: Call, asks: Sequence[Ask]) -> tuple[str, list[Answer]]:
    """The model's digest and the answers to `asks`."""
    probability, known = (call.tensors[name] for name in OUTPUTS)
    bounds = _bounds([len(ask.videos) for ask in asks])
    return str(call.parameters[DIGEST]), [Answer(probability[a:b], known[a:b]) for a, b in bounds]


def _bounds(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    return pairwise(accumulate(lengths, initial=0))


def _lengths(name: str, lengths: Array, requests: int, total: int, most: int) -> list[int]:
    """The lengths as numbers, a few: Python is quicker at them than NumPy."""
    if len(lengths) != requests:
        raise InvalidRequest(f"{name} has {len(lengths)} elements, now_ms has {requests}")
    found: list[int] = lengths.tolist()
    if min(found) < 0 or max(found) > most:
        raise InvalidRequest(f"{name} must be 0 to {most}, got {min(found)} to {max(found)}")
    if sum(found) != total:
        raise InvalidRequest(f"{name} add up to {sum(found)}, but there are {total}")
    return found
