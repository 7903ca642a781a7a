"""The bars of the long steps move with every video, not with every shard."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path

import pytest

from components import progress
from components.journal import RUN_DIR, Journal, read_lines
from components.preprocess_audio import step as audio
from components.preprocess_video import step as video
from components.render_videos import step as render
from components.runtime import NO_CACHE

pytestmark = pytest.mark.usefixtures("in_object_store_env")
VIDEOS = 5


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[int]]:
    """Runs a step's work and returns the counts that its journal tells."""
    monkeypatch.setenv(RUN_DIR, str(tmp_path / "journals"))
    monkeypatch.setenv(NO_CACHE, "1")
    monkeypatch.setattr(progress, "EVERY_S", 0.0)

    def counts(work: Callable[[], object]) -> list[int]:
        def run() -> None:
            Journal.of("step")
            work()

        copy_context().run(run)
        journal = tmp_path / "journals" / "step.jsonl"
        done = [line["done"] for line in read_lines(journal.read_bytes())]
        journal.unlink()
        return done

    return counts


def test_bars_count_each_video(told: Callable[[Callable[[], object]], list[int]], tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    each = list(range(VIDEOS + 1))

    rendered = told(lambda: render.run(catalog, tmp_path / "world", videos=VIDEOS, seed=1, processes=1))
    seen = told(lambda: video.run(catalog, tmp_path / "frames"))
    heard = told(lambda: audio.run(catalog, tmp_path / "sound"))

    for counts in (rendered, seen, heard):
        assert counts == sorted(counts)
        assert sorted(set(counts)) == each
