"""Map: videos and viewers as the model sees them, near each other where they are alike; what is new finds its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from interest.experiments.assignment import Allocation, assign
from monitoring.app import sources
from monitoring.app.atlas import Atlas, Kind
from monitoring.app.choices import VIDEO, VIEWER, choose, go, pick_video, pick_viewer
from monitoring.app.served import Served
from monitoring.app.states import empty, guarded
from monitoring.app.theme import OTHER, legible, levels, scale
from monitoring.colours import GREY
from wire.errors import KafkaError, ObjectStoreError

EVERY_S = 2.0
TRAINED, LATER, CHOSEN = "known from training", "came later", "chosen"
COLOURS = {Kind.VIDEOS: ("topic", "engagement"), Kind.VIEWERS: ("arm", "engagement")}
PICKED = "picked"


def show() -> None:
    """The page."""
    st.title("Map")
    with guarded():
        served = sources.served()
        with st.container(horizontal=True):
            kind = Kind(st.selectbox("Show", [str(one) for one in Kind], width=240))
            colour = st.selectbox("Colour by", COLOURS[kind], width=240)
        st.fragment(_map, run_every=EVERY_S)(served, kind, colour)
        if kind is Kind.VIDEOS:
            _play(served)
        else:
            pick_viewer(served)
            if st.button("See this viewer's feed", icon=":material/bolt:"):
                go("live")


def _map(served: Served, kind: Kind, colour: str) -> None:
    with guarded():
        atlas = sources.atlas(kind)
        if atlas.trouble:
            st.error("The map cannot be made now")
            st.text(atlas.trouble)
            return
        if not atlas.ready.is_set():
            st.info("The map is being made: once a model, some ten seconds for thousands of points.")
            return
        frame = points(atlas, served, kind, colour)
        if frame.empty:
            empty("There is nothing to show", "The model's log has none.")
            return
        chosen = st.altair_chart(
            legible(chart(frame, colour)), width="stretch", key=f"map-{kind}-{colour}", on_select="rerun",
            selection_mode=PICKED,
        )  # fmt: skip
        told = f"{len(atlas.ids):,} of {atlas.of:,} points" if atlas.of > len(atlas.ids) else f"{len(frame):,} points"
        st.caption(f"{told}. Neighbours are alike; distances between far groups mean nothing (t-SNE).")
        rows = chosen["selection"].get(PICKED, [])
        picked = tuple(int(one["row"]) for one in rows if int(one.get("row", -1)) < len(frame))
        name = VIDEO if kind is Kind.VIDEOS else VIEWER
        if picked and st.session_state.get(f"last-{name}") != picked:
            st.session_state[f"last-{name}"] = picked
            choose(name, str(frame["id"].iloc[picked[0]]))
            st.rerun()


def points(atlas: Atlas, served: Served, kind: Kind, colour: str) -> pd.DataFrame:
    """A row a point: `row`, `id`, `x`, `y`, `when` and the colour's column; raises ObjectStoreError."""
    known = atlas.points
    ids, x, y = list(atlas.ids), known[:, 0].tolist(), known[:, 1].tolist()
    when = [TRAINED] * len(ids)
    if kind is Kind.VIDEOS:
        for one, place in atlas.later(served.later()).items():
            ids.append(one)
            x.append(place[0])
            y.append(place[1])
            when.append(LATER)
    late = [one == LATER for one in when]
    chosen = st.session_state.get(VIDEO if kind is Kind.VIDEOS else VIEWER)
    when = [CHOSEN if one == chosen else since for one, since in zip(ids, when, strict=True)]
    frame = pd.DataFrame({"row": range(len(ids)), "id": ids, "x": x, "y": y, "when": when, "late": late})
    if colour == "engagement":
        rates = engagement("video_id" if kind is Kind.VIDEOS else "user_id")
        frame[colour] = [rates.get(one, float("nan")) for one in ids]
    elif colour == "topic":
        frame[colour] = _few([_topic(served, one) for one in ids])
    else:
        running = _allocation()
        frame[colour] = [arm(running, one) for one in ids]
    return frame


