"""What is learned from observations, beside what `tests/pipelines/test_retraining.py` runs whole."""

from __future__ import annotations

import pytest

from components.collect_observations.step import known
from interest.datasets import observed
from tests.interest.datasets.test_observed import row, table


def test_videos_that_the_model_does_not_know_are_left_out_and_the_others_count_as_before() -> None:
    """Half of each page of two is unknown; what is left was as likely to be shown as it was."""
    rows = [
        row(n, f"v{rank}", rank=rank, position=place, randomised=n % 10 == 0)
        for n in range(100)
        for place, rank in enumerate((3, 5) if n % 10 == 0 else (1, 2), 1)
    ]
    shown = observed.impressions(table(*rows))
    usable, weights = known(shown, ["v2", "v5"])
    assert set(usable["video_id"].to_pylist()) == {"v2", "v5"} and len(usable) == 100
    assert weights["event_id"].to_pylist() == observed.impression_ids(usable).to_pylist()
    every = dict(zip(shown["video_id"].to_pylist(), observed.weights(shown), strict=True))
    assert weights["full_weight"].to_pylist() == pytest.approx([every[v] for v in usable["video_id"].to_pylist()])
    assert len(known(observed.impressions(table()), ["v1"])[0]) == 0
