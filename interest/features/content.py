"""All features of one video in one go: what the catalogue feed makes of a video that comes after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interest.features.audio import AudioSettings, Sound, mfcc, read_sound
from interest.features.frames import FrameSettings, read_frames
from interest.features.pictures import Pixels
from interest.features.text import TextEncoder, TextSettings
from interest.models.names import MODALITIES


@dataclass(frozen=True)
class FeatureSettings:
    """How each modality's features are made."""

    video: FrameSettings
    audio: AudioSettings
    text: TextSettings

    @staticmethod
    def of(manifest: Mapping[str, Any]) -> FeatureSettings:
        """Those that a bundle's training data were made with."""
        made = manifest["feature_settings"]
        kinds = (FrameSettings, AudioSettings, TextSettings)
        return FeatureSettings(*(kind(**made[name]) for kind, name in zip(kinds, MODALITIES, strict=True)))


@dataclass(frozen=True)
class Features:
    """`video` uint8 [W, T, S, S, 3], `audio` float32 [W, C, F], `text` float32 [384]; None for what is missing."""

    video: Pixels | None
    audio: NDArray[np.float32] | None
    text: NDArray[np.float32] | None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What there is, by modality."""
        return {name: value for name in MODALITIES if (value := getattr(self, name)) is not None}

    @staticmethod
    def of(arrays: Mapping[str, NDArray[Any]]) -> Features:
        """What `arrays` gave."""
        return Features(*(arrays.get(name) for name in MODALITIES))


def read_media(path: Path, settings: FeatureSettings) -> tuple[Pixels | None, Sound | None]:
    """Pictures and sound of a file; to be called in a process of its own, since files may be hostile.

    Raises `InvalidVideo`.
    """
    return read_frames(path, settings.video), read_sound(path, settings.audio)


def features(pixels: Pixels | None, sound: Sound | None, caption: str, settings: FeatureSettings,
             encoder: TextEncoder) -> Features:  # fmt: skip
    """The same numbers as the preprocess steps make of the same video."""
    text = encoder.encode([caption])[0]
    return Features(
        video=pixels,
        audio=None if sound is None else mfcc(sound[None], settings.audio)[0],
        text=text if text.any() else None,
    )
