"""The page Video: what the model sees and hears of a real clip, why a chance is what it is, and what may fail."""

from __future__ import annotations

from msgspec.structs import replace

from interest.bundle import Bundle
from monitoring.app import sources
from tests.clips import real_clip
from tests.monitoring.app.conftest import Page, read_as_markdown, texts
from tests.monitoring.app.stage import HOSTILE
from tests.rapt.endpoint import Endpoint
from wire.objects import ObjectStore

EXPLAINED = ["Chance", "Logit", "Explained in", "State age"]


def test_a_clip_is_played_decoded_and_explained(
    published: Bundle, store: ObjectStore, endpoint: Endpoint, page: Page
) -> None:
    store.put_file("videos/clip", real_clip("bigbuckbunny"))
    served = sources.served()
    first = served.ids()[0]
    served.videos.trained[first] = replace(served.videos.trained[first], uri=store.uri("videos/clip"))
    at = page("video")
    at.selectbox[0].set_value(first).run()
    assert not at.exception and not at.error
    assert len(at.get("video")) == 1
    assert [one.label for one in at.metric][:4] == EXPLAINED
    assert HOSTILE in texts(at)
    assert "onerror" not in read_as_markdown(at)
    assert "What the model hears" in [one.value for one in at.header]
    assert at.dataframe[0].value["video"].tolist() == ["old"]
    clip = served.clips.of(store.uri("videos/clip"))
    assert clip.frames is not None and clip.frames.shape == (2, 4, 16, 16, 3)
    assert clip.sound is not None and len(clip.sound) == served.clips.audio.windows


def test_a_file_that_is_no_video_costs_its_parts_and_not_the_page(
    published: Bundle, store: ObjectStore, endpoint: Endpoint, page: Page
) -> None:
    store.put_bytes("videos/bad", b"\\0" * 2000)
    served = sources.served()
    second = served.ids()[1]
    served.videos.trained[second] = replace(served.videos.trained[second], uri=store.uri("videos/bad"))
    at = page("video")
    at.selectbox[0].set_value(second).run()
    assert not at.exception and not at.error
    assert "There are no frames to show." in [one.value for one in at.info]


def test_a_video_that_nobody_knows(published: Bundle, endpoint: Endpoint, page: Page) -> None:
    at = page("video", video=HOSTILE[:200])
    assert not at.exception
    assert "in no catalogue" in at.info[0].value
    assert "onerror" not in read_as_markdown(at)


def test_without_an_explainer_the_rest_stays(published: Bundle, page: Page) -> None:
    at = page("video")
    assert "does not know where the endpoint is" in at.error[0].value
    assert not at.exception
    assert "Why this chance" in [one.value for one in at.header]


def test_without_a_model_it_says_so(store: ObjectStore, page: Page) -> None:
    assert page("video").error[0].value == "No model is published yet"
