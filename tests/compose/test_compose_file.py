"""compose.yaml as it is written: restricted, on loopback, without a password, and the same parts as on a cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ROOT / "manifests" / "parts"
LISTENERS = re.compile(r"listener|ssl|sasl|super\.users|authorizer|log\.dirs")
ONCE = {"kafka-format", "ground", "rapt"}
OURS = {"serving", "explainer", "training"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def pod(part: str) -> dict[str, Any]:
    return read(PARTS / part / "statefulset.yaml")["spec"]["template"]["spec"]


def properties(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read(ROOT / "compose.yaml")


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return read(ROOT / "charts" / "rapt" / "values.yaml")


def test_every_service_is_restricted_and_bounded(services: dict[str, Any]) -> None:
    for name, one in services.items():
        assert one["user"] == "10001:10001", name
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert all("size=" in each or each != "/tmp" for each in one["tmpfs"]), name  # noqa: S108
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & one.keys(), name
        assert one["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        assert ("healthcheck" in one) == (name not in ONCE), name


def test_ports_are_on_loopback_and_may_be_chosen(services: dict[str, Any]) -> None:
    for name, one in services.items():
        for port in one.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z0-9]+_PORT:-\d+\}:\d+", port), f"{name}: {port}"
    assert {name for name, one in services.items() if "ports" in one} == {"transformer", "kafka", "object-store"}


def test_only_what_is_published_or_downloads_is_on_more_than_the_inner_network(
    compose: dict[str, Any], services: dict[str, Any]
) -> None:
    assert compose["networks"]["inside"] == {"internal": True}
    host = compose["networks"]["host"]["driver_opts"]
    assert host["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    for name, one in services.items():
        more = ["host"] if "ports" in one else ["outside"] if name == "catalogue-feed" else []
        assert one["networks"] == ["inside", *more], name


def test_keys_have_to_be_given(services: dict[str, Any]) -> None:
    secret = {
        (name, text)
        for one in services.values()
        for name, text in one.get("environment", {}).items()
        if re.search("KEY|SECRET|PASSWORD|TOKEN", name)
    }
    assert {name for name, _ in secret} == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    for name, text in secret:
        assert re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", text), f"{name} has a default: {text}"


def test_images_are_those_of_the_chart_and_the_manifests(services: dict[str, Any], values: dict[str, Any]) -> None:
    ours = {name: values["images"][name] for name in OURS}
    theirs = {pod(part)["containers"][0]["image"] for part in ("kafka-plain", "object-store")}
    assert {one["image"] for one in services.values()} == {*ours.values(), *theirs}
    for name, one in services.items():
        if one["image"] in theirs:
            assert "build" not in one, name
            continue
        # Never pulled: in a registry the name is somebody else's.
        assert one["pull_policy"] == "never", name
        assert one["image"] == ours[one["build"]["target"]], name
        assert (ROOT / one["build"]["dockerfile"]).is_file(), name
        assert f" AS {one['build']['target']}\n" in (ROOT / one["build"]["dockerfile"]).read_text(), name


def test_limits_of_memory_are_those_of_the_cluster(services: dict[str, Any], values: dict[str, Any]) -> None:
    limits = {name: values[name]["resources"]["limits"]["memory"] for name in ("transformer", "predictor", "explainer")}
    limits["catalogue-feed"] = values["catalogueFeed"]["resources"]["limits"]["memory"]
    own, slab = values["feeder"]["resources"]["limits"]["memory"], values["feeder"]["stateMemoryMiB"]
    limits["feeder"] = f"{int(own.removesuffix('Mi')) + 2 * slab}Mi"
    limits["kafka"] = pod("kafka-plain")["containers"][0]["resources"]["limits"]["memory"]
    limits["object-store"] = pod("object-store")["containers"][0]["resources"]["limits"]["memory"]
    assert {name: services[name]["mem_limit"] for name in limits} == {
        name: limit.removesuffix("i").lower() for name, limit in limits.items()
    }
    assert services["feeder"]["environment"]["RAPT_STATE_MEMORY_MIB"] == slab


def test_kafka_and_store_are_set_as_on_a_cluster(services: dict[str, Any]) -> None:
    here, there = properties(ROOT / "compose" / "kafka.properties"), properties(PARTS / "kafka-plain/server.properties")
    assert {name: text for name, text in here.items() if not LISTENERS.search(name)} == {
        name: text for name, text in there.items() if not LISTENERS.search(name)
    }
    container = pod("object-store")["containers"][0]
    assert services["object-store"]["command"] == [
        "-dir=/var/tmp" if word == "-dir=/data" else word for word in container["args"]
    ]
    given = {one["name"]: one["value"] for one in container["env"]}
    assert given.items() <= services["object-store"]["environment"].items()
