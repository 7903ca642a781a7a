"""Cron expressions and intervals: what the cluster's scheduler (robfig/cron, seconds first) understands."""

import pytest

from pipelines.errors import InvalidSchedule
from pipelines.schedule import cron, interval_s


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("0 0 3 * * *", "0 0 3 * * *"),
        ("*/15 * * * *", "0 */15 * * * *"),
        ("0 0 9 ? * MON-FRI", "0 0 9 ? * MON-FRI"),
        ("5,35 8-18/2 1 jan,JUL 0", "0 5,35 8-18/2 1 jan,JUL 0"),
    ],
)
def test_five_fields_get_a_second(given: str, sent: str) -> None:
    assert cron(given) == sent


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "has 0 fields"),
        ("@daily", "has 1 fields: write six"),
        ("60 3 * * *", "has '60' as its minute: write 0 to 59"),
        ("0 24 * * *", "has '24' as its hour: write 0 to 23"),
        ("0 3 0 * *", "has '0' as its day of the month: write 1 to 31"),
        ("0 3 * 13 *", "has '13' as its month: write 1 to 12 or jan to dec"),
        ("0 3 * * 7", "has '7' as its day of the week: write 0 to 6 or sun to sat"),
        ("61 0 3 * * *", "has '61' as its second"),
        ("0 5-3 * * *", "has '5-3' as its hour"),
        ("*/0 * * * *", "has '\\*/0' as its minute"),
        ("0 3 * * L", "has 'L' as its day of the week"),
        ("1,, 3 * * *", "has '1,,' as its minute"),
        ("² 3 * * *", "has '²' as its minute"),
    ],
)
def test_what_the_scheduler_would_not_take_is_named(given: str, told: str) -> None:
    with pytest.raises(InvalidSchedule, match=told):
        cron(given)


@pytest.mark.parametrize(("given", "seconds"), [("45s", 45), ("90m", 5400), ("24h", 86_400), ("7d", 604_800)])
def test_an_interval_is_in_seconds(given: str, seconds: int) -> None:
    assert interval_s(given) == seconds


@pytest.mark.parametrize("given", ["", "24", "1.5h", "0h", "-1h", "1 h 5 m", "1w"])
def test_what_is_no_interval_is_named(given: str) -> None:
    with pytest.raises(InvalidSchedule, match=f"the interval '{given}' is not of the form"):
        interval_s(given)
