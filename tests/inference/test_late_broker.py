"""A transformer that starts before its broker: alive, not ready, and on its way as soon as the broker answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rapt import service, stack
from rapt.settings import Settings
from tests.inference.endpoint import DEADLINE_S
from tests.ports import free_ports
from tests.waiting import until

BODY = b'{"instances": [{"user_id": "u", "video_ids": ["v"]}]}'


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a stack of which nothing runs yet."""
    made = Settings(
        home=tmp_path, object_store_port=free_ports(), broker_port=free_ports(), serving_port=free_ports(),
        state_memory_mib=16, start_deadline_s=DEADLINE_S,
    )  # fmt: skip
    yield made
    for name in ("transformer", "broker", "object-store"):
        service.stop(name, made.run_folder, grace_s=1.0)


@pytest.mark.slow
def test_it_waits_for_the_broker_and_answers_nothing_that_it_cannot_log(settings: Settings) -> None:
    services = {one.name: one for one in stack.services(settings)}

    def ready() -> str:
        try:
            return httpx.get(f"{settings.endpoint}/v2/health/ready", timeout=30).text
        except httpx.TransportError:
            return ""

    service.launch(services["transformer"], settings.run_folder)
    until(lambda: "the brokers" in ready(), "it waits for the brokers")
    answer = httpx.post(f"{settings.endpoint}/v1/models/interest:predict", content=BODY, timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "no exposure can be logged" in answer.json()["error"]

    for name in ("object-store", "broker"):
        service.start(services[name], settings.run_folder, DEADLINE_S)
    until(lambda: "viewers' states" in ready(), "the brokers are no longer what it waits for")
    answer = httpx.post(f"{settings.endpoint}/v1/models/interest:predict", content=BODY, timeout=30)
    assert (answer.status_code, answer.json()) == (503, {"error": "viewers' states are not there: no feeder runs"})
