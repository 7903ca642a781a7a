"""Rapt from compose.yaml: real containers, a real Kafka, a real S3; asked from the host, killed, ended, begun again."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import confluent_kafka
import grpc
import msgspec
import numpy as np
import psutil
import pytest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from inference import protocol
from inference.errors import EndpointUnavailable
from interest.bundle import Bundle
from interest.history import HISTORY
from interest.records import Event, Kind
from rapt.client import Client
from rapt.cluster.programs import run
from rapt.errors import ClusterFailed
from tests.compose.composed import COMPOSE, Composed
from tests.rapt.stream import events_of
from wire.kafka import EVENTS, KafkaSettings, producer

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
VIDEOS = ("sim-00001", "sim-00002", "sim-00003")
FOR_ALL_TIME_MS = 4_102_444_800_000
PAUSE_S, FLUSH_S = 0.02, 120.0


def watch(user_id: str, number: int, ts_ms: int) -> Event:
    return Event(
        event_id=f"{user_id}-{number}",
        user_id=user_id,
        video_id=f"sim-{number % 9:05d}",
        request_id="sent",
        ts_ms=ts_ms,
        kind=Kind.WATCH,
        watch_ms=1000 * (number % 13),
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_without_keys_nothing_starts_and_the_line_that_makes_them_is_named(composed: Composed) -> None:
    keyless = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    command = ["docker", "compose", "--file", str(COMPOSE), "--env-file", os.devnull, "config", "--quiet"]
    with pytest.raises(ClusterFailed, match=r"AWS_\w+ is missing a value: see the top of compose\.yaml"):
        run(command, deadline_s=30, env=keyless)


def test_up_is_well_without_a_model_and_says_that_it_waits_for_one(composed: Composed) -> None:
    containers = composed.containers()
    assert {name for name, one in containers.items() if one["State"]["Status"] == "exited"} == {
        "kafka-format",
        "ground",
    }
    health = {name: one["State"]["Health"]["Status"] for name, one in containers.items() if "Health" in one["State"]}
    assert health == dict.fromkeys(
        ("kafka", "object-store", "feeder", "predictor", "explainer", "transformer"), "healthy"
    )
    with Client(composed.endpoint) as client, pytest.raises(EndpointUnavailable, match="a published model"):
        client.predict("somebody", VIDEOS)


def test_no_container_is_root_or_writes_outside_its_own_or_listens_beyond_loopback(composed: Composed) -> None:
    published = set()
    for name, one in composed.containers().items():
        host = one["HostConfig"]
        assert one["Config"]["User"] == "10001:10001", name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"], name
        assert 0 < host["Memory"] <= 768 << 20, name
        volumes = [mount for mount in one["Mounts"] if mount["Type"] == "volume"]
        assert all(mount["Name"].startswith(f"{composed.project}_") for mount in volumes), name
        for bindings in (host["PortBindings"] or {}).values():
            assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"], name
            published |= {int(binding["HostPort"]) for binding in bindings}
        if one["State"]["Running"]:
            lines = composed(
                "exec", "-T", name, "grep", "-E", "^(Uid|CapEff|NoNewPrivs)", "/proc/1/status"
            ).splitlines()
            status = {key: values for key, *values in map(str.split, lines)}
            assert status == {"Uid:": ["10001"] * 4, "CapEff:": ["0" * 16], "NoNewPrivs:": ["1"]}, name
    assert published == set(range(composed.first_port, composed.first_port + 4))
    own = [one.address for found in psutil.net_if_addrs().values() for one in found if one.family is socket.AF_INET]
    for address in (one for one in own if not one.startswith("127.")):
        for port in published:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, port), 5).close()


def test_a_model_published_from_the_host_answers_and_explains(served: Composed, bundle: Bundle, tmp_path: Path) -> None:
    assert [one["digest"] for one in served.rapt(tmp_path, "models")["models"]] == [bundle.digest]
    made = served.rapt(tmp_path, "predict", "--live", "--user", "stranger", "--videos", ",".join(VIDEOS))
    assert made["model_digest"] == bundle.digest
    assert [one["video_id"] for one in made["videos"]] == list(VIDEOS)
    assert made["unknown_videos"] == []
    with Client(served.endpoint) as client:
        explained = client.explain("stranger", VIDEOS, now_ms=FOR_ALL_TIME_MS)
    predicted = served.predict("stranger", *VIDEOS, now_ms=FOR_ALL_TIME_MS)
    assert {one.video_id: one.probability for one in explained.videos} == pytest.approx(predicted, abs=1e-6)


def test_who_has_docker_only_runs_rapt_in_a_container(served: Composed, bundle: Bundle) -> None:
    told = ("events", "send", "--user", "docker-only", "--video", "sim-00002", "--watch-ms", "9000")
    assert json.loads(served.rapt_inside(*told))["acknowledged"] == 1
    served.until(lambda: served.events_of("docker-only") == 1, "the event counts")
    made = json.loads(served.rapt_inside("explain", "--user", "docker-only", "--videos", "sim-00001"))["explained"]
    assert made["model_digest"] == bundle.digest
    assert [one["video_id"] for one in made["videos"][0]["past"]] == ["sim-00002"]


def test_an_event_sent_from_the_host_counts_in_the_next_prediction(served: Composed, tmp_path: Path) -> None:
    before = served.predict("viewer", *VIDEOS, now_ms=FOR_ALL_TIME_MS)
    told = ("--user", "viewer", "--video", "sim-00002", "--kind", "watch", "--watch-ms", "9000")
    assert served.rapt(tmp_path, "events", "send", *told)["acknowledged"] == 1
    served.until(lambda: served.events_of("viewer") == 1, "the event counts")
    assert served.predict("viewer", *VIDEOS, now_ms=FOR_ALL_TIME_MS) != before


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_records_that_others_send_compressed_count(served: Composed, codec: str) -> None:
    """The broker unpacks its codecs' libraries into a folder from which it must be allowed to run them."""
    settings = {"bootstrap.servers": served.environment["RAPT_KAFKA_BOOTSTRAP"], "compression.type": codec}
    other = confluent_kafka.Producer(settings | {"linger.ms": 100})
    for number in range(10):
        other.produce(EVENTS, msgspec.json.encode(watch(codec, number, now_ms())), codec.encode())
    assert other.flush(FLUSH_S) == 0
    served.until(lambda: served.events_of(codec) == 10, "the events count")


