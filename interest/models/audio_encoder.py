"""Sound to a vector: 1D convolutions over MFCC frames, pooled by mean and spread."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AudioEncoder(nn.Module):
    """MFCC [B, W, C, F] to [B, D]; windows are encoded one by one and averaged."""

    def __init__(self, dim: int, coefficients: int, channels: int = 64) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(coefficients)
        self.convolutions = nn.Sequential(
            nn.Conv1d(coefficients, channels, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(channels, channels, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.GELU(),
        )
        self.head = nn.Linear(2 * (channels + coefficients), dim)

    def forward(self, mfcc: Tensor) -> Tensor:
        b, w = mfcc.shape[:2]
        x = self.norm(mfcc.flatten(0, 1))
        learned = self.convolutions(x)
        pooled = torch.cat([_mean_and_spread(x), _mean_and_spread(learned)], dim=1)
        result: Tensor = self.head(pooled.view(b, w, -1).mean(1))
        return result


def _mean_and_spread(x: Tensor) -> Tensor:
    """[B, C, F] to [B, 2C]."""
    return torch.cat([x.mean(2), (x.var(2, unbiased=False) + 1e-4).sqrt()], dim=1)
