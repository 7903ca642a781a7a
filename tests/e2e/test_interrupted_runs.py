"""A run without its store, interrupted by hand, or with its disk full: it ends clearly, and goes on later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.e2e.command import MEDIA, ROOT, Rapt, resumed, whole
from tests.faults.test_object_store import in_small_disk
from tests.waiting import until


@pytest.mark.slow
def test_a_store_that_is_killed_and_comes_back_in_time_costs_nothing(rapt: Rapt) -> None:
    process = rapt.start(*MEDIA, "--json")
    until(lambda: max(rapt.progress("render_videos"), default=0) >= 20)
    killed = rapt.store()
    killed.kill()
    until(lambda: not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE)
    assert rapt("up").returncode == 0

    out, told = process.communicate(timeout=200)
    assert process.returncode == 0, told
    whole(json.loads(out))


@pytest.mark.slow
def test_a_store_that_stays_away_is_told_and_the_next_run_goes_on(rapt: Rapt) -> None:
    rapt.environment["RAPT_S3_DEADLINE_S"] = "1"
    process = rapt.start(*MEDIA)
    until(lambda: max(rapt.progress("render_videos"), default=0) >= 66)
    rapt.store().kill()

    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: render_videos: ObjectStoreUnavailable: cannot put s3://rapt/videos/")
    assert "Try `rapt status`, `rapt up`" in line
    assert "Traceback" not in told

    rapt.environment["RAPT_S3_DEADLINE_S"] = "30"
    whole(rapt.document(*MEDIA))
    assert resumed(rapt.progress("render_videos"))


@pytest.mark.slow
def test_ctrl_c_ends_all_and_the_next_run_goes_on(rapt: Rapt) -> None:
    for step, output in (("render_videos", "catalog"), ("preprocess_video", "features")):
        process = rapt.start(*MEDIA)
        until(lambda step=step: max(rapt.progress(step), default=0) >= 65)
        began = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)

        assert process.returncode == 130, told
        assert "Traceback" not in told
        assert not psutil.wait_procs([one for one in began if one != rapt.store()], timeout=60)[1]
        assert not list(rapt.last_run().glob(f"artifacts/*/{step.replace('_', '-')}/{output}"))

    done = rapt.document(*MEDIA)
    whole(done)
    assert [step["cached"] for step in done["steps"] if step["name"] == "render_videos"] == [True]
    assert resumed(rapt.progress("preprocess_video"))


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["runs", "tmp"])
def test_a_disk_that_fills_up_is_named_and_the_next_run_goes_on(rapt: Rapt, folder: str) -> None:
    """The folder of the runs, and that of temporary files."""
    small, temporary = rapt.home / folder, rapt.home / "tmp"
    assert rapt("up").returncode == 0
    temporary.mkdir()
    done = subprocess.run(
        [*in_small_disk(small, 100_000_000), sys.executable, "-m", "tests.e2e.full_disk", rapt.home, small,
         "render_videos", "66"],
        cwd=ROOT, env={**os.environ, **rapt.environment, "TMPDIR": str(temporary)},
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    error = told["told"]
    assert told["code"] == 1
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert f"no space left on the disk of {small}" in line
    assert "Traceback" not in error
    assert resumed(told["resumed"])
