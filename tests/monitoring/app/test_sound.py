"""The coefficients that are drawn are those that the model hears."""

import numpy as np
import pytest

from interest.features.audio import AudioSettings, mfcc
from monitoring.app import sound


@pytest.mark.parametrize("settings", [AudioSettings(), AudioSettings(windows=1, coefficients=12, mels=32)])
def test_mfcc_without_torch_are_those_with_it(settings: AudioSettings) -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(settings.samples) / settings.rate_hz
    heard = np.stack([np.sin(2 * np.pi * 440 * (1 + n) * seconds) for n in range(settings.windows)])
    heard = (0.1 * heard + 0.02 * rng.standard_normal(heard.shape)).astype(np.float32)
    ours = sound.mfcc(heard, settings)
    assert ours.shape == (settings.windows, settings.coefficients, settings.spectra)
    np.testing.assert_allclose(ours, mfcc(heard, settings), atol=5e-3)


def test_a_tone_is_where_it_should_be_in_the_spectrogram() -> None:
    settings = AudioSettings(windows=1)
    tone = np.sin(2 * np.pi * 2000 * np.arange(settings.samples) / settings.rate_hz)[None].astype(np.float32)
    power = sound.spectrogram(tone, settings)[0]
    frequencies = np.linspace(0, settings.rate_hz / 2, len(power))
    assert frequencies[power.mean(axis=1).argmax()] == pytest.approx(2000, abs=40)
