"""Health: how good the serving model is, slice by slice, what drifted, and how both went."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

import altair as alt
import pandas as pd
import streamlit as st

from interest.decay import Interval
from interest.drift.verdict import Verdict
from interest.quality import ALL, Bin, Quality
from monitoring.app import sources
from monitoring.app.states import empty, guarded
from monitoring.app.theme import legible, time_axis
from monitoring.app.words import ago, clock, share, within
from monitoring.colours import BLUE, GREY
from wire.reports import MODEL, Report

EVERY_S = 10.0
FIGURES = {"ne": "normalised entropy", "predicted_over_actual": "predicted over actual", "auc": "AUC"}
REPORT = "health report"


def show() -> None:
    """The page."""
    st.title("Data and model health")
    st.fragment(_page, run_every=EVERY_S)()


def _page() -> None:
    with guarded():
        found = sources.reports()
        if not found:
            empty(
                "There is no report yet", "One is made when the model has served some thousands of impressions:",
                "rapt traffic --users 200 --rate 50 --seconds 60",
            )  # fmt: skip
            return
        names = [one.name for one in found]
        chosen = st.selectbox("Report", names, index=names.index(_kept(names)))
        st.session_state[REPORT] = chosen if chosen != names[0] else ""
        report = found[names.index(chosen)]
        _head(report)
        _files(report)
        _quality(report)
        if report.calibration:
            st.subheader("Calibration")
            st.altair_chart(legible(calibration_chart(report.calibration)), width="stretch")
            st.caption("What was predicted beside what came, with intervals from whole viewers; the line is perfect.")
        _drift(report.verdict)
        _trend([one for one in found if one.kind == MODEL])


def _kept(names: Sequence[str]) -> str:
    kept = st.session_state.get(REPORT, "")
    return kept if kept in names else names[0]


def _head(report: Report) -> None:
    with st.container(horizontal=True):
        st.metric("Drift", "found" if report.drifted else "none" if report.verdict else "not tested", width=150)
        decay = report.decay
        if decay is not None:
            st.metric("Decay", "found" if decay.decayed else "none", width=150)
        st.metric("Impressions", f"{report.current.rows:,}", width=150)
        st.metric("Made", ago(report.made_ms), width=150)
    spans = [f"{name}: {one.name}, {one.rows:,} rows" + _times(one.from_ms, one.to_ms)
             for name, one in (("reference", report.reference), ("current", report.current))]  # fmt: skip
    about = [f"{report.kind} report" + (f" of {report.subject}" if report.subject else "")]
    about += [f"model {report.model[:12]}"] if report.model else []
    st.text("\n".join([*about, *spans, *(decay.reasons if decay is not None else ())]))


def _times(from_ms: int | None, to_ms: int | None) -> str:
    return f", {clock(from_ms)} to {clock(to_ms)} UTC" if from_ms and to_ms else ""


def _files(report: Report) -> None:
    """Links where reports are served, downloads where they are not."""
    base = sources.settings().reports
    with st.container(horizontal=True):
        for number, (name, key) in enumerate(sorted(report.files.items()), start=1):
            label = "Evidently's report" if name == "evidently.html" else f"File {number}"
            if base:
                st.link_button(
                    label, f"{base}/reports/{quote(report.name)}/{quote(name)}", icon=":material/open_in_new:"
                )
            else:
                st.download_button(
                    f"Download {label}", partial(sources.store().get_bytes, key), file_name=name,
                    key=f"file-{report.name}-{number}", on_click="ignore", icon=":material/download:",
                )  # fmt: skip


def _quality(report: Report) -> None:
    if not report.quality:
        return
    st.subheader("Quality by slice")
    st.dataframe([_slice(one) for one in report.quality], hide_index=True)
    promised = [
        {"figure": FIGURES[name], "promised in training": f"{value:.3f}", "now": within(_all(report, name))}
        for name, value in report.promised.items()
        if name in FIGURES
    ]
    if promised:
        st.caption("Beside what the model promised after training:")
        st.dataframe(promised, hide_index=True)


def _slice(one: Quality) -> dict[str, object]:
    return {
        "slice": one.slice if one.slice == ALL else f"{one.slice} = {one.level}", "impressions": one.impressions,
        "viewers": one.viewers, "engaged": share(one.engaged), "NE": within(one.ne),
        "predicted/actual": within(one.predicted_over_actual), "AUC": within(one.auc),
        "AUC by viewer": within(one.gauc),
    }  # fmt: skip


def _all(report: Report, name: str) -> Interval | None:
    whole = next((one for one in report.quality if one.slice == ALL), None)
    found: Interval | None = getattr(whole, name, None)
    return found


def calibration_chart(bins: Sequence[Bin]) -> alt.LayerChart | alt.FacetChart:
    """Predicted beside actual, with intervals."""
    frame = pd.DataFrame(
        [
            {"predicted": one.predicted, "actual": one.actual.value, "lower": one.actual.lower,
             "upper": one.actual.upper, "impressions": one.impressions}
            for one in bins
        ]
    )  # fmt: skip
    top = min(1.0, 1.05 * float(max(frame["predicted"].max(), frame["upper"].max(), 0.01)))
    sides = alt.Scale(domain=[0, top], clamp=True)
    x = alt.X("predicted:Q", title="predicted", scale=sides, axis=alt.Axis(format="%"))
    base = alt.Chart(frame).encode(x=x)
    bars = base.mark_rule(color=BLUE, strokeWidth=2).encode(
        y=alt.Y("lower:Q", title="engaged", scale=sides), y2="upper:Q"
    )
    dots = base.mark_circle(color=BLUE, size=70, opacity=1).encode(
        y="actual:Q", tooltip=[alt.Tooltip(f"{name}:Q", format=".1%") for name in ("predicted", "actual")]
    )
    line = (
        alt.Chart(pd.DataFrame({"predicted": [0, top], "actual": [0, top]}))
        .mark_line(color=GREY, strokeDash=[5, 4])
        .encode(x=x, y=alt.Y("actual:Q", axis=alt.Axis(format="%")))
    )
    return alt.layer(line, bars, dots).properties(height=320, description="Calibration: predicted beside actual")


def _drift(verdict: Verdict | None) -> None:
    st.subheader("Drift")
    if verdict is None:
        st.caption("Drift was not looked at.")
        return
    if verdict.reasons:
        st.text("\n".join(f"• {reason}" for reason in verdict.reasons))
    else:
        st.text(f"Nothing drifted: {verdict.tests} tests, {100 * verdict.alpha:g}% chance of a false alarm in all.")
    rows = [
        *((one.words, one.drifted, one.distance, one.corrected) for one in verdict.columns),
        *((one.words, one.drifted, None, one.corrected) for one in verdict.embeddings),
        *((one.words, one.outcome.drifted, one.outcome.distance, one.outcome.corrected) for one in verdict.slices),
    ]
    rows.sort(key=lambda row: (not row[1], 1.0 if row[3] is None else row[3]))
    table = [
        {
            "drifted": "yes" if drifted else "no", "in words": words, "distance": "–" if distance is None else
            f"{distance:.3f}", "p, corrected": "not tested" if p is None else f"{p:.3g}",
        }
        for words, drifted, distance, p in rows
    ]  # fmt: skip
    if table:
        st.dataframe(table, hide_index=True, column_config={"in words": st.column_config.TextColumn(width="large")})


def _trend(reports: Sequence[Report]) -> None:
    rows = [
        {"made": pd.Timestamp(one.made_ms, unit="ms"), "figure": title, "value": found.value, "lower": found.lower,
         "upper": found.upper}
        for one in reports
        for name, title in FIGURES.items()
        if (found := _all(one, name)) is not None
    ]  # fmt: skip
    if len({row["made"] for row in rows}) < 2:
        return
    st.subheader("Trend")
    frame = pd.DataFrame(rows)
    for title in FIGURES.values():
        one = frame[frame["figure"] == title]
        if len(one):
            st.altair_chart(legible(trend_chart(one, title)), width="stretch")


def trend_chart(frame: pd.DataFrame, title: str) -> alt.LayerChart | alt.FacetChart:
    """One figure over the reports."""
    base = alt.Chart(frame).encode(
        x=alt.X(
            "made:T", title="made (UTC)", axis=time_axis((frame["made"].max() - frame["made"].min()).total_seconds())
        )
    )
    y = alt.Y("lower:Q", title="", scale=alt.Scale(zero=False))
    bars = base.mark_rule(color=BLUE, opacity=0.6, strokeWidth=2).encode(y=y, y2="upper:Q")
    line = base.mark_line(color=BLUE, point=True).encode(
        y="value:Q", tooltip=[alt.Tooltip("made:T"), alt.Tooltip("value:Q", format=".3f")]
    )
    return alt.layer(bars, line).properties(title=title, height=180, description=f"{title} over the last reports")
