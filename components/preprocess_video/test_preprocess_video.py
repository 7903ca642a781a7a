"""A shard has a row for each video, of zeros where there are no pictures."""

import numpy as np

from components.preprocess_video.step import pack
from interest.features.frames import FrameSettings


def test_videos_without_pictures_have_zeros() -> None:
    settings = FrameSettings(windows=1, frames=2, size=4)
    tensors = pack([None, np.full((1, 2, 4, 4, 3), 7, np.uint8)], settings)
    assert tensors["frames"].shape == (2, 1, 2, 4, 4, 3) and tensors["frames"].dtype == np.uint8
    assert tensors["frames"].mean(axis=(1, 2, 3, 4, 5)).tolist() == [0, 7]
    assert tensors["has_video"].tolist() == [0, 1]
