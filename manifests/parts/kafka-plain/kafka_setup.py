"""Gives a Kafka without Strimzi the topics, users and rights of topics.yaml and users.yaml, and follows their changes.

    kafka_setup.py BOOTSTRAP TOPICS-FOLDER PASSWORDS-FOLDER READY-FILE

Rights that are not in the file are taken back; topics and users that are no longer there stay, and so do partitions and
settings of a topic. Needs kafka-python and PyYAML.
"""

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

ITERATIONS = (4096, 4097)
"""In turns, so that what the broker describes tells whether it has taken up the last change."""
PAUSE_S, RETRY_S, SETTLE_S = 30.0, 1.0, 0.1
EVERY_RIGHT = ACLFilter(
    None,
    None,
    ACLOperation.ANY,
    ACLPermissionType.ANY,
    ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)


def main() -> None:
    bootstrap, topics, passwords, ready = sys.argv[1:]
    signal.signal(signal.SIGTERM, stop)
    given: dict[str, tuple[str, int]] = {}
    while True:
        try:
            admin = KafkaAdminClient(bootstrap_servers=bootstrap)
            try:
                users = read(Path(topics) / "users.yaml")
                have_topics(admin, read(Path(topics) / "topics.yaml"))
                # What is acknowledged is not in force yet: that is seen when a look finds nothing left to change.
                while not (have_rights(admin, users) and have_passwords(admin, users, Path(passwords), given)):
                    time.sleep(SETTLE_S)
            finally:
                admin.close()
        except KafkaError as error:
            print(f"will be tried again: {error!r}", flush=True)
            time.sleep(RETRY_S)
        else:
            Path(ready).touch()
            time.sleep(PAUSE_S)


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def have_topics(admin: KafkaAdminClient, topics: list[dict[str, Any]]) -> None:
    """Make the topics that are missing."""
    there = set(admin.list_topics())
    wanted = {
        one["metadata"]["name"]: {"num_partitions": one["spec"]["partitions"], "configs": one["spec"].get("config", {})}
        for one in topics
        if one["metadata"]["name"] not in there
    }
    if not wanted:
        return
    for answer in admin.create_topics(wanted, raise_errors=False)["topics"]:
        if answer["error_code"] and for_code(answer["error_code"]) is not TopicAlreadyExistsError:
            raise for_code(answer["error_code"])(answer["name"])
        print(f"topic {answer['name']}", flush=True)


def have_rights(admin: KafkaAdminClient, users: list[dict[str, Any]]) -> bool:
    """Give the users' rights, and take back all others; whether there was nothing to do."""
    wanted = {
        ACL(
            f"User:{user['metadata']['name']}",
            "*",
            ACLOperation[operation.upper()],
            ACLPermissionType.ALLOW,
            ResourcePattern(ResourceType[rule["resource"]["type"].upper()], rule["resource"]["name"]),
        )
        for user in users
        for rule in user["spec"]["authorization"]["acls"]
        for operation in rule["operations"]
    }
    found, error = admin.describe_acls(EVERY_RIGHT)
    raise_from(error)
    if missing := wanted - set(found):
        for _, error in admin.create_acls(list(missing))["failed"]:
            raise_from(error)
    if surplus := set(found) - wanted:
        for _, _, error in admin.delete_acls(list(surplus)):
            raise_from(error)
    for sign, changed in (("+", missing), ("-", surplus)):
        for line in sorted(f"{a.principal} {a.operation.name} {a.resource_pattern.resource_name}" for a in changed):
            print(f"right {sign} {line}", flush=True)
    return not missing and not surplus


def have_passwords(
    admin: KafkaAdminClient, users: list[dict[str, Any]], passwords: Path, given: dict[str, tuple[str, int]]
) -> bool:
    """Set the passwords unless they are in force, and note them in `given`; whether there was nothing to do."""
    names = [user["metadata"]["name"] for user in users]
    now = {name: (passwords / name).read_text(encoding="utf-8").rstrip("\r\n") for name in names}
    described = {
        name: info["iterations"]
        for name, one in admin.describe_user_scram_credentials().items()
        for info in one["credential_infos"]
        if info["mechanism"] == ScramMechanism.SCRAM_SHA_512
    }
    changed = {
        name: (password, ITERATIONS[described.get(name) == ITERATIONS[0]])
        for name, password in now.items()
        if given.get(name) != (password, described.get(name))
    }
    if not changed:
        return True
    answers = admin.alter_user_scram_credentials(
        [
            UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password, iterations=iterations)
            for name, (password, iterations) in changed.items()
        ]
    )
    for name, failure in answers.items():
        if failure:
            raise KafkaError(f"password of {name}: {failure}")
        given[name] = changed[name]
        print(f"password {name}", flush=True)
    return False


def raise_from(error: Any) -> None:
    """Raise what a call gave back as an error, class or object, unless it stands for success."""
    kind = error if isinstance(error, type) else type(error)
    if kind.errno:
        raise error


def stop(_signal: int, _frame: FrameType | None) -> None:
    """End at once: process 1 has no other answer to SIGTERM than its own."""
    sys.exit(0)


if __name__ == "__main__":
    main()
