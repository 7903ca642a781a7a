"""`rapt apply`, `rapt experiments`: canaries that decide by themselves."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, duration, note, print_json, print_table

if TYPE_CHECKING:
    from interest.experiments.decision import Bounds
    from monitoring.experiments.records import Audit, Kept, StoredRecords

PANEL = "Experiments"
WATCH_EVERY_S = 1.0

app = typer.Typer()
group = typer.Typer(name="experiments", help="Canaries: where they are, and what a person may decide.")
app.add_typer(group, rich_help_panel=PANEL)

Name = Annotated[str, typer.Argument(help="The experiment.")]


@app.command(rich_help_panel=PANEL)
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="Experiments as YAML, one document each.")],
    candidate: Annotated[str, typer.Option(help="First digits of the model on trial, instead of the file's.")] = "",
    json: JsonFlag = False,
) -> None:
    """Begin an experiment, or change a running one, as a file says; a cluster takes the same by `kubectl apply`."""
    import yaml

    from interest.experiments.spec import parse
    from wire import models

    try:
        documents = [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidOption(f"--file {str(file)!r} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not documents:
        raise InvalidOption(f"--file {str(file)!r} holds no experiment")
    records = _records()
    for one in documents:
        spec = one.get("spec") if isinstance(one, dict) else None
        if candidate and isinstance(spec, dict):
            spec["candidate"] = models.resolve(records.store, candidate)
    experiments = [parse(one) for one in documents]
    done = {one.name: records.apply(one, time.time_ns() // 1_000_000) for one in experiments}
    if json:
        print_json(done)
    else:
        for name, what in done.items():
            print(f"experiment {name} {what}")
            note(f"follow it with: rapt experiments watch {name}")


@group.callback(invoke_without_command=True)
def experiments(context: typer.Context, json: JsonFlag = False) -> None:
    """List the experiments, or act on one."""
    if context.invoked_subcommand is None:
        _show(_records().all(), json=json)


@group.command("list")
def list_(json: JsonFlag = False) -> None:
    """List the experiments."""
    _show(_records().all(), json=json)


@group.command()
def show(name: Name, json: JsonFlag = False) -> None:
    """Tell all of one experiment: arms, lift, guardrails, sample ratio, and what decides next."""
    kept = _one(_records(), name)
    if json:
        print_json(_plain(kept))
    else:
        print_table(("EXPERIMENT", name), rows(kept))


@group.command()
def watch(
    name: Name,
    seconds: Annotated[float, typer.Option(min=0, help="Give up after so long; 0: never.")] = 0.0,
    json: JsonFlag = False,
) -> None:
    """Follow an experiment until it has ended; exit code 0 when promoted, 3 when rolled back, 1 on giving up."""
    from interest.experiments.decision import Phase

    records, said, began = _records(), "", time.monotonic()
    while True:
        kept = _one(records, name)
        line = _line(kept)
        if line != said and not json:
            print(line, flush=True)
            said = line
        if kept.status.finished:
            break
        if seconds and time.monotonic() - began > seconds:
            note(f"error: experiment {name!r} has not ended within {seconds:g} s")
            raise typer.Exit(1)
        time.sleep(WATCH_EVERY_S)
    if json:
        print_json(_plain(kept))
    if kept.status.phase is not Phase.PROMOTED:
        raise typer.Exit(3)


@group.command()
def pause(name: Name, json: JsonFlag = False) -> None:
    """Hold an experiment where it is: its share stays, only a guardrail ends it."""
    _change(name, json=json, paused=True)


@group.command()
def resume(name: Name, json: JsonFlag = False) -> None:
    """Let a paused experiment go on."""
    _change(name, json=json, paused=False)


@group.command()
def abort(name: Name, json: JsonFlag = False) -> None:
    """Roll back: every viewer sees the stable model again."""
    from interest.experiments.spec import Forced

    _change(name, json=json, decision=Forced.ROLL_BACK)


@group.command()
def promote(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Whatever the data say so far.")] = False,
    json: JsonFlag = False,
) -> None:
    """Promote the candidate by hand."""
    from interest.experiments.spec import Forced

    if not force:
        raise InvalidOption(f"experiment {name!r} promotes by itself when the data say so; to do it now, add --force")
    _change(name, json=json, decision=Forced.PROMOTE)


@group.command()
def delete(name: Name, json: JsonFlag = False) -> None:
    """Forget an experiment; a running one ends, and its viewers see the stable model again. The audit stays."""
    records = _records()
    _one(records, name)
    records.delete(name)
    _did(name, "deleted", json=json)


@group.command()
def audit(name: Name, json: JsonFlag = False) -> None:
    """Tell each decision and what it stood on."""
    from monitoring.experiments.records import audits

    found = list(audits(_records().store, name))
    if json:
        print_json([_plain(one) for one in found])
    elif not found:
        note(f"nothing has been decided on {name!r} yet")
    else:
        print_table(("WHEN (UTC)", "PHASE", "SHARE", "VIEWERS", "LIFT", "WHY"), [_decision(one) for one in found])


@group.command()
def replay(name: Name, json: JsonFlag = False) -> None:
    """Decide again from the observations as they were at each decision; exit code 1 when one comes out otherwise."""
    from monitoring.experiments.replay import replay as again

    found = list(again(_records().store, name))
    if json:
        print_json([{"at_ms": one.audit.at_ms, "same": one.same, "differs": one.differs} for one in found])
    else:
        print_table(
            ("WHEN (UTC)", "PHASE", "SAME", "DIFFERS IN"),
            [(_moment(one.audit.at_ms), one.audit.after.phase, one.same, ", ".join(one.differs)) for one in found],
        )
    if not all(one.same for one in found):
        raise typer.Exit(1)


@group.command()
def analyze(
    exposures: Annotated[Path, typer.Argument(help="Who saw which arm when: CSV or Parquet.")],
    events: Annotated[
        Path | None, typer.Argument(help="What they did; without it, the exposures have a column of outcomes.")
    ] = None,
    candidate: Annotated[str, typer.Option(help="What the candidate's arm is called.")] = "candidate",
    stable: Annotated[str, typer.Option(help="What the stable arm is called.")] = "stable",
    share: Annotated[
        float | None, typer.Option(min=0.0001, max=0.9999, help="Share of viewers drawn for the candidate.")
    ] = None,
    window: Annotated[str, typer.Option(help="One outcome a viewer from so much time.")] = "1d",
    within: Annotated[str, typer.Option(help="An event counts for so long after an exposure.")] = "1h",
    kinds: Annotated[str, typer.Option(help="Kinds of events that engage, with commas; empty: all.")] = "",
    margin: Annotated[float, typer.Option(min=0, max=1, help="Loss that is accepted, as a share.")] = 0.0,
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.2, help="Chance of a wrong decision.")] = 0.05,
    user_column: Annotated[str, typer.Option(help="Column of viewers.")] = "user_id",
    arm_column: Annotated[str, typer.Option(help="Column of arms.")] = "arm",
    time_column: Annotated[str, typer.Option(help="Column of times: ISO 8601 or milliseconds.")] = "ts_ms",
    outcome_column: Annotated[str, typer.Option(help="Column of outcomes, where there are no events.")] = "engaged",
    picture: Annotated[Path | None, typer.Option(help="Draw the lift over time: .png or .svg.")] = None,
    json: JsonFlag = False,
) -> None:
    """Analyse any past A/B test as ours are: lift with an interval that holds at every look, and sample ratio."""
    from interest.experiments.foreign import Columns, Meaning, read
    from interest.experiments.spec import seconds
    from rapt.past_experiment import analysed

    columns = Columns(user=user_column, arm=arm_column, time=time_column, outcome=outcome_column)
    named = tuple(kind.strip() for kind in kinds.split(",") if kind.strip())
    meaning = Meaning(candidate, stable, share, named, round(1000 * seconds(within)))
    for file in (exposures, events):
        if file is not None and not file.is_file():
            raise InvalidOption(f"there is no file {str(file)!r}")
    found = analysed(read(exposures, events, columns, meaning), window=window, margin=margin, alpha=alpha)
    if picture is not None:
        found.draw(picture, exposures.stem)
        note(f"picture: {picture}")
    if json:
        print_json(found.document())
    else:
        print_table(("PAST EXPERIMENT", exposures.name), found.rows())


def rows(kept: "Kept") -> list[tuple[str, object]]:
    """All of one experiment, for people."""
    spec, status = kept.experiment.spec, kept.status
    arms = ", ".join(f"{count:,} {arm}" for arm, count in status.viewers.items()) or "-"
    ratio = status.sample_ratio
    told: list[tuple[str, object]] = [
        ("phase", status.phase),
        ("why", status.reason),
        ("next", status.next),
        ("share", f"{status.share:.0%} of {spec.traffic[1] - spec.traffic[0]:.0%} of the viewers"),
        ("stable", status.stable[:12] or "-"),
        ("candidate", spec.candidate[:12]),
        ("viewers", arms),
        ("lift", bounds(status.lift, percent=True)),
        (
            "sample ratio",
            f"{ratio.observed:.2%} in the candidate's arm, {ratio.expected:.2%} drawn, p {ratio.p_value:.3g}",
        ),
        ("labelled", ", ".join(f"{share:.1%} {arm}" for arm, share in status.coverage.items()) or "-"),
    ]
    for rail in status.guardrails:
        state = "holds" if rail.holds else "BROKEN"
        told.append((f"guardrail {rail.metric}", f"{bounds(rail.difference)}, {rail.margin:g} allowed: {state}"))
    return told


def _records() -> "StoredRecords":
    from monitoring.experiments.records import StoredRecords
    from rapt import settings, stack
    from wire.objects import ObjectStore

    chosen = settings.load()
    with stack.ensure_up(chosen):
        return StoredRecords(ObjectStore.from_env())


def _one(records: "StoredRecords", name: str) -> "Kept":
    kept = records.get(name)
    if kept is None:
        known = ", ".join(records.names()) or "none"
        raise InvalidOption(f"there is no experiment {name!r}; known: {known}")
    return kept


def _did(name: str, what: str, *, json: bool) -> None:
    if json:
        print_json({name: what})
    else:
        print(f"experiment {name} {what}")


def _change(name: str, *, json: bool, **changes: Any) -> None:
    from msgspec.structs import replace

    records = _records()
    kept = _one(records, name)
    changed = replace(kept.experiment, spec=replace(kept.experiment.spec, **changes))
    _did(name, records.apply(changed, time.time_ns() // 1_000_000), json=json)


def _show(found: "list[Kept]", *, json: bool) -> None:
    if json:
        print_json([_plain(one) for one in found])
    elif not found:
        note("there is no experiment; begin one with: rapt apply -f examples/experiment.yaml --candidate DIGITS")
    else:
        head = ("NAME", "PHASE", "SHARE", "VIEWERS", "LIFT", "SINCE", "WHY")
        print_table(head, [_row(one) for one in found])


def _row(kept: "Kept") -> tuple[object, ...]:
    status = kept.status
    since = status.decided_ms or status.started_ms or status.created_ms
    age = duration(time.time() - since / 1000) if since else "-"
    viewers = "/".join(str(count) for count in status.viewers.values()) or "-"
    return (kept.experiment.name, status.phase, f"{status.share:.0%}", viewers, bounds(status.lift, percent=True), age,
            status.reason)  # fmt: skip


def _line(kept: "Kept") -> str:
    status = kept.status
    viewers = ", ".join(f"{count:,} {arm}" for arm, count in status.viewers.items())
    parts = [str(status.phase), f"{status.share:.0%}", viewers, f"lift {bounds(status.lift, percent=True)}",
             status.reason, status.next]  # fmt: skip
    return "  ".join(part for part in parts if part)


def _decision(found: "Audit") -> tuple[object, ...]:
    after = found.after
    return (_moment(found.at_ms), after.phase, f"{after.share:.0%}", "/".join(map(str, found.statistics.viewers)),
            bounds(after.lift, percent=True), after.reason)  # fmt: skip


def bounds(found: "Bounds", *, percent: bool = False) -> str:
    """A difference and where it lies, for people."""

    def text(value: float) -> str:
        return f"{value:+.2%}" if percent else f"{value:+.3g}"

    if found.value is None:
        return "-"
    if found.lower is None or found.upper is None:
        return text(found.value)
    return f"{text(found.value)} ({text(found.lower)} to {text(found.upper)})"


def _moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _plain(value: object) -> Any:
    from msgspec import to_builtins

    return to_builtins(value)
