"""Clips as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clips import Clip, make, real_clip
from tests.clips import tone as tone_of


@pytest.fixture
def real() -> Callable[[str], Path]:
    return real_clip


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """`clip(name, **fields of Clip)` makes the file and returns its path."""
    return lambda name="clip.mp4", **fields: make(tmp_path / name, Clip(**fields))


@pytest.fixture
def tone():
    return tone_of
