"""What all pictures share: markers, a scale, and how a figure becomes a file, the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

from monitoring.pictures.errors import InvalidPicture

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""One beside each of `CATEGORIES` tells kinds apart without colour."""
SCALE = "cividis"
"""From little to much: the same to people with and without colour vision (Nunez et al. 2018)."""
ENDINGS = (".png", ".svg")
FONTS = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Zen Hei", "PingFang SC",
    "Microsoft YaHei",
)  # fmt: skip
"""Where the first lacks a letter, the others that are there are asked, as for names in Chinese."""
mpl.rcParams["svg.hashsalt"] = "rapt"
mpl.rcParams["text.parse_math"] = False  # names of videos, viewers and topics are no TeX
mpl.rcParams["font.family"] = [font for font in FONTS if font in {one.name for one in font_manager.fontManager.ttflist}]


def checked(path: Path) -> Path:
    """The path, when a picture can have its name; raises InvalidPicture."""
    if path.suffix not in ENDINGS:
        raise InvalidPicture(f"{str(path)!r} ends with {path.suffix or 'nothing'!r}; a picture ends with .png or .svg")
    return path


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as what the file's name ends with; raises InvalidPicture."""
    checked(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise InvalidPicture(f"{str(path)!r} cannot be written: {error.strerror}") from error
    return path
