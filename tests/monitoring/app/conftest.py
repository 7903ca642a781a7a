"""What pages are shown with: a bucket and a broker of their own environment, a small model, an endpoint's stand-in."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from msgspec.structs import replace as changed
from streamlit.testing.v1 import AppTest

from interest.bundle import Bundle, open_bundle, seal
from interest.catalog import VIDEOS, write_jsonl
from tests.brokers import EmbeddedBroker
from tests.interest.worlds import small_world
from tests.monitoring.app.stage import HOSTILE
from tests.rapt.endpoint import Endpoint, serving
from tests.rapt.stream import make_topics
from wire import models
from wire.objects import ObjectStore

Page = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """What pages share between sessions is let go of after each test."""
    yield
    st.cache_resource.clear()


@pytest.fixture
def store(
    object_store_env: dict[str, str], embedded_broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    """An empty bucket, to which the environment leads, with a broker beside it."""
    for name in [name for name in os.environ if name.startswith("RAPT_")]:
        monkeypatch.delenv(name)
    env = object_store_env | {
        "RAPT_S3_BUCKET": f"app-{secrets.token_hex(6)}", "RAPT_HOME": str(tmp_path),
        "RAPT_RUNS": str(tmp_path / "runs"), "RAPT_KAFKA_BOOTSTRAP": embedded_broker.service.address,
    }  # fmt: skip
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    make_topics(env)
    return ObjectStore.from_env(env)


@pytest.fixture
def published(store: ObjectStore, bundle: Bundle, tmp_path: Path) -> Bundle:
    """The small model as the one that serves; its first video has a hostile caption and topic."""
    _, catalog, _, _ = small_world()
    first, *others = catalog.videos
    videos = [changed(first, caption=HOSTILE, topic=HOSTILE), *(changed(one, topic="t1") for one in others)]
    (tmp_path / "dataset").mkdir()
    write_jsonl(tmp_path / "dataset" / VIDEOS, videos)
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    about = {name: value for name, value in bundle.manifest.items() if name not in ("files", "format")}
    digest = seal(folder, about | {"data": {"dataset": "d" * 64}})
    models.publish_bundle(store, folder, digest, tmp_path / "dataset", published_at_ms=time.time_ns() // 1_000_000)
    return open_bundle(folder, digest)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Something that answers as the endpoint would, as the test says."""
    with serving() as found:
        monkeypatch.setenv("RAPT_ENDPOINT", found.url)
        yield found


@pytest.fixture
def page() -> Page:
    """A page by its module's name, run once, with what was chosen on another page before."""

    def shown(name: str, **chosen: str) -> AppTest:
        script = f"from monitoring.app.views import {name}\n{name}.show()"
        at = AppTest.from_string(script, default_timeout=240)
        for key, value in chosen.items():
            at.session_state[key] = value
        return at.run()

    return shown


def texts(at: AppTest) -> str:
    """All that is shown as plain text."""
    return "\n".join(one.value for one in at.text)


def read_as_markdown(at: AppTest) -> str:
    """All that Streamlit reads Markdown in: texts from outside must not be among it."""
    kinds = (at.markdown, at.caption, at.error, at.warning, at.info, at.success, at.title, at.header, at.subheader)
    bodies = [one.value for kind in kinds for one in kind]
    labels = [one.label for kind in (at.button, at.selectbox, at.toggle, at.metric) for one in kind]
    figures = [str(one.value) + str(one.delta) for one in at.metric]
    return "\n".join([*bodies, *labels, *figures])


def charts(at: AppTest) -> int:
    """How many charts are shown."""
    return len(at.get("vega_lite_chart"))
