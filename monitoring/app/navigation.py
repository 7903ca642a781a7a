"""The pages, and what they have in common."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from monitoring.app.choices import PAGES
from monitoring.app.figures import icon
from monitoring.app.views import atlas, experiments, health, live, pipelines, video

VIEWS = (
    (live.show, "Live", "live", ":material/bolt:"),
    (video.show, "Video", "video", ":material/movie:"),
    (atlas.show, "Map", "map", ":material/scatter_plot:"),
    (experiments.show, "Experiments", "experiments", ":material/science:"),
    (health.show, "Health", "health", ":material/monitor_heart:"),
    (pipelines.show, "Pipelines", "pipelines", ":material/account_tree:"),
)


def show() -> None:
    """Show the page of the address."""
    st.set_page_config(page_title="Rapt", page_icon=Image.fromarray(icon()), layout="wide")
    pages = {
        path: st.Page(show, title=title, url_path=path, icon=icon, default=path == "live")
        for show, title, path, icon in VIEWS
    }
    st.session_state[PAGES] = pages
    st.navigation(list(pages.values())).run()
