"""What a training run may vary."""

from __future__ import annotations

from dataclasses import dataclass, field

from interest.errors import InvalidSetting
from interest.models.fusion_predictor import FusionConfig
from interest.models.video_encoder import VideoBackbone


@dataclass(frozen=True)
class TrainSettings:
    """Same settings, data and thread count give the same weights, bit for bit.

    `content_epochs` pass over the videos, `epochs` over the viewers; both stop early after `patience`
    epochs without a better validation loss. `threads` is the number of CPU threads torch may use.
    """

    seed: int = 0
    threads: int = 2
    backbone: VideoBackbone = VideoBackbone.CNN3D
    content_epochs: int = 30
    content_batch: int = 32
    content_rate: float = 3e-3
    content_decay: float = 2.0
    epochs: int = 12
    batch: int = 32
    rate: float = 4e-3
    weight_decay: float = 0.05
    patience: int = 8
    fusion: FusionConfig = field(default_factory=FusionConfig)

    def __post_init__(self) -> None:
        for name in ("threads", "content_epochs", "content_batch", "epochs", "batch", "patience"):
            if getattr(self, name) < 1:
                raise InvalidSetting(f"{name} is {getattr(self, name)}; it must be at least 1")
