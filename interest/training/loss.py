"""The one loss of outcomes."""

from __future__ import annotations

import torch
from torch import Tensor


def binary_loss(log_chance: Tensor, engaged: Tensor) -> Tensor:
    """Mean negative log-likelihood of outcomes under log probabilities."""
    log_chance = log_chance.clamp(max=-1e-6)
    return -(engaged * log_chance + (1.0 - engaged) * torch.log1p(-log_chance.exp())).mean()
