"""The viewer's past as vectors: a causal Transformer over the last events (SASRec-like, Kang & McAuley 2018).

Each event is its video's content, gated by what the viewer did with it, so that "watched to the end"
and "skipped at once" push the state in opposite directions before any attention layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interest.history import HISTORY

KINDS = 4
"""Feedback kinds, in the order of `records.FEEDBACK`."""
OUTCOMES = 4
"""Numbers that describe an event besides its kind: watch ratio, log seconds watched, log gap, log position."""


class UserSequenceEncoder(nn.Module):
    """Events [B, L] to states [B, L + 1, D]; state n has seen the first n events and no other. L <= HISTORY."""

    distance: Tensor

    def __init__(self, dim: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.kind = nn.Embedding(KINDS, dim)
        self.outcome = nn.Sequential(nn.Linear(OUTCOMES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.gate = nn.Linear(dim, dim)
        self.shift = nn.Linear(dim, dim)
        self.start = nn.Parameter(0.02 * torch.randn(dim))
        self.layers = nn.ModuleList(_Layer(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        steps = torch.arange(HISTORY + 1, dtype=torch.float32)
        self.register_buffer("distance", steps[:, None] - steps[None, :], persistent=False)

    def forward(self, content: Tensor, kind: Tensor, outcome: Tensor) -> Tensor:
        """`content` [B, L, D], `kind` int64 [B, L], `outcome` [B, L, 4] → states [B, L + 1, D]."""
        b, events, d = content.shape
        # Rows of a matrix up to the attention: exported, a linear layer is then one node and not two.
        did = F.gelu(self.kind(kind).reshape(-1, d) + self.outcome(outcome.reshape(-1, OUTCOMES)))
        past = content.reshape(-1, d)
        tokens = (past * self.gate(did) + self.shift(did) + past).view(b, events, d)
        x = torch.cat([self.start.expand(b, 1, -1), tokens], dim=1).reshape(-1, d)
        for layer in self.layers:
            x = layer(x, b, self.distance)
        states: Tensor = self.norm(x).view(b, events + 1, d)
        return states


class _Layer(nn.Module):
    """Pre-norm attention and MLP; heads forget at learned rates (ALiBi, Press et al. 2022)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.forget = nn.Parameter(torch.linspace(-6.0, -1.0, heads))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, batch: int, distance: Tensor) -> Tensor:
        """`x` [B * n, D]; `distance` [HISTORY + 1, HISTORY + 1]: steps from each state back to each, negative ahead."""
        x = x + self.drop(self.out(self._attended(self.norm_attention(x), batch, distance)))
        result: Tensor = x + self.drop(self.mlp(self.norm_mlp(x)))
        return result

    def _attended(self, x: Tensor, batch: int, distance: Tensor) -> Tensor:
        d = x.shape[-1]
        n = x.shape[0] // batch
        # Made whole and then cut, so that the graph holds it as a constant.
        bias = (-self.forget.exp()[:, None, None] * distance).masked_fill(distance < 0, float("-inf"))[:, :n, :n]
        if torch.onnx.is_in_onnx_export():
            made: Tensor = torch.onnx.ops.symbolic(
                "com.microsoft::Attention",
                (x.view(batch, n, d), self.qkv.weight.T, self.qkv.bias, None, None, bias[None]),
                {"num_heads": self.heads}, dtype=x.dtype, shape=(batch, n, d), version=1,
            )  # fmt: skip
            return made.reshape(-1, d)
        q, k, v = self.qkv(x).view(batch, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return attended.transpose(1, 2).reshape(-1, d)
