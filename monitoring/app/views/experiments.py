"""Experiments: the lift and its interval over time, arms, guardrails, sample ratio, and each decision."""

from __future__ import annotations

from dataclasses import asdict

import altair as alt
import pandas as pd
import streamlit as st

from interest.experiments.decision import Status
from monitoring.app import sources
from monitoring.app.states import empty, guarded
from monitoring.app.theme import legible, time_axis
from monitoring.app.trials import Trial, decisions
from monitoring.app.words import ago, bounds, clock, share
from monitoring.colours import BLUE, GREY, VERMILION
from monitoring.experiments.curve import Point
from monitoring.experiments.records import Audit

EVERY_S = 3.0
BUDGET_S = 0.4
CHOSEN = "experiment"


def show() -> None:
    """The page."""
    st.title("Experiments")
    st.fragment(_all, run_every=EVERY_S)()


def _all() -> None:
    with guarded():
        found = {one.name: one for one in sources.experiments()}
        if not found:
            empty(
                "There is no experiment yet", "Begin one with a published model that is not served:",
                "rapt apply -f examples/experiment.yaml --candidate DIGITS",
            )  # fmt: skip
            return
        names = list(found)
        chosen = st.session_state.get(CHOSEN)
        name = st.selectbox("Experiment", names, index=names.index(chosen) if chosen in found else 0)
        st.session_state[CHOSEN] = name
        _one(found[name], decisions(sources.store(), found[name]))
        if len(found) > 1:
            st.subheader("All experiments")
            st.dataframe([_row(one) for one in found.values()], hide_index=True)


def _one(trial: Trial, audited: list[Audit]) -> None:
    status = trial.status
    with st.container(horizontal=True):
        st.metric("Phase", str(status.phase), width=160)
        st.metric("Candidate's share", f"{status.share:.0%}", width=160)
        st.metric("Lift", bounds(status.lift) if status.lift.lower is None else f"{status.lift.value:+.2%}", width=160)
        if status.started_ms:
            st.metric("Began", ago(status.started_ms), width=160)
    st.text(f"Why: {status.reason}\nNext: {status.next or '–'}")
    if trial.as_of_ms:
        st.caption("Known by its decisions alone, as on a cluster: kubectl get experiments tells what is now.")
        st.text(f"as of {clock(trial.as_of_ms)} UTC")
    _over_time(trial, audited)
    left, right = st.columns(2)
    with left:
        st.subheader("Arms")
        st.dataframe(_arms(trial), hide_index=True)
        _ratio(status)
    with right:
        st.subheader("Guardrails")
        if status.guardrails:
            st.dataframe(_rails(status), hide_index=True)
        else:
            st.caption("None has been looked at yet.")
    st.subheader("Decisions")
    if audited:
        st.dataframe([_decision(one) for one in reversed(audited)], hide_index=True)
    else:
        st.caption("Nothing has been decided yet.")


def _over_time(trial: Trial, audited: list[Audit]) -> None:
    status = trial.status
    if not status.started_ms:
        empty("It has not begun", "The curve begins with its first viewers.")
        return
    curve = sources.curve(trial, audited)
    if not curve.complete or not status.phase.ended or not curve.points:
        curve.advance(BUDGET_S)
    st.subheader("Lift over time")
    if not curve.complete:
        st.progress(curve.read / max(curve.head, 1), text="Reading what viewers did so far")
    points = list(curve.points)
    if status.data_ms and (not points or status.data_ms > points[-1].at_ms):
        points.append(_now(status))
    if not any(one.lift is not None for one in points):
        st.caption("Nothing is said before 200 viewers came to each arm and a window has closed.")
    if len(points) > 1:
        st.altair_chart(legible(_lift_chart(points, trial)), width="stretch")
        st.altair_chart(legible(_viewers_chart(points)), width="stretch")


def _now(status: Status) -> Point:
    lift, viewers = status.lift, status.viewers
    return Point(
        status.data_ms, lift.value, lift.lower, lift.upper, viewers.get("stable", 0), viewers.get("candidate", 0)
    )


def _time(points: list[Point]) -> alt.X:
    return alt.X("at:T", title="time (UTC)", axis=time_axis((points[-1].at_ms - points[0].at_ms) / 1000))


