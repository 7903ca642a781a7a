"""The three content encoders side by side, with the factorisation that teaches them from a log."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interest.models.audio_encoder import AudioEncoder
from interest.models.fusion_predictor import examination
from interest.models.names import MODALITIES
from interest.models.text_encoder import TextEncoder
from interest.models.user_embedding import UserEmbedding
from interest.models.video_encoder import VideoBackbone, make_video_encoder


class ContentEncoders(nn.Module):
    """Raw features of a video to one embedding a modality, [B, M, E]."""

    def __init__(self, backbone: VideoBackbone, embedding: int, coefficients: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.video = make_video_encoder(backbone, embedding)
        self.audio = AudioEncoder(embedding, coefficients)
        self.text = TextEncoder(embedding)

    def forward(self, frames: Tensor, mfcc: Tensor, text: Tensor) -> Tensor:
        return torch.stack([self.video(frames), self.audio(mfcc), self.text(text)], dim=1)


class ContentFactorisation(nn.Module):
    """logit = <viewer's taste, P sum of embeddings> + appeal; only the encoders outlive the training.

    Collaborative filtering whose item side is computed from content (as DropoutNet, Volkovs et al. 2017,
    and CB2CF, Barkan et al. 2019), so that a video nobody has seen has a vector too.
    """

    def __init__(self, encoders: ContentEncoders, users: int, embedding: int, taste: int) -> None:
        super().__init__()
        self.encoders = encoders
        self.users = UserEmbedding(users, taste)
        self.missing = nn.Parameter(torch.zeros(len(MODALITIES), embedding))
        self.project = nn.Linear(embedding, taste, bias=False)
        self.appeal = nn.Linear(embedding, 1)
        self.look = nn.Parameter(torch.tensor([-1.0, -1.0]))

    def forward(
        self, embeddings: Tensor, present: Tensor, video: Tensor, viewer: Tensor, position: Tensor
    ) -> Tensor:
        """Log chance of engaging [N] for events on `video` (rows of `embeddings` [B, M, E]) by `viewer`."""
        total = torch.where(present[..., None], embeddings, self.missing).sum(1)
        taste, bias = self.users(viewer)
        logit = (self.project(total)[video] * taste).sum(-1) + self.appeal(total)[video, 0] + bias
        return examination(position, self.look) + F.logsigmoid(logit)
