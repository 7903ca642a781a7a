"""`rapt drift`: whether two tables come from the same place, and what moved."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, note, print_json, print_table

if TYPE_CHECKING:
    from interest.drift.verdict import Verdict

PANEL = "Monitoring"
DRIFTED = 3
HTML = "evidently.html"

app = typer.Typer()
group = typer.Typer(name="drift", help="Whether data have drifted, and what moved.", no_args_is_help=True)
app.add_typer(group, rich_help_panel=PANEL)


@group.command()
def run(
    reference: Annotated[
        str, typer.Option(help="CSV or Parquet file, folder, s3://..., or observations FROM..TO.")
    ] = "",
    current: Annotated[str, typer.Option(help="Likewise. With neither: the serving model's first and last.")] = "",
    columns: Annotated[str, typer.Option(help="Columns to compare, with commas; empty: all.")] = "",
    groups: Annotated[str, typer.Option(help="Column whose rows belong together, as a viewer's do.")] = "",
    slices: Annotated[str, typer.Option(help="Columns by whose levels outcomes are compared.")] = "",
    outcomes: Annotated[str, typer.Option(help="What is compared within slices.")] = "",
    alpha: Annotated[float, typer.Option(help="Chance of calling drift what is none, over all tests together.")] = 0.05,
    least: Annotated[float, typer.Option(help="Share of rows that must lie elsewhere to count.")] = 0.05,
    html: Annotated[Path | None, typer.Option(help="Write Evidently's report of both here.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it among the reports.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when something drifted.")] = False,
    json: JsonFlag = False,
) -> None:
    """Compare two tables column by column; without any, make a report of the serving model now."""
    from msgspec import to_builtins

    from monitoring.reports import job
    from rapt import settings, stack
    from rapt.drift import Asked, compare
    from wire import reports
    from wire.objects import ObjectStore

    if bool(reference) != bool(current):
        raise InvalidOption("--reference and --current are needed together, or neither")
    with stack.ensure_up(settings.load()):
        store = ObjectStore.from_env()
        if not reference:
            made = job.make(store)
            if not made:
                raise InvalidOption("no model serves yet: rapt demo, or rapt pipeline run training")
            report = made[0]
            note(f"report {report.name}; see: rapt reports show {report.name}")
        else:
            asked = Asked(_names(columns), groups, _names(slices), _names(outcomes), alpha, least)
            report, files = compare(reference, current, asked, store, pictures=keep or html is not None)
            if html is not None:
                if HTML not in files:
                    raise InvalidOption("--html: no column has values in both tables, so there is nothing to show")
                _write(html, files[HTML])
            if keep:
                report = reports.write(store, report, files)
                note(f"kept; see: rapt reports show {report.name}")
    if json:
        print_json(to_builtins(report))
    elif report.verdict is None:
        print(job.words(report))
    else:
        show(report.verdict)
    if exit_code and report.drifted:
        raise typer.Exit(DRIFTED)


def show(found: "Verdict") -> None:
    """What drifted, for people: the columns, then what else moved, then what could not be told."""
    rows = [
        ("yes" if one.drifted else "no", one.name, _share(one.distance), _p(one.corrected), one.words)
        for one in sorted(found.columns, key=lambda one: (not one.drifted, -(one.distance or -1.0)))
    ]
    rows += [
        ("yes" if one.drifted else "no", f"embedding {one.name}", "-" if one.auc is None else f"AUC {one.auc:.3f}",
         _p(one.corrected), one.words)
        for one in found.embeddings
    ]  # fmt: skip
    moved = [one for one in found.slices if one.outcome.drifted]
    rows += [
        ("yes", f"{one.outcome.name} by {one.by}", _share(one.outcome.distance), _p(one.outcome.corrected), one.words)
        for one in moved
    ]
    print_table(("DRIFTED", "WHAT", "DISTANCE", "P", "IN WORDS"), rows)
    told = "drifted" if found.drifted else "nothing drifted"
    note(f"{told}: {found.tests} tests at a level of {found.alpha:g} together")


def _share(distance: float | None) -> str:
    return "-" if distance is None else f"{distance:.1%}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _write(path: Path, page: bytes) -> None:
    try:
        path.write_bytes(page)
    except OSError as error:
        raise InvalidOption(f"--html {str(path)!r} cannot be written: {error.strerror}") from error
    note(f"report: {path}")
