"""The simulated world behind a published model: its videos, and what they truly are."""

from __future__ import annotations

from pathlib import Path

from interest.catalog import VIDEOS, Catalog
from interest.simulator.world import LATENTS, VideoLatents
from rapt.errors import NoWorld
from rapt.predictions import chosen
from wire import models
from wire.objects import ObjectStore


def world_of(store: ObjectStore, cache: Path, model: str = "") -> tuple[Catalog, VideoLatents]:
    """Catalogue and latents, row by row, of the model whose digest begins with `model`, or of the one published last.

    Raises NoWorld for a model that learned from real viewers, NoModel, InvalidBundle.
    """
    digest = chosen(store, model)
    bundle = models.fetch_bundle(store, digest, cache)
    folder = models.fetch_dataset(store, bundle.manifest["data"]["dataset"], cache)
    if not (folder / LATENTS).exists() or not (folder / VIDEOS).exists():
        raise NoWorld(
            f"model {digest[:12]} did not come from a simulated world (its dataset holds no {LATENTS}), so nobody "
            "knows how its viewers would react; make one with: rapt pipeline run training"
        )
    return Catalog.read(folder), VideoLatents.read(folder)
