"""What the tests ask of an installed Rapt: through the gateway pod, which is an application's place in the cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapt.cluster.create import Plan
from rapt.cluster.programs import Kubectl
from rapt.cluster.trouble import reasons
from rapt.errors import ClusterFailed

GATEWAY = Path(__file__).parent / "gateway.yaml"
ENDPOINT = "http://interest-transformer"
DEADLINE_S = 180.0


@dataclass(frozen=True)
class Deployed:
    """An installed Rapt."""

    plan: Plan

    @property
    def cluster(self) -> Kubectl:
        return self.plan.cluster

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

    def until(self, condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
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
        raise AssertionError(f"{what} did not come true within {deadline_s:g} s: {last}; {reasons(self.cluster)}")
