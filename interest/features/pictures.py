"""One decoded frame to a small RGB picture: reduced plane by plane with OpenCV, coloured afterwards."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
PLANAR = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"})
FULL_RANGE = 2
LUMA_WEIGHTS = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
"""Red and blue weights by the number of the colour space in H.273; any other is BT.601, as in FFmpeg."""


def shrink(frame: VideoFrame, size: int, pixel_aspect: Fraction | None) -> Pixels:
    """The whole picture upright in a square, uint8 [size, size, 3], with black bars where it is not square.

    Letterboxed rather than squeezed: shapes stay what they are whichever way the camera was held.
    """
    width, height = _fit(frame.width * float(pixel_aspect or 1), frame.height, size)
    if frame.format.name in PLANAR:
        planes = [_resize(_plane(plane), width, height) for plane in frame.planes]
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        rgb = cv2.transform(np.dstack(planes), _to_rgb(frame.colorspace, full))
    else:
        rgb = _resize(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), width, height)
    upright = np.rot90(rgb, round(frame.rotation / 90) % 4)
    height, width = upright.shape[:2]
    top, left = (size - height) // 2, (size - width) // 2
    square = np.zeros((size, size, 3), np.uint8)
    square[top : top + height, left : left + width] = upright
    return square


def _fit(width: float, height: float, size: int) -> tuple[int, int]:
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _plane(plane: object) -> Pixels:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload,attr-defined]
    view: Pixels = rows[: plane.height, : plane.width]  # type: ignore[attr-defined]
    return view


def _resize(picture: Pixels, width: int, height: int) -> Pixels:
    smaller = picture.shape[1] >= width and picture.shape[0] >= height
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


@cache
def _to_rgb(colorspace: int, full_range: bool) -> NDArray[np.float32]:
    """Affine map [3, 4] from (Y, Cb, Cr) to (R, G, B), 8 bit each (H.273, section 8.3)."""
    red, blue = LUMA_WEIGHTS.get(colorspace, (0.299, 0.114))
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    cr, cb = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    matrix = np.array([[luma, 0, cr], [luma, -cb * blue / green, -cr * red / green], [luma, cb, 0]], dtype=np.float64)
    offset = matrix @ np.array([0 if full_range else 16, 128, 128])
    return np.column_stack([matrix, -offset]).astype(np.float32)
