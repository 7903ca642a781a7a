"""Pipelines in the training image, a container a step, by kfp's own runner on the real daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp.dsl.base_component import BaseComponent

from components.journal import RUN_DIR, read_lines
from pipelines.compile import checked, compiled
from pipelines.local import without_retries
from pipelines.sources import with_digests
from rapt.cluster.create import IMAGES

LABEL = "rapt.tests"
DEADLINE_S = 240.0


@dataclass(frozen=True)
class Ended:
    """What a step told in the end."""

    cached: bool
    seconds: float
    result: dict[str, Any]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Run:
    """All that a run printed, the steps that ended well, and why others did not.

    kfp's runner has the daemon remove a container that ends, asks afterwards how it ended, and takes "there is none"
    for success; so what counts is what the steps tell.
    """

    log: str
    steps: dict[str, Ended]
    failures: dict[str, str]


class Containers:
    """A pipeline in containers; it writes into `folder`, the steps' own store is that of `environment`."""

    def __init__(
        self, pipeline: BaseComponent, arguments: Mapping[str, Any], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.folder, self.label = folder, f"{LABEL}={folder.name}-{os.getpid()}"
        self._journals = folder / "artifacts" / "journals"
        self._journals.mkdir(parents=True, exist_ok=True)
        for journal in self._journals.glob("*.jsonl"):
            journal.unlink()
        (folder / "pipeline.yaml").write_text(without_retries(compiled(pipeline, IMAGES["training"])))
        (folder / "arguments.json").write_text(json.dumps(with_digests(checked(pipeline, arguments))))
        (folder / "container.json").write_text(json.dumps(self._container(environment)))
        self._log = (folder / "log.txt").open("wb+")
        command = [sys.executable, "-m", "tests.containers.child", str(folder)]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def _container(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """As closed as a pod is: no root, nothing to write but /tmp and the artifacts, no capabilities."""
        name, value = self.label.split("=")
        return {
            "user": f"{os.getuid() or 10001}:{os.getgid() or 10001}",
            "environment": {**environment, RUN_DIR: str(self._journals), "RAPT_CACHE": "/tmp/cache"},  # noqa: S108
            "network_mode": "host",
            "read_only": True,
            "tmpfs": {"/tmp": "size=2g,mode=1777"},  # noqa: S108 - the container's own
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "labels": {name: value},
        }

    def running(self, *more: str) -> list[str]:
        """Ids of its containers."""
        command = ["docker", "ps", "--quiet", "--filter", f"label={self.label}", *more]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    def began(self, step: str) -> bool:
        """Whether a step has begun."""
        return (self._journals / f"{step}.jsonl").exists()

    def wait(self) -> Run:
        """Its end."""
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.close()
        told = {path.stem: read_lines(path.read_bytes())[-1] for path in self._journals.glob("*.jsonl")}
        ended = {
            name: Ended(last["cached"], last["seconds"], last["result"], last["outputs"])
            for name, last in told.items()
            if last["event"] == "ended"
        }
        failures = {name: str(last.get("reason", "died")) for name, last in told.items() if name not in ended}
        return Run((self.folder / "log.txt").read_text(errors="replace"), ended, failures)

    def close(self) -> None:
        """Leave nothing that runs."""
        self.process.kill()
        self.process.wait()
        self._log.close()
        if ids := self.running("--all"):
            subprocess.run(["docker", "rm", "--force", *ids], capture_output=True, check=False)


def shared(folder: Path) -> Path:
    """A folder of a run, made so that the containers' user may write where it has to."""
    folder.mkdir(exist_ok=True)
    for part in (folder / "artifacts", folder / "artifacts" / "journals"):
        part.mkdir()
        part.chmod(0o777)
    for above in (folder, *folder.parents[:3]):
        if above.owner() == folder.owner() and above.name.startswith(("pytest", folder.name)):
            above.chmod(above.stat().st_mode | 0o011)
    return folder
