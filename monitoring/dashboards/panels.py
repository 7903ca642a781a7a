"""What a dashboard shows, as plain values; `monitoring.dashboards.build` makes Grafana's JSON of it.

In a query `$in` stands for the namespace that was chosen, `$every` for a time that fits the picture's resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One picture over time. `section`: the heading of docs/runbook.md that it leads to. `queries`: PromQL by legend.
    `unit` is Grafana's name of it; `limit` is drawn as a line, where an alert begins.
    """

    title: str
    description: str
    unit: str
    section: str
    queries: Mapping[str, str]
    limit: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """A dashboard; `uid` is its address and stays."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Those of all rows."""
        return tuple(panel for row in self.rows for panel in row.panels)


def rates(prefix: str, *names: str) -> dict[str, str]:
    """Counters a second, each under its name."""
    return {name.replace("_", " "): f"sum(rate({prefix}_{name}_total{{$in}}[$every]))" for name in names}


def quantiles(metric: str, by: str = "", where: str = "$in") -> dict[str, str]:
    """Median and 99th percentile of a histogram, for each value of the label `by` if there is one."""
    labels, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    return {
        f"p{round(100 * level)}{legend}": f"histogram_quantile({level}, sum by ({labels}) "
        f"(rate({metric}_bucket{{{where}}}[$every])))"
        for level in (0.5, 0.99)
    }
