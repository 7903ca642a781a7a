"""What commands print: one JSON document, or an aligned table, on stdout; everything else goes to stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

UNITS = ("B", "kB", "MB", "GB", "TB")


def print_json(document: object) -> None:
    """Print dataclasses, paths and what `json` knows, as one indented document."""
    print(json.dumps(document, default=_plain, indent=2, ensure_ascii=False), flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their heads in columns as wide as their widest cell; nothing is cut."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell the person at the terminal; never mixed into a command's output."""
    print(text, file=sys.stderr, flush=True)


def size(number_bytes: float) -> str:
    """`number_bytes` for people, in decimal units: 1_500_000 is `1.5 MB`."""
    for unit in UNITS:
        if number_bytes < 999.5 or unit == UNITS[-1]:
            break
        number_bytes /= 1000
    return f"{number_bytes:.3g} {unit}"


def duration(seconds: float) -> str:
    """`seconds` for people: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 1 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for large, unit, small, below in ((60, "min", 1, "s"), (3600, "h", 60, "min"), (86400, "d", 3600, "h")):
        if whole < large * (60 if unit == "min" else 24) or unit == "d":
            return f"{whole // large} {unit} {whole % large // small} {below}"
    raise AssertionError


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def says(details: Mapping[str, Any]) -> str:
    """The few of a process's own figures that a person looks for first."""
    shown = {
        "waits_for": "waits for {}", "model_digest": "model {:.12}", "videos": "{} videos", "viewers": "{} viewers",
        "lag": "lag {}", "state_age_ms": "{} ms old", "encoded": "{} encoded", "dead_letters": "{} dead letters",
        "rejected": "{} rejected", "refused_models": "{} models refused",
    }  # fmt: skip
    always = {"lag", "state_age_ms"}
    parts = [form.format(details[name]) for name, form in shown.items() if details.get(name) or
             (name in always and name in details)]  # fmt: skip
    return ", ".join(parts)
