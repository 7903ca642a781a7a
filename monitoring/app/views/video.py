"""Video: what the model sees and hears of one, and why a viewer is predicted to engage with it."""

from __future__ import annotations

import time
from base64 import b64decode

import altair as alt
import pandas as pd
import streamlit as st

from inference.transformer.messages import Explained, ExplainedVideo
from interest.features.audio import AudioSettings
from interest.models.names import TERMS
from interest.records import Video
from monitoring.app import sources
from monitoring.app.choices import pick_video, pick_viewer
from monitoring.app.clips import KEPT, MOST_PLAYED_BYTES, Clip
from monitoring.app.figures import sound_figure, strip, tiles
from monitoring.app.served import Served
from monitoring.app.settings import Environment, environment
from monitoring.app.states import empty, guarded
from monitoring.app.theme import legible
from monitoring.app.words import clock
from monitoring.colours import BLUE, VERMILION
from wire.errors import InvalidObjectName, ObjectNotFound

EXPLAIN_S = 30.0


def show() -> None:
    """The page."""
    st.title("Video")
    with guarded():
        served = sources.served()
        left, right = st.columns(2)
        with left:
            video_id = pick_video(served)
        with right:
            viewer = pick_viewer(served)
        if not video_id:
            empty("No video is chosen", "Choose one above, or type any id that the model knows.")
            return
        video = served.video(video_id)
        _about(served, video_id, video)
        _why(viewer, video_id)
        if video is not None and video.uri:
            _seen_and_heard(served, video)


def _about(served: Served, video_id: str, video: Video | None) -> None:
    if video is None:
        st.info("The video is in no catalogue: it has no record, so there is nothing to play.")
        return
    player, facts = st.columns(2)
    with player:
        data = served.clips.data(video) if video.uri else None
        if data is not None:
            st.video(data, width=420)
        else:
            st.info(f"There is nothing to play: no file in the store, or one over {MOST_PLAYED_BYTES >> 20} MiB.")
    with facts:
        st.text(video.caption or "(no caption)")
        known = "known from training" if video_id in served.videos.trained else "came after training"
        lines = [f"id {video_id}", f"{video.duration_s:.1f} s, {known}"]
        lines += [f"topic {video.topic}"] if video.topic else []
        lines += [f"published {clock(video.published_at_ms)} UTC"] if video.published_at_ms > 1 else []
        st.text("\n".join(lines))


def _why(viewer: str, video_id: str) -> None:
    st.header("Why this chance")
    if not viewer:
        empty("No viewer is chosen", "Choose one above: a chance is a viewer's.")
        return
    with guarded():
        explained, took_ms = _explained(environment(), viewer, video_id, sources.serving())
        (found,) = explained.videos
        with st.container(horizontal=True):
            st.metric("Chance", f"{found.probability:.1%}", width=150)
            st.metric("Logit", f"{found.logit:+.2f}", width=150)
            st.metric("Explained in", f"{took_ms:.0f} ms", width=150)
            st.metric("State age", f"{explained.state_age_ms} ms", width=150)
        if not found.known:
            st.warning("The endpoint's model does not know the video: it is scored without content.")
        terms, past = st.columns(2)
        with terms:
            st.subheader("What each part adds")
            st.altair_chart(legible(_terms(found)), width="stretch")
            st.caption("The terms add up to the logit exactly.")
        with past:
            st.subheader("Past views that mattered")
            _past(found)
        st.subheader("Where in the frames")
        _heat(found)


@st.cache_data(ttl=10.0, max_entries=64, show_spinner="Asking the explainer")
def _explained(env: Environment, viewer: str, video_id: str, digest: str) -> tuple[Explained, float]:  # noqa: ARG001
    began = time.perf_counter()
    made = sources.client(EXPLAIN_S).explain(viewer, [video_id], pictures=True)
    return made, 1000 * (time.perf_counter() - began)


