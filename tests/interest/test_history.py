"""A viewer's events as tensors: relative, point in time, the same in training and in serving."""

import numpy as np
import pytest

from interest.datasets.samples import Split, build
from interest.datasets.windows import before, cut
from interest.history import HISTORY, Feedback, log_length, moment, outcomes
from interest.simulator.log import events_table
from tests.interest.worlds import small_world


def feedback(**columns: list[int]) -> Feedback:
    size = len(columns["ts_ms"])
    defaults = {"video": [0] * size, "kind": [0] * size, "watch_ms": [0] * size, "position": [1] * size}
    return Feedback(**{name: np.array(values) for name, values in (defaults | columns).items()})


def test_outcomes_by_hand() -> None:
    events = feedback(ts_ms=[1_000, 4_000], watch_ms=[5_000, 20_000], position=[1, 3])
    made = outcomes(events, np.array([10.0, 10.0]))
    expected = [
        [0.5, np.log(6.0), 0.0, 0.0],
        [2.0, np.log(21.0), np.log(4.0) / 5, np.log(3.0)],
    ]
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_a_video_of_unknown_length_has_no_watch_ratio() -> None:
    assert outcomes(feedback(ts_ms=[0], watch_ms=[9_000]), np.array([0.0]))[0, 0] == 0.0


def test_a_clock_that_runs_backwards_is_no_gap() -> None:
    assert outcomes(feedback(ts_ms=[9_000, 1_000]), np.array([1.0, 1.0]))[1, 2] == 0.0


def test_only_differences_of_time_matter() -> None:
    early, late = (feedback(ts_ms=[start, start + 5_000]) for start in (0, 10**12))
    np.testing.assert_array_equal(outcomes(early, np.ones(2)), outcomes(late, np.ones(2)))


def test_half_an_hour_begins_a_session() -> None:
    made = moment(np.array([0, 0, -1]), np.array([1_800_000, 1_800_001, 5]))
    assert made[:, 1].tolist() == [0.0, 1.0, 1.0]


def test_lengths_are_standardised_and_unknown_is_average() -> None:
    assert log_length(np.array([20.0, 0.0])).tolist() == [0.0, 0.0]
    assert log_length(np.array([20.0 * np.exp(0.6)]))[0] == pytest.approx(1.0)


def test_a_target_sees_strictly_earlier_feedback_only() -> None:
    _, _, _, samples = small_world()
    targets = samples.targets
    for row in range(0, len(targets), 37):
        first = samples.feedback_start[targets.viewer[row]]
        end = samples.feedback_start[targets.viewer[row] + 1]
        times = samples.feedback.ts_ms[first:end]
        assert targets.visible[row] == (times < targets.ts_ms[row]).sum()


def test_changing_the_future_changes_nothing() -> None:
    _, catalog, log, samples = small_world()
    table = events_table(log, catalog)
    half = int(np.median(table["ts_ms"].to_numpy()))
    future = table["ts_ms"].to_numpy() > half
    watch_ms = np.where(future, (table["watch_ms"].to_numpy() * 7 + 13) % 20_000, table["watch_ms"].to_numpy())
    video_ids = np.where(future, np.roll(table["video_id"].to_numpy(), 5), table["video_id"].to_numpy())
    changed = table.set_column(table.column_names.index("watch_ms"), "watch_ms", [watch_ms])
    changed = changed.set_column(changed.column_names.index("video_id"), "video_id", [video_ids.astype(str)])
    other = build(catalog, changed)
    rows = np.flatnonzero(samples.targets.ts_ms <= half)
    np.testing.assert_array_equal(rows, np.flatnonzero(other.targets.ts_ms <= half))
    for left, right in zip(before(samples, rows), before(other, rows), strict=True):
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        else:
            np.testing.assert_array_equal(left.video, right.video)
            np.testing.assert_array_equal(left.kind, right.kind)
            np.testing.assert_array_equal(left.outcome, right.outcome)
    assert (samples.feedback.watch_ms != other.feedback.watch_ms).any()


def test_a_cut_is_the_last_events_padded_on_the_right() -> None:
    _, _, _, samples = small_world(steps=120, viewers=20)
    rows = samples.rows(Split.TEST)[-5:]
    histories, visible, _ = before(samples, rows)
    assert histories.video.shape == (5, HISTORY)
    for i, row in enumerate(rows):
        end = samples.feedback_start[samples.targets.viewer[row]] + samples.targets.visible[row]
        count = visible[i, 0]
        np.testing.assert_array_equal(histories.video[i, :count], samples.feedback.video[end - count : end])
        assert (histories.video[i, count:] == -1).all()
        assert (histories.outcome[i, count:] == 0).all()


def test_an_empty_history_is_all_padding() -> None:
    _, _, _, samples = small_world()
    nothing = cut(samples, np.array([3]), np.array([3]))
    assert (nothing.video == -1).all()
    assert not nothing.outcome.any()
