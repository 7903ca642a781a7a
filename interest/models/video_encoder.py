"""Frames to a vector: a small 3D CNN learned from scratch, or EfficientNet-Lite0 frames pooled over time.

Both end in global average pooling and a linear layer, so class activation maps have a closed form
(Zhou et al. 2016) and need no backward pass when they are served.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interest.models.efficientnet_lite0 import FEATURES, load_efficientnet_lite0
from interest.models.names import VideoBackbone as VideoBackbone


class VideoEncoder(nn.Module):
    """3D CNN: frames uint8 [B, W, T, S, S, 3] to [B, D]; windows are encoded one by one and averaged."""

    def __init__(self, dim: int, channels: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        strides = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))
        widths = (3, *channels)
        self.blocks = nn.Sequential(*(_block(widths[i], widths[i + 1], strides[i]) for i in range(len(channels))))
        self.head = nn.Linear(channels[-1], dim)

    def prepare(self, frames: Tensor) -> Tensor:
        """What training may compute once a video: nothing here, all layers learn."""
        return frames

    def maps(self, frames: Tensor) -> Tensor:
        """Feature maps before pooling, [B, W, C, t, h, w]."""
        b, w = frames.shape[:2]
        x = frames.flatten(0, 1).permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
        maps: Tensor = self.blocks(x)
        return maps.view(b, w, *maps.shape[1:])

    def forward(self, frames: Tensor) -> Tensor:
        pooled: Tensor = self.head(self.maps(frames).mean(dim=(1, 3, 4, 5)))
        return pooled


class PretrainedVideoEncoder(nn.Module):
    """EfficientNet-Lite0 (ImageNet) on every frame, frozen; what moves between frames joins as a difference."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.backbone = load_efficientnet_lite0()
        self.head = nn.Linear(2 * FEATURES, dim)

    def prepare(self, frames: Tensor) -> Tensor:
        """The frozen part, once a video: frames uint8 [B, W, T, S, S, 3] to maps [B, W, 2F, 1, h, w]."""
        with torch.no_grad():
            return torch.cat([self.maps(row[None]) for row in frames]) if len(frames) else frames

    def maps(self, frames: Tensor) -> Tensor:
        """Mean over time and mean absolute change between frames, [B, W, 2F, 1, h, w]."""
        b, w, t = frames.shape[:3]
        x = frames.flatten(0, 2).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        maps: Tensor = self.backbone(x)
        maps = maps.view(b * w, t, *maps.shape[1:])
        change = (maps[:, 1:] - maps[:, :-1]).abs().mean(1) if t > 1 else torch.zeros_like(maps[:, 0])
        both = torch.cat([maps.mean(1), change], dim=1)[:, :, None]
        return both.view(b, w, *both.shape[1:])

    def forward(self, frames: Tensor) -> Tensor:
        """From frames (uint8) or from what `prepare` made of them (float)."""
        maps = self.maps(frames) if frames.dtype == torch.uint8 else frames
        pooled: Tensor = self.head(maps.mean(dim=(1, 3, 4, 5)))
        return pooled


def make_video_encoder(backbone: VideoBackbone, dim: int) -> VideoEncoder | PretrainedVideoEncoder:
    """The encoder that the setting names."""
    return VideoEncoder(dim) if backbone is VideoBackbone.CNN3D else PretrainedVideoEncoder(dim)


def _block(inputs: int, outputs: int, stride: tuple[int, int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(8, outputs),
        nn.ReLU(inplace=True),
    )
