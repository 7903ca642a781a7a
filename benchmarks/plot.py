"""A small line chart as SVG, for the cost curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 70, 20, 40, 50
COLOURS = ("#1f6feb", "#d1570d", "#238636", "#8250df", "#bf3989")
Points = Sequence[tuple[float, float]]


def line_chart(path: Path, title: str, x: str, y: str, lines: Mapping[str, Points], *, log_x: bool = False) -> Path:
    """Draw `lines` (name to points) with the axes' names `x` and `y`; the vertical axis begins at 0."""
    places = [math.log10(a) if log_x else a for points in lines.values() for a, _ in points]
    low, high = min(places), max(places)
    step = _step(max(b for points in lines.values() for _, b in points))
    top = step * math.ceil(max(b for points in lines.values() for _, b in points) / step)

    def across(a: float) -> float:
        share = ((math.log10(a) if log_x else a) - low) / ((high - low) or 1.0)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def up(b: float) -> float:
        return round(HEIGHT - BOTTOM - b / top * (HEIGHT - TOP - BOTTOM), 1)

    parts = [_text(WIDTH / 2, 20, title, 15), _text(WIDTH / 2, HEIGHT - 10, x), _text(14, HEIGHT / 2, y, turned=True)]
    for n in range(round(top / step) + 1):
        parts.append(f'<path d="M{LEFT} {up(n * step)}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        parts.append(_text(LEFT - 8, up(n * step) + 4, f"{n * step:g}", anchor="end"))
    for a in sorted({a for points in lines.values() for a, _ in points}):
        parts.append(_text(across(a), HEIGHT - BOTTOM + 18, f"{a:g}"))
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{across(a)},{up(b)}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(a)}" cy="{up(b)}" r="3" fill="{colour}"/>' for a, b in points]
        parts.append(_text(LEFT + 10, TOP + 4 + 16 * number, name, anchor="start", colour=colour))
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(parts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )
    return path


def _step(largest: float) -> float:
    """A round distance of grid lines: about five up to `largest`."""
    size = 10.0 ** math.floor(math.log10(largest / 5))
    return next(size * times for times in (1, 2, 5, 10) if size * times * 5 >= largest)


def _text(
    x: float, y: float, words: str, size: int = 12, *, anchor: str = "middle", colour: str = "#24292f",
    turned: bool = False,
) -> str:  # fmt: skip
    turn = f' transform="rotate(-90 {x} {y})"' if turned else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{turn}>{escape(words)}</text>'
    )
