"""The feeder's settings, each from its variable."""

from pathlib import Path

import pytest

from inference.feeder.settings import FeederSettings
from inference.state.errors import InvalidStateSettings

FOLDER = {"RAPT_STATE_FOLDER": "/somewhere"}


def test_only_the_folder_is_needed() -> None:
    assert FeederSettings.from_env(FOLDER) == FeederSettings(Path("/somewhere"), 512, 30.0, 1000, "")


def test_each_setting_has_a_variable() -> None:
    env = {
        **FOLDER,
        "RAPT_STATE_MEMORY_MIB": "64",
        "RAPT_STATE_CHECKPOINT_S": "2.5",
        "RAPT_STATE_READY_LAG": "7",
        "RAPT_STATE_VALKEY": "v:1",
    }
    assert FeederSettings.from_env(env) == FeederSettings(Path("/somewhere"), 64, 2.5, 7, "v:1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAPT_STATE_FOLDER", ""),
        ("RAPT_STATE_MEMORY_MIB", "much"),
        ("RAPT_STATE_MEMORY_MIB", "4"),
        ("RAPT_STATE_CHECKPOINT_S", "0"),
        ("RAPT_STATE_CHECKPOINT_S", "nan"),
        ("RAPT_STATE_READY_LAG", "-1"),
    ],
)
def test_a_setting_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidStateSettings, match=name):
        FeederSettings.from_env({**FOLDER, name: value})
