"""The overlays as kubectl builds them: restricted, bounded, pinned; topics and rights are exactly those in use."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.built import (
    MANIFESTS,
    OVERLAYS,
    STRIMZI,
    StrimziMissing,
    build,
    closed,
    containers,
    named,
    of_kind,
    pods,
    strimzi_schemas,
)
from wire.kafka.topics import ALL

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="the overlays are built by kubectl"),
]

PEERS = {"transformer", "predictor", "explainer", "catalogue-feed", "labels", "experiments", "dashboard", "gateway"}
RIGHTS = {
    "feeder": {("events", "Read"), ("events.dead", "Write")},
    "transformer": {("exposures", "Write"), ("arms", "Read")},
    "predictor": {("content", "Read")},
    "explainer": {("content", "Read")},
    "catalogue-feed": {("videos", "Read"), ("content", "Read"), ("content", "Write"), ("videos.dead", "Write")},
    "labels": {("exposures", "Read"), ("events", "Read"), ("content", "Read")},
    "experiments": {("arms", "Read"), ("arms", "Write")},
    "dashboard": {("events", "Write"), ("content", "Read"), ("arms", "Read")},
    "gateway": {("events", "Write"), ("videos", "Write")},
}
DROP_ALL = {"drop": ["ALL"]}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return build(MANIFESTS / "overlays" / request.param)


@pytest.fixture
def production() -> list[dict[str, Any]]:
    return build(MANIFESTS / "overlays" / "production")


def test_everything_lies_in_a_namespace_that_enforces_restricted(objects: list[dict[str, Any]]) -> None:
    (namespace,) = of_kind(objects, "Namespace").values()
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    assert levels.items() <= namespace["metadata"]["labels"].items()
    assert {one["metadata"].get("namespace") for one in objects if one["kind"] != "Namespace"} == {"rapt"}


def test_pods_keep_the_rules_of_restricted_and_ours(objects: list[dict[str, Any]]) -> None:
    allowed_volumes = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    assert pods(objects)
    for name, template in pods(objects).items():
        pod = template["spec"]
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert {key for one in pod["volumes"] for key in one if key != "name"} <= allowed_volumes, name
        for one in containers(pod):
            own = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": DROP_ALL}
            assert one["securityContext"] == own, f"{name}/{one['name']}"
            assert not any("hostPort" in port for port in one.get("ports", [])), f"{name}/{one['name']}"
            assert "tmp" in {mount["mountPath"].strip("/") for mount in one["volumeMounts"]}, f"{name}/{one['name']}"


def test_strimzis_pods_keep_the_rules_of_restricted(production: list[dict[str, Any]]) -> None:
    spec = of_kind(production, "Kafka")["rapt"]["spec"]
    kafka, operator = spec["kafka"]["template"], spec["entityOperator"]["template"]
    for pod in (kafka["pod"], operator["pod"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (kafka["kafkaContainer"], kafka["initContainer"],
                      operator["topicOperatorContainer"], operator["userOperatorContainer"]):  # fmt: skip
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": DROP_ALL}


def test_everything_has_requests_limits_and_a_pinned_image(objects: list[dict[str, Any]]) -> None:
    bounded = {}
    for name, template in pods(objects).items():
        for one in containers(template["spec"]):
            bounded[f"{name}/{one['name']}"] = one["resources"]
            _, _, tag = one["image"].rpartition("/")[2].partition(":")
            assert tag not in {"", "latest"}, one["image"]
            assert one["imagePullPolicy"] == "IfNotPresent", one["image"]
    bounded |= {name: one["spec"]["resources"] for name, one in of_kind(objects, "KafkaNodePool").items()}
    for one in of_kind(objects, "Kafka").values():
        bounded |= {key: one["spec"]["entityOperator"][key]["resources"] for key in ("topicOperator", "userOperator")}
    for name, resources in bounded.items():
        for part in ("requests", "limits"):
            assert resources[part].keys() == {"cpu", "memory"}, name


def test_no_secret_is_in_the_manifests(objects: list[dict[str, Any]]) -> None:
    assert not of_kind(objects, "Secret")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the README makes keys with openssl")
def test_the_readmes_commands_make_the_secrets_that_pods_ask_for(tmp_path: Path) -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", (MANIFESTS / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    made = tmp_path / "made"
    dry = f'kubectl() {{ command kubectl "$@" --dry-run=client -o yaml >>{made}; echo --- >>{made}; }}\n'
    subprocess.run(["bash", "-c", dry + block], check=True, capture_output=True, timeout=60)
    secrets = {one["metadata"]["name"]: one for one in yaml.safe_load_all(made.read_text()) if one}
    assert {one["metadata"]["namespace"] for one in secrets.values()} == {"rapt"}
    assert {name: set(one["data"]) for name, one in secrets.items()} == {
        "object-store-credentials": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
        "rapt-cluster-ca-cert": {"ca.crt"},
        "rapt-kafka-server": {"broker.pem"},
        **{user: {"password"} for user in RIGHTS},
    }
    kind = build(MANIFESTS / "overlays" / "kind")
    asked = {one.get("secretName", one.get("name")) for one in named(kind, "secret") + named(kind, "secretRef")}
    assert asked | {"rapt-cluster-ca-cert"} == secrets.keys()
    for file, name in (("ca.crt", "rapt-cluster-ca-cert"), ("broker.pem", "rapt-kafka-server")):
        (tmp_path / file).write_bytes(base64.b64decode(secrets[name]["data"][file]))
    assert (tmp_path / "broker.pem").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    for host in ("rapt-kafka-bootstrap", "rapt-kafka-bootstrap.rapt.svc", "rapt-kafka-0.rapt-kafka-brokers.rapt.svc"):
        command = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.crt", "-verify_hostname", host, "broker.pem"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=10)


def test_pods_find_their_config_maps(objects: list[dict[str, Any]]) -> None:
    named = {
        volume["configMap"]["name"]
        for template in pods(objects).values()
        for volume in template["spec"]["volumes"]
        if "configMap" in volume
    }
    assert named == of_kind(objects, "ConfigMap").keys()


def test_both_directions_are_denied_but_for_what_is_named(objects: list[dict[str, Any]]) -> None:
    policies = {name: one["spec"] for name, one in of_kind(objects, "NetworkPolicy").items()}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (names,) = policies["dns"]["egress"]
    assert {(port["protocol"], port["port"]) for port in names["ports"]} == {("UDP", 53), ("TCP", 53)}
    (store,) = policies["object-store"]["ingress"]
    assert store["ports"] == [{"protocol": "TCP", "port": 8333}]
    assert store["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "rapt"}}}]


def test_kafka_is_open_to_its_clients_alone(objects: list[dict[str, Any]]) -> None:
    if kafka := of_kind(objects, "Kafka"):
        (listener,) = kafka["rapt"]["spec"]["kafka"]["listeners"]
        assert (listener["port"], listener["tls"], listener["authentication"]) == (
            9093,
            True,
            {"type": "scram-sha-512"},
        )
        (peer,) = listener["networkPolicyPeers"]
    else:
        (rule,) = of_kind(objects, "NetworkPolicy")["kafka"]["spec"]["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": 9093}]
        (peer,) = rule["from"]
    (expression,) = peer["podSelector"]["matchExpressions"]
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/part-of": "rapt"}
    assert (expression["key"], set(expression["values"])) == ("app.kubernetes.io/component", PEERS)


def test_the_object_store_is_reached_by_one_name_and_one_secret(objects: list[dict[str, Any]]) -> None:
    service = of_kind(objects, "Service")["object-store"]["spec"]
    template = pods(objects)["object-store"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert (service["ports"][0]["port"], port["containerPort"]) == (8333, 8333)
    assert {"object-store-credentials"} == {
        name for one in named(container, "secretRef") + named(container, "secretKeyRef") for name in [one["name"]]
    }


def test_minio_takes_seaweeds_place() -> None:
    images = {
        overlay: {
            one["image"].partition(":")[0]
            for one in containers(pods(build(MANIFESTS / "overlays" / overlay))["object-store"]["spec"])
        }
        for overlay in OVERLAYS
    }
    seaweed = {"chrislusf/seaweedfs"}
    assert images == {"kind": seaweed, "minikube": seaweed, "minio": {"minio/minio"}, "production": seaweed}


def test_production_survives_the_loss_of_a_node(production: list[dict[str, Any]]) -> None:
    kafka = of_kind(production, "Kafka")["rapt"]["spec"]["kafka"]
    assert of_kind(production, "KafkaNodePool")["kafka"]["spec"]["replicas"] == 3
    assert kafka["rack"] == {"type": "topology-label", "topologyKey": "topology.kubernetes.io/zone"}
    assert (kafka["config"]["default.replication.factor"], kafka["config"]["min.insync.replicas"]) == (3, 2)
    assert kafka["template"]["podDisruptionBudget"] == {"maxUnavailable": 1}
    assert all("replicas" not in one["spec"] for one in of_kind(production, "KafkaTopic").values())


def test_topics_are_those_of_the_code(production: list[dict[str, Any]]) -> None:
    made = {
        name: (one["spec"]["partitions"], one["spec"].get("config", {}))
        for name, one in of_kind(production, "KafkaTopic").items()
    }
    assert made == {topic.name: (topic.partitions, dict(topic.config)) for topic in ALL}
    assert_of_cluster(production, "KafkaTopic")


def test_users_have_the_rights_they_use_and_no_others(production: list[dict[str, Any]]) -> None:
    assert of_kind(production, "KafkaUser").keys() == RIGHTS.keys()
    for name, one in of_kind(production, "KafkaUser").items():
        assert one["spec"]["authentication"] == {"type": "scram-sha-512"}
        rules = one["spec"]["authorization"]["acls"]
        assert {(rule["resource"]["type"], rule["resource"]["patternType"]) for rule in rules} == {("topic", "literal")}
        assert not any(rule.keys() - {"resource", "operations"} for rule in rules), "a host, or a rule that denies"
        given = [(rule["resource"]["name"], operation) for rule in rules for operation in rule["operations"]]
        described = {(topic, "Describe") for topic, _ in RIGHTS[name]}
        assert sorted(given) == sorted(RIGHTS[name] | described), name
    assert_of_cluster(production, "KafkaUser")


def assert_of_cluster(objects: list[dict[str, Any]], kind: str) -> None:
    """Strimzi's operators look for this label."""
    assert {one["metadata"]["labels"]["strimzi.io/cluster"] for one in of_kind(objects, kind).values()} == {"rapt"}


