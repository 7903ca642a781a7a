"""Whose content is published: the served model's, and after a change of it everything anew."""

from pathlib import Path

import numpy as np
import pytest

from inference.catalogue_feed.progress import Progress, ProgressNote
from tests.inference.catalogue_feed.material import Model
from tests.inference.catalogue_feed.stage import Stage, content_of
from tests.waiting import until
from wire.models import LATEST

pytestmark = pytest.mark.slow

NAMES = ("red", "blue", "hum")


def sent(stage: Stage, clips: dict[str, Path]) -> None:
    stage.send(*(stage.video(name, clips[name]) for name in NAMES))


def test_when_the_model_changes_everything_is_encoded_anew_from_what_the_store_keeps(
    stage: Stage, model: Model, next_model: Model, clips: dict[str, Path]
) -> None:
    stage.publish(model, 1)
    sent(stage, clips)
    with stage.worker() as metrics:
        stage.contents(3)
        asked = len(stage.web.requests)
        digest = stage.publish(next_model, 2)
        made = stage.contents(6)[3:]
        stage.send(stage.video("tall", clips["tall"]))
        made += stage.contents(7)[6:]
        until(lambda: not metrics.status.renewing)
        assert len(stage.web.requests) == asked + 1
    assert {one.video_id for one in made} == {*NAMES, "tall"}
    for one in made:
        assert one.model_digest == digest
        np.testing.assert_allclose(content_of(one), next_model.encoded(one.video_id), atol=1e-5)
    assert metrics.status.renewed == 3
    assert ProgressNote(stage.store, "latest").read() == Progress({0: 4}, digest)


def test_a_restart_encodes_nothing_twice_and_a_model_published_meanwhile_is_taken_up(
    stage: Stage, model: Model, next_model: Model, clips: dict[str, Path]
) -> None:
    digest = stage.publish(model, 1)
    sent(stage, clips)
    with stage.worker():
        until(lambda: ProgressNote(stage.store, "latest").read() == Progress({0: 3}, digest))
    with stage.worker() as metrics:
        stage.send(stage.video("tall", clips["tall"]))
        assert [one.video_id for one in stage.contents(4)][3:] == ["tall"]
    assert (metrics.status.encoded, metrics.status.renewed) == (1, 0)
    digest = stage.publish(next_model, 2)
    with stage.worker() as metrics:
        made = stage.contents(8)[4:]
    assert {(one.video_id, one.model_digest) for one in made} == {(name, digest) for name in (*NAMES, "tall")}


def test_a_pinned_model_stays_whatever_is_published(
    stage: Stage, model: Model, next_model: Model, clips: dict[str, Path]
) -> None:
    digest = stage.publish(model, 1)
    stage.publish(next_model, 2)
    sent(stage, clips)
    with stage.worker(pinned=digest[:10]):
        made = stage.contents(3)
    assert {one.model_digest for one in made} == {digest}


def test_without_a_model_it_waits_and_says_so(stage: Stage, model: Model, clips: dict[str, Path]) -> None:
    sent(stage, clips)
    with stage.worker() as metrics:
        until(lambda: metrics.status.waits_for.startswith("a published model"))
        stage.publish(model)
        assert len(stage.contents(3)) == 3
        until(lambda: metrics.status.waits_for == "")


def test_a_damaged_bundle_is_refused_and_the_one_before_goes_on(
    stage: Stage, model: Model, next_model: Model, clips: dict[str, Path]
) -> None:
    digest = stage.publish(model, 1)
    with stage.worker() as metrics:
        until(lambda: metrics.status.model_digest == digest)
        stage.publish_damaged(next_model)
        until(lambda: metrics.status.refused_models == 1)
        sent(stage, clips)
        assert {one.model_digest for one in stage.contents(3)} == {digest}
        assert metrics.status.waits_for == ""
    assert "tampered with or damaged" in metrics.status.last_refused


def test_a_pointer_that_is_no_pointer_leaves_the_model_before(
    stage: Stage, model: Model, clips: dict[str, Path]
) -> None:
    stage.store.put_bytes(LATEST, b"{")
    with stage.worker() as metrics:
        until(lambda: "JSONDecodeError" in metrics.status.waits_for)
        digest = stage.publish(model, 1)
        until(lambda: metrics.status.model_digest == digest)
        stage.store.put_bytes(LATEST, b"[]")
        sent(stage, clips)
        assert {one.model_digest for one in stage.contents(3)} == {digest}
