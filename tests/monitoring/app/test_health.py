"""The page Health: the newest report in words and figures, others by choice, files, and what may fail."""

from __future__ import annotations

import pytest

from tests.monitoring.app import made
from tests.monitoring.app.conftest import Page, charts, read_as_markdown, texts
from tests.monitoring.app.stage import HOSTILE
from tests.ports import free_ports
from wire.objects import ObjectStore


def test_there_is_none_yet(store: ObjectStore, page: Page) -> None:
    at = page("health")
    assert not at.exception and not at.error
    assert "There is no report yet" in at.info[0].value


def test_the_newest_is_shown_and_another_can_be_chosen(store: ObjectStore, page: Page) -> None:
    kept = made.several(store, HOSTILE)
    at = page("health")
    assert not at.exception and not at.error
    assert at.selectbox[0].options == [one.name for one in reversed(kept)]
    assert {one.label: one.value for one in at.metric}["Drift"] == "found"
    assert "score rose" in texts(at)
    quality = at.dataframe[0].value
    assert set(quality["slice"]) == {"all", f"topic = {HOSTILE}", "topic = t2"}
    assert " to " in quality["AUC"].iloc[0]
    assert at.dataframe[1].value["promised in training"].tolist() == ["0.900", "0.700", "1.000"]
    assert charts(at) == 4, "calibration and three trends"
    assert "onerror" not in read_as_markdown(at)
    at.selectbox[0].set_value(kept[0].name).run()
    assert {one.label: one.value for one in at.metric}["Drift"] == "none"
    assert "Nothing drifted" in texts(at)


def test_files_are_links_where_reports_are_served(
    store: ObjectStore, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = made.several(store)
    assert not page("health").get("link_button")
    monkeypatch.setenv("RAPT_REPORTS", "http://127.0.0.1:9000/")
    (link,) = page("health").get("link_button")
    assert link.proto.url == f"http://127.0.0.1:9000/reports/{kept[-1].name}/evidently.html"


def test_without_a_store_it_says_so(store: ObjectStore, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPT_S3_ENDPOINT", f"http://127.0.0.1:{free_ports()}")
    assert page("health").error[0].value == "The object store does not answer"
