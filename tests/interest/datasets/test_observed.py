"""Observations as a log: the histories that serving saw, and weights that stand for pages at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from interest.catalog import Catalog
from interest.datasets import observed
from interest.datasets.events import validate_events
from interest.datasets.observations import SCHEMA
from interest.datasets.samples import build
from interest.records import Video


def row(request: int, video: str | None, **more: Any) -> dict[str, Any]:
    at_ms = 1_790_000_000_000 + 1000 * request
    feedback = [{"kind": "watch", "ts_ms": at_ms + 5, "watch_ms": 900, "position": 1}]
    return {
        "request_id": f"r{request}",
        "user_id": "u1",
        "arm": "stable",
        "propensity": 1.0,
        "model_digest": "m",
        "ts_ms": at_ms,
        "logged_ms": at_ms,
        "candidates": 10,
        "video_id": video,
        "score": 0.5,
        "rank": 1,
        "scored_position": 1,
        "position": 1,
        "randomised": False,
        "engaged": True,
        "watch_ms": 900,
        "shown_ms": at_ms + 1,
        "feedback": feedback,
        **more,
    }


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def test_an_impression_is_known_once_and_missing_labels_are_none() -> None:
    shown = observed.impressions(table(row(2, "v1"), row(1, "v1"), row(2, "v1"), row(3, None)))
    assert shown["request_id"].to_pylist() == ["r1", "r2"]
    assert len(observed.impressions(table())) == 0


def test_a_target_sees_what_was_done_before_it_was_scored_and_no_more() -> None:
    """Two videos of one page: what came of the first is not known when the second is scored."""
    rows = [row(n, f"v{place}", position=place) for n in range(60) for place in (1, 2)]
    events = observed.events(observed.impressions(table(*rows)))
    catalog = Catalog(tuple(Video(video_id=f"v{place}", uri="", duration_s=0.9) for place in (1, 2)))
    assert validate_events(events, catalog).counts["rejected"] == 0
    samples = build(catalog, events)
    assert samples.targets.visible.tolist() == [2 * (n // 2) for n in range(120)]
    assert samples.targets.engaged.all()
    assert samples.targets.position.tolist() == [1, 2] * 60


def test_everything_that_was_done_is_in_the_log_in_its_order() -> None:
    done = [
        {"kind": "like", "ts_ms": 1_790_000_001_003, "watch_ms": 12, "position": 4},
        {"kind": "share", "ts_ms": 1_790_000_001_004, "watch_ms": 0, "position": 4},
    ]
    events = observed.events(observed.impressions(table(row(1, "v1", feedback=done), row(2, "v1", feedback=[]))))
    found = [(one["kind"], one["ts_ms"], one["watch_ms"], one["position"]) for one in events.to_pylist()]
    assert found[1:3] == [("like", 1_790_000_001_003, 12, 4), ("share", 1_790_000_001_004, 0, 4)]
    assert [kind for kind, *_ in found] == ["impression", "like", "share", "impression"]
    assert len(set(events["event_id"].to_pylist())) == 4


def log(requests: int, share: float, rng: np.random.Generator, candidates: int = 10, page: int = 2) -> pa.Table:
    """Pages of a model whose scores have nothing to do with what engages; engagement falls with the video's number."""
    rows = []
    for number in range(requests):
        order = rng.permutation(candidates)
        drawn = bool(rng.random() < share)
        for place, rank in enumerate(rng.permutation(candidates)[:page] if drawn else range(page), 1):
            engaged = bool(rng.random() < 0.8 - 0.6 * (rank >= page))
            rows.append(
                row(number, f"v{order[rank]}", rank=int(rank) + 1, position=place, randomised=drawn, engaged=engaged)
            )
    return observed.impressions(table(*rows))


def test_weights_stand_for_pages_at_random() -> None:
    """True mean over all 10 candidates: (2 * .8 + 8 * .2) / 10 = .32; as shown it is near .74."""
    shown = log(6000, 0.1, np.random.default_rng(1))
    engaged = shown["engaged"].to_numpy(zero_copy_only=False).astype(float)
    weight = observed.weights(shown)
    assert weight.mean() == pytest.approx(1.0)
    assert engaged.mean() > 0.7
    assert (engaged * weight).mean() == pytest.approx(0.32, abs=0.03)
    half = observed.weights(shown, 0.5)
    assert 0.4 < (engaged * half).mean() < 0.7
    assert observed.effective(weight) < observed.effective(half) < len(shown)
    assert observed.effective(np.ones(7)) == 7


def test_without_pages_at_random_all_count_the_same_and_foreign_videos_never() -> None:
    rng = np.random.default_rng(1)
    assert (observed.weights(log(50, 0.0, rng)) == 1).all()
    shown = observed.impressions(table(row(1, "v1"), row(2, "v2", rank=None, score=None), row(3, "v1")))
    assert observed.weights(shown).tolist() == pytest.approx([1.5, 0.0, 1.5])


def test_an_impression_that_is_missing_makes_no_other_one_of_its_page_rare() -> None:
    rows = [
        row(n, f"v{rank}", rank=rank, position=rank, randomised=n % 10 == 0)
        for n in range(100)
        for rank in (1, 2, 3)
        if (n, rank) != (5, 1)
    ]
    weight = observed.weights(observed.impressions(table(*rows)))
    assert weight == pytest.approx(1.0)
