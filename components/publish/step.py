"""Put a model that passed the gate where serving finds it: `models/<digest>/`, with its figures in the bundle."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from interest.bundle import MANIFEST, open_bundle, read_manifest, seal
from wire.models import publish_bundle
from wire.objects import ObjectStore


def run(model: Path, report: Path, dataset: Path, bundle: Path) -> dict[str, str]:
    """Write the final bundle into the folder `bundle`, upload it with what it learned from; returns its digest."""
    digest = final(model, report, bundle)
    store = ObjectStore.from_env()
    publish_bundle(store, bundle, digest, dataset, published_at_ms=int(time.time() * 1000))
    return {"digest": digest, "uri": store.uri(f"models/{digest}/")}


def final(model: Path, report: Path, bundle: Path) -> str:
    """Write the bundle that is to be published, the model with its figures in it, and seal it; returns its digest."""
    open_bundle(model)
    manifest, _ = read_manifest(model)
    shutil.copytree(model, bundle)
    (bundle / MANIFEST).unlink()
    shutil.copy(report / "report.json", bundle / "metrics.json")
    figures = json.loads((report / "report.json").read_text())
    return seal(bundle, {**manifest, "metrics": figures["slices"]["all"]})
