"""Downloads against a real server that misbehaves: what comes is whole or named, and never from within."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interest.errors import InvalidSetting
from tests.wire.web import Handler, Web, file, first, page, serving, status
from wire.errors import (
    FetchTimeout,
    ForbiddenAddress,
    ForbiddenUrl,
    HttpFailure,
    NoMedia,
    TooLarge,
    Unreachable,
)
from wire.fetch import Fetched, Guard, NotModified, Policy, Validators, fetch, redacted
from wire.fetch.transfer import part_name

BODY = random.Random(7).randbytes(300_000)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


def get(web: Web, path: str, folder: Path, known: Validators | None = None, **limits: Any) -> Any:
    settings = {"backoff_s": 0.001, "max_backoff_s": 0.01, "allow_private": [web.place]} | limits
    url = path if "://" in path else web.url(path)
    return fetch(url, folder / "out", Policy(**settings), parts=folder / "parts", known=known)


def test_a_file_arrives_whole_with_its_validators(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = file(BODY, etag='"1"')
    got = get(web, "/a.mp4", tmp_path)
    assert got == Fetched(tmp_path / "out", len(BODY), Validators('"1"', ""), "", 0)
    assert (tmp_path / "out").read_bytes() == BODY
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_file_that_did_not_change_is_not_sent_again(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = file(BODY, etag='"1"')
    assert get(web, "/a.mp4", tmp_path, Validators('"1"')) == NotModified()
    assert web.served_bytes == 0


def test_a_stream_cut_twice_is_resumed_and_each_byte_sent_once(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = file(BODY, etag='"1"', cuts=[100_000, 50_000])
    get(web, "/a.mp4", tmp_path)
    assert (tmp_path / "out").read_bytes() == BODY
    assert web.served_bytes == len(BODY)
    assert [h.get("Range") for _, h in web.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_run_resumes_what_the_last_one_left(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = file(BODY, etag='"1"', cuts=[100_000])
    with pytest.raises(Unreachable, match="broke off after 100000 of 300000 bytes"):
        get(web, "/a.mp4", tmp_path, retries=0)
    assert not (tmp_path / "out").exists()
    assert get(web, "/a.mp4", tmp_path).received_bytes == 200_000
    assert (tmp_path / "out").read_bytes() == BODY


@pytest.mark.parametrize("etag", ['"1"', "", 'W/"1"'])
def test_a_server_without_ranges_or_strong_validators_is_read_from_the_start(
    web: Web, tmp_path: Path, etag: str
) -> None:
    web.routes["/a.mp4"] = file(BODY, etag=etag, cuts=[100_000], ranges=False)
    get(web, "/a.mp4", tmp_path)
    assert (tmp_path / "out").read_bytes() == BODY
    assert web.served_bytes == len(BODY) + 100_000


def test_a_file_that_changed_in_between_is_not_mixed_with_its_old_half(web: Web, tmp_path: Path) -> None:
    new = BODY[::-1]
    web.routes["/a.mp4"] = first([file(BODY, etag='"1"', cuts=[100_000])], file(new, etag='"2"'))
    get(web, "/a.mp4", tmp_path)
    assert (tmp_path / "out").read_bytes() == new


def test_a_range_that_was_not_asked_for_is_not_appended(web: Web, tmp_path: Path) -> None:
    def wrong(handler: Handler) -> None:
        handler.answer(206, BODY[5:], Content_Range=f"bytes 5-299999/{len(BODY)}", Content_Type="video/mp4")

    whole = file(BODY, etag='"1"')
    web.routes["/a.mp4"] = first([file(BODY, etag='"1"', cuts=[100_000]), wrong], whole)
    get(web, "/a.mp4", tmp_path)
    assert (tmp_path / "out").read_bytes() == BODY


def test_server_errors_pass_after_retries(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = first([status(500), status(503, Retry_After="3600")], file(BODY))
    started = time.monotonic()
    get(web, "/a.mp4", tmp_path)
    assert web.asked("/a.mp4") == 3
    assert time.monotonic() - started < 60, "Retry-After is bounded by max_backoff_s"


def test_a_server_that_stays_broken_is_given_up_by_name(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = status(500)
    with pytest.raises(Unreachable, match="HTTP status 500"):
        get(web, "/a.mp4", tmp_path, retries=2)
    assert web.asked("/a.mp4") == 3


def test_a_missing_file_is_asked_for_once(web: Web, tmp_path: Path) -> None:
    with pytest.raises(HttpFailure, match=r"/none\.mp4: HTTP status 404"):
        get(web, "/none.mp4", tmp_path)
    assert web.asked("/none.mp4") == 1


@pytest.mark.parametrize("length", [str(len(BODY)), "100", ""])
def test_the_size_limit_holds_whatever_the_length_says(web: Web, tmp_path: Path, length: str) -> None:
    web.routes["/a.mp4"] = lambda h: h.answer(200, BODY, Content_Length=length, Content_Type="video/mp4")
    with pytest.raises(TooLarge, match="the limit is 99"):
        get(web, "/a.mp4", tmp_path, max_bytes=99)
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "parts").iterdir()) == []


def endless(handler: Handler) -> None:
    """A byte now and then until the server ends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "video/mp4")
    handler.end_headers()
    while not handler.server.web.ended.wait(0.02):
        handler.wfile.write(b"x")


