"""What the pipeline's containers made is served on the cluster, to viewers of the world that it learned from."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from interest.bundle import Bundle
from rapt.cluster.models import publish
from rapt.traffic import NOBODY_FREE
from tests.cluster.deployed import Deployed
from tests.containers.steps import Run
from wire.objects import ObjectStore

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


def test_the_model_that_containers_made_is_served_to_traffic(
    served: Deployed, bundle: Bundle, trained_in_containers: Run, containers_env: dict[str, str]
) -> None:
    def digest() -> str:
        (answer,) = served.ask({"instances": [{"user_id": "u", "video_ids": ["sim-00001"]}]})["predictions"]
        return str(answer["model_digest"])

    # Training took all of the machine: a pod may have been found too slow to be asked.
    served.until(lambda: digest() == bundle.digest, "the endpoint answers")
    made = trained_in_containers.steps["publish"].result["digest"]
    published = publish(served.cluster, ObjectStore.from_env(containers_env), made)
    assert published == made
    try:
        served.until(lambda: digest() == published, "the model is served", 60)
        command = [sys.executable, "-m", "rapt", "cluster", "run", "--context", served.cluster.context, "--"]
        traffic = ["traffic", "--users", "20", "--rate", "20", "--seconds", "5", "--json"]
        said = subprocess.run([*command, *traffic], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr[-2000:]
        # The pod's log holds what is told on the way too.
        came, _ = json.JSONDecoder().raw_decode(said.stdout[said.stdout.index('{\n  "requests"') :])
        print(came["requests"], came["latency_ms"], came["failures"])
        assert came["requests"] > 50 and came["events"] > 0 and came["failures"].keys() <= {NOBODY_FREE}
        assert came["models"].keys() == {published[:12]}
        refused = subprocess.run(
            [*command, "predict", "--user", "u", "--videos", ","], capture_output=True, check=False
        )
        assert refused.returncode == 1
    finally:
        served.publish(bundle)
        served.until(lambda: digest() == bundle.digest, "the model before is served again", 60)


def test_status_tells_every_process_and_what_it_takes(served: Deployed) -> None:
    command = [sys.executable, "-m", "rapt", "cluster", "status", "--json", "--context", served.cluster.context]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    found = {(one["component"], one["container"]): one for one in json.loads(said.stdout)["containers"]}
    assert found.keys() >= {
        ("transformer", "feeder"), ("transformer", "kserve-container"), ("predictor", "kserve-container"),
        ("explainer", "kserve-container"), ("catalogue-feed", "catalogue-feed"), ("kafka", "kafka"),
        ("object-store", "seaweedfs"),
    }  # fmt: skip
    assert all(one["ready"] and 0 < one["memory"] <= one["memory_limit"] for one in found.values())
    assert found["predictor", "kserve-container"]["details"]["model_digest"]
