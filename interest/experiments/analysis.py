"""Observations of an experiment to its statistics, window by window, whoever asks when: a replay gives the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from interest.experiments.assignment import Arm
from interest.experiments.decision import Statistics, Tally, guardrail_alpha
from interest.experiments.panel import Floats, Panel, ViewerWindow
from interest.experiments.sample_ratio import check
from interest.experiments.spec import PANEL, Metric, Spec, seconds

COLUMNS = ("experiment", "user_id", "arm", "propensity", "logged_ms", "baseline", "latency_ms", "unknown", "candidates",
           "request_id", "score", "engaged")  # fmt: skip
"""What of an observation is needed."""
EVERY_ROW = slice(None)


class Analysis:
    """One experiment since `started_ms`; tables are fed as they come, and count when their window is closed."""

    def __init__(self, name: str, spec: Spec, started_ms: int) -> None:
        self.name, self.spec, self.started_ms = name, spec, started_ms
        self.window_ms = round(1000 * seconds(spec.window))
        self.panel = Panel(len(PANEL), spec.alpha)
        self.closed_windows = 0
        self._open: dict[int, list[pa.Table]] = defaultdict(list)
        self._seen: set[int] = set()
        self._first: dict[float, list[int]] = defaultdict(lambda: [0, 0])
        self._requests, self._labelled = np.zeros(2, np.int64), np.zeros(2, np.int64)

    @property
    def data_ms(self) -> int:
        """All that was logged before is in the statistics."""
        return self.started_ms + self.closed_windows * self.window_ms

    def feed(self, table: pa.Table) -> None:
        """Observations, in any order, with `COLUMNS` at least; those of others are passed over."""
        late = self.data_ms
        mine = pc.and_kleene(pc.equal(table["experiment"], self.name), pc.greater_equal(table["logged_ms"], late))
        table = table.select(COLUMNS).filter(mine)
        if not table.num_rows:
            return
        number = (table["logged_ms"].to_numpy() - self.started_ms) // self.window_ms
        for one in np.unique(number):
            self._open[int(one)].append(table.filter(pa.array(number == one)))

    def close(self, complete_ms: int) -> int:
        """Take in all windows that end by `complete_ms`, before which nothing more will come; gives their number."""
        last = (complete_ms - self.started_ms) // self.window_ms
        before = self.closed_windows
        while self.closed_windows < last:
            tables = self._open.pop(self.closed_windows, None)
            if tables:
                self._take(pa.concat_tables(tables))
            elif not self._open:
                self.closed_windows = last
                break
            self.closed_windows += 1
        return self.closed_windows - before

    def statistics(self, stable: Tally | None = None, candidate: Tally | None = None) -> Statistics:
        """What the closed windows say; the tallies are counted apart, as requests happen."""
        each = guardrail_alpha(self.spec)
        labelled, requests = self._labelled.tolist(), self._requests.tolist()
        coverage = [round(a / b, 4) if b else None for a, b in zip(labelled, requests, strict=True)]
        return Statistics(
            data_ms=self.data_ms,
            viewers=(int(self.panel.arms[0]), int(self.panel.arms[1])),
            primary=self.panel.estimate(PANEL.index(self.spec.primary.metric)),
            guardrails={
                rail.metric: self.panel.estimate(PANEL.index(rail.metric), each)
                for rail in self.spec.guardrails
                if rail.metric is not Metric.ERRORS
            },
            sample_ratio=check({chance: (n[0], n[1]) for chance, n in self._first.items()}),
            coverage=(coverage[0], coverage[1]),
            stable=stable or Tally(int(self._requests[0])),
            candidate=candidate or Tally(int(self._requests[1])),
        )

    def _take(self, table: pa.Table) -> None:
        rows = _rows(table)
        first = np.unique(rows.request, return_index=True)[1]
        labelled = np.unique(rows.request[~np.isnan(rows.engaged)])
        named = np.isin(rows.request[first], labelled)
        for arm in (0, 1):
            mine = rows.candidate[first] == bool(arm)
            self._requests[arm] += mine.sum()
            self._labelled[arm] += named[mine].sum()
        self._note_new(rows)
        self.panel.add(_viewer_window(rows))

    def _note_new(self, rows: _Rows) -> None:
        """Viewers' first exposures, by the chance they had."""
        order = np.argsort(rows.logged_ms, kind="stable")
        viewers, at = np.unique(rows.viewer[order], return_index=True)
        for viewer, row in zip(viewers.tolist(), order[at].tolist(), strict=True):
            if viewer not in self._seen:
                self._seen.add(viewer)
                self._first[float(rows.propensity[row])][int(rows.candidate[row])] += 1


