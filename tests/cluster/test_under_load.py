"""What changes and what dies while callers ask: no wrong answer, no acknowledged event lost."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from interest.bundle import MANIFEST, Bundle, open_bundle, seal
from rapt.cluster.create import have_chart
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
VIEWERS, EVENTS = 20, 60


@pytest.fixture(scope="session")
def second(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same model under another digest."""
    folder = tmp_path_factory.mktemp("second") / "bundle"
    shutil.copytree(bundle.folder, folder)
    about = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    return open_bundle(folder, seal(folder, {**about, "note": "the second"}))


def test_another_bundle_by_an_edit_of_the_values_fails_no_request(
    served: Deployed, bundle: Bundle, second: Bundle, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"

    def serve(wanted: Bundle) -> None:
        before = served.pod("predictor")
        values.write_text(f"model: {{digest: {wanted.digest}}}\n")
        have_chart(replace(served.plan, values=(values,)))
        served.until(lambda: not served.cluster.get("pod", before), "the pod before is gone", 90)

    serve(bundle)
    served.publish(second)
    with served.beside("asks.py", "50") as asks:
        begun = time.monotonic()
        serve(second)
        print(f"swapped after {time.monotonic() - begun:.0f} s")
    found = asks.found()
    print(found)
    assert found["failures"] == []
    assert found["statuses"].keys() == {"200"}
    assert found["statuses"]["200"] > 200
    assert set(found["digests"]) == {bundle.digest, second.digest}
    assert found["digests"][-1] == second.digest


@pytest.mark.parametrize("component", ["kafka", "object-store", "transformer"])
def test_a_kill_loses_no_acknowledged_event_and_leaves_the_same_state(served: Deployed, component: str) -> None:
    users = [f"{component}-{viewer}" for viewer in range(VIEWERS)]
    with served.beside("sends.py", component, str(VIEWERS), str(EVENTS), "12") as sends:
        served.until(lambda: min(served.events_of(*users[:3])) > 5, "the first events count")
        served.kill(served.pod(component))
    assert sends.said == "acknowledged\n"
    served.until(lambda: served.events_of(*users) == [EVENTS] * VIEWERS, "every event counts")


def test_uninstalling_leaves_data_and_nothing_else(served: Deployed) -> None:
    """And installing again finds the data."""
    cluster, users = served.cluster, ["kept-0", "kept-1", "kept-2"]
    with served.beside("sends.py", "kept", "3", "5", "1"):
        pass
    served.until(lambda: served.events_of(*users) == [5, 5, 5], "the events count")
    cluster.helm("uninstall", "rapt", "--wait", deadline_s=120)
    kinds = ("deployments", "services", "pods", "networkpolicies", "poddisruptionbudgets", "serviceaccounts",
             "inferenceservices", "horizontalpodautoscalers", "configmaps", "secrets")  # fmt: skip

    def left() -> list[str]:
        return [
            f"{kind}/{one['metadata']['name']}"
            for kind in kinds
            for one in cluster.items(kind)
            if one["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "rapt"
            or one["metadata"]["name"].startswith("interest")
        ]

    served.until(lambda: left() == [], lambda: f"nothing of the release is left but {left()}", 60)
    have_chart(served.plan)
    served.until(lambda: served.events_of(*users) == [5, 5, 5], "the viewers' states are back")
