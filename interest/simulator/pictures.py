"""What a camera sees of a simulated video: bright shapes wandering over a coloured, pulsing texture."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from interest.simulator.scales import geometric, linear, squash

WARM, WHITE, COOL = np.array([(255, 120, 20), (235, 235, 235), (50, 140, 255)], dtype=np.float64)
MARGIN_PX = 8
"""How far the slow camera drift may carry the scene beyond the picture's border, a nuisance."""
SUBPIXEL_BITS = 4
SHAPES = 5


@dataclass(frozen=True)
class Look:
    """The six attributes that carry the signal, one a coordinate; lengths are shares of the picture's side.

    The last two show in no single frame: only motion tells them.
    """

    background_hue: float
    shape_warmth: float
    shape_radius: float
    texture_cycles: float
    speed_per_s: float
    pulse_hz: float

    @staticmethod
    def of(signal: NDArray[np.float64]) -> Look:
        """Read a signal [6], each coordinate about N(0, 1)."""
        u = squash(signal)
        return Look(
            background_hue=linear(0.0, 0.78, u[0]),
            shape_warmth=u[1],
            shape_radius=geometric(0.05, 0.18, u[2]),
            texture_cycles=geometric(1.5, 12.0, u[3]),
            speed_per_s=geometric(0.03, 0.7, u[4]),
            pulse_hz=geometric(0.3, 3.2, u[5]),
        )


def draw(
    signal: NDArray[np.float64], *, frames: int, fps: int, size_px: int, rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """Yield `frames` pictures as planar YUV 4:2:0, uint8 [size_px * 3 / 2, size_px].

    `rng` draws what carries nothing: places, headings, kinds of shape, phases, camera drift, sensor noise.
    """
    look = Look.of(signal)
    canvas = _background(look, size_px, rng)
    seconds = np.arange(frames) / fps
    drift = _camera_drift(seconds, rng)
    outlines = _outlines(look, seconds, size_px, drift, rng)
    light = _light(look, seconds, rng)
    noise = rng.normal(0.0, 1.0, (8, size_px, size_px)).astype(np.int16)
    colour = _shape_colour(look)
    half = (canvas.shape[0] - 1) / 2
    for i in range(frames):
        picture = cv2.getRectSubPix(canvas, (size_px, size_px), (half - drift[i, 0], half - drift[i, 1]))
        for outline in outlines:
            cv2.fillConvexPoly(picture, outline[i], colour, cv2.LINE_AA, SUBPIXEL_BITS)
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
        luma = planes[:size_px]
        grain = noise[rng.integers(8)]
        luma[:] = np.clip((luma - 16.0) * light[i] + 16.0 + grain, 16, 235)
        yield planes


def _background(look: Look, size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = size_px + 2 * MARGIN_PX
    y, x = np.mgrid[0:side, 0:side] / size_px
    texture = np.zeros((side, side))
    turn = rng.uniform(0, math.pi)
    for angle in (turn, turn + math.pi / 2):
        wave = look.texture_cycles * (x * math.cos(angle) + y * math.sin(angle))
        texture += np.sin(2 * math.pi * wave + rng.uniform(0, 2 * math.pi))
    heading = rng.uniform(0, 2 * math.pi)
    vignette = 0.1 * ((x - 0.5) * math.cos(heading) + (y - 0.5) * math.sin(heading))
    value = 0.42 * (1.0 + 0.22 * texture + vignette)
    base = np.array(colorsys.hsv_to_rgb(look.background_hue, 0.7, 1.0))
    return np.asarray(np.clip(255 * value[..., None] * base, 0, 255), dtype=np.uint8)


def _camera_drift(seconds: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets in px, [frames, 2]: a hand that is never quite still."""
    period_s = rng.uniform(15.0, 30.0, 2)
    phase = rng.uniform(0, 2 * math.pi, 2)
    return 4.0 * np.sin(2 * math.pi * seconds[:, None] / period_s + phase)


def _light(look: Look, seconds: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return 1.0 + 0.2 * np.sin(2 * math.pi * (look.pulse_hz * seconds + rng.uniform()))


def _shape_colour(look: Look) -> tuple[int, int, int]:
    far = COOL if look.shape_warmth < 0.5 else WARM
    r, g, b = np.rint(WHITE + (far - WHITE) * abs(2 * look.shape_warmth - 1))
    return int(r), int(g), int(b)


def _outlines(
    look: Look,
    seconds: NDArray[np.float64],
    size_px: int,
    drift: NDArray[np.float64],
    rng: np.random.Generator,
) -> list[NDArray[np.int32]]:
    """Corners of every shape in fixed point, int32 [frames, corners, 2]; shapes rebound from the borders."""
    outlines = []
    room = 1.0 - 2 * look.shape_radius
    for _ in range(SHAPES):
        corners = int(rng.choice([3, 4, 6, 16]))
        angles = rng.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(corners) / corners
        # Of equal area, so that the kind of shape says nothing of the size.
        reach = look.shape_radius * math.sqrt(2 * math.pi / (corners * math.sin(2 * math.pi / corners)))
        body = reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        heading = rng.uniform(0, 2 * math.pi)
        velocity = look.speed_per_s * np.array([math.cos(heading), math.sin(heading)])
        path = rng.uniform(0, 2 * room, 2) + velocity * seconds[:, None]
        centre = look.shape_radius + room - np.abs(path % (2 * room) - room)
        points = (centre[:, None, :] + body) * size_px + drift[:, None, :]
        outlines.append(np.rint(points * (1 << SUBPIXEL_BITS)).astype(np.int32))
    return outlines
