"""Figures of a benchmark: merged by name into build/bench/<bench>.json, and printed as a table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from rich.console import Console
from rich.table import Column, Table

FOLDER = Path("build") / "bench"


class Row(TypedDict):
    """A figure; `ratio` is how many times better than the peer, `interval` the [low, high] of `value`."""

    name: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    peer: NotRequired[str | None]
    peer_value: NotRequired[float | None]
    ratio: NotRequired[float | None]
    interval: NotRequired[tuple[float, float] | None]


def seconds_of(name: str, rounds: Sequence[float]) -> Row:
    """The median of what each round took, between the quickest and the slowest."""
    return Row(
        name=name, value=statistics.median(rounds), unit="s", better="lower", interval=(min(rounds), max(rounds))
    )  # fmt: skip


def record(bench: str, rows: Iterable[Row], folder: Path = FOLDER) -> Path:
    """Put `rows` in the place of those of the same name and keep the others; print all; returns the file."""
    path = folder / f"{bench}.json"
    merged = {row["name"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    empty = dict.fromkeys(("peer", "peer_value", "ratio", "interval"))
    merged.update({row["name"]: {**empty, **row} for row in rows})
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(list(merged.values()), indent=1) + "\n")
    partial.replace(path)
    Console().print(_table(bench, merged.values()))
    return path


def _table(bench: str, rows: Collection[Row]) -> Table:
    name = Column("figure", no_wrap=True, min_width=max(len(row["name"]) for row in rows))
    table = Table(name, "value", "interval", "better", "beside", "its value", "ratio", title=f"bench {bench}")
    for row in rows:
        low_high = row.get("interval")
        table.add_row(
            row["name"],
            f"{row['value']:.4g} {row['unit']}",
            f"{low_high[0]:.4g} to {low_high[1]:.4g}" if low_high else "",
            row["better"],
            row.get("peer") or "",
            _number(row.get("peer_value")),
            _number(row.get("ratio")),
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
