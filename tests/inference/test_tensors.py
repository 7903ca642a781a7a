"""Batches of requests as tensors: ragged lists come back as they were, and what does not add up is named."""

import numpy as np
import pytest

from inference import protocol
from inference.errors import InvalidRequest
from inference.predictor import tensors
from inference.protocol import Call
from interest.serving import Answer, Ask
from interest.viewer_rows import ROW


def ask(events: int, videos: int) -> Ask:
    history = np.zeros(events, ROW)
    history["ts_ms"], history["kind"] = np.arange(events), 3
    return Ask(history, 1_000 + events, np.arange(videos, dtype=np.uint64), np.arange(1, videos + 1))


ASKS = [ask(3, 2), ask(0, 5), ask(100, 1), ask(0, 0)]


def test_a_batch_comes_back_as_it_was() -> None:
    message = protocol.request("m", tensors.asked(ASKS))
    made = tensors.asks(protocol.from_grpc(message))
    for before, after in zip(ASKS, made, strict=True):
        assert after.history.tobytes() == before.history.tobytes()
        assert after.now_ms == before.now_ms
        assert after.videos.tolist() == before.videos.tolist()
        assert after.position.tolist() == before.position.tolist()


def test_answers_find_their_asks_again() -> None:
    rng = np.random.default_rng(0)
    given = [Answer(rng.random(len(one.videos), np.float32), rng.random(len(one.videos)) > 0.5) for one in ASKS]
    message = protocol.response("m", tensors.answered("4f2a", given))
    digest, made = tensors.answers(protocol.from_response(message), ASKS)
    assert digest == "4f2a"
    for before, after in zip(given, made, strict=True):
        assert after.probability.tolist() == before.probability.tolist()
        assert after.known.tolist() == before.known.tolist()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("now_ms", np.zeros(0, np.int64), "now_ms has 0 elements"),
        ("now_ms", np.zeros(65, np.int64), "now_ms has 65 elements"),
        ("events", np.array([3, 0, 101, 0]), "events must be 0 to 100, got 0 to 101"),
        ("events", np.array([3, 0, 99, 0]), "events add up to 102, but there are 103"),
        ("events", np.array([3]), "events has 1 elements, now_ms has 4"),
        ("candidates", np.array([2, 6, 1, -1]), "candidates must be 0"),
        ("position", np.ones(7, np.int64), "position has 7 elements, video has 8"),
        ("position", np.zeros(8, np.int64), "position 0 is below 1"),
        ("history", np.zeros(30, np.uint8), "events add up"),
        ("history", np.full(103 * ROW.itemsize, 255, np.uint8), "history holds kind 255"),
    ],
)
def test_what_does_not_add_up_is_named(name: str, value: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        tensors.asks(Call({**tensors.asked(ASKS), name: value}))
