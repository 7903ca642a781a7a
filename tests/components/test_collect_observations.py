"""What is learned from observations, beside what `tests/pipelines/test_retraining.py` runs whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.collect_observations.step import known, run
from interest.datasets import observed
from interest.errors import InvalidSetting
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


@pytest.mark.parametrize(
    "wrong", [{"trigger": "auot"}, {"days": 0.0}, {"days": float("inf")}, {"least": -1}, {"cool_down_s": -1.0}]
)
def test_a_parameter_that_makes_no_sense_is_named(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=next(iter(wrong))):
        run(tmp_path / "catalog", tmp_path / "events", tmp_path / "serving", **wrong)
