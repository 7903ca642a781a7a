"""What the tests ask of an installed Rapt: through the gateway pod, which is an application's place in the cluster."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interest.bundle import Bundle
from rapt.cluster.create import Plan
from rapt.cluster.models import object_store
from rapt.cluster.programs import Kubectl
from rapt.cluster.trouble import reasons
from rapt.errors import ClusterFailed
from wire.models import publish_bundle

GATEWAY = Path(__file__).parent / "gateway.yaml"
ENDPOINT = "http://interest-transformer"
DEADLINE_S = 180.0


@dataclass
class Beside:
    """A program in the gateway, and in the end what it said."""

    process: subprocess.Popen[str]
    said: str = ""

    def wait(self) -> None:
        self.said, errors = self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0, errors[-2000:]

    def found(self) -> dict[str, Any]:
        """What it said, as JSON."""
        made: dict[str, Any] = json.loads(self.said)
        return made


@dataclass(frozen=True)
class Deployed:
    """An installed Rapt."""

    plan: Plan

    @property
    def cluster(self) -> Kubectl:
        return self.plan.cluster

    def publish(self, bundle: Bundle) -> None:
        """Put the model into the cluster's store and make it the one that is wanted."""
        with object_store(self.cluster) as store:
            now_ms = time.time_ns() // 1_000_000
            publish_bundle(store, bundle.folder, bundle.digest, Path("/nonexistent"), published_at_ms=now_ms)

    def pod(self, component: str) -> str:
        """The name of a component's pod, once there is one and no other."""
        found: list[str] = []

        def alone() -> bool:
            pods = self.cluster.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
            found[:] = [pod["metadata"]["name"] for pod in pods]
            return len(found) == 1

        self.until(alone, f"there is one pod of {component}")
        return found[0]

    def kill(self, *pods: str) -> None:
        """End pods as a lost node would: nothing in them hears of that."""
        self.cluster("delete", "pod", *pods, "--grace-period=0", "--force")

    def start_gateway(self) -> None:
        """Have the pod that commands run in."""
        self.cluster("apply", "-f", str(GATEWAY))
        self.cluster("wait", "pod/gateway", "--for=condition=Ready", "--timeout=120s", deadline_s=130)

    def rapt(self, *arguments: str) -> str:
        """Run `rapt` in the gateway pod."""
        return self.cluster("exec", "gateway", "--", "python", "-m", "rapt", *arguments)

    def predict(self, user_id: str, *video_ids: str, now_ms: int) -> dict[str, float]:
        """Probabilities by video from the cluster's endpoint, at a moment: they change with time."""
        context = {"now_ms": now_ms}
        answer = self.ask({"instances": [{"user_id": user_id, "video_ids": list(video_ids), "context": context}]})
        (made,) = answer["predictions"]
        return {one["video_id"]: one["probability"] for one in made["videos"]}

    def events_of(self, *user_ids: str) -> list[int]:
        """How many events the endpoint knows of each viewer."""
        asked = [{"user_id": user_id, "video_ids": ["sim-00001"]} for user_id in user_ids]
        return [one["events"] for one in self.ask({"instances": asked})["predictions"]]

    @contextmanager
    def beside(self, program: str, *arguments: str) -> Iterator[Beside]:
        """A program of this folder that runs in the gateway meanwhile; it is waited for."""
        source = (GATEWAY.parent / program).read_text(encoding="utf-8")
        command = [*self.cluster.command, "exec", "gateway", "--", "python", "-c", source, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running = Beside(process)
        try:
            yield running
            running.wait()
        finally:
            process.kill()
            process.communicate()

    def ask(self, body: dict[str, Any], verb: str = "predict") -> dict[str, Any]:
        """POST to the endpoint from the gateway."""
        url = f"{ENDPOINT}/v1/models/interest:{verb}"
        program = (
            "import httpx, sys; a = httpx.post(sys.argv[1], content=sys.argv[2], timeout=30); "
            "print(a.text) if a.status_code == 200 else sys.exit(f'{a.status_code} {a.text}')"
        )
        text = self.cluster("exec", "gateway", "--", "python", "-c", program, url, json.dumps(body))
        found: dict[str, Any] = json.loads(text)
        return found

    def until(
        self, condition: Callable[[], bool], what: str | Callable[[], str], deadline_s: float = DEADLINE_S
    ) -> None:
        """Wait until it holds; a failure of a command is not yet one."""
        give_up_at = time.monotonic() + deadline_s
        last = ""
        while time.monotonic() < give_up_at:
            try:
                if condition():
                    return
            except ClusterFailed as error:
                last = str(error)
            time.sleep(0.5)
        what = what if isinstance(what, str) else what()
        raise AssertionError(f"{what} did not come true within {deadline_s:g} s: {last}; {reasons(self.cluster)}")
