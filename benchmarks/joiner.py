"""What joining labels costs: events a second on one core, and memory over a simulated day.

    python -m benchmarks.joiner [--events 3000000]

Records as the brokers give them, in memory, through decoding, join and Parquet; traffic of one simulated day, each
request with 50 candidates and a page of five, watched one after the other, in an open window of ten minutes.
"""

from __future__ import annotations

import argparse
import gc
import io
import time
from collections.abc import Iterator

import msgspec
import psutil
import pyarrow.parquet as pq

from benchmarks.report import Row, record
from interest.records import Event, Exposure, Kind
from monitoring.labels.rows import Rows
from monitoring.labels.window import Window

DAY_MS, WINDOW_MS, SLACK_MS = 86_400_000, 600_000, 10_000
CANDIDATES, PAGE = 50, 5
FLUSH_EVERY = 20_000
"""Rows of a Parquet file."""


def records(requests: int) -> Iterator[tuple[int, bytes, list[tuple[int, bytes]]]]:
    """A day of requests: the exposure's time and body, and its events'."""
    names = tuple(f"video-{number:05d}" for number in range(CANDIDATES))
    scores = tuple(0.01 * number for number in range(CANDIDATES))
    for number in range(requests):
        at_ms = number * DAY_MS // requests
        request, user = f"{number:032x}", f"viewer-{number % 50_000}"
        shown = Exposure(
            request_id=request, user_id=user, experiment="x", arm="stable", propensity=0.5, model_digest="a" * 64,
            candidates=names, positions=(1,) * CANDIDATES, scores=scores, state_offset=(0, number), state_since=0,
            state_age_ms=3, ts_ms=at_ms, baseline=0.4, latency_ms=2.1,
        )  # fmt: skip
        events = []
        for place in range(PAGE):
            for kind, later in ((Kind.IMPRESSION, 0), (Kind.WATCH, 8000)):
                one = Event(
                    event_id=f"{request}-{place}-{kind}", user_id=user, video_id=names[place], request_id=request,
                    ts_ms=at_ms, kind=kind, watch_ms=9000 if later else 0, position=place + 1,
                )  # fmt: skip
                events.append((at_ms + 9000 * place + later, msgspec.json.encode(one)))
        yield at_ms, msgspec.json.encode(shown), events


def join(requests: int) -> tuple[float, int, list[int]]:
    """Seconds of joining alone, rows written, resident memory (bytes) through the day."""
    window, rows = Window(WINDOW_MS, SLACK_MS), Rows(WINDOW_MS, lambda *_: 12.0)
    process, memory = psutil.Process(), []
    spent, written, offset = 0.0, 0, 0
    gc.collect()
    for number, (at_ms, body, events) in enumerate(records(requests)):
        began = time.perf_counter()
        window.exposure(at_ms, number, body)
        for ts_ms, event in events:
            window.event(ts_ms, offset, event)
            offset += 1
        for request in window.close(at_ms - SLACK_MS):
            rows.add(request)
        if rows.count >= FLUSH_EVERY:
            for table in rows.take().values():
                pq.write_table(table, io.BytesIO(), compression="zstd")
                written += table.num_rows
        spent += time.perf_counter() - began
        if number % max(1, requests // 20) == 0:
            memory.append(process.memory_info().rss)
    return spent, written, memory


def open_bytes(requests: int = 40_000) -> float:
    """Memory of one request whose window is open, with all that came of it."""
    window, before, offset = Window(DAY_MS, SLACK_MS), psutil.Process().memory_info().rss, 0
    for number, (at_ms, body, events) in enumerate(records(requests)):
        window.exposure(at_ms, number, body)
        for ts_ms, event in events:
            window.event(ts_ms, offset, event)
            offset += 1
    return (psutil.Process().memory_info().rss - before) / len(window)


def measure(events: int = 3_000_000) -> list[Row]:
    """The figures; memory is flat when the day's second half is as large as its first."""
    requests = events // (2 * PAGE)
    each = open_bytes()
    spent, _, memory = join(requests)
    first, second = max(memory[2:10]), max(memory[10:])
    rows: list[Row] = [
        {"name": "joiner_events_per_s", "value": requests * (2 * PAGE + 1) / spent, "unit": "records/s",
         "better": "higher"},
        {"name": "joiner_memory_second_half_over_first", "value": second / first, "unit": "", "better": "lower"},
        {"name": "joiner_bytes_per_open_request", "value": each, "unit": "B",
         "better": "lower"},
    ]  # fmt: skip
    return rows


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joiner", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=3_000_000, help="events of the simulated day")
    record("experiments", measure(parser.parse_args().events))


if __name__ == "__main__":
    main()
