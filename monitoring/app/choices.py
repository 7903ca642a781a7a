"""Which viewer and which video is looked at: the same on every page, and in the page's address."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc
import streamlit as st

from monitoring.app import sources
from monitoring.app.served import Served
from wire.errors import ObjectStoreError

VIEWER, VIDEO = "viewer", "video"
PAGES = "pages"
"""Where a session keeps its pages by path."""
MOST_LISTED = 500
"""Ids that a list offers; any other can be typed."""


def pick_viewer(served: Served) -> str:
    """The chosen viewer, one of those known or any that was typed; empty while none is."""
    return _pick(VIEWER, "Viewer", known_viewers(served), "A viewer's id; type one that is not listed")


def pick_video(served: Served) -> str:
    """The chosen video, likewise."""
    known = served.ids()
    listed = [*reversed(known[-MOST_LISTED // 2 :]), *known[: -MOST_LISTED // 2]][:MOST_LISTED]
    return _pick(VIDEO, "Video", listed, "A video's id; type one that is not listed")


def choose(name: str, value: str) -> None:
    """Have `value` chosen from now on, on every page."""
    st.session_state[name] = value
    st.session_state.pop(_key(name), None)
    st.query_params[name] = value


def go(path: str) -> None:
    """Turn to another page of the dashboard."""
    st.switch_page(st.session_state[PAGES][path])


def known_viewers(served: Served) -> list[str]:
    """Viewers who came lately, then those of the model's log; at most MOST_LISTED."""
    try:
        lately = pc.unique(sources.seen()["user_id"]).to_pylist()[::-1]
    except ObjectStoreError:
        lately = []
    return list(dict.fromkeys([*lately[: MOST_LISTED // 2], *served.bundle.viewers().user_ids]))[:MOST_LISTED]


def _pick(name: str, label: str, listed: Sequence[str], placeholder: str) -> str:
    chosen = st.session_state.get(name) or st.query_params.get(name) or (listed[0] if listed else "")
    options = list(listed) if chosen in listed or not chosen else [chosen, *listed]
    key = _key(name)
    # Streamlit may forget a list's value when one turns to another page; only what was picked just now differs.
    if st.session_state.get(key) in (None, st.session_state.get(f"{key}-shown")):
        st.session_state[key] = chosen or None
    picked = st.selectbox(
        label, options, key=key, accept_new_options=True, placeholder=placeholder, index=None if not options else 0
    )
    st.session_state[f"{key}-shown"] = picked
    if picked and picked != st.session_state.get(name):
        st.session_state[name] = picked
        st.query_params[name] = picked
    return picked or ""


def _key(name: str) -> str:
    return f"choose-{name}"
