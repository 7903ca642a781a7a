"""What metrics cost: the share of transformer's and predictor's CPU that goes into counting, and into scrapes.

    python -m benchmarks.metrics [--rounds 9] [--seconds 10]

Both tiers run as in `rapt up`, at 100 requests/s, but time the calls that count (benchmarks/timed.py). Two pairs of
servers, one of which counts nothing, would differ by less than a shared machine's noise: so the time inside is
compared with the processes' CPU of the same rounds. A scrape of both, measured after that, is added as one every 15 s.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import urllib3

from benchmarks.load import cpu_s
from benchmarks.material import questions, viewers
from benchmarks.model import cached_bundle
from benchmarks.peers.servers import V1, Hosted, Started
from benchmarks.report import Row, record
from benchmarks.rounds import RATE, Bench, Plan
from benchmarks.stack import TIERS, Ours, ours
from benchmarks.timed import NAME
from interest.history import HISTORY
from rapt import service, serving
from rapt.service import Service
from tests.ports import free_ports

VIEWERS, QUESTIONS = 500, 1024
SCRAPE_S, SCRAPES = 15.0, 300
LIMIT = 0.02


def main() -> None:
    """Measure and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="how often it is measured")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a round")
    given = parser.parse_args()
    now_ms = int(time.time() * 1000)
    with tempfile.TemporaryDirectory(prefix="rapt-bench-") as name:
        folder, bundle = Path(name), cached_bundle()
        known = viewers(VIEWERS, now_ms, HISTORY, "metrics")
        bench = Bench(Plan(), folder, Hosted(bundle.folder, folder / "none", now_ms), questions(known, QUESTIONS), ())
        with ours(folder, bundle) as running:
            running.send(known)
            with timed(running) as side:
                record("monitoring", measured(bench, side, given.rounds, given.seconds))


def measured(bench: Bench, side: Started, rounds: int, seconds: float) -> list[Row]:
    """The share, and what it consists of."""
    bench.load(side, V1, seconds, rate=RATE)
    counting_ms, whole_ms = list[float](), list[float]()
    for _ in range(rounds):
        before = inside_s(side)
        load = bench.load(side, V1, seconds, rate=RATE)
        counting_ms.append(1e3 * (inside_s(side) - before) / load.requests)
        whole_ms.append(1e3 * sum(load.cpu_s) / load.requests)
        print(f"CPU ms a request: {counting_ms[-1]:.4f} of {whole_ms[-1]:.3f}", file=sys.stderr, flush=True)
    scrape_ms = scraped_ms(side)
    by_scrapes_ms = scrape_ms / (SCRAPE_S * RATE)
    shares = [(inside + by_scrapes_ms) / whole for inside, whole in zip(counting_ms, whole_ms, strict=True)]
    return [
        Row(
            name="metrics_cpu_share", value=statistics.median(shares), unit="share", better="lower",
            interval=(min(shares), max(shares)), peer="limit", peer_value=LIMIT,
        ),
        Row(name="metrics_us", value=1e3 * statistics.median(counting_ms), unit="CPU us/request", better="lower"),
        Row(name="metrics_scrape_ms", value=scrape_ms, unit="CPU ms, both tiers", better="lower"),
    ]  # fmt: skip


def inside_s(side: Started) -> float:
    """CPU seconds that both tiers have spent in metrics so far."""
    pages = [urllib3.request("GET", address).data.decode() for address in _addresses(side)]
    return sum(float(re.findall(rf"^{NAME}_total (\S+)$", page, re.MULTILINE)[0]) for page in pages)


def scraped_ms(side: Started) -> float:
    """CPU of one scrape of both tiers, in milliseconds."""
    before = sum(cpu_s(pid) for pid in side.pids)
    for _ in range(SCRAPES):
        inside_s(side)
    return 1e3 * (sum(cpu_s(pid) for pid in side.pids) - before) / SCRAPES


def _addresses(side: Started) -> list[str]:
    host, _, port = side.address.rpartition(":")
    return [f"http://{host}:{int(port) + serving.OFFSETS[name][0]}/metrics" for name in TIERS]


@contextmanager
def timed(running: Ours) -> Iterator[Started]:
    """Another transformer and predictor beside those of a stack, on the clock; ended afterwards."""
    chosen = msgspec.structs.replace(running.settings, serving_port=free_ports())
    environment = chosen.environment() | chosen.stream_environment()
    predictor = next(one for one in serving.backends(chosen, environment) if one.name == "predictor")
    folder = chosen.run_folder / "timed"
    pair = [_timed(one) for one in (predictor, serving.transformer(chosen, environment))]
    try:
        for one in pair:
            service.start(one, folder, chosen.start_deadline_s)
        found = [service.find(name, folder) for name in TIERS]
        yield Started("timed", chosen.endpoint.removeprefix("http://"), tuple(one.pid for one in found if one))
    finally:
        for one in reversed(pair):
            service.stop(one.name, folder, chosen.stop_grace_s)


def _timed(one: Service) -> Service:
    python, flag, *rest = one.command
    return replace(one, command=(python, flag, "benchmarks.timed", *rest))


if __name__ == "__main__":
    main()
