"""Fixtures of trained models; what is heavy is imported by those who use it."""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from interest.bundle import Bundle
    from tests.containers.steps import Run

SMALL = {
    "world_videos": 40, "viewers": 60, "events_per_viewer": 30, "content_epochs": 1, "epochs": 1,
    "threads": 1, "bootstrap_resamples": 10,
}  # fmt: skip


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small model trained for real on `small_world`, once for all processes that run tests; it is not changed."""
    from interest.bundle import open_bundle
    from tests.interest.small_model import train

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, digest = shared / "small_model" / "bundle", shared / "small_model" / "digest"
    folder.parent.mkdir(exist_ok=True)
    with (shared / "small_model.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not digest.exists():
            digest.write_text(train(folder).digest)
    return open_bundle(folder, digest.read_text())


@pytest.fixture(scope="session")
def training_image() -> str:
    """The image's name; it is built, or taken from Docker's cache."""
    from rapt.cluster.create import IMAGES, build

    if shutil.which("docker") is None:
        pytest.skip("docker is not on PATH")
    build("training", IMAGES["training"])
    return IMAGES["training"]


@pytest.fixture(scope="session")
def containers_env(object_store_env: dict[str, str]) -> dict[str, str]:
    """The store of what runs in containers."""
    return {**object_store_env, "RAPT_S3_BUCKET": "containers", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def trained_in_containers(
    training_image: str, containers_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A whole pipeline, a container a step, to a published model."""
    from tests.containers.steps import Containers, shared
    from tests.pipelines.small import ungated

    run = Containers(ungated, SMALL, shared(tmp_path_factory.mktemp("containers")), containers_env).wait()
    assert "publish" in run.steps, (run.failures, run.log[-3000:])
    return run