@dataclass(frozen=True)
class _Rows:
    """Observations as arrays [n]; `propensity` is the chance of the candidate's arm."""

    viewer: NDArray[np.uint64]
    request: NDArray[np.int64]
    candidate: NDArray[np.bool_]
    propensity: Floats
    logged_ms: NDArray[np.int64]
    baseline: Floats
    latency_ms: Floats
    fallbacks: Floats
    score: Floats
    engaged: Floats

    def where(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> _Rows:
        """Some of the rows, by mask or in that order."""
        return _Rows(**{name: values[mask] for name, values in vars(self).items()})


def _rows(table: pa.Table) -> _Rows:
    table = table.combine_chunks()
    users = table["user_id"].combine_chunks().dictionary_encode()
    keys = np.array([xxhash.xxh3_64_intdigest(user.encode()) for user in users.dictionary.to_pylist()], np.uint64)
    requests = table["request_id"].combine_chunks().dictionary_encode()
    arm = np.asarray(pc.equal(table["arm"].cast(pa.string()), str(Arm.CANDIDATE)).to_numpy(zero_copy_only=False), bool)
    chance = _floats(table, "propensity")
    return _Rows(
        viewer=keys[users.indices.to_numpy()],
        request=requests.indices.to_numpy().astype(np.int64),
        candidate=arm,
        propensity=np.asarray(np.round(np.where(arm, chance, 1.0 - chance), 9), np.float64),
        logged_ms=table["logged_ms"].to_numpy(),
        baseline=_floats(table, "baseline"),
        latency_ms=_floats(table, "latency_ms"),
        fallbacks=_floats(table, "unknown") / np.maximum(_floats(table, "candidates"), 1.0),
        score=_floats(table, "score"),
        engaged=_floats(table, "engaged"),
    )


def _floats(table: pa.Table, name: str) -> Floats:
    """A column as float64, NaN where it is null."""
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _viewer_window(rows: _Rows) -> ViewerWindow:
    """One outcome of each kind a viewer; who changes arms or chances within the window counts as they were first."""
    order = np.argsort(rows.logged_ms, kind="stable")
    rows = rows.where(order)
    _, first, group = np.unique(rows.viewer, return_index=True, return_inverse=True)
    same = rows.candidate == rows.candidate[first][group]
    rows = rows.where(same & (rows.propensity == rows.propensity[first][group]))
    viewers, first, group = np.unique(rows.viewer, return_index=True, return_inverse=True)
    requests = np.unique(rows.request, return_index=True)[1]

    def mean(values: Floats, at: NDArray[np.int64] | slice = EVERY_ROW) -> Floats:
        values, owner = values[at], group[at]
        there = ~np.isnan(values)
        count = np.bincount(owner[there], minlength=len(viewers))
        total = np.bincount(owner[there], values[there], minlength=len(viewers))
        return np.asarray(np.divide(total, count, out=np.full(len(viewers), np.nan), where=count > 0))

    outcomes = {
        Metric.ENGAGEMENT: mean(rows.engaged),
        Metric.CALIBRATION: mean(rows.score - rows.engaged),
        Metric.FALLBACKS: mean(rows.fallbacks, requests),
        Metric.LATENCY: mean(rows.latency_ms, requests),
    }
    return ViewerWindow(
        viewer=viewers,
        candidate=rows.candidate[first],
        propensity=rows.propensity[first],
        baseline=mean(rows.baseline, requests),
        outcomes=np.column_stack([outcomes[metric] for metric in PANEL]),
    )
