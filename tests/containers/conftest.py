"""The training image, built, and one pipeline that ran in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from interest.bundle import Bundle, open_bundle
from rapt.cluster.create import IMAGES, build
from tests.containers.steps import Containers, Run
from tests.pipelines.small import ungated

SMALL = {
    "world_videos": 40, "viewers": 60, "events_per_viewer": 30, "content_epochs": 1, "epochs": 1,
    "threads": 1, "bootstrap_resamples": 10,
}  # fmt: skip


@pytest.fixture(scope="session")
def training_image() -> str:
    """The image's name; it is built, or taken from Docker's cache."""
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
) -> Iterator[Run]:
    """A whole pipeline, to a published model."""
    folder = shared(tmp_path_factory.mktemp("containers"))
    run = Containers(ungated, SMALL, folder, containers_env).wait()
    assert "publish" in run.steps, (run.failures, run.log[-3000:])
    yield run


@pytest.fixture(scope="session")
def bundle_of_containers(trained_in_containers: Run) -> Bundle:
    """The model that the containers published."""
    published = trained_in_containers.steps["publish"]
    return open_bundle(Path(published.outputs["bundle"]), published.result["digest"])


def shared(folder: Path) -> Path:
    """A folder that the containers' user may write into."""
    (folder / "artifacts").mkdir()
    (folder / "artifacts").chmod(0o777)
    (folder / "artifacts" / "journals").mkdir(mode=0o777)
    (folder / "artifacts" / "journals").chmod(0o777)
    for parent in folder.parents:
        if parent.stat().st_uid == folder.stat().st_uid and parent != parent.parent and "pytest" in str(parent):
            parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(0o755)
    return folder
