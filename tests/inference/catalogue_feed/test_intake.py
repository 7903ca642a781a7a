"""One video on its way to features."""

from pathlib import Path

import numpy as np
import pytest

from inference.catalogue_feed.intake import Intake, policy
from inference.catalogue_feed.library import Library
from interest.errors import InvalidSetting, InvalidVideo
from interest.records import Video
from tests.inference.catalogue_feed.material import LARGER, SMALL
from tests.inference.catalogue_feed.stage import Stage


def intake(stage: Stage, decode_s: float = 30.0) -> Intake:
    allowed = policy({"RAPT_ALLOW_PRIVATE_ADDRESSES": stage.web.place})
    return Intake(stage.store, Library(stage.store), allowed, stage.folder / "parts", decode_s)


def test_a_file_that_takes_too_long_to_decode_is_refused_and_ends_only_its_decoder(
    stage: Stage, clips: dict[str, Path]
) -> None:
    hurried = intake(stage, decode_s=0.001)
    for _ in range(2):
        with pytest.raises(InvalidVideo, match="decoder crashed"):
            hurried.bring(stage.video("bunny", clips["bunny"]), SMALL)
    hurried.close()


def test_features_are_made_once_for_the_same_bytes_caption_and_settings(stage: Stage, clips: dict[str, Path]) -> None:
    patient = intake(stage)
    stored, made = patient.bring(stage.video("red", clips["red"]), SMALL)
    assert stored.duration_s == pytest.approx(2.0, abs=0.1)
    assert patient.features(stored, LARGER).arrays()["video"].shape == (1, 4, 48, 48, 3)
    patient.close()
    hurried = intake(stage, decode_s=0.001)
    again = hurried.features(stored, SMALL)
    for name, value in made.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], value)
    with pytest.raises(InvalidVideo):
        hurried.features(Video(video_id="red", uri=stored.uri, caption="another", duration_s=2.0), SMALL)
    hurried.close()


@pytest.mark.parametrize(
    ("text", "allowed"), [("", ()), ("all", True), ("127.0.0.1:80, [::1]:8080", ("127.0.0.1:80", "[::1]:8080"))]
)
def test_private_addresses_are_allowed_one_by_one_or_all(text: str, allowed: object) -> None:
    found = policy({"RAPT_ALLOW_PRIVATE_ADDRESSES": text}).allow_private
    assert (found if isinstance(found, bool) else tuple(found)) == allowed


def test_an_address_without_a_port_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidSetting, match=r"127\.0\.0\.1"):
        policy({"RAPT_ALLOW_PRIVATE_ADDRESSES": "127.0.0.1"})
