"""The tables that end the demo."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rapt.demo import CLIPS, Demo
from rapt.output import duration, size
from rapt.tree import seconds

REAL = {video_id for video_id, _, _ in CLIPS}


def show(demo: Demo, console: Console) -> None:
    """Everything, from the model's quality to what to try next."""
    for table in (quality(demo.report), modalities(demo.report), viewers(demo), places(demo), times(demo)):
        console.print()
        console.print(table)
    console.print()
    run = demo.outcome
    if run.published:
        where = run.step("publish").result.get("uri", "")
        console.print(
            f"The model passed the gate and is published as [bold]{run.model[:12]}[/]: {where}", soft_wrap=True
        )
    else:
        console.print(f"[yellow]The model was not published: {run.held_for}[/]")
    how = "was done before; that took" if run.cached else "took"
    console.print(f"All of it {how} {duration(demo.seconds)}, and {size(demo.peak_memory_bytes)} of memory at most.")
    console.print("\nTry next:")
    for line, about in next_steps(demo):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"      [dim]{about}[/]")


def quality(report: Mapping[str, Any]) -> Table:
    """Each slice of the test part of time: quality as a share of what is knowable, and calibration."""
    columns = (
        "slice", "shown", "AUC", "popu-\nlarity", "of the\nbest AUC", "of the\nbest NE", "calib.\nerror",
        "pred./\nactual",
    )  # fmt: skip
    rows = (
        (
            name, f"{number(figures['impressions']):.0f}", f"{number(figures['auc']):.3f}",
            f"{number(figures['baseline_auc']):.3f}", percent(figures.get("share_auc")),
            percent(figures.get("share_ne")), f"{number(figures['ece']):.3f}",
            f"{number(figures['predicted_over_actual']):.2f}",
        )
        for name, figures in report["slices"].items()
    )  # fmt: skip
    return _table("How good the model is, on the last tenth of the time (with 95% intervals)", columns, rows)


def modalities(report: Mapping[str, Any]) -> Table:
    """What is lost when a modality is taken away."""
    rows = ((name, between(lost["auc"]), between(lost["ne"])) for name, lost in report["without"].items())
    columns = ("modality", "adds to AUC", "takes off normalised entropy")
    return _table("What each modality adds", columns, rows)


def viewers(demo: Demo) -> Table:
    """The chance that a viewer engages with a video, in a viewer's row and a video's column."""
    videos = [one.video_id for one in demo.answers[0].videos] if demo.answers else []
    columns = ("viewer", "events", *(f"{video}\n{'real' if video in REAL else 'rendered'}" for video in videos))
    rows = (
        (answer.user, str(answer.events), *(f"{one.probability:.0%}" for one in answer.videos))
        for answer in demo.answers
    )
    return _table("Will they engage? At the first position, just after their last event", columns, rows)


def places(demo: Demo) -> Table:
    """Where each artifact lies."""
    outputs = [(step.name, name, path) for step in demo.outcome.steps for name, path in step.outputs.items()]
    root = os.path.commonpath([path for _, _, path in outputs])
    rows = [(step, name, os.path.relpath(path, root)) for step, name, path in outputs]
    return _table(f"Where each artifact lies, in {_short(root)}", ("step", "artifact", "path"), rows, numbers=False)


def times(demo: Demo) -> Table:
    """How long each step took."""
    rows = [(step.name, step.state.value, seconds(step.seconds)) for step in demo.outcome.steps]
    return _table("How long each step took", ("step", "", "time"), rows)


def next_steps(demo: Demo) -> Iterable[tuple[str, str]]:
    """Commands to type, each with what it does."""
    rapt = "rapt" if shutil.which("rapt") else os.path.relpath(Path(sys.executable).with_name("rapt"))
    if demo.answers and demo.outcome.published:
        answer = demo.answers[0]
        videos = ",".join(one.video_id for one in answer.videos[:3])
        yield f"{rapt} predict --user {answer.user} --videos {videos}", "why: what each modality contributes"
    yield f"{rapt} pipeline run training --videos my.csv", "your own videos: columns url or path, and caption"
    yield f"{rapt} pipeline run training --events my.parquet", "your own logs, or a public data set's folder"
    yield f"{rapt} models", "every published model"
    yield f"{rapt} demo", "again: nothing changed, so nothing is done twice"
    yield f"{rapt} down", "end the object store; the data stay"


def number(figure: Any) -> float:
    """The value of a figure, with or without an interval."""
    return float(figure["value"] if isinstance(figure, dict) else figure)


def percent(figure: Any) -> str:
    """A share with its interval, as in `91% (88–93)`; `-` when it is not there."""
    if figure is None:
        return "-"
    return f"{figure['value']:.0%} ({100 * figure['low']:.0f}–{100 * figure['high']:.0f})"


def between(figure: Mapping[str, float]) -> str:
    """A difference with its interval."""
    return f"{figure['value']:+.4f} ({figure['low']:+.4f} to {figure['high']:+.4f})"


def _short(path: str) -> str:
    home = Path.home()
    return f"~/{Path(path).relative_to(home)}" if Path(path).is_relative_to(home) else path


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> Table:
    """All columns but the first to the right when they hold `numbers`."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place and numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
