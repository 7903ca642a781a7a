"""Rendered files are real, reproducible, and show each coordinate in the attribute that is its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from interest.simulator.captions import SCALES, caption
from interest.simulator.renderer import render
from interest.simulator.scales import squash

LEVELS = (-2.0, 0.0, 2.0)
Floats = NDArray[np.float64]


def at(coordinate: int, level: float) -> Floats:
    signal = np.zeros(6)
    signal[coordinate] = level
    return signal


def frames(path: Path) -> Floats:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(float)


def samples(path: Path) -> Floats:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]).astype(float)


def seen(tmp_path: Path, coordinate: int, level: float, seed: int) -> Floats:
    path = tmp_path / "seen.mp4"
    render(path, picture=at(coordinate, level), sound=np.zeros(6), duration_s=4.0, seed=seed)
    return frames(path)


def heard(tmp_path: Path, coordinate: int, level: float) -> Floats:
    path = tmp_path / "heard.mp4"
    sound = at(coordinate, level)
    if coordinate == 3:  # The band's place is heard over a dull voice and enough noise.
        sound[1], sound[2] = -3.0, 3.0
    render(path, picture=np.zeros(6), sound=sound, duration_s=4.0, seed=3)
    return samples(path)


def background_hue(pictures: Floats) -> float:
    hsv = cv2.cvtColor(pictures[0].astype(np.uint8), cv2.COLOR_RGB2HSV)
    return float(np.median(hsv[..., 0]))


def bright(pictures: Floats) -> NDArray[np.bool_]:
    return pictures[0].max(axis=-1) > 175


def shape_warmth(pictures: Floats) -> float:
    shapes = pictures[0][bright(pictures)].mean(axis=0)
    return float(shapes[0] - shapes[2])


def shape_area(pictures: Floats) -> float:
    return float(bright(pictures).mean())


def texture_detail(pictures: Floats) -> float:
    picture = cv2.GaussianBlur(pictures[0].mean(axis=-1), (5, 5), 0)
    picture[bright(pictures)] = np.nan
    return float(np.nanmedian(np.abs(np.diff(picture, axis=1))))


def motion(pictures: Floats) -> float:
    shapes = pictures - np.median(pictures, axis=(1, 2), keepdims=True)
    return float((np.abs(np.diff(shapes.mean(axis=-1), axis=0)) > 40).mean())


def pulse(pictures: Floats) -> float:
    light = pictures.mean(axis=(1, 2, 3))
    return spectral_peak(light - light.mean(), 12)


def spectral_peak(series: Floats, rate: float) -> float:
    power = np.abs(np.fft.rfft(series * np.hanning(len(series)), 8 * len(series)))
    return float(np.argmax(power) * rate / (8 * len(series)))


@pytest.mark.parametrize(
    ("coordinate", "measure"),
    list(enumerate([background_hue, shape_warmth, shape_area, texture_detail, motion, pulse])),
)
def test_each_picture_coordinate_moves_its_attribute(tmp_path: Path, coordinate: int, measure) -> None:
    low, middle, high = (
        np.mean([measure(seen(tmp_path, coordinate, level, seed)) for seed in (1, 2)]) for level in LEVELS
    )

    assert low < middle < high


@pytest.mark.parametrize("coordinate", [4, 5])
def test_motion_coordinates_leave_the_single_frame_alone(tmp_path: Path, coordinate: int) -> None:
    low, high = (seen(tmp_path, coordinate, level, 5)[0] for level in (-2.0, 2.0))

    assert np.abs(low - high).mean() < 25
    assert abs(low.std() - high.std()) < 8


def power(sound: Floats) -> Floats:
    return np.abs(np.fft.rfft(sound)) ** 2


def band(sound: Floats, low_hz: float, high_hz: float) -> Floats:
    hertz = np.fft.rfftfreq(len(sound), 1 / 16_000)
    return np.where((hertz >= low_hz) & (hertz < high_hz), power(sound), 0.0)


def pitch(sound: Floats) -> float:
    return float(np.argmax(band(sound, 80, 1200)))


def brightness(sound: Floats) -> float:
    """How much of the voice lies in its overtones below the noise: its fundamental is at 367 Hz."""
    return float(band(sound, 600, 1300).sum() / band(sound, 250, 500).sum())


def noise_share(sound: Floats) -> float:
    return float(band(sound, 1400, 7000).sum() / power(sound).sum())


def noise_centre(sound: Floats) -> float:
    high = band(sound, 700, 7500)
    quiet = np.minimum(high, np.quantile(high, 0.995))
    return float((quiet * np.arange(len(quiet))).sum() / quiet.sum())


def envelope(sound: Floats) -> Floats:
    return np.sqrt((sound[: len(sound) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1))


def tempo(sound: Floats) -> float:
    level = envelope(sound)
    return spectral_peak(level - level.mean(), 100)


def staccato(sound: Floats) -> float:
    level = envelope(sound)
    return float(level.std() / level.mean())


@pytest.mark.parametrize(
    ("coordinate", "measure"),
    list(enumerate([pitch, brightness, noise_share, noise_centre, tempo, staccato])),
)
def test_each_sound_coordinate_moves_its_attribute(tmp_path: Path, coordinate: int, measure) -> None:
    low, middle, high = (measure(heard(tmp_path, coordinate, level)) for level in LEVELS)

    assert low < middle < high


@pytest.mark.parametrize("duration_s", [2.0, 3.37, 7.9])
def test_a_file_has_pictures_and_sound_of_the_length_asked_for(tmp_path: Path, duration_s: float) -> None:
    path = tmp_path / "clip.mp4"
    render(path, picture=np.zeros(6), sound=np.zeros(6), duration_s=duration_s, seed=1)

    with av.open(str(path)) as container:
        assert container.duration / av.time_base == pytest.approx(duration_s, abs=0.15)
    assert len(frames(path)) / 12 == pytest.approx(duration_s, abs=0.1)
    assert len(samples(path)) / 16_000 == pytest.approx(duration_s, abs=0.15)


def test_the_same_arguments_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    program = """
import sys, numpy as np, pathlib
from interest.simulator.renderer import render
path, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2])
render(path, picture=np.ones(6), sound=-np.ones(6), duration_s=3.0, seed=seed)
"""
    digests = []
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        path = tmp_path / f"{name}.mp4"
        subprocess.run([sys.executable, "-c", program, str(path), seed], check=True)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    here = tmp_path / "here.mp4"
    render(here, picture=np.ones(6), sound=-np.ones(6), duration_s=3.0, seed=7)

    assert digests[0] == digests[1] == hashlib.sha256(here.read_bytes()).hexdigest()
    assert digests[2] != digests[0]


def test_scales_saturate_smoothly() -> None:
    positions = np.array(squash(np.linspace(-4, 4, 81)))

    assert (np.diff(positions) > 0).all()
    assert positions[15] > 0.04 and positions[65] < 0.96  # at -2.5 and 2.5
    assert positions[40] == 0.5


@pytest.mark.parametrize("coordinate", range(6))
def test_a_caption_climbs_each_scale_of_words(coordinate: int) -> None:
    scale = SCALES[coordinate]

    def rank(level: float) -> float:
        texts = [caption(at(coordinate, level), seed).lower() for seed in range(60)]
        return float(np.mean([next(i for i, word in enumerate(scale) if word in text) for text in texts]))

    ranks = [rank(level) for level in np.linspace(-3, 3, 7)]

    assert all(low < high for low, high in pairwise(ranks))
    assert ranks[3] == pytest.approx(4.0, abs=0.35)


def test_a_caption_names_one_word_of_every_scale() -> None:
    text = caption(np.array([3.0, -3.0, 1.0, -1.0, 0.5, 0.0]), 11).lower()

    assert all(any(word in text for word in scale) for scale in SCALES)
    assert caption(np.zeros(6), 4) == caption(np.zeros(6), 4)
