"""A transformer that is told to end fails no request of a caller that keeps its connection."""

from __future__ import annotations

import signal

import httpx
import psutil

from rapt import service
from tests.inference.endpoint import DEADLINE_S, Endpoint

ASKED = {"instances": [{"user_id": "u", "video_ids": ["sim-00001"]}]}


def test_the_last_answer_on_a_connection_says_so(endpoint: Endpoint) -> None:
    url = f"{endpoint.url}/v1/models/interest:predict"
    process = psutil.Process(endpoint.pid("transformer"))
    try:
        with httpx.Client(timeout=30) as client:
            answer = client.post(url, json=ASKED)
            assert (answer.status_code, "connection" in answer.headers) == (200, False)
            process.send_signal(signal.SIGTERM)
            while answer.headers.get("connection") != "close":  # then a caller goes to another server
                answer = client.post(url, json=ASKED)
                assert answer.status_code == 200
        process.wait(DEADLINE_S)
    finally:
        service.stop("transformer", endpoint.settings.run_folder, grace_s=5)
        endpoint.start("transformer")
