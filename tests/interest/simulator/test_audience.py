"""Viewers who react to what somebody ranks for them, one page at a time."""

import numpy as np
import pytest

from interest.catalog import Catalog
from interest.records import Kind, Video, engaged
from interest.simulator.audience import Audience, Reaction
from interest.simulator.world import VideoLatents, sample_videos, video_id

NOW_MS = 1_795_000_000_000
VIDEOS = 200


@pytest.fixture(scope="module")
def latents() -> VideoLatents:
    return sample_videos(VIDEOS, seed=3)


def audience(latents: VideoLatents, viewers: int = 20, seed: int = 1) -> Audience:
    catalog = Catalog(
        tuple(Video(video_id=video_id(row), uri="", duration_s=float(s)) for row, s in enumerate(latents.length_s))
    )
    return Audience(catalog, latents, viewers, seed)


def pages(crowd: Audience, count: int) -> list[Reaction]:
    rng = np.random.default_rng(0)
    return [
        crowd.react(
            number % len(crowd.users),
            [video_id(row) for row in rng.choice(VIDEOS, 5, replace=False)],
            NOW_MS + 1000 * number,
            request_id=f"r{number}",
            randomised=number % 2 == 0,
        )
        for number in range(count)
    ]


def test_a_page_gives_an_impression_and_a_feedback_event_a_video(latents: VideoLatents) -> None:
    shown = [video_id(4), video_id(9)]
    made = audience(latents).react(7, shown, NOW_MS, request_id="r1", randomised=True)
    first, reaction, second, _ = made.events
    assert [event.video_id for event in made.events] == [shown[0], shown[0], shown[1], shown[1]]
    assert [event.position for event in made.events] == [1, 1, 2, 2]
    assert [event.ts_ms - NOW_MS for event in made.events] == [0, 1, 2, 3]
    assert {event.user_id for event in made.events} == {"live-00007"}
    assert {event.request_id for event in made.events} == {"r1"}
    assert len({event.event_id for event in made.events}) == 4
    assert first.kind is second.kind is Kind.IMPRESSION
    assert reaction.kind in {Kind.WATCH, Kind.LIKE, Kind.SHARE, Kind.SKIP}
    assert first.randomised
    assert not reaction.randomised


def test_the_events_say_engaged_as_often_as_the_viewers_did(latents: VideoLatents) -> None:
    crowd = audience(latents)
    kinds = set()
    for made in pages(crowd, 200):
        feedback = [event for event in made.events if event.kind is not Kind.IMPRESSION]
        kinds |= {event.kind for event in feedback}
        durations = [crowd.catalog[event.video_id].duration_s for event in feedback]
        said = [
            engaged([(event.kind, event.watch_ms)], duration)
            for event, duration in zip(feedback, durations, strict=True)
        ]
        assert sum(said) == made.engaged
    assert kinds == {Kind.WATCH, Kind.LIKE, Kind.SHARE, Kind.SKIP}


def test_the_same_seed_and_pages_give_the_same_reactions_and_another_seed_does_not(latents: VideoLatents) -> None:
    first, again, other = (pages(audience(latents, seed=seed), 100) for seed in (1, 1, 2))
    assert first == again
    assert [made.engaged for made in first] != [made.engaged for made in other]


def test_what_is_shown_to_one_tires_nobody_else(latents: VideoLatents) -> None:
    crowd = audience(latents)
    for number in range(30):
        crowd.react(3, [video_id(number)], NOW_MS, request_id=f"r{number}", randomised=False)
    everybody = crowd.viewers
    assert everybody.fatigue[3].any()
    others = np.arange(len(crowd.users)) != 3
    assert not everybody.fatigue[others].any()
    assert not everybody.watched[others].any()


def test_who_ranks_by_the_viewers_true_taste_earns_more_engagement(latents: VideoLatents) -> None:
    """The loop that experiments rest on: a better ranking gives more engagement."""
    best, random = (audience(latents, viewers=100) for _ in range(2))
    rng = np.random.default_rng(5)
    earned = {"best": 0, "random": 0}
    for viewer in range(100):
        drawn = rng.choice(VIDEOS, 50, replace=False)
        liking = latents.t[drawn] @ best.viewers.taste[viewer]
        liked = [video_id(row) for row in drawn[np.argsort(-liking)[:5]]]
        shown = [video_id(row) for row in drawn[:5]]
        earned["best"] += best.react(viewer, liked, NOW_MS, request_id="r", randomised=False).engaged
        earned["random"] += random.react(viewer, shown, NOW_MS, request_id="r", randomised=False).engaged
    assert earned["best"] > 1.5 * earned["random"]


def test_a_video_that_the_world_does_not_know_is_an_error(latents: VideoLatents) -> None:
    with pytest.raises(KeyError, match="nowhere"):
        audience(latents).react(0, ["nowhere"], NOW_MS, request_id="r", randomised=False)
