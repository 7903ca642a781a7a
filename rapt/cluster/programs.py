"""docker, kind, kubectl and helm: run with a time limit, failures named by what the program said."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from rapt.errors import ClusterFailed, MissingProgram

MENDS = {
    "docker": "https://docs.docker.com/engine/install",
    "kind": "https://kind.sigs.k8s.io",
    "kubectl": "https://kubernetes.io/docs/tasks/tools",
    "helm": "https://helm.sh/docs/intro/install",
    "minikube": "https://minikube.sigs.k8s.io/docs/start",
}
SHOWN = 1500


def need(*names: str) -> None:
    """Raise MissingProgram for those that are not on PATH."""
    if missing := [name for name in names if shutil.which(name) is None]:
        mends = ", ".join(f"{name} ({MENDS[name]})" for name in missing)
        raise MissingProgram(f"not on PATH: {mends}")


def run(command: Sequence[str], *, deadline_s: float, given: str = "", env: Mapping[str, str] | None = None) -> str:
    """The program's output; raises ClusterFailed with its last words, which never hold what was `given`."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=deadline_s, check=False, env=env
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterFailed(f"{_named(command)} did not end within {deadline_s:g} s") from error
    except FileNotFoundError as error:
        raise MissingProgram(f"{command[0]} is not on PATH: {MENDS.get(command[0], 'install it')}") from error
    if done.returncode:
        raise ClusterFailed(f"{_named(command)}: {(done.stderr or done.stdout).strip()[-SHOWN:]}")
    return done.stdout


class Kubectl:
    """kubectl and helm on one context and namespace; with an empty one objects go where they say."""

    def __init__(self, context: str, namespace: str) -> None:
        self.context, self.namespace = context, namespace

    def __call__(self, *arguments: str, deadline_s: float = 60.0, given: str = "") -> str:
        return run([*self.command, *arguments], deadline_s=deadline_s, given=given)

    @property
    def command(self) -> tuple[str, ...]:
        """What its arguments follow."""
        return ("kubectl", "--context", self.context, *self._within)

    @property
    def _within(self) -> tuple[str, ...]:
        return ("--namespace", self.namespace) if self.namespace else ()

    def of(self, namespace: str) -> Kubectl:
        """The same cluster's other namespace."""
        return Kubectl(self.context, namespace)

    def helm(self, *arguments: str, deadline_s: float = 60.0) -> str:
        """Run helm on the same cluster and namespace."""
        return run(["helm", "--kube-context", self.context, *self._within, *arguments], deadline_s=deadline_s)

    def get(self, *arguments: str) -> dict[str, Any]:
        """The JSON of `kubectl get`; empty when there is no such object."""
        text = self("get", *arguments, "-o", "json", "--ignore-not-found")
        found: dict[str, Any] = json.loads(text) if text.strip() else {}
        return found

    def items(self, kind: str) -> list[dict[str, Any]]:
        """All objects of that kind in the namespace."""
        found: list[dict[str, Any]] = self.get(kind).get("items", [])
        return found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Have these objects; their content is in no command line and no message."""
        self("apply", "-f", "-", given="\n---\n".join(json.dumps(one) for one in objects))


def _named(command: Sequence[str]) -> str:
    return " ".join(word for word in command[:8] if not word.startswith("--"))
