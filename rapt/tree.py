"""The steps of a run as a live tree, read from the journals that the steps write in the run folder.

On a terminal the tree redraws itself; elsewhere each change is one line.
"""

from __future__ import annotations

import contextlib
import enum
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from components.journal import read_lines
from rapt.output import duration

RATE_OVER_S = 15.0
"""The rate shown is that of the last seconds, so that it follows a change of pace."""
REDRAWS_PER_S = 6.0
PLAIN_EVERY_S = 10.0
WIDE = 100


class State(enum.StrEnum):
    """Where a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    CACHED = "cached"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


MARKS = {
    State.WAITING: ("·", ".", "dim"),
    State.RUNNING: ("▸", ">", "cyan"),
    State.CACHED: ("✓", "=", "green"),
    State.DONE: ("✓", "+", "green"),
    State.FAILED: ("✗", "x", "bold red"),
    State.SKIPPED: ("–", "-", "yellow"),
}


@dataclass(frozen=True)
class Step:
    """One step as last told: `done` of `total` in `unit`s, `rate` of them a second, `left_s` at that rate.

    It began at `begun` (seconds since 1970); `seconds` is what it took, or has taken when it runs; `reason`
    why it failed or was skipped; `log` what it printed.
    """

    name: str
    state: State = State.WAITING
    label: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate: float = 0.0
    left_s: float | None = None
    begun: float = math.inf
    seconds: float = 0.0
    reason: str = ""
    log: Path | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


def read_step(name: str, lines: Sequence[Mapping[str, Any]], now: float) -> Step:
    """The step that a journal's lines tell of; `now` and the lines' `ts` are seconds since 1970."""
    begins = [place for place, line in enumerate(lines) if line["event"] == "started"]
    if not begins:
        return Step(name)
    lines = lines[begins[-1] :]
    last, begun = lines[-1], float(lines[0]["ts"])
    told = _progress(Step(name, State.RUNNING, begun=begun, seconds=max(now - begun, 0.0)), lines)
    if last["event"] == "ended":
        state = State.CACHED if last["cached"] else State.DONE
        return replace(told, state=state, seconds=last["seconds"], result=last["result"], outputs=last["outputs"])
    if last["event"] == "failed":
        reason = f"{last['error']}: {last['reason']}" if last["reason"] else last["error"]
        if last["error"] == KeyboardInterrupt.__name__:
            reason = "interrupted"
        return replace(told, state=State.FAILED, seconds=last["ts"] - begun, reason=reason)
    return told


def _progress(step: Step, lines: Sequence[Mapping[str, Any]]) -> Step:
    told = [line for line in lines if line["event"] == "progress"]
    if not told:
        return step
    last = told[-1]
    recent = [line for line in told if line["label"] == last["label"] and line["ts"] >= last["ts"] - RATE_OVER_S]
    passed, made = last["ts"] - recent[0]["ts"], last["done"] - recent[0]["done"]
    rate = made / passed if passed > 0 and made > 0 else 0.0
    left = (last["total"] - last["done"]) / rate if rate else None
    return replace(
        step, label=last["label"], done=last["done"], total=last["total"], unit=last["unit"], rate=rate,
        left_s=left,
    )  # fmt: skip


class Tree:
    """The steps `names` of a run in the order in which they run; a rich renderable. `log` holds what they print."""

    def __init__(self, title: str, folder: Path, names: Sequence[str], log: Path) -> None:
        self.title, self.folder, self.names, self.log = title, folder, tuple(names), log
        self.begun = time.time()
        self.over = False
        self._spinner = Spinner("dots", style="cyan")
        self._lines: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        self._read_to = dict.fromkeys(names, 0)

    def steps(self) -> list[Step]:
        """All steps as they are now, those that have begun first; when the run is over, the others are skipped."""
        now = time.time()
        found = [replace(read_step(name, self._journal(name), now), log=self.log) for name in self.names]
        held = next((step.result["reasons"] for step in found if step.result.get("verdict") == "hold"), None)
        failed = next((step.name for step in found if step.state is State.FAILED), None)
        return [self._ended(step, held, failed) for step in sorted(found, key=lambda step: step.begun)]

    def _ended(self, step: Step, held: str | None, failed: str | None) -> Step:
        if step.state is State.RUNNING and self.over:
            return replace(step, state=State.FAILED, reason="ended before it was done")
        if step.state is not State.WAITING:
            return step
        if held is not None:
            return replace(step, state=State.SKIPPED, reason=f"held back by the gate: {held}")
        if self.over:
            return replace(step, state=State.SKIPPED, reason=f"{failed} failed" if failed else "not reached")
        return step

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _journal(self, name: str) -> list[dict[str, Any]]:
        """All whole lines so far; only what is new is read, and a line half written waits."""
        try:
            with self._path(name).open("rb") as file:
                file.seek(self._read_to[name])
                new = file.read()
        except FileNotFoundError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._read_to[name] += len(whole)
        self._lines[name] += read_lines(whole)
        return self._lines[name]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide, plain = options.max_width >= WIDE, options.ascii_only
        yield Text.assemble((self.title, "bold"), (f"  {duration(time.time() - self.begun)}", "dim"))
        steps = self.steps()
        name_width = max(map(len, self.names), default=0)
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(width=1)
        grid.add_column(width=name_width, no_wrap=True)
        grid.add_column(ratio=1)
        for step in steps:
            mark, ascii_mark, style = MARKS[step.state]
            running = step.state is State.RUNNING and not plain
            sign = self._spinner.render(time.time()) if running else Text(ascii_mark if plain else mark, style)
            name = Text(step.name, "dim" if step.state is State.WAITING else "")
            grid.add_row(sign, name, _bar(step, wide) if step.state is State.RUNNING else _told(step))
        yield grid


def _told(step: Step) -> Text:
    """A step that does not run, in a few words."""
    if step.state is State.WAITING:
        return Text("waiting", "dim")
    if step.state is State.SKIPPED:
        return Text(f"skipped: {step.reason}", "yellow")
    took = seconds(step.seconds)
    if step.state is State.FAILED:
        return Text.assemble((step.reason, "red"), f"\nafter {took}, log {step.log}")
    text = Text("cached" if step.state is State.CACHED else took, "green")
    about = summary(step.result)
    return text.append(f"  {about}", "dim") if about else text


def _bar(step: Step, wide: bool) -> Table | Text:
    """A step that runs: bar, done of total, rate, time left."""
    if not step.total:
        return Text(seconds(step.seconds), "cyan")
    words = [f"{count(step.done)}/{count(step.total)} {step.unit}"]
    if wide and not set(step.label.split()) <= set(step.name.split("_")):
        words.insert(0, f"{step.label}:")
    if step.rate:
        words.append(f"{step.rate:.3g}/s" if step.rate < 1000 else f"{count(step.rate)}/s")
    if step.left_s is not None:
        words.append(f"{duration(step.left_s)} left")
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1, min_width=6)
    row.add_column(no_wrap=True)
    row.add_row(ProgressBar(total=step.total, completed=step.done), Text(" ".join(words), "cyan"))
    return row


def summary(result: Mapping[str, Any]) -> str:
    """The small figures that a step returned, for one line; a digest in 12 characters."""
    if "verdict" in result:
        return str(result["verdict"])
    if "digest" in result:
        return f"model {str(result['digest'])[:12]}"
    shown = [f"{count(value)} {key}" for key, value in result.items() if isinstance(value, int) and value]
    return ", ".join(shown[:3]).replace("_", " ")


def count(number: float) -> str:
    """A count in at most five characters: 9999, 12.3k, 4.56M."""
    if number < 9_999.5:
        return f"{number:.0f}"
    return f"{number / 1e3:.3g}k" if number < 999_500 else f"{number / 1e6:.3g}M"


def seconds(value: float) -> str:
    """Time a step took: tenths below a minute."""
    return f"{value:.1f} s" if value < 59.95 else duration(value)


@contextlib.contextmanager
def shown(tree: Tree, console: Console) -> Iterator[Tree]:
    """Inside, the tree is kept up to date on the console: live on a terminal, else a line for each change."""
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(get_renderable=lambda: tree, console=console, refresh_per_second=REDRAWS_PER_S, transient=False):
            try:
                yield tree
            finally:
                tree.over = True
        return
    end = threading.Event()
    teller = threading.Thread(target=_tell, args=(tree, console, end), daemon=True)
    teller.start()
    try:
        yield tree
    finally:
        tree.over = True
        end.set()
        teller.join()


def _tell(tree: Tree, console: Console, end: threading.Event) -> None:
    before: dict[str, State] = {}
    told_at = dict.fromkeys(tree.names, 0.0)
    while True:
        last = end.wait(0.3)
        for step in tree.steps():
            changed = before.get(step.name, State.WAITING) is not step.state
            due = step.state is State.RUNNING and time.monotonic() - told_at[step.name] >= PLAIN_EVERY_S
            if changed or due:
                before[step.name], told_at[step.name] = step.state, time.monotonic()
                console.print(plain_line(step), markup=False, highlight=False, soft_wrap=True)
        if last:
            return


def plain_line(step: Step) -> str:
    """One line about a step, for logs and pipes."""
    if step.state is State.RUNNING:
        text = f"{count(step.done)}/{count(step.total)} {step.unit}" if step.total else ""
        if step.left_s is not None:
            text += f", {step.rate:.3g}/s, {duration(step.left_s)} left"
    elif step.state is State.FAILED:
        text = f"{step.reason} (log {step.log})"
    elif step.state is State.SKIPPED:
        text = step.reason
    else:
        text = " ".join(part for part in (seconds(step.seconds), summary(step.result)) if part)
    return f"{step.name}: {step.state.value} {text}".rstrip()
