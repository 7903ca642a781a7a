"""Pictures as files: the right kind, the same bytes twice, their words in them, and named failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from interest import quality
from monitoring.pictures.calibration import calibration_curve
from monitoring.pictures.canvas import checked
from monitoring.pictures.embedding import UNKNOWN, embedding_map
from monitoring.pictures.errors import InvalidPicture
from monitoring.pictures.experiment import Decision, Moment, experiment_curve
from monitoring.pictures.heat import Shown, heat_maps
from monitoring.pictures.layers import layer_maps

RNG = np.random.default_rng(0)
POINTS = RNG.standard_normal((60, 2)).astype(np.float32)
FRAMES = RNG.integers(0, 255, (2, 4, 16, 16, 3), np.uint8)
CHANCE = RNG.uniform(0.1, 0.9, 400)
CURVE = quality.calibration_curve(CHANCE, RNG.random(400) < CHANCE, np.arange(400) // 2)
MOMENTS = [Moment(hours, (90, 10), 0.05, -0.2 / hours, 0.3 / hours) for hours in (1.0, 2.0, 3.0)]
DRAWN: dict[str, Callable[[Path], Path]] = {
    "topics": lambda path: embedding_map(path, "t", POINTS, kinds=["cats", "dogs", UNKNOWN] * 20, meaning="topic"),
    "names that look like TeX": lambda path: embedding_map(
        path, "$$$$", POINTS, kinds=["cheap $$ eats", "under $5", "over $10"] * 20, meaning="$x_"
    ),
    "many topics": lambda path: embedding_map(path, "t", POINTS, kinds=[f"t{n % 20}" for n in range(60)]),
    "engagement": lambda path: embedding_map(
        path, "t", POINTS, share=np.where(np.arange(60) == 7, np.nan, POINTS[:, 0] ** 2), meaning="engaged"
    ),
    "layers": lambda path: layer_maps(path, "t", FRAMES, {"a": POINTS[:48].reshape(2, 3, 2, 2, 4)}, 1),
    "heat": lambda path: heat_maps(path, "t", [[Shown(n, FRAMES[0, n], FRAMES[1, n]) for n in range(4)]] * 2),
    "calibration": lambda path: calibration_curve(path, "t", CURVE, CHANCE),
    "experiment": lambda path: experiment_curve(path, "t", MOMENTS, 0.02, [Decision(0.0, "share 5%")]),
    "one look": lambda path: experiment_curve(path, "t", MOMENTS[:1]),
    "no look": lambda path: experiment_curve(path, "t", []),
}

each = pytest.mark.parametrize("name", DRAWN)


@each
def test_svg_is_the_same_bytes_twice(name: str, tmp_path: Path) -> None:
    first, second = (DRAWN[name](tmp_path / folder / "x.svg").read_bytes() for folder in ("a", "b"))
    assert first == second
    assert b"<svg" in first


@each
def test_png_is_a_picture_of_many_colours(name: str, tmp_path: Path) -> None:
    picture = cv2.imread(str(DRAWN[name](tmp_path / "x.png")))
    assert picture is not None
    height, width, _ = picture.shape
    assert min(height, width) >= 400
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("name", ["x.pdf", "x", "x.PNG.txt", ".svg"])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(InvalidPicture, match=r"a picture ends with \.png or \.svg"):
        checked(Path(name))


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidPicture, match="cannot be written"):
        calibration_curve(tmp_path / "file" / "x.png", "t", CURVE, CHANCE)
