"""Viewers and videos as vectors from a whole log: logistic matrix factorisation (Johnson 2014), position-aware.

The viewers' vectors are what is looked at (projection, dashboards); the videos' are what the content
encoders learn to predict. Serving needs neither.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interest.models.fusion_predictor import examination


class UserEmbedding(nn.Module):
    """logit = <viewer's taste, video's traits> + both biases; Gaussian priors keep the little-known near zero."""

    def __init__(self, viewers: int, videos: int, dim: int) -> None:
        super().__init__()
        self.taste = nn.Parameter(0.3 * torch.randn(viewers, dim))
        self.bias = nn.Parameter(torch.zeros(viewers))
        self.traits = nn.Parameter(0.3 * torch.randn(videos, dim))
        self.appeal = nn.Parameter(torch.zeros(videos))
        self.offset = nn.Parameter(torch.zeros(1))
        self.look = nn.Parameter(torch.tensor([-1.0, -1.0]))

    def forward(self, viewer: Tensor, video: Tensor, position: Tensor) -> Tensor:
        """Log chance of engaging of events [N], by viewer and video rows and position."""
        fit = (self.taste[viewer] * self.traits[video]).sum(-1)
        return examination(position, self.look) + F.logsigmoid(
            fit + self.bias[viewer] + self.appeal[video] + self.offset
        )

    def penalty(self, strength: float) -> Tensor:
        """Negative log prior; `strength` is the precision of the vectors' entries."""
        vectors = self.taste.square().sum() + self.traits.square().sum()
        biases = self.bias.square().sum() + self.appeal.square().sum()
        return 0.5 * strength * (vectors + biases)
