"""`rapt reports`: how the serving model did, what drifted, how experiments' arms compare."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, note, print_json, print_table

if TYPE_CHECKING:
    from interest.decay import Interval
    from wire.objects import ObjectStore
    from wire.reports import Report

PANEL = "Monitoring"
T = TypeVar("T")

app = typer.Typer()
group = typer.Typer(name="reports", help="How the serving model does: quality, drift, experiments' arms.")
app.add_typer(group, rich_help_panel=PANEL)

Name = Annotated[str, typer.Argument(help="The report, as `rapt reports` lists it; empty: the newest.")]


@group.callback(invoke_without_command=True)
def reports_(context: typer.Context, json: JsonFlag = False) -> None:
    """List the reports, or act on one."""
    if context.invoked_subcommand is None:
        list_(json=json)


@group.command("list")
def list_(
    most: Annotated[int, typer.Option(min=1, help="So many at most, the newest.")] = 50, json: JsonFlag = False
) -> None:
    """List the reports, the newest first."""
    from monitoring.reports.job import words
    from monitoring.reports.site import listed
    from wire import reports

    found = _stored(lambda store: reports.newest(store, most))
    if json:
        print_json([listed(one) for one in found])
    elif not found:
        note("there is no report yet; make one with: rapt drift run")
    else:
        rows = [(one.name, _moment(one.made_ms), one.kind, one.subject or one.model[:12], words(one)) for one in found]
        print_table(("REPORT", "MADE (UTC)", "KIND", "OF", "SAYS"), rows)


@group.command()
def show(name: Name = "", json: JsonFlag = False) -> None:
    """Tell all of one report: quality by slice with intervals, calibration, what drifted."""
    from msgspec import to_builtins

    from rapt.commands import drift

    report = _stored(lambda store: _one(store, name))
    if json:
        print_json(to_builtins(report))
        return
    print(f"{report.kind} report {report.name}, {_moment(report.made_ms)} UTC, {report.subject or report.model}")
    for side, one in (("reference", report.reference), ("current", report.current)):
        print(f"{side}: {one.name}, {one.rows:,} rows")
    if report.quality:
        print()
        head = ("SLICE", "LEVEL", "IMPRESSIONS", "ENGAGED", "NE", "PREDICTED/ACTUAL", "AUC", "GAUC")
        print_table(head, [
            (one.slice, one.level, f"{one.impressions:,}", "-" if one.engaged is None else f"{one.engaged:.1%}",
             *(_interval(value) for value in (one.ne, one.predicted_over_actual, one.auc, one.gauc)))
            for one in report.quality
        ])  # fmt: skip
    for line in (*report.worse, *(report.decay.reasons if report.decay else ())):
        print(line)
    if report.verdict is not None:
        print()
        drift.show(report.verdict)


@group.command()
def fetch(
    folder: Annotated[Path, typer.Argument(help="Made when it is not there.")],
    name: Annotated[str, typer.Option(help="The report; empty: the newest.")] = "",
    json: JsonFlag = False,
) -> None:
    """Bring a report's files: Evidently's HTML and JSON, and our verdict."""
    from wire.reports import RECORD

    def bring(store: "ObjectStore") -> list[Path]:
        report = _one(store, name)
        folder.mkdir(parents=True, exist_ok=True)
        keys = {**report.files, RECORD: report.folder + RECORD}
        for file, key in keys.items():
            store.get_file(key, folder / file)
        return [folder / file for file in keys]

    try:
        files = _stored(bring)
    except OSError as error:
        raise InvalidOption(f"{str(folder)!r} cannot be written to: {error.strerror}") from error
    if json:
        print_json({"files": files})
    else:
        print(*files, sep="\n")


@group.command()
def ui(
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Where it answers, on loopback.")] = 8095,
    json: JsonFlag = False,
) -> None:
    """Open the reports in Evidently's own UI, until Ctrl-C."""
    from monitoring.reports.workspace import serve
    from rapt import settings, stack
    from wire.objects import ObjectStore

    chosen = settings.load()
    with stack.ensure_up(chosen):
        url = f"http://127.0.0.1:{port}"
        if json:
            print_json({"url": url})
        else:
            print(url, flush=True)
        serve(ObjectStore.from_env(), chosen.home / "evidently", "127.0.0.1", port)


def _stored(ask: "Callable[[ObjectStore], T]") -> T:
    from rapt import settings, stack
    from wire.objects import ObjectStore

    with stack.ensure_up(settings.load()):
        return ask(ObjectStore.from_env())


def _one(store: "ObjectStore", name: str) -> "Report":
    from wire import reports
    from wire.errors import ObjectNotFound

    if not name:
        found = reports.newest(store, 1)
        if not found:
            raise InvalidOption("there is no report yet; make one with: rapt drift run")
        return found[0]
    try:
        return reports.read(store, name)
    except ObjectNotFound:
        raise InvalidOption(f"there is no report {name!r}; see: rapt reports") from None


def _interval(found: "Interval | None") -> str:
    return "-" if found is None else f"{found.value:.3f} ({found.lower:.3f} to {found.upper:.3f})"


def _moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
