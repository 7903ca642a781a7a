"""A real HTTP server in the endpoint's place, which answers as the test says."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Instance = dict[str, Any]
Answer = tuple[int, Any]
DIGEST = "ab" * 32


@dataclass
class Endpoint:
    """`score` gives a probability for (viewer, video); `answer` stands in for all of `:predict` when it is set."""

    url: str
    ready: bool = True
    score: Callable[[str, str], float] = lambda _, video_id: len(video_id) / 100
    answer: Callable[[Instance], Answer] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, Any]] = field(default_factory=list)

    def predicted(self, instance: Instance) -> Answer:
        if self.answer is not None:
            return self.answer(instance)
        videos = [
            {"video_id": one, "probability": self.score(instance["user_id"], one)} for one in instance["video_ids"]
        ]
        made = {
            "user_id": instance["user_id"], "request_id": f"r{len(self.asked)}", "arm": "stable",
            "model_digest": DIGEST, "state_age_ms": 7, "events": 3, "now_ms": 1000, "videos": videos,
            "unknown_videos": [],
        }  # fmt: skip
        return 200, {"predictions": [made]}

    def explained(self, instance: Instance) -> Answer:
        past = {"video_id": "old", "kind": "like", "ts_ms": 1, "watch_ms": 2, "weight": 0.75}
        video = {
            "video_id": instance["video_ids"][0], "known": True, "probability": 0.5, "logit": 0.0,
            "terms": {"viewer": 1.0, "video": -1.0}, "past": [past], "start_weight": 0.25,
            "pictures": self.pictures, "pictures_missing": "" if self.pictures else "not asked for",
        }  # fmt: skip
        head = {"user_id": instance["user_id"], "model_digest": DIGEST, "state_age_ms": 7, "now_ms": 1000}
        return 200, {"explanations": [head | {"videos": [video]}]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: Endpoint

    def do_GET(self) -> None:
        self._send(200 if self.endpoint.ready else 503, {"ready": self.endpoint.ready})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.endpoint.asked.append((self.path, body))
        (instance,) = body["instances"]
        explains = self.path.endswith(":explain")
        self._send(*(self.endpoint.explained if explains else self.endpoint.predicted)(instance))

    def _send(self, status: int, document: Any) -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **self.endpoint.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Endpoint]:
    """A running endpoint on a free port; it is gone on leaving."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    handler.endpoint = endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
