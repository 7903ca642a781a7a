"""Real clips, the features that the preprocess steps make of them, and small models trained on those."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.preprocess_audio import step as audio_step
from components.preprocess_video import step as video_step
from interest.bundle import Bundle, open_bundle, seal
from interest.catalog import Catalog
from interest.datasets.samples import build
from interest.encoding import ContentEncoder
from interest.features.audio import AudioSettings, read_sound
from interest.features.content import Features, FeatureSettings
from interest.features.frames import FrameSettings, read_frames
from interest.features.probe import duration_s
from interest.features.text import TextEncoder, TextSettings
from interest.records import Video
from interest.simulator.log import events_table
from interest.simulator.viewers import simulate
from interest.simulator.world import latents_of, sample_videos
from interest.training.bundle import train_bundle
from interest.training.features import FeatureArrays
from interest.training.settings import TrainSettings
from tests.clips import Clip, make, real_clip, tone

CAPTIONS = {
    "bunny": "A giant rabbit wakes up in a meadow",
    "bikes": "Cyclists ride along a street",
    "carphone": "",
    "red": "A red screen with a deep hum",
    "blue": "A blue screen with a high tone",
    "mute": "A green screen without any sound",
    "hum": "Only a hum, nothing to see",
    "tall": "An upright clip from a phone",
}
CAPTIONS |= {f"plain{number:02d}": f"Colour number {number}" for number in range(16)}
"""Training wants twenty videos."""
SMALL = FeatureSettings(
    FrameSettings(windows=1, frames=4, size=32), AudioSettings(windows=1, coefficients=12), TextSettings()
)
LARGER = FeatureSettings(
    FrameSettings(windows=1, frames=4, size=48), AudioSettings(windows=1, coefficients=12), TextSettings()
)


@dataclass(frozen=True)
class Model:
    """A sealed model and what it learned from; `rows` are the names' rows in `features`."""

    bundle: Bundle
    dataset: Path
    features: FeatureArrays
    rows: dict[str, int]

    def encoded(self, name: str) -> np.ndarray:
        """What the bundle's own ONNX encoders make of the preprocess steps' features, [M, C]."""
        row, table = self.rows[name], self.features
        arrays = {"video": table.frames[row], "audio": table.mfcc[row], "text": table.text[row]}
        there = {key: value for key, value, has in zip(arrays, arrays.values(), table.present[row], strict=True) if has}
        return ContentEncoder(self.bundle).encode(Features.of(there))

    def content(self, name: str) -> np.ndarray:
        """What training made of it with torch, [M, C]."""
        table = self.bundle.catalogue()
        return table.content[table.video_ids.index(name)]


def make_clips(folder: Path) -> dict[str, Path]:
    """A file for each of `CAPTIONS`."""
    folder.mkdir()
    plain = {
        name: make(
            folder / f"{name}.mp4", Clip(colours=((16 * n, 255 - 16 * n, 128),), duration_s=1, sound=tone(100 + 99 * n))
        )
        for n, name in enumerate(name for name in CAPTIONS if name.startswith("plain"))
    }
    return plain | {
        "bunny": real_clip("bigbuckbunny"),
        "bikes": real_clip("bikes"),
        "carphone": real_clip("carphone_pristine"),
        "red": make(folder / "red.mp4", Clip(sound=tone(110))),
        "blue": make(folder / "blue.mp4", Clip(colours=((20, 20, 220),), sound=tone(1760))),
        "mute": make(folder / "mute.mp4", Clip(colours=((20, 200, 20), (10, 80, 10)))),
        "hum": make(folder / "hum.mp4", Clip(video=False, sound=tone(60))),
        "tall": make(folder / "tall.mp4", Clip(colours=((90, 60, 30),), width=64, height=128, sound=tone(440))),
    }


def train(clips: dict[str, Path], folder: Path, settings: FeatureSettings, seed: int) -> Model:
    """A model of those clips' features and of simulated viewers; small, but by the real training."""
    catalog = Catalog(
        tuple(
            Video(video_id=name, uri="", caption=CAPTIONS[name], duration_s=duration_s(path), published_at_ms=1)
            for name, path in clips.items()
        )
    )
    latents = latents_of(catalog, sample_videos(1, 0))
    samples = build(catalog, events_table(simulate(latents, 40, 20, 0), catalog))
    samples.write(folder / "dataset")
    features = features_of(catalog, clips, settings)
    about = train_bundle(
        samples,
        features,
        TrainSettings(seed=seed, threads=1, content_epochs=1, epochs=1, content_batch=4, batch=8),
        folder / "bundle",
    )
    about["feature_settings"] = {
        name: json.loads(json.dumps(dataclasses.asdict(getattr(settings, name)))) for name in ("video", "audio", "text")
    }
    digest = seal(folder / "bundle", about | {"data": {"dataset": f"{seed:064x}"}})
    return Model(open_bundle(folder / "bundle", digest), folder / "dataset", features, catalog.index)


def features_of(catalog: Catalog, clips: dict[str, Path], settings: FeatureSettings) -> FeatureArrays:
    """What the preprocess steps write, by their own functions, all videos in one shard."""
    paths = list(clips.values())
    frames = video_step.pack([read_frames(path, settings.video) for path in paths], settings.video)
    sound = audio_step.pack([read_sound(path, settings.audio) for path in paths], settings.audio)
    text = TextEncoder(settings.text).encode([video.caption for video in catalog])
    present = np.stack([frames["has_video"], sound["has_audio"], text.any(axis=1)], axis=1).astype(bool)
    return FeatureArrays(frames["frames"], sound["mfcc"], text, present)
