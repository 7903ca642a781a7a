"""The modalities, the logit's terms and the backbones by name; here so that they are known without torch."""

from enum import StrEnum

MODALITIES = ("video", "audio", "text")
TERMS = ("viewer", "length", *MODALITIES)
"""The additive terms of the logit, in the order of `Scores.contributions`."""


class VideoBackbone(StrEnum):
    """Which network sees the frames."""

    CNN3D = "cnn3d"
    EFFICIENTNET = "efficientnet"
