"""Commits in a real S3: whichever prefix of the writes a crash leaves, what follows is whole."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from interest.bundle import REQUIRED, CatalogueTable, seal, write_catalogue
from interest.errors import InvalidBundle
from monitoring.labels.durations import catalogue_durations
from monitoring.labels.errors import AnotherJoiner
from monitoring.labels.ledger import Ledger
from monitoring.labels.retention import DAY_MS, expire
from tests.monitoring.labels.stream import BEGIN_MS, Streams, event, exposure, naive, rows_of
from tests.monitoring.labels.test_replay import DURATIONS, LAST_MS, SETTINGS, SLACK_MS, WINDOW_MS, Run
from wire import observations
from wire.errors import ObjectNotFound
from wire.kafka import EVENTS, EXPOSURES
from wire.objects import ObjectStore

NOT_ENDED = threading.Event()


@pytest.fixture
def store(object_store_env: dict[str, str]) -> ObjectStore:
    return ObjectStore.from_env(object_store_env | {"RAPT_S3_BUCKET": f"ledger-{secrets.token_hex(6)}"})


def streams() -> Streams:
    """Requests just before and after midnight (UTC)."""
    midnight_ms = BEGIN_MS // DAY_MS * DAY_MS + DAY_MS
    made = Streams()
    for number in range(12):
        at_ms = midnight_ms - 3000 + 500 * number
        made.add(exposure(f"r{number:02}"), at_ms)
        made.add(event(f"r{number:02}", f"e{number}"), at_ms + 100)
    return made


def objects(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get_bytes(key) for key in store.list(observations.PREFIX)}


def put_back(store: ObjectStore, wanted: dict[str, bytes]) -> None:
    for key in list(store.list(observations.PREFIX)):
        store.delete(key)
    for key, data in wanted.items():
        store.put_bytes(key, data)


def written(store: ObjectStore, made: Streams, steps: list[int]) -> list[dict[str, bytes]]:
    """Take over, read and commit in steps to the end; gives what was in the store after each commit."""
    ledger = Ledger(store)
    run = Run(made, head=ledger.take_over(WINDOW_MS, NOT_ENDED))
    states = [objects(store)]
    for step in [*steps, 10**6]:
        run.take(0, step)
        run.take(1, step)
        if step == 10**6:
            for which in (0, 1):
                run.joined.partitions[0].at_end(which, LAST_MS)
        prepared = run.joined.close(LAST_MS, run.positions(), DURATIONS.get)
        if prepared is not None:
            ledger.write(prepared)
            states.append(objects(store))
    return states


def rows(store: ObjectStore) -> list[dict[str, object]]:
    newest = observations.head(store)
    assert newest is not None
    tables = []
    for commit in observations.commits(store, 0, newest.seq):
        for one in commit.segments:
            assert hashlib.sha256(store.get_bytes(one.key)).hexdigest() == one.sha256
            tables.append(observations.read(store, one.key))
    return rows_of(tables)


@pytest.mark.slow
def test_every_prefix_of_the_writes_of_every_commit_leads_to_the_same_rows(store: ObjectStore) -> None:
    made = streams()
    asked = [(one.ts_ms, exposure(f"r{n:02}")) for n, one in enumerate(made.records[EXPOSURES])]
    acts = [(one.ts_ms, event(f"r{n:02}", f"e{n}")) for n, one in enumerate(made.records[EVENTS])]
    wanted = naive(asked, acts, WINDOW_MS, SLACK_MS, DURATIONS)
    states = written(store, made, [5, 3, 2])
    assert len(states) == 5
    assert rows(store) == wanted
    for before, after in pairwise(states):
        new = {key: data for key, data in after.items() if key not in before}
        order = sorted(new, key=lambda key: "commits/" in key)
        for length in range(len(order) + 1):
            put_back(store, before | {key: new[key] for key in order[:length]})
            written(store, made, [7, 1])
            assert rows(store) == wanted, f"after {order[:length]}"


def test_a_segment_of_an_interrupted_commit_does_not_stay(store: ObjectStore) -> None:
    """Whoever lists the folders of days finds no row twice."""
    made = streams()
    states = written(store, made, [5])
    put_back(store, states[1])
    seq = observations.head(store).seq  # type: ignore[union-attr]
    day = next(key for key in states[1] if "day=" in key).split("day=")[1][:10]
    store.put_bytes(observations.segment_key(day, seq + 1), b"half")
    Ledger(store).take_over(WINDOW_MS, NOT_ENDED)
    assert observations.segment_key(day, seq + 1) not in objects(store)


def test_the_newer_writer_goes_on_and_the_older_is_told(store: ObjectStore) -> None:
    old, new = Ledger(store), Ledger(store)
    first = old.take_over(WINDOW_MS, NOT_ENDED)
    old.refresh(first)
    second = new.take_over(WINDOW_MS, NOT_ENDED)
    assert (first.seq, second.seq, second.writer) == (0, 0, new.writer)
    with pytest.raises(AnotherJoiner, match=f"is {new.writer}'s now"):
        old.refresh(first)
    new.refresh(second)
    store.delete(observations.HEAD)
    with pytest.raises(AnotherJoiner, match="nobody"):
        new.refresh(second)


def test_readers_see_commits_in_order_up_to_the_head_and_columns_that_they_ask_for(store: ObjectStore) -> None:
    assert observations.head(store) is None
    written(store, streams(), [5, 3])
    newest = observations.head(store)
    assert newest is not None
    found = list(observations.commits(store, 1, newest.seq))
    assert [one.seq for one in found] == list(range(2, newest.seq + 1))
    assert observations.read(store, found[0].segments[0].key, ["engaged", "arm"]).column_names == ["engaged", "arm"]
    assert sum(one.rows for commit in found for one in commit.segments) < newest.counters["rows"] == 12
    with pytest.raises(ObjectNotFound):
        observations.commit(store, newest.seq + 1)


def test_old_days_and_commits_are_deleted_and_the_head_stays(store: ObjectStore) -> None:
    written(store, streams(), [5, 3])
    day_ms = BEGIN_MS // DAY_MS * DAY_MS
    kept = objects(store)
    assert expire(store, 1.0, day_ms + DAY_MS) == 0
    assert objects(store) == kept
    assert expire(store, 1.0, day_ms + 2 * DAY_MS + 1) > 0
    left = objects(store)
    assert {key.split("/")[1] for key in left if "day=" in key} == {"day=2023-11-15"}
    assert observations.HEAD in left
    assert sum("commits/" in key for key in left) == sum("commits/" in key for key in kept), "they are from later"
    expire(store, 1.0, LAST_MS + 3 * DAY_MS)
    assert list(objects(store)) == [observations.HEAD]


def test_a_joiner_of_another_window_takes_over_the_head(store: ObjectStore) -> None:
    written(store, streams(), [5])
    before = observations.head(store)
    claim = Ledger(store).take_over(2 * WINDOW_MS, NOT_ENDED)
    assert before is not None
    assert claim == msgspec.structs.replace(before, writer=claim.writer)
    assert SETTINGS.window_ms == claim.window_ms, "places are in terms of the window that made them"


def test_lengths_come_from_a_published_catalogue_that_is_what_its_manifest_says(
    store: ObjectStore, tmp_path: Path
) -> None:
    for name in REQUIRED:
        (tmp_path / name).touch()
    content = np.zeros((2, 3, 4), np.float32)
    write_catalogue(tmp_path, CatalogueTable(("v1", "v2"), content, np.array([3.5, 60.0]), content[0]))
    digest = seal(tmp_path, {})
    for file in tmp_path.iterdir():
        store.put_file(f"models/{digest}/{file.name}", file)
    assert catalogue_durations(store, digest) == {"v1": 3.5, "v2": 60.0}
    with pytest.raises(ObjectNotFound):
        catalogue_durations(store, "0" * 64)
    store.put_bytes(f"models/{digest}/catalogue.json", json.dumps(["v2", "v1"]).encode())
    with pytest.raises(InvalidBundle, match=r"catalogue\.json is not what the manifest says"):
        catalogue_durations(store, digest)
