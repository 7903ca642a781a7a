"""The outcome and the records."""

import pytest

from interest.catalog import Catalog, merge
from interest.errors import InvalidRecord
from interest.records import Kind, Video, engaged, watch_threshold_ms


@pytest.mark.parametrize(
    ("feedback", "duration_s", "expected"),
    [
        ([(Kind.WATCH, 18_000)], 60.0, True),
        ([(Kind.WATCH, 17_999)], 60.0, False),
        ([(Kind.WATCH, 9_000)], 9.0, True),
        ([(Kind.SKIP, 30_000)], 60.0, False),
        ([(Kind.WATCH, 10), (Kind.LIKE, 0)], 60.0, True),
        ([(Kind.SHARE, 0)], 60.0, True),
        ([(Kind.IMPRESSION, 0)], 60.0, False),
        ([], 60.0, False),
    ],
)
def test_engaged_is_eighteen_seconds_or_the_whole_or_a_like_or_a_share(
    feedback: list[tuple[Kind, int]], duration_s: float, expected: bool
) -> None:
    assert engaged(feedback, duration_s) is expected


def test_every_whole_millisecond_of_length_is_its_own_threshold() -> None:
    assert all(watch_threshold_ms(ms / 1000.0) == ms for ms in range(1, 18_001))


def test_a_catalogue_refuses_an_id_that_occurs_twice() -> None:
    twice = (Video(video_id="a", uri="", duration_s=1.0), Video(video_id="a", uri="x", duration_s=2.0))
    with pytest.raises(InvalidRecord, match="'a' occurs twice"):
        Catalog(twice)


def test_merging_keeps_the_first_of_an_id_and_lists_the_other() -> None:
    first = Catalog((Video(video_id="a", uri="1", duration_s=1.0),))
    second = Catalog((Video(video_id="a", uri="2", duration_s=1.0), Video(video_id="b", uri="3", duration_s=1.0)))
    merged = merge([first, second])
    assert [video.uri for video in merged] == ["1", "3"]
    assert [rejected.item for rejected in merged.rejected] == ["a"]
