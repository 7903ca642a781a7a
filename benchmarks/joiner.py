"""The label join alone: events a second through decoding, joining and Parquet, and its memory over a day.

    python -m benchmarks.joiner [--requests 270000]

Records lie in memory as bytes and are taken on one thread, in the order of a day that is run through as fast as it
goes: an exposure of 50 candidates, then five impressions and five times feedback. Their window is the default's ten
minutes; every ten simulated minutes what is closed becomes Parquet. Bytes are counted by tracemalloc, apart.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.report import Row, record
from interest.records import FEEDBACK, Event, Exposure, Kind
from monitoring.labels.joined import Joined
from monitoring.labels.settings import LabelSettings
from wire.kafka import EVENTS, EXPOSURES, Record
from wire.observations import Commit

VIDEOS, VIEWERS, CANDIDATES, PAGE = 20_000, 100_000, 50, 5
EVENTS_EACH = 2 * PAGE
DAY_MS, STEP_MS = 86_400_000, 600_000
PARTITIONS = 8
REQUESTS = 270_000
OPEN = 20_000
encode = msgspec.json.Encoder().encode


def main() -> None:
    """Measure and record it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests of the simulated day")
    record("experiments", rows(measure(parser.parse_args().requests)))


def rows(found: dict[str, float]) -> list[Row]:
    """The figures by their names; memory is flat when the day's end takes what its beginning did."""
    mib, peak = found["end_mib"], found["peak_mib"]
    return [
        Row(name="joiner_events_per_s", value=found["events_per_s"], unit="events/s", better="higher"),
        Row(name="joiner_memory_end_over_early", value=mib / found["early_mib"], unit="", better="lower"),
        Row(name="joiner_peak_mib", value=peak, unit="MiB", better="lower"),
        Row(name="joiner_bytes_per_open_request", value=found["bytes_per_open_request"], unit="B", better="lower"),
    ]


def measure(requests: int = REQUESTS) -> dict[str, float]:
    """Events a second, resident memory after a tenth, half and the whole day, and bytes of an open request."""
    joined = Joined(LabelSettings(), Commit(seq=0, writer="bench", window_ms=600_000), PARTITIONS)
    seconds, events, rows = 0.0, 0, 0
    resident: list[float] = []
    gc.set_threshold(100_000)
    steps = DAY_MS // STEP_MS
    for step, (exposures, acts) in enumerate(day(requests)):
        now_ms = acts[-1].ts_ms if acts else 0
        began = time.process_time()
        for start in range(0, len(acts), 4096):
            end = start + 4096
            share = slice(start // EVENTS_EACH, -(-end // EVENTS_EACH) if end < len(acts) else None)
            if exposures[share]:
                joined.take(0, exposures[share], now_ms)
            joined.take(1, acts[start:end], now_ms)
        made = joined.close(now_ms, dict.fromkeys(range(PARTITIONS), (0, 0)), lambda _: 12.0)
        seconds += time.process_time() - began
        events += len(acts)
        rows += sum(segment.rows for segment in made.commit.segments) if made else 0
        if step in {steps // 10, steps // 2, steps - 1}:
            resident.append(resident_mib())
    assert joined.counts.rejected == joined.counts.orphaned_events == 0, joined.counts
    assert rows == joined.counts.labelled_requests * PAGE, "every closed request has its page"
    return {
        "events_per_s": events / seconds,
        "early_mib": resident[0],
        "noon_mib": resident[1],
        "end_mib": resident[2],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bytes_per_open_request": bytes_per_open_request(),
    }


def bytes_per_open_request(requests: int = OPEN) -> float:
    """What an open request takes with its whole page of events."""
    exposures, acts = next(day(requests * DAY_MS // STEP_MS))
    joined = Joined(LabelSettings(), Commit(seq=0, writer="bench", window_ms=600_000), PARTITIONS)
    tracemalloc.start()
    joined.take(0, exposures, acts[-1].ts_ms)
    for start in range(0, len(acts), 4096):
        joined.take(1, acts[start : start + 4096], acts[-1].ts_ms)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert joined.open_requests == len(exposures), "all are open"
    return taken / len(exposures)


def day(requests: int) -> Iterator[tuple[list[Record], list[Record]]]:
    """The exposures and events of each ten minutes, made as they are asked for."""
    draw = np.random.default_rng(1)
    made = _requests(requests, draw)
    steps = DAY_MS // STEP_MS
    offsets = [0, 0]
    for step in range(steps):
        share = (step + 1) * requests // steps - step * requests // steps
        exposures: list[Record] = []
        acts: list[Record] = []
        for one, page in islice(made, share):
            key = one.user_id.encode()
            exposures.append(_record(EXPOSURES, offsets[0], one.ts_ms, key, encode(one)))
            offsets[0] += 1
            for act in page:
                acts.append(_record(EVENTS, offsets[1], act.ts_ms, key, encode(act)))
                offsets[1] += 1
        yield exposures, acts


def _record(topic: str, offset: int, ts_ms: int, key: bytes, value: bytes) -> Record:
    return Record(topic, int(key[-1]) % PARTITIONS, offset, ts_ms, key, value)


def _requests(requests: int, draw: np.random.Generator) -> Iterator[tuple[Exposure, list[Event]]]:
    for number in range(requests):
        ts_ms = number * DAY_MS // requests
        request_id, user_id = f"{number:032x}", f"u{draw.integers(VIEWERS)}"
        first = int(draw.integers(VIDEOS))
        videos = [f"v{(first + 379 * place) % VIDEOS}" for place in range(CANDIDATES)]
        scores = [round(score, 6) for score in draw.random(CANDIDATES).tolist()]
        exposure = Exposure(
            request_id=request_id, user_id=user_id, experiment="trial", arm="stable", propensity=0.5,
            model_digest="d" * 64, candidates=tuple(videos), positions=tuple(range(1, CANDIDATES + 1)),
            scores=tuple(scores), state_offset=(0, number), state_since=0, state_age_ms=5, ts_ms=ts_ms,
            baseline=0.5, latency_ms=1.5,
        )  # fmt: skip
        page = []
        for place in range(EVENTS_EACH):
            kind = Kind.IMPRESSION if place < PAGE else FEEDBACK[int(draw.integers(len(FEEDBACK)))]
            page.append(
                Event(event_id=f"{number:024x}{place:08x}", user_id=user_id, video_id=videos[place % PAGE],
                      request_id=request_id, ts_ms=ts_ms, kind=kind, watch_ms=9000, position=1 + place % PAGE)
            )  # fmt: skip
        yield exposure, page


def resident_mib() -> float:
    """Memory of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
