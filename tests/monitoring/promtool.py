"""Prometheus' own judgement of rules and queries."""

import shutil
import subprocess
from pathlib import Path

import pytest

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="rules and queries are tested by promtool, of Debian's package prometheus"
)


def promtool(*arguments: str | Path) -> None:
    """Run it; what it has against its input is the failure."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
