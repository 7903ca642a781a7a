"""Whatever the order, the pace, the repetitions and the crashes: the rows are those of the plainest join."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from interest.records import Event, Exposure, Kind
from monitoring.labels.joined import Joined
from monitoring.labels.settings import LabelSettings
from tests.monitoring.labels.stream import BEGIN_MS, Streams, event, exposure, naive, rows_of
from wire.kafka import EVENTS, EXPOSURES
from wire.observations import Commit

WINDOW_MS, SLACK_MS = 1000, 400
SETTINGS = LabelSettings(window_ms=WINDOW_MS, slack_ms=SLACK_MS)
DURATIONS = {"v1": 2.0, "v2": 30.0}
TOPICS = (EXPOSURES, EVENTS)
LAST_MS = BEGIN_MS + 5 * 10**8


def streams(draw: random.Random) -> Streams:
    """Records whose order in each topic is that of time but for less than the slack; some come again."""
    sent: list[tuple[int, Exposure | Event]] = []
    span_ms = draw.choice([300, 3000, 10_000])
    for number in range(draw.randrange(40)):
        user, at = f"u{draw.randrange(4)}", draw.randrange(span_ms)
        one = exposure(f"r{number}", user, BEGIN_MS + draw.randrange(9), experiment=draw.choice([None, "e1"]),
                       failed=draw.random() < 0.3)  # fmt: skip
        sent.append((at, one))
        sent += [(at + draw.randrange(WINDOW_MS), one) for _ in range(draw.choice([0, 0, 0, 1, 2]))]
        for place in range(draw.randrange(7)):
            later = at + draw.choice([draw.randrange(-2 * SLACK_MS, WINDOW_MS + SLACK_MS), draw.randrange(50)])
            act = event(
                f"r{number}", f"r{number}e{place}", draw.choice(list(Kind)), draw.choice([user] * 9 + ["u0"]),
                video_id=draw.choice(["v1", "v2", "v9"]), watch_ms=draw.choice([0, 1999, 2000, 17_999, 18_000]),
                ts_ms=draw.randrange(5000), position=draw.randint(1, 9), randomised=draw.random() < 0.5,
            )  # fmt: skip
            sent.append((max(later, 0), act))
            if draw.random() < 0.2:
                sent.append((max(later, 0) + draw.randrange(2 * WINDOW_MS), act))
    made = Streams(partitions=draw.choice([1, 2]))
    for at, one in sorted(sent, key=lambda item: item[0] + draw.randrange(SLACK_MS)):
        made.add(one, BEGIN_MS + at)
    return made


@dataclass
class Run:
    """Joins that follow one another over the same topics and the same store, which holds what was committed."""

    streams: Streams
    head: Commit = field(default_factory=lambda: Commit(seq=0, writer="", window_ms=WINDOW_MS))
    files: dict[str, bytes] = field(default_factory=dict)
    segments: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As a process that starts: all that is known is the head."""
        self.head = msgspec.json.decode(msgspec.json.encode(self.head), type=Commit)
        self.joined = Joined(SETTINGS, self.head, self.streams.partitions)
        self.read = {
            (topic, number): self.head.places[number].replay[which] if number in self.head.places else 0
            for which, topic in enumerate(TOPICS)
            for number in range(self.streams.partitions)
        }

    def take(self, which: int, most: int) -> None:
        """Read some records of a topic."""
        wanted = [
            record
            for record in self.streams.records[TOPICS[which]]
            if record.offset >= self.read[record.topic, record.partition]
        ][:most]
        for record in wanted:
            self.read[record.topic, record.partition] = record.offset + 1
        if wanted:
            self.joined.take(which, wanted, LAST_MS)

    def positions(self) -> dict[int, tuple[int, int]]:
        return {
            number: (self.read[EXPOSURES, number], self.read[EVENTS, number])
            for number in range(self.streams.partitions)
        }

    def refresh(self) -> None:
        self.head = self.joined.refreshed(LAST_MS, self.positions())

    def flush(self, *, lost: bool = False) -> None:
        """Write what is closed; `lost`: the process dies before the head is written."""
        made = self.joined.close(LAST_MS, self.positions(), DURATIONS.get)
        if made is not None:
            self.files |= made.files
            if not lost:
                self.head = made.commit
                self.segments[made.commit.seq] = [segment.key for segment in made.commit.segments]
        if lost:
            self.begin()

    def finish(self) -> None:
        """Read all, and let time pass."""
        for which in (0, 1):
            self.take(which, 10**6)
            for partition in self.joined.partitions:
                partition.at_end(which, LAST_MS)
        self.flush()

    def tables(self) -> list[pa.Table]:
        return [pq.read_table(io.BytesIO(self.files[key])) for keys in self.segments.values() for key in keys]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**40))
def test_any_order_pace_repetition_and_crash_gives_the_rows_of_the_plainest_join(seed: int) -> None:
    draw = random.Random(seed)
    made = streams(draw)
    run = Run(made)
    acts_first = draw.random()
    for _ in range(draw.randrange(60)):
        match draw.choice(["take"] * 8 + ["flush", "flush", "refresh", "crash", "lost"]):
            case "take":
                run.take(int(draw.random() < acts_first), draw.choice([1, 3, 10, 40]))
            case "flush":
                run.flush()
            case "refresh":
                run.refresh()
            case "crash":
                run.begin()
            case "lost":
                run.flush(lost=True)
    run.finish()
    asked = [(one.ts_ms, msgspec.json.decode(one.value or b"", type=Exposure)) for one in made.records[EXPOSURES]]
    acts = [(one.ts_ms, msgspec.json.decode(one.value or b"", type=Event)) for one in made.records[EVENTS]]
    wanted = naive(asked, acts, WINDOW_MS, SLACK_MS, DURATIONS)
    assert rows_of(run.tables()) == wanted
    counters = run.head.counters
    assert counters.get("rows", 0) == len(wanted)
    assert counters.get("exposures", 0) == len(asked)
    assert counters.get("events", 0) == len(acts)
    distinct = {one.request_id: one for _, one in reversed(asked)}
    assert counters.get("duplicate_exposures", 0) == len(asked) - len(distinct)
    tried = [one for one in distinct.values() if one.experiment == "e1"]
    tally = run.head.tallies.get("e1", {}).get("stable")
    assert (tally.requests, tally.failed) == (len(tried), sum(one.failed for one in tried)) if tally else not tried
    first = {one.request_id: ms for ms, one in reversed(asked)}
    assert all(row["logged_ms"] == first[row["request_id"]] for row in wanted)


def test_a_window_that_is_changed_between_two_processes_loses_and_doubles_nothing() -> None:
    made = Streams()
    for number in range(10):
        made.add(exposure(f"r{number}", ts_ms=BEGIN_MS), BEGIN_MS + 300 * number)
        made.add(event(f"r{number}", f"e{number}"), BEGIN_MS + 300 * number + 10)
    for other in (400, 1900):
        run = Run(made)
        run.take(0, 8)
        run.take(1, 8)
        run.flush()
        before = {row["request_id"] for row in rows_of(run.tables())}
        assert 0 < len(before) < 8
        run.joined = Joined(LabelSettings(window_ms=other, slack_ms=SLACK_MS), run.head, 1)
        run.read = {(TOPICS[which], 0): run.head.places[0].replay[which] for which in (0, 1)}
        run.finish()
        rows = rows_of(run.tables())
        assert [row["request_id"] for row in rows] == [f"r{number}" for number in range(10)]
        assert {row["label_age_ms"] for row in rows if row["request_id"] not in before} == {other}
