"""What the tests do with a project of compose.yaml: from the host, as a user who has installed Rapt there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.errors import EndpointUnavailable
from interest.bundle import Bundle
from rapt.client import Client
from rapt.cluster.programs import run
from rapt.errors import ClusterFailed
from wire.models import publish_bundle
from wire.objects import ObjectStore

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
UP_S, DEADLINE_S = 900.0, 120.0
KINDS = {"container": ("ps", "--all"), "volume": ("volume", "ls"), "network": ("network", "ls")}


@dataclass(frozen=True)
class Composed:
    """A project, and the first of the four ports that it has on the host."""

    project: str
    first_port: int
    access_key: str
    secret_key: str

    def __call__(self, *arguments: str, deadline_s: float = DEADLINE_S) -> str:
        """Run docker compose on it."""
        ports = {name: str(self.first_port + i) for i, name in enumerate(("HTTP_PORT", "GRPC_PORT", "S3_PORT"))}
        env = {**os.environ, **self._keys, **ports, "KAFKA_PORT": str(self.first_port + 3)}
        command = ["docker", "compose", "--file", str(COMPOSE), "--project-name", self.project, *arguments]
        return run(command, deadline_s=deadline_s, env=env)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.first_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads Rapt on the host to it."""
        return {
            **self._keys,
            "RAPT_S3_ENDPOINT": f"http://127.0.0.1:{self.first_port + 2}",
            "RAPT_KAFKA_BOOTSTRAP": f"127.0.0.1:{self.first_port + 3}",
            "RAPT_SERVING_ENDPOINT": self.endpoint,
        }

    @property
    def _keys(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def up(self, *services: str) -> None:
        """As the user does."""
        self("up", "--detach", "--wait", *services, deadline_s=UP_S)

    def containers(self) -> dict[str, dict[str, Any]]:
        """What Docker knows of each, by service."""
        names = self("ps", "--all", "--quiet").split()
        found = json.loads(run(["docker", "inspect", *names], deadline_s=30))
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def left(self) -> dict[str, list[str]]:
        """The names of what Docker has of the project, by kind."""
        mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
        return {kind: run(["docker", *command, *mine], deadline_s=30).split() for kind, command in KINDS.items()}

    def publish(self, bundle: Bundle) -> None:
        """Put the model into the store from the host."""
        store, now_ms = ObjectStore.from_env(self.environment), time.time_ns() // 1_000_000
        publish_bundle(store, bundle.folder, bundle.digest, Path("/nonexistent"), published_at_ms=now_ms)

    def ready(self) -> bool:
        with Client(self.endpoint) as client:
            return client.ready()

    def predict(self, user_id: str, *video_ids: str, now_ms: int) -> dict[str, float]:
        """Probabilities by video at a moment: they change with time."""
        with Client(self.endpoint) as client:
            made = client.predict(user_id, video_ids, now_ms=now_ms)
        return {one.video_id: one.probability for one in made.videos}

    def events_of(self, user_id: str) -> int:
        """How many events the endpoint knows of the viewer."""
        with Client(self.endpoint) as client:
            return client.predict(user_id, ["sim-00001"]).events

    def rapt(self, home: Path, *arguments: str) -> Any:
        """What `rapt` on the host answers, as JSON."""
        env = {**os.environ, **self.environment, "RAPT_HOME": str(home)}
        done = subprocess.run(
            [sys.executable, "-m", "rapt", *arguments, "--json"],
            cwd=home, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rapt_inside(self, *arguments: str) -> str:
        """What `rapt` in a container answers."""
        return self("run", "--rm", "--no-TTY", "rapt", *arguments, "--json")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until it holds; an endpoint that is away is not yet a failure."""
        give_up_at = time.monotonic() + DEADLINE_S
        last = ""
        while time.monotonic() < give_up_at:
            try:
                if condition():
                    return
            except (EndpointUnavailable, ClusterFailed) as error:
                last = str(error)
            time.sleep(0.1)
        raise AssertionError(f"{what} did not come true within {DEADLINE_S:g} s: {last}; {self('ps', '--all')}")
