"""compose.yaml on this machine's Docker, as a project of the tests' own that is removed afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator

import pytest

from interest.bundle import Bundle
from rapt.cluster.programs import run
from rapt.errors import ClusterFailed
from tests.compose.composed import Composed
from tests.ports import free_ports


@pytest.fixture(scope="session")
def composed() -> Iterator[Composed]:
    """Up, without a model."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not on PATH")
    try:
        run(["docker", "compose", "version"], deadline_s=30)
        run(["docker", "info"], deadline_s=30)
    except ClusterFailed as error:
        pytest.skip(f"docker with compose is needed: {error}")
    made = Composed(f"rapt-test-{os.getpid()}", free_ports(), secrets.token_hex(10), secrets.token_hex(20))
    try:
        begun = time.monotonic()
        made.up()
        print(f"healthy after {time.monotonic() - begun:.0f} s")
        yield made
    finally:
        made("down", "--volumes", "--remove-orphans")


@pytest.fixture(scope="session")
def served(composed: Composed, bundle: Bundle) -> Composed:
    """With a model that is served."""
    composed.publish(bundle)
    composed.until(composed.ready, "the model is served")
    return composed
