"""The cluster's data to files and back: Kafka's and the object store's volumes, as they are.

Topics keep their offsets, so that checkpoints of viewers' states fit to them; bundles, datasets and steps' artifacts
lie in the object store. Both are stopped meanwhile, so that the two copies are of one moment. Secrets are not copied:
another cluster has its own.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.runtime import file_digest
from rapt.cluster.create import READY_S, installed, roll_out, told
from rapt.cluster.pods import closed_pod
from rapt.cluster.programs import Kubectl
from rapt.cluster.status import COMPONENT, OURS
from rapt.errors import ClusterFailed

VOLUMES = {"rapt-kafka": "data-rapt-kafka-0", "object-store": "data-object-store-0"}
"""StatefulSets of one pod each, and their claims."""
MANIFEST = "backup.json"
FORMAT = "rapt.backup/1"
COPY_S = 3600.0
NEW = ".restored"
CONTENT = "cd /data && find . -mindepth 1 -maxdepth 1 -not -name lost+found"


def backup(cluster: Kubectl, folder: Path) -> dict[str, Any]:
    """Write the volumes into `folder` as `<name>.tar.gz`, and last what they are; raises ClusterFailed.

    The folder must be new or empty. Kafka and the object store are away meanwhile: answers go on, events wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ClusterFailed(f"{folder} is not empty: name a new folder")
    with _stopped(cluster):
        files = {name: _out(cluster, name, folder / f"{name}.tar.gz") for name in VOLUMES}
    made = {"format": FORMAT, "made_at_ms": time.time_ns() // 1_000_000, "files": files}
    (folder / MANIFEST).write_text(json.dumps(made, indent=1))
    return made


def restore(cluster: Kubectl, folder: Path) -> dict[str, Any]:
    """Put a backup in the place of what is in the volumes; raises ClusterFailed before anything is touched."""
    about = _verified(folder)
    with _stopped(cluster):
        for name in VOLUMES:
            _in(cluster, name, folder / f"{name}.tar.gz")
    # Clients of Kafka take a broker that went back in time for a deposed one, and never hear of it again.
    cluster("delete", "pods", "-l", f"{OURS},{COMPONENT} notin (kafka, object-store)", "--wait=false")
    return about


def _verified(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        if about["format"] != FORMAT:
            raise ClusterFailed(f"{folder} is a backup of the format {about['format']!r}, not {FORMAT!r}")
        found = {name: file_digest(folder / f"{name}.tar.gz") for name in VOLUMES}
    except (OSError, ValueError, KeyError) as error:
        raise ClusterFailed(
            f"{folder} holds no whole backup ({error}); name a folder of `rapt cluster backup`"
        ) from error
    if wrong := [name for name, digest in found.items() if about["files"].get(name) != digest]:
        raise ClusterFailed(f"{folder}: {', '.join(wrong)} changed since the backup was made; take another one")
    return about


@contextmanager
def _stopped(cluster: Kubectl) -> Iterator[None]:
    """Inside, Kafka and the object store do not run; afterwards they are ready again."""
    if missing := [name for name in VOLUMES if not cluster.get("statefulset", name)]:
        raise ClusterFailed(
            f"there is no StatefulSet {', '.join(missing)} here: what keeps those data has to copy them"
        )
    try:
        _scale(cluster, 0)
        for name in VOLUMES:
            cluster("wait", f"pod/{name}-0", "--for=delete", f"--timeout={READY_S:g}s", deadline_s=READY_S + 10)
        yield
    finally:
        _scale(cluster, 1)
        with told(cluster):
            for name in VOLUMES:
                roll_out(cluster, f"statefulset/{name}")


def _scale(cluster: Kubectl, replicas: int) -> None:
    for name in VOLUMES:
        cluster("scale", f"statefulset/{name}", f"--replicas={replicas}")


@contextmanager
def _holder(cluster: Kubectl, name: str) -> Iterator[list[str]]:
    """Inside, a pod that holds the volume at /data; gives the command that runs another in it."""
    pod = f"{name}-volume"
    cluster.apply(_pod(pod, VOLUMES[name], *installed(cluster, "serving")))
    try:
        cluster("wait", f"pod/{pod}", "--for=condition=Ready", "--timeout=120s", deadline_s=130)
        yield [*cluster.command, "exec", "-i", pod, "--"]
    finally:
        cluster("delete", "pod", pod, "--ignore-not-found", "--grace-period=1", deadline_s=120)


def _out(cluster: Kubectl, name: str, file: Path) -> str:
    """The volume's content into a file; the file's digest."""
    with _holder(cluster, name) as inside, file.open("wb") as target:
        _copy([*inside, "sh", "-c", f"{CONTENT} -print0 | tar -czf - --null -T -"], stdout=target)
    return file_digest(file)


def _in(cluster: Kubectl, name: str, file: Path) -> None:
    """A file's content into the volume; what was there goes only when all of it is."""
    with _holder(cluster, name) as inside, file.open("rb") as source:
        _copy([*inside, "sh", "-c", f"cd /data && rm -rf {NEW} && mkdir {NEW} && tar -xzf - -C {NEW}"], stdin=source)
        _copy([*inside, "sh", "-c", f"{CONTENT} -not -name {NEW} -exec rm -rf {{}} +"])
        _copy(
            [*inside, "sh", "-c", f"cd /data && find {NEW} -mindepth 1 -maxdepth 1 -exec mv -t . {{}} + && rmdir {NEW}"]
        )


def _copy(command: list[str], **ends: Any) -> None:
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=COPY_S, check=False, **ends)
    if done.returncode:
        raise ClusterFailed(f"{' '.join(command[-6:])}: {done.stderr.decode(errors='replace').strip()[-500:]}")


def _pod(name: str, claim: str, image: str, pull_secrets: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    container = {
        "name": "volume",
        "image": image,
        "command": ["python", "-c", "import signal; signal.sigwait({signal.SIGTERM})"],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    return closed_pod(name, {"app.kubernetes.io/name": "volume"}, container, [volume], pull_secrets)