def test_kafka_without_strimzi_is_given_the_same_topics_and_users(production: list[dict[str, Any]]) -> None:
    kind = build(MANIFESTS / "overlays" / "kind")
    data = of_kind(kind, "ConfigMap")["kafka-topics"]["data"]
    for file, which in (("topics.yaml", "KafkaTopic"), ("users.yaml", "KafkaUser")):
        given = {one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all(data[file])}
        assert given == {name: one["spec"] for name, one in of_kind(production, which).items()}
    (passwords,) = (
        one["projected"]["sources"] for one in pods(kind)["rapt-kafka"]["spec"]["volumes"] if one["name"] == "passwords"
    )
    assert [one["secret"]["name"] for one in passwords] == [one["secret"]["items"][0]["path"] for one in passwords]
    assert {one["secret"]["name"] for one in passwords} == RIGHTS.keys()


def test_strimzis_objects_are_as_its_definitions_ask(production: list[dict[str, Any]]) -> None:
    jsonschema = pytest.importorskip("jsonschema_rs", reason="Strimzi's objects are checked by jsonschema-rs")
    try:
        schemas = strimzi_schemas()
    except StrimziMissing as error:
        pytest.skip(str(error))
    checked = set()
    for one in production:
        if one["kind"] in STRIMZI:
            strict = closed(schemas[one["kind"]])
            strict["properties"] |= {key: {} for key in ("apiVersion", "kind", "metadata")}
            jsonschema.validator_for(strict).validate(one)
            checked.add(one["kind"])
    assert checked == STRIMZI.keys()
