"""Caption to a vector: an MLP on the frozen MiniLM sentence embedding (interest.features.text)."""

from __future__ import annotations

from torch import Tensor, nn


class TextEncoder(nn.Module):
    """Sentence embedding [B, 384] to [B, D]."""

    def __init__(self, dim: int, embedding: int = 384, hidden: int = 128, dropout: float = 0.2) -> None:
        super().__init__()
        self.scale = embedding**0.5
        self.net = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, text: Tensor) -> Tensor:
        result: Tensor = self.net(text * self.scale)
        return result
