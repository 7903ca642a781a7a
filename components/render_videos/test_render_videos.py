"""The step renders a world once: files in the store, a catalogue that names them, the truth beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

from components.render_videos.step import Plan, render_plans


def plan(row: int, duration_s: float) -> Plan:
    signal = np.full(6, 0.3 * row)
    return Plan(
        video_id=f"sim-{row:05d}",
        video=signal,
        audio=signal,
        text=signal,
        duration_s=duration_s,
        published_at_ms=0,
        seed=row,
    )


def test_files_come_in_the_order_of_the_plans_with_their_own_lengths(tmp_path: Path) -> None:
    plans = [plan(0, 6.0), plan(1, 2.0), plan(2, 3.0)]

    with ThreadPoolExecutor(2) as pool:
        made = list(render_plans(plans, tmp_path, pool))

    assert [done for done, _ in made] == plans
    for done, path in made:
        with av.open(str(path)) as container:
            assert abs(container.duration / av.time_base - done.duration_s) < 0.15
