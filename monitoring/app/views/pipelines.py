"""Pipelines: runs of this machine and of Kubeflow, their steps, and where each step's artifacts lie."""

from __future__ import annotations

import streamlit as st

from monitoring.app import sources
from monitoring.app.runs import Run
from monitoring.app.states import empty, guarded

EVERY_S = 3.0
RUN = "pipeline run"


def show() -> None:
    """The page."""
    st.title("Pipelines")
    st.fragment(_page, run_every=EVERY_S)()


def _page() -> None:
    with guarded():
        found = {one.run_id: one for one in sources.pipelines()}
        if not found:
            empty("No pipeline has run yet", "Train a first model:", "rapt pipeline run training")
            return
        st.dataframe([_row(one) for one in found.values()], hide_index=True)
        ids = list(found)
        kept = st.session_state.get(RUN)
        chosen = st.selectbox("Run", ids, index=ids.index(kept) if kept in found else 0)
        st.session_state[RUN] = chosen
        _one(found[chosen])


def _one(run: Run) -> None:
    with st.container(horizontal=True):
        st.metric("Took", _took(run.seconds), width=150)
        st.metric("Steps", f"{sum(_over(one.state) for one in run.steps)} of {len(run.steps)} over", width=180)
    told = [f"{run.pipeline}: {run.state}, in {run.where}"]
    told += [f"model {run.model[:12]}"] if run.model else []
    told += [run.note] if run.note else []
    st.text("\n".join(told))
    st.subheader("Steps")
    if run.steps:
        rows = [
            {"step": one.name, "state": one.state, "took": _took(one.seconds), "why": one.reason} for one in run.steps
        ]
        st.dataframe(rows, hide_index=True)
    else:
        st.caption("Nothing is known of its steps yet.")
    artifacts = [
        {"step": one.name, "artifact": name, "where": place}
        for one in run.steps
        for name, place in one.artifacts.items()
    ]
    if artifacts:
        st.subheader("Artifacts")
        st.dataframe(artifacts, hide_index=True, column_config={"where": st.column_config.TextColumn(width="large")})


def _row(run: Run) -> dict[str, object]:
    return {
        "began": run.began, "pipeline": run.pipeline, "state": run.state, "took": _took(run.seconds),
        "where": run.where, "run": run.run_id,
    }  # fmt: skip


def _took(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _over(state: str) -> bool:
    return state.lower() in {"succeeded", "done", "cached", "skipped", "failed", "canceled"}
