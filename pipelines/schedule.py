"""When a pipeline is to run again and again: a cron expression or an interval, checked as the cluster reads them."""

from __future__ import annotations

import re

from pipelines.errors import InvalidSchedule

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "second": (0, 59, ()),
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day of the month": (1, 31, ()),
    "month": (1, 12, MONTHS),
    "day of the week": (0, 6, DAYS),
}
"""Least and greatest value of each field of a cron expression, and names for them in their order."""
PART = re.compile(r"(?:[*?]|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
INTERVAL = re.compile(r"(\d+)([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def cron(text: str) -> str:
    """A cron expression of five or six fields as the six that Kubeflow Pipelines reads, seconds first.

    It would take the minutes of five fields for seconds. Raises InvalidSchedule naming the field that is wrong.
    """
    fields = text.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != len(FIELDS):
        raise InvalidSchedule(
            f"the cron expression {text!r} has {len(fields)} fields: write six ({', '.join(FIELDS)}), or the last "
            "five; '0 3 * * *' is every day at 3:00"
        )
    for field, (name, (least, most, names)) in zip(fields, FIELDS.items(), strict=True):
        if not all(_fits(part, least, most, names) for part in field.split(",")):
            known = f"{least} to {most}" + (f" or {names[0]} to {names[-1]}" if names else "")
            raise InvalidSchedule(
                f"the cron expression {text!r} has {field!r} as its {name}: write {known}, * for every one, 1,3 for a "
                "list, 1-3 for a range, */5 for every fifth"
            )
    return " ".join(fields)


def interval_s(text: str) -> int:
    """Seconds of an interval such as 90m, 24h or 7d; raises InvalidSchedule."""
    found = INTERVAL.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise InvalidSchedule(f"the interval {text!r} is not of the form 30m, 24h or 7d (units: s, m, h, d)")
    return int(found[1]) * SECONDS[found[2]]


def _fits(part: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    found = PART.fullmatch(part)
    if not found or found["step"] == "0":
        return False
    if found["first"] is None:
        return True
    first = _number(found["first"], least, names)
    last = first if found["last"] is None else _number(found["last"], least, names)
    return least <= first <= last <= most


def _number(text: str, least: int, names: tuple[str, ...]) -> int:
    if text.lower() in names:
        return least + names.index(text.lower())
    return int(text) if text.isascii() and text.isdigit() else -1
