"""Requests answered together: as each alone, whatever their sizes, whether encodings were kept or not."""

import numpy as np
import pytest

from interest.bundle import Bundle
from interest.history import HISTORY, Feedback
from interest.scoring import Scorer
from interest.serving import PADDING, Ask, BatchScorer, groups
from interest.viewer_rows import ROW, feedback, video_key

NOW_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def scorer(bundle: Bundle) -> Scorer:
    return Scorer(bundle)


def ask(scorer: Scorer, events: int, videos: int, seed: int = 0) -> Ask:
    rng = np.random.default_rng([seed, events, videos])
    keys = np.array([video_key(one) for one in [*scorer.catalogue.index, "stranger"]], np.uint64)
    history = np.zeros(events, ROW)
    history["video"], history["kind"] = rng.choice(keys, events), rng.integers(0, 4, events)
    history["watch_ms"], history["position"] = rng.integers(0, 30_000, events), rng.integers(1, 6, events)
    history["ts_ms"] = NOW_MS - 10_000_000 + np.sort(rng.integers(0, 9_000_000, events))
    return Ask(history, NOW_MS, rng.choice(keys, videos), rng.integers(1, 30, videos))


def alone(scorer: Scorer, one: Ask) -> np.ndarray:
    """The way that evaluation and the CLI go."""
    past: Feedback = feedback(one.history, scorer.catalogue.rows_of)
    rows = scorer.catalogue.rows_of(one.videos)
    return scorer.predict(past, one.now_ms, rows, one.position).probability[0]


SIZES = [(100, 200), (100, 200), (0, 3), (1, 500), (40, 200), (99, 180), (100, 1), (0, 1)]


def test_together_is_as_alone(scorer: Scorer) -> None:
    asks = [ask(scorer, events, videos, seed) for seed, (events, videos) in enumerate(SIZES)]
    for one, answer in zip(asks, BatchScorer(scorer).answer(asks), strict=True):
        np.testing.assert_allclose(answer.probability, alone(scorer, one), atol=1e-6)
        assert answer.known.tolist() == [key != video_key("stranger") for key in one.videos.tolist()]


def test_a_kept_encoding_gives_the_same_and_a_changed_history_another(scorer: Scorer) -> None:
    batch, one = BatchScorer(scorer), ask(scorer, 30, 10)
    (first,), (again,) = batch.answer([one]), batch.answer([one])
    assert again.probability.tolist() == first.probability.tolist()
    assert (batch.counts.viewers, batch.counts.kept) == (2, 1)
    later = Ask(one.history, one.now_ms + 7_200_000, one.videos, one.position)
    (moved,) = batch.answer([later])
    np.testing.assert_allclose(moved.probability, alone(scorer, later), atol=1e-6)
    assert batch.counts.kept == 2, "the moment is no part of a viewer's encoding"
    assert not np.allclose(moved.probability, first.probability)
    changed = one.history.copy()
    changed["watch_ms"][-1] += 5000
    (other,) = batch.answer([Ask(changed, one.now_ms, one.videos, one.position)])
    assert batch.counts.kept == 2
    assert not np.allclose(other.probability, first.probability)


def test_a_history_is_encoded_anew_when_a_video_in_it_becomes_known(bundle: Bundle) -> None:
    scorer = Scorer(bundle)
    batch, one = BatchScorer(scorer), ask(scorer, 20, 10)
    one.history["video"][:10] = video_key("stranger")
    (before,) = batch.answer([one])
    table = bundle.catalogue()
    scorer.catalogue.put(["stranger"], table.content[:1], table.duration_s[:1])
    (after,) = batch.answer([one])
    np.testing.assert_allclose(after.probability, alone(scorer, one), atol=1e-6)
    assert not np.allclose(after.probability, before.probability)


def test_the_longest_unused_encoding_makes_room(scorer: Scorer) -> None:
    batch = BatchScorer(scorer, kept_viewers=2)
    first, second, third = (ask(scorer, 5, 1, seed) for seed in range(3))
    for one in (first, second, first, third, first, second):
        batch.answer([one])
    assert batch.counts.kept == 2, "only the first was still there, twice"


def test_only_the_newest_events_count(scorer: Scorer) -> None:
    one = ask(scorer, HISTORY + 40, 10)
    recent = Ask(one.history[-HISTORY:], one.now_ms, one.videos, one.position)
    (long,), (short,) = BatchScorer(scorer).answer([one]), BatchScorer(scorer).answer([recent])
    assert long.probability.tolist() == short.probability.tolist()


def test_groups_hold_everybody_once_with_little_padding() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes = rng.integers(0, rng.integers(1, 501) + 1, rng.integers(1, 60)).tolist()
        found = groups(sizes)
        assert sorted(number for group in found for number in group) == list(range(len(sizes)))
        for group in found:
            real = [max(sizes[number], 1) for number in group]
            assert len(group) * max(real) <= PADDING * sum(real)
            assert len(group) <= 16
