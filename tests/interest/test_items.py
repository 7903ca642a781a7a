"""A catalogue in memory: rows by id and by key, unknown videos, growth while others read."""

import numpy as np
import pytest

from interest.bundle import Bundle
from interest.history import Feedback
from interest.items import Catalogue
from interest.scoring import Scorer
from interest.viewer_rows import video_key


@pytest.fixture
def catalogue(bundle: Bundle) -> Catalogue:
    return Scorer(bundle).catalogue


def keys(*video_ids: str) -> np.ndarray:
    return np.array([video_key(one) for one in video_ids], np.uint64)


def test_ids_and_keys_lead_to_the_same_rows_and_strangers_to_none(catalogue: Catalogue) -> None:
    ids = ["sim-00003", "never seen", "sim-00000", "sim-00059"]
    assert catalogue.rows(ids).tolist() == [3, -1, 0, 59]
    assert catalogue.rows_of(keys(*ids)).tolist() == [3, -1, 0, 59]
    assert catalogue.rows_of(keys()).tolist() == []


def test_a_new_video_is_scored_by_its_content_and_the_others_as_before(bundle: Bundle) -> None:
    scorer, nothing = Scorer(bundle), Feedback(*(np.zeros(0, np.int64) for _ in range(5)))
    table = bundle.catalogue()

    def chance(video_id: str) -> float:
        return float(scorer.predict(nothing, 0, scorer.catalogue.rows([video_id]), np.array([1])).probability[0, 0])

    before = [chance(name) for name in ("sim-00003", "sim-00007", "new")]
    scorer.catalogue.put(["new"], table.content[3:4], table.duration_s[3:4])
    assert chance("new") == pytest.approx(before[0], abs=1e-6)
    assert before[2] != pytest.approx(before[0], abs=1e-6)
    assert chance("sim-00007") == before[1]
    assert scorer.catalogue.rows_of(keys("new")).tolist() == scorer.catalogue.rows(["new"]).tolist()
    scorer.catalogue.put(["new"], table.content[7:8], table.duration_s[7:8])
    assert chance("new") == pytest.approx(before[1], abs=1e-6)


def test_growing_past_its_room_keeps_every_row_and_the_unknown_one_last(catalogue: Catalogue, bundle: Bundle) -> None:
    table, unknown = bundle.catalogue(), catalogue.items.content[-1].copy()
    rng = np.random.default_rng(0)
    added = rng.standard_normal((500, *table.content.shape[1:])).astype(np.float32)
    for first in range(0, 500, 7):
        chosen = slice(first, min(first + 7, 500))
        names = [f"new-{number}" for number in range(*chosen.indices(500))]
        catalogue.put(names, added[chosen], np.full(len(names), 9.0))
    names = [f"new-{number}" for number in range(500)]
    assert len(catalogue) == len(table.video_ids) + 500
    np.testing.assert_array_equal(catalogue.items.content[catalogue.rows(names)], added)
    np.testing.assert_array_equal(catalogue.items.content[catalogue.rows(table.video_ids)], table.content)
    np.testing.assert_array_equal(catalogue.items.content[-1], unknown)
    assert (catalogue.duration_s[catalogue.rows(names)] == 9.0).all()
    assert catalogue.duration_s[-1] == 0.0
