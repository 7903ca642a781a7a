"""Another bundle takes the place of the one that serves: no request fails; a bad one changes nothing."""

import json
import threading
from collections import Counter

import numpy as np
import pytest

from interest.bundle import MANIFEST, Bundle
from interest.records import Content
from interest.training.settings import TrainSettings
from tests.inference.endpoint import Endpoint
from tests.interest.small_model import train
from tests.waiting import until
from wire import models
from wire.kafka import CONTENT, Client, producer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Another model of the same world."""
    settings = TrainSettings(seed=9, threads=1, content_epochs=1, epochs=1, content_batch=16, batch=16)
    return train(tmp_path_factory.mktemp("other") / "bundle", settings)


def test_no_request_fails_while_models_change_under_load(endpoint: Endpoint, other: Bundle) -> None:
    body = json.dumps({"instances": [{"user_id": "swap", "video_ids": ["sim-00001", "sim-00002"]}]}).encode()
    seen: Counter[str] = Counter()
    refused: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answer = endpoint.post("/v1/models/interest:predict", body)
            if answer.status_code == 200:
                seen[answer.json()["predictions"][0]["model_digest"]] += 1
            else:
                refused.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for wanted in (other, endpoint.bundle):
            endpoint.publish(wanted)
            until(lambda wanted=wanted: endpoint.status("predictor")["model_digest"] == wanted.digest, "the swap")
            before = seen[wanted.digest]
            until(lambda wanted=wanted, before=before: seen[wanted.digest] > before + 5, "answers of the new model")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert refused == []
    assert set(seen) == {other.digest, endpoint.bundle.digest}


def test_a_corrupt_bundle_is_refused_and_the_old_one_stays(endpoint: Endpoint, other: Bundle) -> None:
    until(lambda: endpoint.status("predictor")["model_digest"] == endpoint.bundle.digest, "the first model")
    refused = int(str(endpoint.status("predictor")["refused_models"]))
    manifest = json.loads((other.folder / MANIFEST).read_text()) | {"note": "another"}
    text = json.dumps(manifest, sort_keys=True, indent=1).encode()
    bad = "0" * 64
    for name in manifest["files"]:
        endpoint.store.put_file(f"models/{bad}/{name}", other.folder / name)
    endpoint.store.put_bytes(f"models/{bad}/{MANIFEST}", text)
    endpoint.store.put_bytes(models.LATEST, json.dumps({"digest": bad, "published_at_ms": 1}).encode())
    try:
        until(lambda: int(str(endpoint.status("predictor")["refused_models"])) > refused, "the refusal")
        status = endpoint.status("predictor")
        assert status["model_digest"] == endpoint.bundle.digest
        assert "sha256" in str(status["last_refused"])
        with endpoint.client as client:
            assert client.predict("corrupt", ["sim-00001"]).model_digest == endpoint.bundle.digest
    finally:
        endpoint.publish(endpoint.bundle)


def test_a_new_videos_content_is_scorable_soon_and_only_by_its_own_model(endpoint: Endpoint) -> None:
    table = endpoint.bundle.catalogue()
    sender = producer(endpoint.kafka, Client.CONFLUENT)

    def send(video_id: str, digest: str, content: bytes) -> None:
        made = Content(video_id=video_id, model_digest=digest, duration_s=float(table.duration_s[3]), content=content)
        import msgspec

        sender.send(CONTENT, video_id.encode(), msgspec.json.encode(made))

    like_third = np.ascontiguousarray(table.content[3], "<f4").tobytes()
    send("of another model", "f" * 64, like_third)
    send("of another shape", endpoint.bundle.digest, like_third[:-4])
    sender.send(CONTENT, b"x", b"no content")
    send("new", endpoint.bundle.digest, like_third)
    sender.flush(30)
    sender.close()
    names = ["sim-00003", "new", "of another model", "of another shape"]
    with endpoint.client as client:
        until(lambda: "new" not in client.predict("catalogue", names).unknown_videos, "the new video")
        made = client.predict("catalogue", names)
    assert made.unknown_videos == names[2:]
    assert made.videos[1].probability == pytest.approx(made.videos[0].probability, abs=1e-6)
