"""`rapt dashboards`, with a small server of Grafana's API in the place of a Grafana, which is not at hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from monitoring.dashboards.build import BOARDS, build
from monitoring.dashboards.errors import DashboardsError, GrafanaRefused, GrafanaUnavailable, InvalidGrafana
from rapt import cli
from rapt.errors import InvalidOption
from tests.ports import free_ports

TOKEN = "glsa_of_a_test"


class Served(ThreadingHTTPServer):
    """Keeps what it is sent, and takes one token; `broken` is answered to everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.broken: tuple[int, bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/grafana"


class Handler(BaseHTTPRequestHandler):
    server: Served

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, body: Any) -> None:
        code, said = self.server.broken or self._took(body)
        self.send_response(code)
        self.send_header("content-length", str(len(said)))
        if code == 301:
            self.send_header("location", "https://grafana.example.com/")
        self.end_headers()
        self.wfile.write(said)

    def _took(self, body: Any) -> tuple[int, bytes]:
        path = self.path.removeprefix("/grafana/api")
        if self.headers["authorization"] != f"Bearer {TOKEN}":
            return 401, b'{"message": "Invalid API key"}'
        if path == "/folders":
            self.server.folders[body["uid"]] = body["title"]
            return 200, b"{}"
        if path.startswith("/folders/"):
            known = path.removeprefix("/folders/") in self.server.folders
            return (200, b"{}") if known else (404, b'{"message": "folder not found"}')
        assert path == "/dashboards/db"
        if body["folderUid"] not in self.server.folders:
            return 400, b'{"message": "folder not found"}'
        uid = body["dashboard"]["uid"]
        if uid in self.server.dashboards and not body["overwrite"]:
            return 412, b'{"message": "exists already"}'
        self.server.dashboards[uid] = body["dashboard"]
        return 200, json.dumps({"uid": uid, "url": f"/grafana/d/{uid}/x", "status": "success"}).encode()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[Served]:
    with Served() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


def push(url: str, token: Path, *more: str) -> Any:
    arguments = ["dashboards", "push", "--url", url, "--token-file", str(token), "--json", *more]
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    return json.loads(done.stdout)["dashboards"]


def test_write_makes_a_file_of_each(tmp_path: Path) -> None:
    arguments = ["dashboards", "write", str(tmp_path / "a" / "b"), "--runbook", "https://wiki/runbook"]
    done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    written = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "a" / "b").iterdir()}
    assert written == {board.uid: build(board, "https://wiki/runbook") for board in BOARDS}
    assert len(done.stdout.splitlines()) == len(BOARDS)


def test_write_says_where_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption, match="cannot be written to"):
        CliRunner().invoke(cli.app, ["dashboards", "write", str(tmp_path / "file")], catch_exceptions=False)


def test_push_puts_all_into_a_folder_of_their_own(grafana: Served, token: Path) -> None:
    pushed = push(grafana.url, token, "--folder", "Videos")
    assert grafana.folders == {"rapt": "Videos"}
    assert grafana.dashboards == {board.uid: build(board) for board in BOARDS}
    root = grafana.url.removesuffix("/grafana")
    assert pushed == {board.uid: f"{root}/grafana/d/{board.uid}/x" for board in BOARDS}


def test_push_again_puts_them_in_the_place_of_those_before(grafana: Served, token: Path) -> None:
    push(grafana.url, token)
    push(grafana.url + "/", token, "--runbook", "https://wiki/runbook", "--folder", "Other")
    assert grafana.folders == {"rapt": "Rapt"}
    assert grafana.dashboards["rapt-serving"] == build(BOARDS[0], "https://wiki/runbook")


def test_a_wrong_token_is_refused_with_what_to_give(grafana: Served, token: Path) -> None:
    token.write_text("another")
    with pytest.raises(GrafanaRefused, match=r"refuses the token \(401\): give it a token .* Editor"):
        push(grafana.url, token)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((500, b'{"message": "database is locked"}'), GrafanaUnavailable, "database is locked"),
        ((403, b'{"message": "no"}'), GrafanaRefused, "role Editor"),
        ((400, b'{"message": "bad title"}'), GrafanaRefused, "bad title"),
        ((200, b"<html>log in</html>"), GrafanaUnavailable, "no Grafana answers"),
        ((502, b"<html>a message of a proxy</html>"), GrafanaUnavailable, "is no Grafana"),
        ((200, b"null"), GrafanaUnavailable, "is no Grafana"),
        ((301, b""), InvalidGrafana, "leads to https://grafana.example.com/: give --url the address itself"),
    ],
)
def test_other_failures_are_told_by_name(
    grafana: Served, token: Path, answer: tuple[int, bytes], kind: type[DashboardsError], said: str
) -> None:
    grafana.broken = answer
    with pytest.raises(kind, match=said):
        push(grafana.url, token)


def test_nobody_there(token: Path) -> None:
    with pytest.raises(GrafanaUnavailable, match="no Grafana answers at http://127"):
        push(f"http://127.0.0.1:{free_ports()}", token)


@pytest.mark.parametrize(
    "url", ["grafana", "ftp://grafana", "http://", "http://grafana:port", "http://me:secret@grafana"]
)
def test_what_is_no_address_is_refused_before_anything_is_sent(url: str, token: Path) -> None:
    with pytest.raises(InvalidGrafana, match="is no address of a Grafana") as refused:
        push(url, token)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff"])
def test_a_file_without_a_token_is_refused(content: bytes, grafana: Served, token: Path) -> None:
    token.write_bytes(content)
    with pytest.raises(InvalidOption, match="--token-file"):
        push(grafana.url, token)
