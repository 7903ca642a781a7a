"""Each page as a person uses it: by mouse, by keyboard alone, on a phone, with and without what it needs."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import psutil
import pytest
import urllib3
from playwright.sync_api import Page, expect

from interest.records import Event, Kind
from tests.browser import axe
from tests.browser.conftest import NARROW, WIDE, Dashboard, Visit
from tests.monitoring.app import stage
from tests.monitoring.app.stage import HOSTILE, HOSTILE_ID
from tests.waiting import until
from wire.kafka import EVENTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGES = {
    "": "Live", "video": "Video", "map": "Map", "experiments": "Experiments", "health": "Data and model health",
    "pipelines": "Pipelines",
}  # fmt: skip
CHANGE_MS = 30_000
Begin = Callable[..., Visit]


def choose(page: Page, label: str, value: str) -> None:
    """Type a value into a list and take it."""
    box = page.get_by_role("combobox", name=re.compile(label))
    box.click()
    box.fill(value)
    box.press("Enter")


def events_of(dashboard: Dashboard, user_id: str) -> list[Event]:
    records = dashboard.endpoint.read_all(EVENTS)
    made = [msgspec.json.decode(one.value or b"", type=Event) for one in records if one.key == user_id.encode()]
    return sorted(made, key=lambda event: event.ts_ms)


def test_it_listens_on_loopback_only(dashboard: Dashboard) -> None:
    mine = [one for one in psutil.net_connections("inet") if one.pid == dashboard.process.pid]
    listening = [one for one in mine if one.status == psutil.CONN_LISTEN]
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example.org", 403), ("", 101)])
def test_a_page_of_another_site_gets_no_connection(dashboard: Dashboard, origin: str, status: int) -> None:
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin or dashboard.url,
    }  # fmt: skip
    answer = urllib3.request(
        "GET", f"{dashboard.url}/_stcore/stream", headers=headers, preload_content=False, timeout=10.0
    )
    assert answer.status == status
    answer.close()


def test_live_an_act_moves_the_feed(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    print(f"live: {one.open():.1f} s")
    choose(one.page, "Viewer", HOSTILE[:100])
    expect(one.page.get_by_text("Past events")).to_be_visible()
    one.settled()
    one.page.get_by_role("button", name="Like 1", exact=True).click()
    expect(one.page.get_by_text("Act counted after")).to_be_visible(timeout=CHANGE_MS)
    expect(one.page.get_by_text(" → ").first).to_be_visible(timeout=CHANGE_MS)
    one.settled()
    assert [event.kind for event in events_of(dashboard, HOSTILE[:100])] == [Kind.IMPRESSION, Kind.LIKE]
    one.picture("live")
    one.page.get_by_role("button", name="Look into 1", exact=True).click()
    expect(one.page.get_by_role("heading", name="Video", exact=True)).to_be_visible(timeout=CHANGE_MS)
    one.settled()


def test_video_plays_and_is_taken_apart(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    one.open("video?video=bunny")
    for heading in ("Why this chance", "What the model sees", "What the model hears", "Feature maps"):
        expect(one.page.get_by_role("heading", name=heading)).to_be_visible(timeout=CHANGE_MS)
    one.settled()
    one.page.wait_for_function("() => document.querySelector('video')?.readyState >= 1", timeout=CHANGE_MS)
    images = one.page.locator("img")
    assert images.count() >= 6, "two windows, each plain and under its heat, and as frames"
    assert all(images.nth(number).get_attribute("alt") for number in range(images.count()))
    one.picture("video")
    for name in ("Map", "Live", "Video"):
        one.page.get_by_role("link", name=name, exact=True).click()
        expect(one.page.get_by_role("heading", name=name, exact=True)).to_be_visible(timeout=CHANGE_MS)
        one.settled()
        if name != "Live":
            expect(one.page.get_by_role("combobox", name=re.compile("^Video"))).to_have_value("bunny")
    choose(one.page, "^Video", HOSTILE_ID)
    expect(one.page.get_by_text("A plain colour")).to_be_visible(timeout=CHANGE_MS)
    one.settled()
    one.open("video?video=hum")
    expect(one.page.get_by_text("There are no frames to show.")).to_be_visible(timeout=CHANGE_MS)


def test_map_a_click_plays_and_a_new_video_finds_its_place(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    one.open("map")
    told = one.page.get_by_text(re.compile(r"^\d+ points\. "))
    expect(told).to_be_visible(timeout=CHANGE_MS)
    before = int((told.text_content() or "").split()[0])
    one.picture("map")
    points = one.page.locator('[data-testid="stVegaLiteChart"] [aria-roledescription="point"]')
    box = one.page.get_by_role("combobox", name=re.compile("^Video"))
    first = box.input_value()
    points.nth(3).click()
    expect(box).not_to_have_value(first, timeout=CHANGE_MS)
    one.settled()
    chosen = box.input_value()
    stage.announce(dashboard.endpoint, dashboard.model, f"new-{HOSTILE_ID}", "bunny")
    expect(one.page.get_by_text(f"{before + 1} points. ")).to_be_visible(timeout=CHANGE_MS)
    one.settled()
    assert box.input_value() == chosen
    one.picture("map-new")


def test_experiments_keep_up(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    one.open("experiments")
    expect(one.page.get_by_text("Running", exact=True).first).to_be_visible(timeout=CHANGE_MS)
    for heading in ("Lift over time", "Arms", "Guardrails", "Decisions"):
        expect(one.page.get_by_role("heading", name=heading)).to_be_visible(timeout=CHANGE_MS)
    expect(one.page.locator('[data-testid="stVegaLiteChart"]')).to_have_count(2, timeout=120_000)
    ratio = one.page.get_by_text("Sample ratio:")
    expect(ratio).to_be_visible(timeout=CHANGE_MS)
    before = ratio.text_content()
    expect(ratio).not_to_have_text(before or "", timeout=60_000)
    one.picture("experiments")


def test_health_and_its_files(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    one.open("health")
    for heading in ("Quality by slice", "Calibration", "Drift", "Trend"):
        expect(one.page.get_by_role("heading", name=heading)).to_be_visible(timeout=CHANGE_MS)
    with one.page.expect_download(timeout=CHANGE_MS) as brought:
        one.page.get_by_role("button", name="Download Evidently's report").click()
    assert brought.value.suggested_filename == "evidently.html"
    one.picture("health")


def test_pipelines(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    one.open("pipelines")
    expect(one.page.get_by_text("training: failed, in this machine")).to_be_visible(timeout=CHANGE_MS)
    expect(one.page.get_by_role("heading", name="Artifacts")).to_be_visible()
    one.picture("pipelines")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_is_accessible_and_fits(
    dashboard: Dashboard, visit: Begin, axe_source: str, size: tuple[int, int]
) -> None:
    found: dict[str, list[str]] = {}
    for path, title in PAGES.items():
        one = visit(size)
        print(f"{path or 'live'} at {size[0]}: {one.open(path):.1f} s")
        expect(one.page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        if path in ("map", "experiments"):
            expect(one.page.locator('[data-testid="stVegaLiteChart"]').first).to_be_visible(timeout=60_000)
        one.settled()
        assert one.page.evaluate("document.documentElement.scrollWidth") <= size[0], path
        overflow = "document.querySelector('[data-testid=stMain]')"
        assert one.page.evaluate(f"{overflow}.scrollWidth <= {overflow}.clientWidth"), path
        if size == NARROW:
            one.picture(path or "live")
        found[path] = axe.violations(one.page, axe_source)
        one.page.goto("about:blank")
    wrong = [f"{path}: {one}" for path, several in found.items() for one in several]
    assert not wrong, "\n".join(wrong)


def test_all_of_it_by_keyboard(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    one.open()
    tab_to(one.page, "Ask again")
    one.page.keyboard.press("Enter")
    one.settled()
    tab_to(one.page, "Watch 1")
    one.page.keyboard.press("Enter")
    expect(one.page.get_by_text("Act counted after")).to_be_visible(timeout=CHANGE_MS)
    one.settled()
    one.open()
    for title in list(PAGES.values())[1:]:
        tab_to(one.page, "Health" if title.startswith("Data") else title)
        one.page.keyboard.press("Enter")
        expect(one.page.get_by_role("heading", name=title, exact=True)).to_be_visible(timeout=CHANGE_MS)
        one.settled()
    tab_to(one.page, "Map")
    one.page.keyboard.press("Enter")
    expect(one.page.get_by_role("combobox", name=re.compile("^Video"))).to_be_visible(timeout=CHANGE_MS)
    one.settled()
    tab_to(one.page, "Video", role="combobox")
    one.page.keyboard.press("Control+A")
    one.page.keyboard.type("carphone")
    one.page.keyboard.press("Enter")
    expect(one.page).to_have_url(re.compile("video=carphone"), timeout=CHANGE_MS)


def tab_to(page: Page, name: str, role: str = "") -> None:
    """Press Tab until what is called `name` has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """() => { const e = document.activeElement;
                 if (!['A', 'BUTTON', 'INPUT'].includes(e.tagName)) return ['', '', ''];
                 const ids = (e.getAttribute('aria-labelledby') || '').split(' ');
                 const named = ids.map(id => document.getElementById(id)?.innerText || '').join(' ');
                 const label = [e.labels?.[0]?.innerText, e.getAttribute('aria-label'), named].join(' ');
                 return [e.innerText || '', label, e.getAttribute('role') || ''] }"""
        )
        text = f"{told[0]} {told[1]}"
        if re.search(rf"\b{re.escape(name)}\b", text) and (not role or told[2] == role):
            return
    raise AssertionError(f"Tab does not lead to {name!r}")


def test_a_dead_endpoint_is_said_and_comes_back(dashboard: Dashboard, visit: Begin) -> None:
    one = visit()
    one.open()
    dashboard.endpoint.kill("transformer")
    try:
        one.page.get_by_role("button", name="Ask again").click()
        expect(one.page.get_by_text("The endpoint does not answer")).to_be_visible(timeout=CHANGE_MS)
        one.settled()
        one.picture("live-without-endpoint")
    finally:
        dashboard.endpoint.start("transformer")
    with dashboard.endpoint.client as client:
        until(client.ready, "the endpoint")
    one.page.get_by_role("button", name="Ask again").click()
    expect(one.page.get_by_text("Answered in")).to_be_visible(timeout=CHANGE_MS)
    one.settled()