def endless_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.server.web.ended.wait(0.02):
        handler.wfile.write(b"x")


@pytest.mark.parametrize("route", [endless, endless_header])
def test_a_slow_endless_answer_ends_at_the_deadline(web: Web, tmp_path: Path, route: Any) -> None:
    web.routes["/a.mp4"] = route
    with pytest.raises(FetchTimeout):
        get(web, "/a.mp4", tmp_path, timeout_s=0.5)
    assert not (tmp_path / "out").exists()


def test_the_rate_limit_is_kept(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = file(BODY)
    started = time.monotonic()
    get(web, "/a.mp4", tmp_path, rate_limit_bytes_s=600_000)
    assert time.monotonic() - started >= 0.4


def test_redirects_are_followed_but_not_for_ever(web: Web, tmp_path: Path) -> None:
    web.routes["/a.mp4"] = file(BODY)
    web.routes["/old"] = status(302, Location="/a.mp4")
    web.routes["/loop"] = status(301, Location="/loop")
    get(web, "/old", tmp_path)
    assert (tmp_path / "out").read_bytes() == BODY
    with pytest.raises(ForbiddenUrl, match="redirects"):
        get(web, "/loop", tmp_path)


def test_a_redirect_to_another_private_address_is_refused_and_not_connected_to(web: Web, tmp_path: Path) -> None:
    with serving() as inner:
        web.routes["/out"] = status(302, Location=inner.url("/secret.mp4"))
        with pytest.raises(ForbiddenAddress, match=f"127.0.0.1:{inner.port} is the private"):
            get(web, "/out", tmp_path)
        assert inner.requests == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/a", "data:video/mp4,x", "http://", "http://a b/"])
def test_only_http_urls_with_a_host_are_taken(web: Web, tmp_path: Path, url: str) -> None:
    with pytest.raises(ForbiddenUrl):
        get(web, url, tmp_path)
    web.routes["/out"] = status(302, Location=url)
    if ":///" in url:
        with pytest.raises(ForbiddenUrl):
            get(web, "/out", tmp_path)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "127.1", "localhost", "0.0.0.0", "[::1]",  # noqa: S104
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "169.254.169.254", "10.0.0.1",
     "100.64.0.1", "192.168.1.1", "224.0.0.1", "[fe80::1]", "[fc00::1]", "[ff02::1]", "[2002:7f00:1::]",
     "240.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_refused_in_every_spelling(web: Web, tmp_path: Path, host: str) -> None:
    with pytest.raises((ForbiddenAddress, Unreachable), match=r"private|does not resolve"):
        get(web, f"http://{host}:{web.port}/a.mp4", tmp_path, allow_private=False, retries=0)
    assert web.requests == []


@pytest.mark.parametrize(
    ("address", "open_to_all"),
    [("1.1.1.1", True), ("2606:4700::1111", True), ("::ffff:1.1.1.1", True), ("64:ff9b::101:101", True),
     ("::ffff:10.0.0.1", False), ("100.127.255.255", False), ("239.1.1.1", False), ("fec0::1", False),
     ("::", False), ("2001:0:1::1", False), ("fe80::1%eth0", False), ("example.org", False)],
)  # fmt: skip
def test_the_guard_knows_the_internet_from_the_rest(address: str, open_to_all: bool) -> None:
    assert Guard().permits(address, 80) is open_to_all


def test_an_exception_holds_for_its_port_only_and_must_be_an_address() -> None:
    guard = Guard(["127.0.0.1:8080", "[::1]:8081"])
    assert guard.permits("127.0.0.1", 8080)
    assert guard.permits("::ffff:127.0.0.1", 8080)
    assert guard.permits("::1", 8081)
    assert not guard.permits("127.0.0.1", 8081)
    assert not guard.permits("127.0.0.2", 8080)
    with pytest.raises(InvalidSetting, match="'localhost:80' is not address:port"):
        Guard(["localhost:80"])


def test_the_page_of_a_video_gives_its_file_and_title(web: Web, tmp_path: Path) -> None:
    web.routes["/clip"] = page("<title>Two bikes</title><video><source src='/v.mp4' type='video/mp4'></video>")
    web.routes["/v.mp4"] = file(BODY, etag='"1"')
    got = get(web, "/clip", tmp_path)
    assert (got.path.read_bytes(), got.caption, got.validators) == (BODY, "Two bikes", Validators())


def test_a_page_without_a_video_is_named(web: Web, tmp_path: Path) -> None:
    web.routes["/text"] = page("<title>Words</title><p>only words</p>")
    with pytest.raises(NoMedia, match="/text: Unsupported URL"):
        get(web, "/text", tmp_path)


def test_yt_dlp_cannot_be_led_to_a_private_address(web: Web, tmp_path: Path) -> None:
    """The first look sees a page, yt-dlp's own second look is redirected inside, also by way of FTP."""
    with serving() as inner:
        for inside in (inner.url("/secret"), f"ftp://127.0.0.1:{inner.port}/secret"):
            html = page("<video src='/v.mp4'></video>")
            web.routes["/clip"] = first([html], status(302, Location=inside))
            with pytest.raises((ForbiddenAddress, NoMedia), match=r"127\.0\.0\.1"):
                get(web, "/clip", tmp_path, retries=0)
        web.routes["/clip"] = page(f"<video src='{inner.url('/v.mp4')}'></video>")
        with pytest.raises(ForbiddenAddress):
            get(web, "/clip", tmp_path)
        assert inner.requests == []
        web.routes["/clip"] = first([html], status(302, Location=inner.url("/secret")))
        with pytest.raises(NoMedia):
            get(web, "/clip", tmp_path, allow_private=[web.place, inner.place])
        assert inner.asked("/secret") == 1, "yt-dlp does follow where it is allowed to"


def test_a_page_that_never_ends_stops_at_the_deadline(web: Web, tmp_path: Path) -> None:
    def slow(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.end_headers()
        while not handler.server.web.ended.wait(0.02):
            handler.wfile.write(b"<p>")

    web.routes["/clip"] = slow
    with pytest.raises(FetchTimeout, match="page was not read in time"):
        get(web, "/clip", tmp_path, timeout_s=3)


def test_the_fence_lets_no_program_start_and_no_inner_connection_out() -> None:
    script = """
import socket, subprocess
from wire.fetch._ytdlp import fence
fence(False)
for attempt in (lambda: subprocess.run(["true"]), lambda: __import__("os").system("true"),
                lambda: socket.create_connection(("127.0.0.1", 9)),
                lambda: socket.create_connection(("localhost", 9)),
                lambda: socket.socket(socket.AF_UNIX).connect("/tmp/x")):
    try:
        attempt()
    except PermissionError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 5


def test_proxies_of_the_environment_are_not_used(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        for name in ("http_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        web.routes["/clip"] = page("<video src='/v.mp4'></video>")
        web.routes["/v.mp4"] = file(BODY)
        get(web, "/clip", tmp_path)
        assert proxy.requests == []


def test_a_login_goes_to_its_own_origin_and_into_no_message(web: Web, tmp_path: Path) -> None:
    with serving() as other:
        web.routes["/a.mp4"] = status(302, Location=other.url("/b.mp4"))
        login = f"http://ann:s3cret@{web.place}/a.mp4?token=s3cret"
        with pytest.raises(HttpFailure) as failure:
            get(web, login, tmp_path, allow_private=[web.place, other.place])
        assert web.requests[0][1]["Authorization"] == "Basic YW5uOnMzY3JldA=="
        assert "Authorization" not in other.requests[0][1]
    assert "s3cret" not in str(failure.value)
    assert redacted(login) == f"http://{web.place}/a.mp4?…"


def test_a_killed_download_leaves_a_part_only_and_the_next_run_takes_it_up(web: Web, tmp_path: Path) -> None:
    def half(handler: Handler) -> None:
        handler.answer(200, BODY, 100_000, ETag='"1"', Content_Type="video/mp4")
        handler.wfile.flush()
        handler.server.web.ended.wait()

    web.routes["/a.mp4"] = half
    script = (
        "import sys; from pathlib import Path; from wire.fetch import *\n"
        "url, place, folder = sys.argv[1:]; folder = Path(folder)\n"
        "fetch(url, folder / 'out', Policy(allow_private=[place]), parts=folder / 'parts')"
    )
    child = subprocess.Popen([sys.executable, "-c", script, web.url("/a.mp4"), web.place, str(tmp_path)],
                             stderr=subprocess.DEVNULL)  # fmt: skip
    part = tmp_path / "parts" / f"{part_name(web.url('/a.mp4'))}.part"
    until = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == 100_000):
        assert time.monotonic() < until, "the child downloads"
    child.send_signal(signal.SIGINT)
    assert child.wait(30) != 0
    assert not (tmp_path / "out").exists()
    web.routes["/a.mp4"] = file(BODY, etag='"1"')
    assert get(web, "/a.mp4", tmp_path).received_bytes == 200_000
    assert (tmp_path / "out").read_bytes() == BODY
