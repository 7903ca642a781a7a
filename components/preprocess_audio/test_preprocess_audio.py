"""A shard has a row for each video, of zeros where there is no sound."""

import numpy as np

from components.preprocess_audio.step import pack
from interest.features.audio import AudioSettings, mfcc


def test_videos_without_sound_have_zeros_and_the_others_their_coefficients() -> None:
    settings = AudioSettings()
    sounds = np.random.default_rng(0).normal(0, 0.1, (2, 3, 16_000)).astype(np.float32)
    tensors = pack([sounds[0], None, sounds[1]], settings)
    assert tensors["mfcc"].shape == (3, 3, 20, 98) and tensors["mfcc"].dtype == np.float32
    assert tensors["has_audio"].tolist() == [1, 0, 1]
    assert not tensors["mfcc"][1].any()
    np.testing.assert_allclose(tensors["mfcc"][2], mfcc(sounds[1], settings), atol=1e-4)


def test_a_shard_without_any_sound() -> None:
    assert not pack([None, None], AudioSettings())["mfcc"].any()
