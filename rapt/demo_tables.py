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

from rapt.closed_loop import Loop
from rapt.demo import CLIPS, Demo
from rapt.live import Live, Moved, quantile
from rapt.output import duration, size
from rapt.tree import seconds

REAL = {video_id for video_id, _, _ in CLIPS}


def show(demo: Demo, console: Console) -> None:
    """Everything, from the model's quality to what to try next."""
    tables = [quality(demo.report), modalities(demo.report), viewers(demo)]
    tables += [moved(demo.live.moved), served(demo.live)] if demo.live else []
    tables += [happened(demo.loop), engagement(demo.loop)] if demo.loop else []
    for table in (*tables, places(demo), times(demo)):
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


def moved(one: Moved) -> Table:
    """A viewer's chances before and after one watched video."""
    columns = ("", *(f"{video}\n{'real' if video in REAL else 'rendered'}" for video in one.videos))
    rows = [
        ("before", *(f"{chance:.2%}" for chance in one.before)),
        ("after", *(f"{chance:.2%}" for chance in one.after)),
        ("", *(f"{100 * (now - then):+.2f}" for then, now in zip(one.before, one.after, strict=True))),
    ]
    return _table(f"A new viewer's scores move once they watched {one.watched} to its end", columns, rows)


def served(live: Live) -> Table:
    """How quickly the endpoint answers, and how soon what a viewer did counts."""

    def three(values: Sequence[float]) -> tuple[str, ...]:
        return tuple(f"{quantile(values, share):.1f}" for share in (0.5, 0.9, 0.99)) if values else ("-",) * 3

    rows = [
        ("a prediction, 50 candidates (ms)", *three(live.traffic.latency_ms)),
        ("age of the viewer state behind it (ms)", *three(live.traffic.state_age_ms)),
        ("from an event to the first changed prediction (ms)", *three(live.freshness_ms)),
    ]
    came = live.traffic
    title = f"Served: {came.requests} requests in {came.seconds:.0f} s, {sum(came.failures.values())} failed"
    return _table(title, ("", "median", "90%", "99%"), rows)


def happened(loop: Loop) -> Table:
    """What happened when tastes turned, and when."""
    rows = [(f"{one.at_s:.0f} s", one.what) for one in loop.moments]
    return _table("The loop, closed by itself", ("", ""), rows, numbers=False)


def engagement(loop: Loop) -> Table:
    """What viewers made of the pages that the model ranked, before, during and after."""
    rows = [
        (
            phase, f"{seen.requests}", f"{seen.failed}",
            "-" if seen.pages.share is None else f"{seen.pages.share:.1%}",
        )
        for phase, seen in loop.phases.items()
    ]  # fmt: skip
    return _table("What viewers made of what was ranked first", ("", "requests", "failed", "engaged"), rows)


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
    if demo.live:
        watched, user = demo.live.moved.watched, demo.live.moved.user_id
        some = ",".join(demo.live.moved.videos[:3])
        yield f"{rapt} events send --user {user} --video {watched} --kind like", "tell what a viewer did"
        yield f"{rapt} explain --user {user} --videos {some}", "why: terms, past events, and with --pictures the frames"
        yield f"{rapt} traffic --rate 50 --seconds 30", "simulated viewers who react to what the endpoint ranks first"
        yield f"{rapt} status", "what runs, what it serves, how fresh it is"
    yield f"{rapt} pipeline run training --videos my.csv", "your own videos: columns url or path, and caption"
    yield f"{rapt} pipeline run training --events my.parquet", "your own logs, or a public data set's folder"
    yield f"{rapt} models", "every published model"
    yield f"{rapt} demo", "again: nothing changed, so nothing is done twice"
    yield f"{rapt} down", "end all that runs; the data stay"


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
