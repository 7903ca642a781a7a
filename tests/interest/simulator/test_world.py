"""The world's signals and viewers keep what docs/simulator.md promises."""

import hashlib

import numpy as np
import pytest

from interest.catalog import Catalog
from interest.datasets.samples import build
from interest.models.names import MODALITIES
from interest.records import Kind, Video, engaged
from interest.simulator.log import events_table, truth_table
from interest.simulator.viewers import simulate
from interest.simulator.world import VideoLatents, latents_of, sample_videos, signals, video_id


@pytest.fixture(scope="module")
def latents() -> VideoLatents:
    return sample_videos(600, seed=3)


def explained(inputs: np.ndarray, targets: np.ndarray) -> float:
    design = np.column_stack([inputs, np.ones(len(inputs))])
    fitted = design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    return float(1 - ((targets - fitted) ** 2).sum() / ((targets - targets.mean(0)) ** 2).sum())


def test_one_modality_tells_half_of_the_topics_and_three_tell_most() -> None:
    many = sample_videos(20_000, seed=0)
    seen = signals(many, seed=0)
    for modality in MODALITIES:
        assert 0.40 <= explained(seen[modality], many.t) <= 0.65
    assert 0.90 <= explained(np.hstack(list(seen.values())), many.t) <= 0.95


def test_signals_have_unit_variance(latents: VideoLatents) -> None:
    many = signals(sample_videos(20_000, seed=0), seed=0)
    for values in many.values():
        assert values.std(0) == pytest.approx(np.ones(6), abs=0.03)


def test_nobody_is_shown_a_video_before_it_is_published(latents: VideoLatents) -> None:
    log = simulate(latents, viewers=200, events_per_viewer=40, seed=1)
    assert (latents.published_ms[log.video] <= log.ts_ms).all()


def test_a_viewers_clock_only_runs_forwards(latents: VideoLatents) -> None:
    log = simulate(latents, viewers=200, events_per_viewer=40, seed=1)
    assert (np.diff(log.ts_ms, axis=1) > log.watch_ms[:, :-1]).all()


def test_outcomes_follow_the_latent_chances(latents: VideoLatents) -> None:
    log = simulate(latents, viewers=2000, events_per_viewer=40, seed=1)
    bins = np.array_split(np.argsort(log.p_latent.ravel()), 10)
    for rows in bins:
        expected, actual = log.p_latent.ravel()[rows].mean(), log.engaged.ravel()[rows].mean()
        assert actual == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(rows)))


def test_the_events_say_engaged_exactly_when_the_world_does(latents: VideoLatents) -> None:
    log = simulate(latents, viewers=50, events_per_viewer=20, seed=1)
    catalog = Catalog(
        tuple(
            Video(video_id=video_id(row), uri="", duration_s=float(length))
            for row, length in enumerate(latents.length_s)
        )
    )
    table = events_table(log, catalog)
    reactions = {}
    for event in table.to_pylist():
        if event["kind"] != Kind.IMPRESSION:
            duration = catalog[event["video_id"]].duration_s
            reactions[event["request_id"]] = engaged([(Kind(event["kind"]), event["watch_ms"])], duration)
    requests = truth_table(log, latents)["event_id"].to_pylist()
    assert [reactions[event_id.removesuffix("-i")] for event_id in requests] == log.engaged.ravel().tolist()


def test_a_real_clip_has_the_same_latents_in_every_run(latents: VideoLatents) -> None:
    clip = Video(video_id="holiday", uri="file.mp4", duration_s=12.5)
    rendered = Video(video_id=video_id(7), uri="", duration_s=30.0)
    first, second = (latents_of(Catalog((clip, rendered)), latents) for _ in range(2))
    np.testing.assert_array_equal(first.theta, second.theta)
    np.testing.assert_array_equal(first.theta[1], latents.theta[7])
    assert first.length_s[0] == 12.5


def test_the_same_seed_gives_the_same_log_and_another_does_not(latents: VideoLatents) -> None:
    first, again, other = (simulate(latents, 50, 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.watch_ms, again.watch_ms)
    assert (first.watch_ms != other.watch_ms).any()


def test_the_benchmarks_log_is_the_one_it_always_was() -> None:
    """A change of this digest is a change of the benchmark (or of numpy's generators), to be named as such."""
    log = simulate(sample_videos(300, seed=3), viewers=50, events_per_viewer=20, seed=1)
    columns = (
        log.video,
        log.ts_ms,
        log.position,
        log.randomised,
        log.new_session,
        log.engaged,
        log.watch_ms,
        log.liked,
    )
    digest = hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()
    assert digest == "0ba3c6a853beb2fe3c38d2060d08283e8d924ac1e09ae22e579eedccd7361181"


def test_a_log_becomes_samples_with_the_same_outcomes(latents: VideoLatents) -> None:
    log = simulate(latents, viewers=50, events_per_viewer=20, seed=1)
    catalog = Catalog(
        tuple(
            Video(video_id=video_id(row), uri="", duration_s=float(length))
            for row, length in enumerate(latents.length_s)
        )
    )
    samples = build(catalog, events_table(log, catalog))
    targets, viewers = samples.targets, [int(user.removeprefix("u")) for user in samples.users]
    np.testing.assert_array_equal(targets.engaged.reshape(log.engaged.shape), log.engaged[viewers])
    np.testing.assert_array_equal(targets.visible.reshape(log.engaged.shape), np.indices(log.engaged.shape)[1])
