"""A model of real size for servers to be measured with; it is barely trained, since scores cost the same.

    python -m benchmarks.model

It knows 2,000 made videos and is kept in the user's cache folder under what it was made of.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.material import SEED, raw_features, videos
from components.runtime import cache_home
from interest.bundle import Bundle, open_bundle, seal
from interest.catalog import Catalog
from interest.datasets.samples import build
from interest.features.audio import AudioSettings
from interest.features.frames import FrameSettings
from interest.features.text import TextSettings
from interest.models.names import MODALITIES
from interest.records import Video
from interest.simulator.log import events_table
from interest.simulator.viewers import simulate
from interest.simulator.world import video_id
from interest.training.bundle import train_bundle
from interest.training.settings import TrainSettings

VIEWERS, STEPS = 100, 40


def cached_bundle() -> Bundle:
    """The model, trained when the cache does not have it (about a minute)."""
    folder = cache_home() / "bench" / f"bundle-{_key()}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _train(partial)
        partial.rename(folder)
    return open_bundle(folder)


def _key() -> str:
    """Of all code that the bundle depends on."""
    here = Path(__file__)
    interest = here.parent.parent / "interest"
    sources = (here, here.with_name("material.py"), interest / "export.py", interest / "bundle.py",
               *sorted(interest.glob("models/*.py")), *sorted(interest.glob("training/*.py")))  # fmt: skip
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:16]


def _train(folder: Path) -> None:
    latents = videos()
    catalog = Catalog(
        tuple(
            Video(video_id=video_id(number), uri="", duration_s=float(length))
            for number, length in enumerate(latents.length_s)
        )
    )
    samples = build(catalog, events_table(simulate(latents, VIEWERS, STEPS, SEED), catalog))
    settings = TrainSettings(seed=SEED, content_epochs=1, epochs=1)
    about = train_bundle(samples, raw_features(latents), settings, folder)
    made = (asdict(FrameSettings()), asdict(AudioSettings()), asdict(TextSettings()))
    seal(folder, about | {"feature_settings": dict(zip(MODALITIES, made, strict=True))})


if __name__ == "__main__":
    begun = time.monotonic()
    print(cached_bundle().folder, f"{time.monotonic() - begun:.1f} s")
