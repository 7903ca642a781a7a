"""The step tree: what journals tell, how it looks on a terminal, and the lines elsewhere."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.journal import RUN_DIR, Journal
from rapt.tree import State, Tree, count, read_step, shown, summary

NAMES = ("download", "train", "evaluate", "publish")


def line(event: str, ts: float, **fields: Any) -> dict[str, Any]:
    return {"step": "train", "event": event, "ts": ts, **fields}


def told(ts: float, done: int, label: str = "fusion") -> dict[str, Any]:
    return line("progress", ts, label=label, done=done, total=100, unit="batches")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setenv(RUN_DIR, str(tmp_path))
    return Tree("training run", tmp_path, NAMES, tmp_path / "log.txt")


def states(tree: Tree) -> dict[str, State]:
    return {step.name: step.state for step in tree.steps()}


def test_a_step_without_a_journal_waits() -> None:
    step = read_step("train", [], 5.0)
    assert (step.state, step.begun) == (State.WAITING, math.inf)


def test_rate_and_time_left_are_those_of_the_last_seconds_of_the_same_label() -> None:
    lines = [
        line("started", 0), told(1, 90, "content encoders"), told(2, 0), told(60, 10), told(65, 20), told(70, 40),
    ]  # fmt: skip
    step = read_step("train", lines, 71.0)
    assert (step.state, step.done, step.total, step.seconds) == (State.RUNNING, 40, 100, 71.0)
    assert step.rate == pytest.approx((40 - 10) / (70 - 60))
    assert step.left_s == pytest.approx((100 - 40) / 3.0)


def test_a_first_line_gives_no_rate() -> None:
    step = read_step("train", [line("started", 0), told(1, 0)], 2.0)
    assert (step.rate, step.left_s) == (0.0, None)


@pytest.mark.parametrize(("cached", "state"), [(True, State.CACHED), (False, State.DONE)])
def test_an_ended_step_has_its_result(cached: bool, state: State) -> None:
    end = line("ended", 9, cached=cached, seconds=7.5, result={"videos": 4}, outputs={"catalog": "/c"})
    step = read_step("train", [line("started", 1), end], 100.0)
    assert (step.state, step.seconds, step.result, step.outputs) == (state, 7.5, {"videos": 4}, {"catalog": "/c"})


def test_a_failed_step_has_its_reason_in_one_line() -> None:
    step = read_step("train", [line("started", 1), line("failed", 4, error="NotEnoughData", reason="3 rows")], 9.0)
    assert (step.state, step.reason, step.seconds) == (State.FAILED, "NotEnoughData: 3 rows", 3)


def test_ctrl_c_is_told_in_words() -> None:
    step = read_step("train", [line("started", 1), line("failed", 4, error="KeyboardInterrupt", reason="")], 9.0)
    assert (step.state, step.reason) == (State.FAILED, "interrupted")


def test_a_step_that_started_again_is_what_it_told_since() -> None:
    lines = [line("started", 1), line("failed", 4, error="Gone", reason="away"), line("started", 6)]
    assert read_step("train", lines, 8.0).state is State.RUNNING
    assert read_step("train", lines, 8.0).seconds == 2.0


def test_the_tree_follows_the_journals(tree: Tree) -> None:
    assert set(states(tree).values()) == {State.WAITING}
    journal = Journal.of("train")
    journal.started()
    assert states(tree)["train"] is State.RUNNING
    assert [step.name for step in tree.steps()] == ["train", "download", "evaluate", "publish"]
    journal.ended(cached=False, seconds=1.0, result={}, outputs={})
    assert states(tree)["train"] is State.DONE


def test_half_a_line_waits_for_its_rest(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"event": "started", "ts": 1}\n{"event": "fai')
    assert states(tree)["train"] is State.RUNNING
    with path.open("a") as file:
        file.write('led", "ts": 2, "error": "Gone", "reason": ""}\n')
    assert states(tree)["train"] is State.FAILED


def test_a_torn_line_is_passed_over(tree: Tree, tmp_path: Path) -> None:
    failed = '{"event": "failed", "ts": 2, "error": "Gone", "reason": ""}'
    (tmp_path / "train.jsonl").write_text(f'{{"event": "started", "ts": 1}}\n{{"event": "prog\n{failed}\n')
    assert states(tree)["train"] is State.FAILED


def test_what_the_gate_held_back_is_skipped_with_its_reason(tree: Tree) -> None:
    journal = Journal.of("evaluate")
    journal.started()
    journal.ended(cached=False, seconds=1, result={"verdict": "hold", "reasons": "AUC too low"}, outputs={})
    publish = tree.steps()[-1]
    assert (publish.name, publish.state, publish.reason) == (
        "publish", State.SKIPPED, "held back by the gate: AUC too low",
    )  # fmt: skip


def test_after_a_failure_the_rest_is_skipped(tree: Tree) -> None:
    journal = Journal.of("download")
    journal.started()
    journal.failed(ValueError("bad\nlist"))
    tree.over = True
    steps = tree.steps()
    assert steps[0].reason == "ValueError: bad list"
    assert {step.reason for step in steps[1:]} == {"download failed"}


def test_a_step_that_was_interrupted_is_not_left_running(tree: Tree) -> None:
    Journal.of("download").started()
    tree.over = True
    assert states(tree)["download"] is State.FAILED


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_it_fits_any_terminal(tree: Tree, width: int, encoding: str) -> None:
    journal = Journal.of("train")
    journal.started()
    journal.progressed("content encoders", 12_345, 987_654, "impressions")
    bytes_out = io.BytesIO()
    text = io.TextIOWrapper(bytes_out, encoding=encoding)
    Console(file=text, width=width).print(tree)
    text.flush()
    lines = bytes_out.getvalue().decode(encoding).splitlines()
    assert max(map(len, lines)) <= width
    shown_train = next(one for one in lines if "train " in one and "training" not in one)
    if width >= 80:
        assert "12.3k/988k impressions" in shown_train
    assert ("content encoders" in shown_train) == (width >= 100)


def test_elsewhere_each_change_is_a_line(tree: Tree) -> None:
    out = io.StringIO()
    with shown(tree, Console(file=out, force_terminal=False)):
        journal = Journal.of("download")
        journal.started()
        journal.ended(cached=True, seconds=0.25, result={"videos": 4, "rejected": 0}, outputs={})
        Journal.of("train").started()
        Journal.of("train").failed(ValueError("no"))
    assert out.getvalue().splitlines() == [
        "download: cached 0.2 s 4 videos",
        f"train: failed ValueError: no (log {tree.log})",
        "evaluate: skipped train failed",
        "publish: skipped train failed",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999, "9999"), (12_345, "12.3k"), (120_000, "120k"), (999_400, "999k"), (4_560_000, "4.56M")],
)
def test_counts_are_short(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"videos": 4, "rejected": 0, "received_bytes": 12}, "4 videos, 12 received bytes"),
        ({"digest": "0123456789abcdef"}, "model 0123456789ab"),
        ({"verdict": "hold", "reasons": "x"}, "hold"),
        ({}, ""),
    ],
)
def test_a_result_in_a_few_words(result: dict[str, Any], text: str) -> None:
    assert summary(result) == text
