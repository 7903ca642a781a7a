"""Live: a viewer's feed in the order of the endpoint's chances, and what one act changes."""

from __future__ import annotations

import streamlit as st

from inference.transformer.messages import MOST_CANDIDATES
from interest.records import Kind
from monitoring.app import sources
from monitoring.app.choices import VIDEO, choose, go, pick_viewer
from monitoring.app.feed import Feed, ask, ask_until_counted, event
from monitoring.app.served import Served
from monitoring.app.states import NAMED, empty, failure, guarded

PAGE = 10
FOLLOW_EVERY_S = 2.0
ACTS = ((Kind.WATCH, "Watch", ":material/play_arrow:"), (Kind.SKIP, "Skip", ":material/skip_next:"),
        (Kind.LIKE, "Like", ":material/favorite:"))  # fmt: skip
FEED, TROUBLE, DRAW = "live feed", "live trouble", "live draw"


def show() -> None:
    """The page."""
    st.title("Live")
    with guarded():
        served = sources.served()
        viewer = pick_viewer(served)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Ask again", icon=":material/refresh:"):
                st.session_state.pop(FEED, None)
            if len(served.ids()) > MOST_CANDIDATES and st.button("Other videos", icon=":material/shuffle:"):
                st.session_state[DRAW] = st.session_state.get(DRAW, 0) + 1
                st.session_state.pop(FEED, None)
            follow = st.toggle("Follow", help="Ask every two seconds. Each time counts as a request of this viewer.")
        if not viewer:
            empty("No viewer is chosen", "Choose one above, or type any id: unknown viewers are served too.")
            return
        if not served.ids():
            empty("The model knows no video", "Announce one on the topic videos, or train with some.")
            return
        st.fragment(_feed, run_every=FOLLOW_EVERY_S if follow else None)(served, viewer, follow=follow)


def _feed(served: Served, viewer: str, *, follow: bool) -> None:
    with guarded():
        feed = _current(served, viewer, again=follow)
        _figures(feed)
        trouble = st.session_state.pop(TROUBLE, None)
        if trouble is not None:
            failure(trouble)
        for position, video_id in enumerate(feed.now.ranked()[:PAGE], start=1):
            _row(served, feed, position, video_id)


def _current(served: Served, viewer: str, *, again: bool) -> Feed:
    """This session's feed of the viewer, asked for when there is none yet; raises what asking raises."""
    feed: Feed | None = st.session_state.get(FEED)
    if feed is None or feed.viewer != viewer:
        candidates = served.candidates(MOST_CANDIDATES, st.session_state.get(DRAW, 0))
        feed = Feed(viewer, candidates, ask(sources.client(), viewer, candidates))
    elif again:
        feed.now = ask(sources.client(), viewer, feed.candidates)
    st.session_state[FEED] = feed
    return feed


def _figures(feed: Feed) -> None:
    made = feed.now.prediction
    told = "not yet" if feed.counted_ms is None else f"{feed.counted_ms:.0f} ms"
    figures = [
        ("Answered in", f"{feed.now.took_ms:.1f} ms", "From this process to the endpoint and back"),
        ("State age", f"{made.state_age_ms} ms", "How far the state may be behind what viewers do"),
        ("Past events", f"{made.events}", "What the prediction stood on, 100 at most"),
        *([("Act counted after", told, "From the stream's acknowledgement to a prediction")] if feed.acted else []),
    ]
    with st.container(horizontal=True):
        for label, value, why in figures:
            st.metric(label, value, width=160, help=why)
    st.text(f"arm {made.arm}   model {made.model_digest[:12]}   {len(feed.candidates)} candidates")
    if feed.acted and feed.counted_ms is None:
        st.warning("The last act is in the stream, but no prediction knows of it yet. Ask again; then: rapt status")
    if made.unknown_videos:
        st.warning("The endpoint does not know some of these videos: it serves another model than the store names.")


def _row(served: Served, feed: Feed, position: int, video_id: str) -> None:
    chance = feed.now.chances[video_id]
    before = feed.before.get(video_id)
    video = served.video(video_id)
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        delta = None if before is None else f"{100 * (chance - before):+.1f} points"
        st.metric(
            f"Chance, place {position}", f"{chance:.1%}", delta, width=150, label_visibility="visible",
            delta_color="normal" if before is not None and abs(chance - before) >= 5e-4 else "off",
        )  # fmt: skip
        with st.container(width=320):
            told = [video_id]
            if video is not None:
                told += [part for part in (video.caption, f"topic {video.topic}" if video.topic else "") if part]
            if before is not None:
                told.append(f"{before:.1%} → {chance:.1%}")
            st.text("\n".join(told))
        with st.container(horizontal=True, width="content"):
            seconds = video.duration_s if video is not None else 0.0
            for kind, label, icon in ACTS:
                st.button(
                    f"{label} {position}", key=f"{kind}-{position}", icon=icon, on_click=_act,
                    args=(video_id, kind, position, seconds),
                )  # fmt: skip
            if st.button(f"Look into {position}", key=f"look-{position}", icon=":material/search:"):
                choose(VIDEO, video_id)
                go("video")


def _act(video_id: str, kind: Kind, position: int, duration_s: float) -> None:
    """Send what the viewer did, and see the chances move."""
    feed: Feed = st.session_state[FEED]
    try:
        shown = feed.impression(video_id, position)  # first, since nobody acts on what is shown later
        done = event(feed.viewer, video_id, feed.now.prediction.request_id, kind, position, duration_s)
        sources.send([*shown, done])
        feed.before, feed.acted = feed.now.chances, kind
        feed.now, feed.counted_ms = ask_until_counted(sources.client(), feed)
    except NAMED as error:
        st.session_state[TROUBLE] = error
