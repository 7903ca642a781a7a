"""A small model trained for real on `small_world`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interest.bundle import Bundle, open_bundle, seal
from interest.training.bundle import train_bundle
from interest.training.settings import TrainSettings
from tests.interest.worlds import signal_features, small_world

SETTINGS = TrainSettings(seed=3, threads=1, content_epochs=2, epochs=2, content_batch=16, batch=16)
FEATURES = {"feature_settings": {"video": {"windows": 2, "frames": 4, "size": 16}, "audio": {}, "text": {}}}
"""What `signal_features` would have been made with."""
DATA = {"data": {"dataset": "5" * 64}}
"""Where its catalogue would lie."""


def train(folder: Path, settings: TrainSettings = SETTINGS, **options: Any) -> Bundle:
    """The model, in a folder that is not there yet; `options` are `train_bundle`'s."""
    latents, _, _, samples = small_world()
    about = train_bundle(samples, signal_features(latents), settings, folder, **options)
    return open_bundle(folder, seal(folder, about | FEATURES | DATA))
