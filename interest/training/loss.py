"""The one loss of outcomes."""

from __future__ import annotations

import torch
from torch import Tensor


def binary_loss(log_chance: Tensor, engaged: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of outcomes under log probabilities, each counted by its `weight`."""
    log_chance = log_chance.clamp(max=-1e-6)
    loss = -(engaged * log_chance + (1.0 - engaged) * torch.log1p(-log_chance.exp()))
    return loss.mean() if weight is None else (loss * weight).sum() / weight.sum().clamp(min=1e-6)
