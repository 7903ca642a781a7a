"""Models into the cluster's object store."""

from __future__ import annotations

import base64
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rapt.cluster.create import forwarded
from rapt.cluster.programs import Kubectl
from rapt.cluster.secrets import STORE
from rapt.errors import ClusterFailed
from wire import models
from wire.objects import ObjectStore

S3_PORT = 8333


@contextmanager
def object_store(cluster: Kubectl) -> Iterator[ObjectStore]:
    """The cluster's object store through a forwarded port, with the keys of its Secret."""
    found = cluster.get("secret", STORE)
    if not found:
        raise ClusterFailed(f"no Secret {STORE} in namespace {cluster.namespace}: run `rapt cluster create` first")
    keys = {name: base64.b64decode(value).decode() for name, value in found["data"].items()}
    with forwarded(cluster, "service/object-store", S3_PORT) as port:
        yield ObjectStore.from_env({**keys, "RAPT_S3_ENDPOINT": f"http://127.0.0.1:{port}"})


def publish(cluster: Kubectl, source: ObjectStore, digest: str = "") -> str:
    """Copy a model of `source` (empty: the newest) and what it learned from into the cluster; its digest.

    It is the one that is served then.
    """
    chosen = digest or models.latest(source)
    with tempfile.TemporaryDirectory(prefix="rapt-publish-") as name, object_store(cluster) as target:
        bundle = models.fetch_bundle(source, chosen, Path(name))
        dataset = models.fetch_dataset(source, bundle.manifest["data"]["dataset"], Path(name))
        now_ms = time.time_ns() // 1_000_000
        models.publish_bundle(target, bundle.folder, bundle.digest, dataset, published_at_ms=now_ms)
    return bundle.digest
