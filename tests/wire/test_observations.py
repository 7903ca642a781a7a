"""The newest observations, from a real object store."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from tests.observed import commit
from wire.objects import ObjectStore
from wire.observations import HEAD, READERS, Reader, key, segment_key

COLUMNS = ("request_id", "logged_ms", "arm")


@pytest.fixture
def store(object_store_env: dict[str, str]) -> Iterator[ObjectStore]:
    found = ObjectStore.from_env({**object_store_env, "RAPT_S3_BUCKET": "observations"})
    yield found
    for one in list(found.list("")):
        found.delete(one)


def rows(seq: int, count: int = 2) -> list[dict[str, object]]:
    return [{"request_id": f"{seq}-{n}", "logged_ms": 1000 * seq + n, "arm": f"arm{seq % 3}"} for n in range(count)]


def ids(reader: Reader, **of: int) -> list[str]:
    found: list[str] = reader.newest(**of)["request_id"].to_pylist()
    return found


def test_without_any_there_is_an_empty_table(store: ObjectStore) -> None:
    assert Reader(store).newest(most=10).num_rows == 0
    assert Reader(store, COLUMNS).newest(most=10).column_names == list(COLUMNS)


def test_all_come_in_order_and_new_ones_with_the_next_call(store: ObjectStore) -> None:
    commits = 2 * READERS + 3
    for seq in range(1, commits + 1):
        commit(store, seq, rows(seq), 0)
    reader = Reader(store, COLUMNS)
    assert ids(reader, most=10**6) == [f"{seq}-{n}" for seq in range(1, commits + 1) for n in (0, 1)]
    commit(store, commits + 1, rows(commits + 1), 0)
    assert ids(reader, most=1)[-2:] == [f"{commits + 1}-0", f"{commits + 1}-1"]
    assert len(ids(reader, most=1)) == 2 * READERS
    late = [f"{commits}-1", f"{commits + 1}-0", f"{commits + 1}-1"]
    assert ids(reader, most=10**6, since_ms=1000 * commits + 1) == late


def test_what_retention_has_deleted_is_not_there_and_what_was_cut_off_neither(store: ObjectStore) -> None:
    for seq in range(1, 6):
        commit(store, seq, rows(seq), 0)
    store.delete(key(1))
    assert ids(Reader(store, COLUMNS), most=10**6)[0] == "2-0"
    head = store.get_bytes(HEAD)
    commit(store, 6, rows(6), 0)
    store.put_bytes(HEAD, head)
    assert ids(Reader(store, COLUMNS), most=10**6)[-1] == "5-1"


def test_what_an_earlier_version_wrote_is_passed_over_where_it_lacks_a_column(store: ObjectStore) -> None:
    for seq in (1, 2):
        commit(store, seq, rows(seq), 0)
    old, data = segment_key("1970-01-01", 1), io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(store.get_bytes(old))).drop_columns(["rank", "feedback"]), data)
    store.put_bytes(old, data.getvalue())
    assert ids(Reader(store), most=10**6) == ["2-0", "2-1"]
    assert ids(Reader(store, COLUMNS), most=10**6) == ["1-0", "1-1", "2-0", "2-1"]
