"""Evidently: two tables side by side as HTML and JSON, and its workspace. It takes seconds to import: jobs do it late.

The verdicts are ours (interest/drift). Evidently's test of embeddings flags nearly every sample in which nothing has
changed, and takes a minute; it is given their principal components as columns.
"""

from __future__ import annotations

import os

os.environ.setdefault("DO_NOT_TRACK", "1")  # else it tells its makers that it was imported

import html
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries below it, about each other
    from evidently import BinaryClassification, DataDefinition, Dataset
    from evidently import Report as EvidentlyReport
    from evidently.core.report import Snapshot
    from evidently.presets import ClassificationPreset, DataDriftPreset, DataSummaryPreset
    from evidently.ui.workspace import Workspace

ROWS = 20_000
"""Of either table, at most: more makes no picture better."""
LEVELS = 50
"""A column of text with more levels is left out: nobody reads its picture."""
FINEST = 1000
"""A column whose values lie on fewer neighbouring floats is left out: they cannot be parted into bins."""
HTML, JSON, SNAPSHOT = "evidently.html", "evidently.json", "evidently.snapshot.json"


def report(
    reference: pa.Table,
    current: pa.Table,
    columns: Sequence[str],
    *,
    name: str,
    made_ms: int,
    target: str = "",
    score: str = "",
) -> dict[str, bytes]:
    """Files by name: how each column is distributed on both sides, and how `score` predicts `target` where given.

    There are none when no column has values on both sides.
    """
    sides = tuple(_sampled(one) for one in (reference, current))
    numbers, levels = _kinds(sides, columns)
    shown = [*numbers, *levels]
    if not shown:
        return {}
    frames = [_frame(one, numbers, levels) for one in sides]
    metrics = [DataDriftPreset(columns=shown), DataSummaryPreset(columns=shown)]
    tasks = None
    if target in levels and score in numbers and all(one[target].nunique() == 2 for one in frames):
        tasks = [BinaryClassification(target=target, prediction_probas=score, pos_label="true")]
        metrics.append(ClassificationPreset(probas_threshold=0.5))
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=levels, classification=tasks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = (Dataset.from_pandas(one, definition) for one in frames)
        moment = datetime.fromtimestamp(made_ms / 1000, UTC)
        made = EvidentlyReport(metrics).run(after, before, timestamp=moment, name=name)
        return {
            HTML: made.get_html_str(as_iframe=False).encode(),
            JSON: made.json().encode(),
            SNAPSHOT: made.dumps().encode(),
        }


class Reports:
    """A workspace that Evidently's UI opens: one project, a run for each report."""

    def __init__(self, folder: Path, project: str) -> None:
        self._workspace = Workspace.create(str(folder))
        found = [one for one in self._workspace.list_projects() if one.name == project]
        self._project = found[0] if found else self._workspace.create_project(project)
        runs = [self._workspace.get_run(self._project.id, one) for one in self._workspace.list_runs(self._project.id)]
        self.names = {one.name for one in runs if one is not None}

    def add(self, name: str, snapshot: bytes) -> None:
        """Add a report unless it is there."""
        if name not in self.names:
            self._workspace.add_run(self._project.id, Snapshot.loads(snapshot.decode()), name=name)
            self.names.add(name)


def _sampled(table: pa.Table) -> pa.Table:
    return table.take(np.linspace(0, len(table) - 1, min(len(table), ROWS)).astype(np.int64))


def _kinds(sides: Sequence[pa.Table], columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Numbers and levels among the columns that both sides have values of."""
    numbers, levels = [], []
    for name in columns:
        kinds = [one.schema.field(name).type for one in sides]
        if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
            if all(_has_a_histogram(_numbers(one[name])) for one in sides):
                numbers.append(name)
        elif all(0 < pc.count_distinct(one[name].cast(pa.string())).as_py() <= LEVELS for one in sides):
            levels.append(name)
    return numbers, levels


def _has_a_histogram(values: NDArray[np.float64]) -> bool:
    """Whether there are any, and not so large ones that there is no number between two of them."""
    found = values[np.isfinite(values)]
    return len(found) > 0 and bool(max(np.ptp(found), 1.0) > FINEST * np.spacing(np.abs(found).max()))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """As floats, NaN for null and for what is infinite, which no histogram has a place for."""
    found = column.cast(pa.float64(), safe=False).to_numpy()
    return np.where(np.isfinite(found), found, np.nan)


def _frame(table: pa.Table, numbers: Sequence[str], levels: Sequence[str]) -> pd.DataFrame:
    """With numbers as floats and levels as text, escaped since it becomes HTML."""
    made: dict[str, object] = {name: _numbers(table[name]) for name in numbers}
    for name in levels:
        made[name] = [None if one is None else _text(one) for one in table[name].to_pylist()]
    return pd.DataFrame(made)


def _text(level: object) -> str:
    return str(level).lower() if isinstance(level, bool) else html.escape(str(level))
