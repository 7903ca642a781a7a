"""What it costs to place new videos on a map: 100 new points beside 2,000 of the reference width.

    python -m benchmarks.projection [--rounds 5]

The map is read from disk once, as the dashboard does, so the first placing also finds the neighbours of all that is
known again: that is told apart (`tsne_first_100_s`). Each figure is the median over rounds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import Row, record, seconds_of
from interest.projection import Projection, fit

KNOWN, NEW, WIDTH, GROUPS = 2000, 100, 128, 12


def main() -> None:
    """Measure and record it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projection", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    record("monitoring", measure(parser.parse_args().rounds))


def measure(rounds: int = 5) -> list[Row]:
    """The figures by their names."""
    rng = np.random.default_rng(0)
    centres = 3.0 * rng.standard_normal((GROUPS, WIDTH))
    points = centres[rng.integers(0, GROUPS, KNOWN + NEW)] + rng.standard_normal((KNOWN + NEW, WIDTH))
    began = time.perf_counter()
    made = fit(points[:KNOWN])
    fitted_s = time.perf_counter() - began
    first, later = [], []
    with tempfile.TemporaryDirectory() as folder:
        made.write(Path(folder))
        for _ in range(rounds):
            found = Projection.read(Path(folder))
            for seconds in (first, later):
                began = time.perf_counter()
                found.transform(points[KNOWN:])
                seconds.append(time.perf_counter() - began)
    return [
        seconds_of("tsne_100_s", later),
        seconds_of("tsne_first_100_s", first),
        seconds_of("tsne_fit_2000_s", [fitted_s]),
    ]


if __name__ == "__main__":
    main()