def engagement(by: str) -> Mapping[str, float]:
    """Share of the newest impressions that engaged, by viewer or video; empty without any."""
    try:
        seen = sources.seen().select([by, "engaged"]).drop_null()
    except ObjectStoreError:
        return {}
    found = seen.group_by(by).aggregate([("engaged", "mean")])
    return dict(zip(found[by].to_pylist(), found["engaged_mean"].to_pylist(), strict=True))


def arm(running: Allocation, user_id: str) -> str:
    """The arm that serving gives a viewer now."""
    trial = running.trial(user_id)
    return "no experiment" if trial is None else str(assign(trial.salt, trial.experiment, user_id, trial.share))


def _allocation() -> Allocation:
    try:
        return sources.arms().current
    except KafkaError:
        return Allocation()


def _topic(served: Served, video_id: str) -> str:
    known = served.videos.trained.get(video_id)
    found = known or (served.video(video_id) if video_id not in served.videos.trained else None)
    return (found.topic if found is not None else None) or "no topic"


def _few(names: list[str]) -> list[str]:
    kept = levels(names)
    return [name if name in kept else OTHER for name in names]


def chart(frame: pd.DataFrame, colour: str) -> alt.Chart:
    """The points; old ones set the frame, so that new ones move nothing."""
    old = frame[~frame["late"]] if not frame["late"].all() else frame
    domains = []
    for axis in ("x", "y"):
        low, high = float(old[axis].min()), float(old[axis].max())
        margin = 0.1 * (high - low) + 1e-6
        domains.append([low - margin, high + margin])
    shade: Any
    if colour == "engagement":
        rate = alt.Color(
            "engagement:Q", scale=alt.Scale(scheme="viridis", domain=[0, 1]),
            legend=alt.Legend(orient="bottom", format="%", title="engaged"),
        )  # fmt: skip
        shade = alt.condition("isValid(datum.engagement)", rate, alt.value(GREY))
    else:
        shade = alt.Color(
            f"{colour}:N", scale=scale(levels(frame[colour])), legend=alt.Legend(orient="bottom", columns=2)
        )  # fmt: skip
    when = [TRAINED, LATER, CHOSEN]
    tips = [alt.Tooltip("id:N"), alt.Tooltip(f"{colour}:{'Q' if colour == 'engagement' else 'N'}"), "when:N"]
    made: alt.Chart = (
        alt.Chart(frame)
        .mark_point(filled=True, opacity=0.85)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=domains[0])),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=domains[1])),
            color=shade,
            shape=alt.Shape(
                "when:O", sort=when, scale=alt.Scale(domain=when, range=["circle", "diamond", "cross"]),
                legend=alt.Legend(orient="top", title=None),
            ),
            size=alt.Size(
                "when:O", sort=when, scale=alt.Scale(domain=when, range=[60, 160, 320]),
                legend=alt.Legend(orient="top", title=None),
            ),
            tooltip=tips,
        )
        .add_params(alt.selection_point(name=PICKED, fields=["row"]))
        .properties(height=560, description="Map of what the model knows; the list below chooses by keyboard")
    )  # fmt: skip
    return made


def _play(served: Served) -> None:
    video_id = pick_video(served)
    if not video_id:
        return
    video = served.video(video_id)
    player, facts = st.columns(2)
    with player:
        data = served.clips.data(video) if video is not None and video.uri else None
        if data is None:
            st.info("There is no file of this video to play.")
        else:
            st.video(data, width=320)
    with facts:
        st.text(video_id)
        if video is not None:
            st.text("\n".join([video.caption or "(no caption)", *([f"topic {video.topic}"] if video.topic else [])]))
        if st.button("Look into this video", icon=":material/search:"):
            go("video")