def _lift_chart(points: list[Point], trial: Trial) -> alt.LayerChart | alt.FacetChart:
    frame = pd.DataFrame([asdict(one) for one in points])
    frame["at"] = pd.to_datetime(frame["at_ms"], unit="ms")
    frame[["lift", "lower", "upper"]] = frame[["lift", "lower", "upper"]].astype(float)
    ends = pd.DataFrame({"value": [0.0, -trial.spec.primary.margin], "line": ["no difference", "margin"]})
    base = alt.Chart(frame).encode(x=_time(points))
    reach = frame[["lower", "upper"]].iloc[-1].abs().max()
    limit = 3 * max(0.02, float(reach) if reach == reach else 0.02)
    y = alt.Y("lower:Q", title="candidate over stable", axis=alt.Axis(format="+%"),
              scale=alt.Scale(domain=[-limit, limit], clamp=True))  # fmt: skip
    tips = [alt.Tooltip("at:T", format="%H:%M:%S")]
    tips += [alt.Tooltip(f"{one}:Q", format="+.2%") for one in ("lift", "lower", "upper")]
    band = base.mark_area(color=BLUE, opacity=0.25).encode(y=y, y2="upper:Q", tooltip=tips)
    line = base.mark_line(color=BLUE, strokeWidth=2.5).encode(y="lift:Q", tooltip=tips)
    rules = alt.Chart(ends).mark_rule(color=GREY, strokeDash=[5, 4]).encode(y="value:Q", tooltip="line:N")
    return alt.layer(band, line, rules).properties(
        height=260, description="Lift of the candidate over the stable model with its interval, over time"
    )


def _viewers_chart(points: list[Point]) -> alt.Chart:
    rows = [
        {"at": pd.Timestamp(one.at_ms, unit="ms"), "viewers": count, "arm": arm}
        for one in points
        for arm, count in (("stable", one.stable), ("candidate", one.candidate))
    ]
    colours = alt.Scale(domain=["stable", "candidate"], range=[GREY, VERMILION])
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=_time(points), y=alt.Y("viewers:Q", title="viewers"),
            color=alt.Color("arm:N", scale=colours, legend=alt.Legend(orient="bottom", title=None)),
            strokeDash=alt.StrokeDash("arm:N", scale=alt.Scale(domain=["stable", "candidate"]), title=None),
        )
        .properties(height=240, description="Viewers of each arm over time")
    )  # fmt: skip
    return chart


def _arms(trial: Trial) -> list[dict[str, object]]:
    status = trial.status
    digests = {"stable": status.stable, "candidate": status.candidate or trial.spec.candidate}
    return [
        {
            "arm": arm, "model": digests[arm][:12] or "–", "viewers": status.viewers.get(arm, 0),
            "requests": status.requests.get(arm, 0), "labelled": share(status.coverage.get(arm)),
        }
        for arm in ("stable", "candidate")
    ]  # fmt: skip


def _ratio(status: Status) -> None:
    ratio = status.sample_ratio
    if not sum(status.viewers.values()):
        return
    if ratio.broken:
        st.error("The arms' viewers are not as drawn: nothing is decided from them")
    drawn = f"{ratio.observed:.2%} in the candidate's arm, {ratio.expected:.2%} drawn, p {ratio.p_value:.3g}"
    st.text(f"Sample ratio: {drawn}")


def _rails(status: Status) -> list[dict[str, object]]:
    return [
        {
            "guardrail": str(rail.metric), "holds": "yes" if rail.holds else "BROKEN",
            "difference": bounds(rail.difference, "+.3g"), "allowed": rail.margin,
        }
        for rail in status.guardrails
    ]  # fmt: skip


def _decision(audit: Audit) -> dict[str, object]:
    after = audit.after
    return {
        "when (UTC)": clock(audit.at_ms), "phase": str(after.phase), "share": f"{after.share:.0%}",
        "viewers": "/".join(map(str, audit.statistics.viewers)), "lift": bounds(after.lift), "why": after.reason,
    }  # fmt: skip


def _row(trial: Trial) -> dict[str, object]:
    status = trial.status
    return {
        "experiment": trial.name, "phase": str(status.phase), "share": f"{status.share:.0%}",
        "lift": bounds(status.lift), "began (UTC)": clock(status.started_ms), "why": status.reason,
    }  # fmt: skip
