"""Reports in a real store: there when whole, in order of time, gone after their days."""

from __future__ import annotations

import pytest

from interest.drift.verdict import verdict
from wire import reports
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore
from wire.reports import MODEL, Report, Span

DAY_MS = 86_400_000


@pytest.fixture
def store(object_store_env: dict[str, str]) -> ObjectStore:
    made = ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": "reports"})
    for key in list(made.list(reports.PREFIX)):
        made.delete(key)
    return made


def report(made_ms: int, kind: str = MODEL) -> Report:
    span = Span(name="before", rows=40)
    rows = {"x": list(range(40))}
    return Report(kind=kind, name=reports.new_name(made_ms), made_ms=made_ms, reference=span, current=span,
                  verdict=verdict(rows, rows))  # fmt: skip


def test_a_report_comes_back_whole_and_the_newest_first(store: ObjectStore) -> None:
    kept = [reports.write(store, report(n * DAY_MS), {"evidently.html": b"<p>"}) for n in (1, 3, 2)]
    assert reports.read(store, kept[0].name) == kept[0]
    assert store.get_bytes(kept[0].files["evidently.html"]) == b"<p>"
    assert [one.name for one in reports.newest(store)] == [kept[n].name for n in (1, 2, 0)]
    other = reports.write(store, report(4 * DAY_MS, "tables"), {})
    assert [one.name for one in reports.newest(store, 2)] == [other.name, kept[1].name]
    assert [one.name for one in reports.newest(store, 1, MODEL)] == [kept[1].name]


def test_one_without_its_record_is_not_there(store: ObjectStore) -> None:
    made = report(DAY_MS)
    store.put_bytes(f"{made.folder}evidently.html", b"half")
    assert reports.names(store) == []
    with pytest.raises(ObjectNotFound):
        reports.read(store, made.name)


def test_what_is_old_is_deleted_whole(store: ObjectStore) -> None:
    old, young = (reports.write(store, report(n * DAY_MS), {"evidently.html": b"<p>"}) for n in (1, 20))
    assert reports.expire(store, days=14, now_ms=21 * DAY_MS) == 2
    assert list(store.list(old.folder)) == []
    assert reports.names(store) == [young.name]