def test_v2_by_grpc(served: Composed, bundle: Bundle) -> None:
    def text(*words: str) -> np.ndarray:
        made = np.empty(len(words), object)
        made[:] = [word.encode() for word in words]
        return made

    tensors = {"user_id": text("stranger"), "video_id": text("sim-00001", "nothing")}
    with grpc.insecure_channel(f"127.0.0.1:{served.first_port + 1}") as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(protocol.request("interest", tensors), timeout=10)
    made = protocol.from_response(answer)
    assert made.parameters["model_digest"] == bundle.digest
    assert made.tensors["known"].tolist() == [True, False]


def test_a_killed_kafka_loses_no_acknowledged_event_and_the_state_is_as_without_it(served: Composed) -> None:
    users, sent, back = [f"killed-{viewer}" for viewer in range(3)], list[Event](), threading.Event()
    sender = producer(KafkaSettings.from_env(served.environment))

    def send() -> None:
        number = 0
        while not back.wait(PAUSE_S):
            for user_id in users:
                sent.append(watch(user_id, number, now_ms()))
                sender.send(EVENTS, user_id.encode(), msgspec.json.encode(sent[-1]))
            number += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        served.until(lambda: served.events_of(users[0]) > 5, "the first events count")
        served("kill", "kafka")
        away_from = len(sent)
        served.until(lambda: len(sent) >= away_from + 30, "events are sent while it is away")
        served.up("kafka")
    finally:
        back.set()
        thread.join()
    sender.flush(FLUSH_S)  # raises unless all is acknowledged

    reading = served.environment | {"RAPT_KAFKA_CLIENT": "confluent"}  # which knows all codecs
    found = events_of(reading, lambda one: one.user_id in users, len(sent))
    assert Counter(one.event_id for one in found) == Counter(one.event_id for one in sent)
    for one in [event for event in sent if event.user_id == users[0]]:
        again = msgspec.structs.replace(one, user_id="control", event_id=f"control {one.event_id}")
        sender.send(EVENTS, b"control", msgspec.json.encode(again))
    sender.close()
    count = min(len(sent) // len(users), HISTORY)
    served.until(lambda: [served.events_of(one) for one in (*users, "control")] == [count] * 4, "all events count")

    def same() -> bool:
        killed, control = (served.predict(one, *VIDEOS, now_ms=FOR_ALL_TIME_MS) for one in (users[0], "control"))
        return killed == control

    served.until(same, "the state is that of a viewer who did the same while nothing was killed")


def test_down_and_up_again_finds_states_and_model(served: Composed, bundle: Bundle, tmp_path: Path) -> None:
    sender = producer(KafkaSettings.from_env(served.environment))
    for number in range(7):
        sender.send(EVENTS, b"kept", msgspec.json.encode(watch("kept", number, now_ms())))
    sender.flush(FLUSH_S)
    sender.close()
    served.until(lambda: served.events_of("kept") == 7, "the events count")
    before = served.predict("kept", *VIDEOS, now_ms=FOR_ALL_TIME_MS)
    volumes = set(served.left()["volume"])

    served("down")
    assert served.left() | {"volume": set(served.left()["volume"])} == {
        "container": [], "network": [], "volume": volumes,
    }  # fmt: skip
    served.up()
    served.until(lambda: served.events_of("kept") == 7, "the state is back")
    assert served.predict("kept", *VIDEOS, now_ms=FOR_ALL_TIME_MS) == before
    assert [one["digest"] for one in served.rapt(tmp_path, "models")["models"]] == [bundle.digest]


def test_down_with_volumes_leaves_nothing(served: Composed) -> None:
    """The last of these tests."""
    served("down", "--volumes")
    assert served.left() == {"container": [], "volume": [], "network": []}
