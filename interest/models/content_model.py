"""The three content encoders side by side: raw features of a video to one embedding a modality."""

from __future__ import annotations

from torch import nn

from interest.models.audio_encoder import AudioEncoder
from interest.models.text_encoder import TextEncoder
from interest.models.video_encoder import VideoBackbone, make_video_encoder


class ContentEncoders(nn.Module):
    """`video`, `audio` and `text`, each to [B, embedding]."""

    def __init__(self, backbone: VideoBackbone, embedding: int, coefficients: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.video = make_video_encoder(backbone, embedding)
        self.audio = AudioEncoder(embedding, coefficients)
        self.text = TextEncoder(embedding)