def _terms(found: ExplainedVideo) -> alt.Chart:
    rows = [{"part": name, "adds": found.terms[name]} for name in TERMS if name in found.terms]
    chart: alt.Chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            x=alt.X("adds:Q", title="added to the logit", axis=alt.Axis(format="+.2f")),
            y=alt.Y("part:N", title=None, sort=None),
            color=alt.condition("datum.adds < 0", alt.value(VERMILION), alt.value(BLUE)),
            tooltip=["part:N", alt.Tooltip("adds:Q", format="+.3f")],
        )
        .properties(height=200, description="What each part of the model adds to the logit")
    )
    return chart


def _past(found: ExplainedVideo) -> None:
    if not found.past:
        empty("The viewer has no past yet", "Act as them on the page Live.")
        return
    rows = [
        {
            "weight": one.weight, "video": one.video_id or "(unknown to the model)", "kind": one.kind,
            "watched (s)": one.watch_ms / 1000, "when (UTC)": clock(one.ts_ms),
        }
        for one in found.past
    ]  # fmt: skip
    weight = st.column_config.ProgressColumn(format="percent", min_value=0.0, max_value=max(1e-9, found.past[0].weight))
    st.dataframe(rows, hide_index=True, column_config={"weight": weight}, height=230)
    st.caption(f"What none of them explains: {found.start_weight:.0%} of the attention.")


def _heat(found: ExplainedVideo) -> None:
    if not found.pictures:
        st.info("There is no picture to show.")
        st.text(found.pictures_missing)
        return
    st.caption(
        "The frame of each window in which the model saw most of what moved this chance (Grad-CAM); bright is most."
    )
    with st.container(horizontal=True):
        for one in found.pictures:
            with st.container(width=330, border=True):
                st.image(
                    [b64decode(one.plain), b64decode(one.heat)], width=140,
                    alt=[f"Window {one.window + 1}, frame {one.frame + 1}", "The same under its heat"],
                )  # fmt: skip
                st.caption(f"window {one.window + 1}, frame {one.frame + 1}")


def _seen_and_heard(served: Served, video: Video) -> None:
    with guarded():
        try:
            with st.spinner("Decoding"):
                clip = served.clips.of(video.uri)
        except (InvalidObjectName, ObjectNotFound):
            return
        _frames(clip)
        st.header("What the model hears")
        if clip.sound is None:
            st.info("There is no sound to show.")
            st.text(clip.no_sound)
        else:
            st.image(
                _sound(served.digest, video.uri, clip, served.clips.audio), width="stretch",
                alt="Spectrogram and MFCC of each window of the sound",
            )  # fmt: skip
            st.caption("Above: the spectrogram in dB. Below: the MFCC that the audio encoder is given.")
        if clip.frames is not None:
            _maps(served, video, clip)


@st.cache_data(max_entries=KEPT, show_spinner=False)
def _sound(digest: str, uri: str, _clip: Clip, _audio: AudioSettings) -> bytes:  # noqa: ARG001
    """Drawing it takes longer than all else of the page."""
    assert _clip.sound is not None  # noqa: S101 - the caller looked
    return sound_figure(_clip.sound, _audio)


def _frames(clip: Clip) -> None:
    st.header("What the model sees")
    if clip.frames is None:
        st.info("There are no frames to show.")
        st.text(clip.no_frames)
        return
    for window, frames in enumerate(clip.frames, start=1):
        st.image(strip(frames), alt=f"Frames of window {window}, in order of time")
        st.caption(f"window {window}")


def _maps(served: Served, video: Video, clip: Clip) -> None:
    assert clip.frames is not None  # noqa: S101 - the caller looked
    st.header("Feature maps")
    found = served.layers.of(video.uri, clip.frames)
    with st.container(horizontal=True):
        layer = st.selectbox("Layer", list(found), index=len(found) - 1, width=240)
        window = st.selectbox("Window", range(1, len(clip.frames) + 1), width=240)
    maps = found[layer][window - 1]
    st.image(tiles(maps.mean(axis=1)), alt=f"Feature maps of layer {layer}, the strongest first")
    st.caption(f"{len(maps)} channels, their mean over time; the strongest 32 first, bright is strong.")
