"""The page Map: points that are fitted once, new ones that move nothing, colours, and what may fail."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from interest.bundle import Bundle
from interest.experiments.assignment import Allocation, Trial, assign
from interest.projection import FILE
from interest.records import Content
from monitoring.app import sources
from monitoring.app.atlas import Atlas, Kind, sample
from monitoring.app.served import Served
from monitoring.app.views.atlas import arm
from tests.monitoring.app.conftest import Page, charts, read_as_markdown
from tests.monitoring.app.stage import HOSTILE_ID
from tests.ports import free_ports
from tests.waiting import until
from wire.kafka import CONTENT, KafkaSettings, producer
from wire.objects import ObjectStore


@pytest.fixture
def served(published: Bundle, store: ObjectStore, tmp_path: object) -> Served:
    found = sources.served()
    assert found.digest == published.digest
    return found


def made(served: Served, kind: Kind = Kind.VIDEOS) -> Atlas:
    atlas = Atlas(served, kind)
    until(lambda: atlas.ready.is_set() or bool(atlas.trouble), "the map")
    assert not atlas.trouble
    return atlas


def test_a_map_is_fitted_once_a_model_and_kept(served: Served, store: ObjectStore) -> None:
    first = made(served)
    assert first.ids == served.bundle.catalogue().video_ids
    assert store.exists(f"projections/{served.digest}/videos/{FILE}")
    again = made(served)
    np.testing.assert_array_equal(again.points, first.points)
    store.put_bytes(f"projections/{served.digest}/videos/{FILE}", b"damaged")
    np.testing.assert_allclose(made(served).points, first.points)
    assert len(made(served, Kind.VIEWERS).ids) == len(served.bundle.viewers().user_ids)


def test_a_store_that_is_away_for_a_while_costs_no_map(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    there = served.store
    away = f"http://127.0.0.1:{free_ports()}"
    with monkeypatch.context() as patch:
        patch.setenv("RAPT_S3_ENDPOINT", away)
        served.store = ObjectStore.from_env()
    try:
        atlas = Atlas(served, Kind.VIDEOS)
        until(lambda: bool(atlas.trouble), "it says that it cannot")
        assert away in atlas.trouble
    finally:
        served.store = there
    until(atlas.ready.is_set, "the map")
    assert not atlas.trouble


def test_a_new_video_appears_beside_its_like_and_moves_nothing(served: Served, page: Page) -> None:
    atlas = made(served)
    before = atlas.points.copy()
    table = served.bundle.catalogue()
    sending = producer(KafkaSettings.from_env())
    made_of = Content(video_id=HOSTILE_ID, model_digest=served.digest, duration_s=3.0,
                      content=table.content[7].astype("<f4").tobytes())  # fmt: skip
    sending.send(CONTENT, HOSTILE_ID.encode(), msgspec.json.encode(made_of))
    sending.flush(30)
    sending.close()
    until(lambda: served.later() == [HOSTILE_ID], "the new video")
    (place,) = atlas.later(served.later()).values()
    distances = np.linalg.norm(before - np.array(place), axis=1)
    assert distances[7] < np.quantile(distances, 0.3)
    np.testing.assert_array_equal(atlas.points, before)
    until(lambda: sources.atlas(Kind.VIDEOS).ready.is_set(), "the page's map")
    at = page("atlas")
    assert not at.exception and not at.error
    assert "61 points" in "".join(one.value for one in at.caption)
    assert "onmouseover" not in read_as_markdown(at)


@pytest.mark.parametrize(("kind", "colour"), [("videos", "engagement"), ("viewers", "arm"), ("viewers", "engagement")])
def test_every_colour(served: Served, page: Page, kind: str, colour: str) -> None:
    until(lambda: sources.atlas(Kind(kind)).ready.is_set(), "the map")
    at = page("atlas")
    at.selectbox[0].set_value(kind).run()
    at.selectbox[1].set_value(colour).run()
    assert not at.exception and not at.error
    assert charts(at) == 1


def test_arms_are_those_that_serving_gives() -> None:
    trial = Trial(experiment="x", salt="s", traffic=(0.0, 1.0), share=0.5, candidate="c" * 64, address="h:1")
    running = Allocation(version=1, trials=(trial,))
    assert arm(running, "u1") == str(assign("s", "x", "u1", 0.5))
    assert arm(Allocation(), "u1") == "no experiment"


def test_more_than_can_be_fitted_are_drawn_always_alike() -> None:
    rows = sample(10_000)
    assert len(rows) == 4000
    np.testing.assert_array_equal(rows, sample(10_000))
    assert sample(3).tolist() == [0, 1, 2]


def test_without_store_or_model_it_says_so(store: ObjectStore, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page("atlas").error[0].value == "No model is published yet"
    monkeypatch.setenv("RAPT_S3_ENDPOINT", f"http://127.0.0.1:{free_ports()}")
    assert page("atlas").error[0].value == "The object store does not answer"
