"""A `rapt` of the test's own, whose object store ends with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Rapt
from tests.ports import free_ports


@pytest.fixture
def rapt(tmp_path: Path) -> Iterator[Rapt]:
    home, cache = tmp_path / "home", tmp_path / "cache"
    command = Rapt(
        home,
        {
            "RAPT_HOME": str(home), "RAPT_CACHE": str(cache), "RAPT_CACHE_DIR": str(cache),
            "RAPT_OBJECT_STORE_PORT": str(free_ports()), "RAPT_BROKER_PORT": str(free_ports()),
            "RAPT_SERVING_PORT": str(free_ports()), "RAPT_S3_DEADLINE_S": "30", "OMP_NUM_THREADS": "1",
            "COLUMNS": "400", "NO_COLOR": "1",
        },
    )  # fmt: skip
    yield command
    command.end()
    command("down")
