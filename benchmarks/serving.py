"""What a prediction costs through both tiers, beside five servers that host the same scorer in one, and a naive one.

    python -m benchmarks.serving [--quick] [--only ours FastAPI ...]

Ours is the whole laptop stack: the transformer reads the viewer's state, which the feeder made of events in Kafka,
asks the predictor over HTTP and logs the exposure. A peer gets the same model, requests and histories, the latter in
memory and ready for the model (peers/host.py), in one process or what it makes of that, in an environment of its own.
Before anything is measured, its probabilities must equal ours.

Compared is what a CPU second of the server's processes (for ours: transformer and predictor) answers at saturation,
peer and ours in turns, several rounds, so that a slow minute of the machine meets both; intervals are the lowest and
highest round. Viewers take turns, more of them than the predictor keeps encodings of, so that ours encodes the viewer
on every request as the peers do; what it costs when viewers come back soon is told apart, and so is what the stream
adds (broker, feeder, object store: state is kept, exposures are written). Latencies are those of an open loop at 100
requests/s, counted from when a request was due. Where Java and Maven are, latency and freshness are measured on a real
Kafka too: on the laptop the broker writes to the object store, which takes longer.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.material import CANDIDATES, questions, viewers, write_histories
from benchmarks.model import cached_bundle
from benchmarks.peers import servers
from benchmarks.peers.host import Host
from benchmarks.peers.servers import NAIVE, PEERS, V1, Hosted, Peer, Question
from benchmarks.plot import line_chart
from benchmarks.report import FOLDER, Row, record
from benchmarks.rounds import QUICK, RATE, Bench, Plan, Side
from benchmarks.stack import TIERS, Ours, ours
from interest.bundle import Bundle
from interest.history import HISTORY
from interest.records import Event, Kind
from interest.serving import KEPT_VIEWERS
from tests.kafka_broker import KafkaBroker, jars, missing_programs
from wire.kafka.topics import EVENTS

OURS = "ours"
VIEWERS, QUESTIONS = 2 * KEPT_VIEWERS, 1024
CURVE_CANDIDATES, CURVE_HISTORIES = (1, 10, 50, 100, 200, 500), (0, 10, 25, 50, HISTORY)
RETURNING = 50
ARRIVED_S, CHANGED_S = 120.0, 10.0
BEGUN = time.monotonic()
STREAM = ("broker", "feeder", "object-store")


def say(what: str) -> None:
    """Where the run is, on stderr."""
    print(f"{time.monotonic() - BEGUN:6.1f} s  {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: whether it works, not how well")
    names = (OURS, *(peer.name for peer in (*PEERS, NAIVE)))
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="measure these alone")
    given = parser.parse_args()
    plan = QUICK if given.quick else Plan()
    with tempfile.TemporaryDirectory(prefix="rapt-bench-") as name, ExitStack() as closing:
        folder, now_ms = Path(name), int(time.time() * 1000)
        say("the model: trained unless the cache has it")
        bundle, known = cached_bundle(), viewers(VIEWERS, now_ms, HISTORY, _prefix(HISTORY))
        hosted = Hosted(bundle.folder, write_histories(folder / "histories.npz", known), now_ms)
        host, asked = Host(hosted.bundle, hosted.histories, now_ms), questions(known, QUESTIONS)
        expected = [np.array(host.scores(*question)) for question in asked[:VIEWERS]]
        bench = Bench(plan, folder, hosted, asked, expected)
        running = closing.enter_context(ours(folder, bundle)) if OURS in given.only else None
        compared(bench, running, [peer for peer in PEERS if peer.name in given.only], naive=NAIVE.name in given.only)
        closing.close()
        if running is not None:
            on_kafka(bench, folder, bundle)


def on_kafka(bench: Bench, folder: Path, bundle: Bundle) -> None:
    """Latency and freshness where events and exposures go through a real Kafka, as they do on a cluster."""
    if reason := missing_programs():
        say(f"not measured on Kafka: {reason}")
        return
    say("ours on a real Kafka")
    broker = KafkaBroker(folder / "kafka", jars())
    try:
        broker.prepare(secrets.token_hex(8))
        with ours(folder / "on-kafka", bundle, broker.plain.bootstrap) as running:
            arrive(running, bench)
            bench.load(running.started, V1, bench.plan.warm_s)
            rated = [bench.load(running.started, V1, bench.plan.rate_s, rate=RATE) for _ in range(bench.plan.rounds)]
            fresh_ms = freshness(bench, running)
    finally:
        broker.kill()
    record(
        "serving",
        [
            _row("predict_kafka_p50_ms", [load.p50_ms for load in rated], "ms"),
            _row("predict_kafka_p99_ms", [load.p99_ms for load in rated], "ms"),
            _row("freshness_kafka_p99_ms", [float(np.percentile(fresh_ms, 99))], "ms"),
        ],
    )


def arrive(running: Ours, bench: Bench) -> float:
    """Send all events, and wait until every viewer is answered as the host does; the largest difference."""
    say("ours is up; it gets the viewers' events")
    now_ms, worst = bench.hosted.now_ms, 0.0
    for length in CURVE_HISTORIES:
        running.send(viewers(VIEWERS, now_ms, length, _prefix(length)))
    address, give_up_at = running.started.address, time.monotonic() + ARRIVED_S
    for question, expected in zip(bench.asked, bench.expected, strict=False):
        while (off := float(np.abs(V1.ask(address, question, now_ms) - expected).max())) > servers.EQUAL:
            assert time.monotonic() < give_up_at, f"ours answers {question[0]} otherwise than the scorer, by {off}"
        worst = max(worst, off)
    return worst


def compared(bench: Bench, running: Ours | None, peers: Sequence[Peer], *, naive: bool) -> None:
    """Measure, print, record."""
    plan, mine, sides = bench.plan, Side(), {peer.name: Side() for peer in peers}
    if running is not None:
        mine.difference = arrive(running, bench)
        bench.load(running.started, V1, plan.warm_s)
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        if running is not None:
            mine.rated.append(bench.load(running.started, V1, plan.rate_s, rate=RATE))
            mine.saturated.append(bench.load(running.started, V1, plan.saturated_s))
        for peer in peers:
            bench.peer(peer, sides[peer.name], None if running is None else lambda: running.started)
    if naive:
        say("the naive service")
        sides[NAIVE.name] = Side()
        bench.naive(sides[NAIVE.name])
    Console().print(_peers_table({OURS: mine, **sides} if running else sides))
    if running is not None:
        record("serving", [*_ratios(mine, sides), *_latencies(mine, sides), *_of_ours(bench, running)])
        curves(bench, running)


def _ratios(mine: Side, sides: dict[str, Side]) -> list[Row]:
    """Answers for a CPU second, ours to the best peer's and to the naive service's."""
    rows: list[Row] = []
    peers = {name: side for name, side in sides.items() if name != NAIVE.name}
    if peers:
        best = max(peers, key=lambda name: peers[name].per_cpu_s)
        ratios = peers[best].ratios
        rows.append(_row("throughput_ratio_best_peer", ratios, "times", better="higher")
                    | {"peer": f"{best}, requests/CPU s", "peer_value": peers[best].per_cpu_s,
                       "ratio": statistics.median(ratios)})  # fmt: skip
    if NAIVE.name in sides:
        per_cpu_s = sides[NAIVE.name].per_cpu_s
        ratios = [load.per_cpu_s / per_cpu_s for load in mine.saturated]
        rows.append(_row("naive_ratio", ratios, "times", better="higher")
                    | {"peer": "naive, requests/CPU s", "peer_value": per_cpu_s,
                       "ratio": statistics.median(ratios)})  # fmt: skip
    return [*rows, _row("requests_per_cpu_s", [load.per_cpu_s for load in mine.saturated], "1/s", better="higher")]


def _latencies(mine: Side, sides: dict[str, Side]) -> list[Row]:
    """At 100 requests/s, beside the quickest peer."""
    rated = {name: side.rated[0] for name, side in sides.items() if side.rated}
    rows = []
    for name in ("p50_ms", "p99_ms"):
        row = _row(f"predict_{name}", [getattr(load, name) for load in mine.rated], "ms")
        if rated:
            best = min(rated, key=lambda peer: float(getattr(rated[peer], name)))
            theirs = float(getattr(rated[best], name))
            row |= {"peer": best, "peer_value": theirs, "ratio": theirs / row["value"]}
        rows.append(row)
    return rows


def _of_ours(bench: Bench, running: Ours) -> list[Row]:
    """What only ours has: freshness, memory, start, the stream's share."""
    say("ours alone")
    fresh_ms = freshness(bench, running)
    back = bench.load(running.started, V1, bench.plan.saturated_s, asked=bench.asked[:RETURNING])
    pids = [running.process(name).pid for name in (*TIERS, *STREAM)]
    spent = bench.load(running.started, V1, bench.plan.saturated_s, pids=pids)
    by_process = [1e3 * cpu_s / spent.requests for cpu_s in spent.cpu_s]
    named = zip((*TIERS, *STREAM), by_process, strict=True)
    print("CPU ms a request: " + ", ".join(f"{name} {cpu_ms:.2f}" for name, cpu_ms in named))
    return [
        _row("freshness_p99_ms", [float(np.percentile(fresh_ms, 99))], "ms"),
        _row("returning_cpu_ms", [1e3 / back.per_cpu_s], "CPU ms/request"),
        _row("stream_cpu_ms", [sum(by_process[len(TIERS) :])], "CPU ms/request"),
        _row("predictor_rss_mb", [running.process("predictor").memory_info().rss / 1e6], "MB"),
        _row("predictor_ready_s", [running.predictor_ready_s() for _ in range(bench.plan.rounds)], "s"),
    ]


def freshness(bench: Bench, running: Ours) -> list[float]:
    """Milliseconds from sending an event to the first changed answer, one after the other, at 100 requests/s."""
    started, found = running.started, list[float]()
    with ThreadPoolExecutor(1) as beside:
        load = beside.submit(bench.load, started, V1, bench.plan.fresh_s, rate=RATE)
        while not load.done():
            user_id, video_ids = bench.asked[len(found) % len(bench.asked)]
            found.append(_one_change(running, started.address, (user_id, video_ids[:10]), len(found)))
        load.result()
    running.events.flush(CHANGED_S)
    print(f"event to changed prediction: {len(found)} events, median {np.median(found):.1f} ms")
    return found


def _one_change(running: Ours, address: str, question: Question, number: int) -> float:
    ts_ms = int(time.time() * 1000)
    # The moment stays the same, so that only the state can change the answer.
    before = V1.ask(address, question, ts_ms + 1)
    event = Event(event_id=f"fresh-{number}", user_id=question[0], video_id=question[1][0], request_id="fresh",
                  ts_ms=ts_ms, kind=Kind.LIKE)  # fmt: skip
    begun = time.perf_counter()
    running.events.send(EVENTS, question[0].encode(), msgspec.json.encode(event))
    while (V1.ask(address, question, ts_ms + 1) == before).all():
        assert time.perf_counter() - begun < CHANGED_S, f"the event changed nothing within {CHANGED_S:g} s"
    return (time.perf_counter() - begun) * 1e3


def curves(bench: Bench, running: Ours) -> None:
    """Latency and CPU by candidates and by history, one request at a time: printed and drawn."""
    now_ms = bench.hosted.now_ms
    by_history = {length: viewers(VIEWERS, now_ms, length, _prefix(length)) for length in CURVE_HISTORIES}
    asked = {
        "candidates": {count: questions(by_history[HISTORY], VIEWERS, count) for count in CURVE_CANDIDATES},
        "history": {length: questions(some, VIEWERS) for length, some in by_history.items()},
    }
    for name, points in asked.items():
        table = Table(name, "median ms", "p99 ms", "CPU ms", title=f"one request at a time, by {name}")
        lines: dict[str, list[tuple[float, float]]] = {"median ms": [], "CPU ms, both tiers": []}
        for point, some in points.items():
            load = bench.load(running.started, V1, bench.plan.curve_s, connections=1, asked=some)
            cpu_ms = 1e3 / load.per_cpu_s
            table.add_row(str(point), f"{load.p50_ms:.2f}", f"{load.p99_ms:.2f}", f"{cpu_ms:.2f}")
            for line, value in zip(lines.values(), (load.p50_ms, cpu_ms), strict=True):
                line.append((point, value))
        Console().print(table)
        title = f"A prediction's cost by {name}"
        print(line_chart(FOLDER / f"serving_{name}.svg", title, name, "ms", lines))


def _prefix(length: int) -> str:
    """Of the ids of viewers with such a history."""
    return f"history{length}"


def _row(name: str, values: Sequence[float], unit: str, better: str = "lower") -> Row:
    row: Row = {"name": name, "value": statistics.median(values), "unit": unit, "better": better}  # type: ignore[typeddict-item]
    if len(values) > 1:
        row["interval"] = (min(values), max(values))
    return row


def _peers_table(sides: dict[str, Side]) -> Table:
    """CPU and requests/s at saturation, latencies of the open loop, how many times a peer's CPU ours gets by with."""
    table = Table("server", "CPU ms", "req/s", "p50 ms", "p99 ms", "ours, times better", "differs by",
                  title=f"{CANDIDATES} candidates, history {HISTORY}; latency at {RATE:g}/s")  # fmt: skip
    for name, side in sides.items():
        latencies = ["", ""]
        if side.rated:
            medians = (statistics.median(getattr(load, key) for load in side.rated) for key in ("p50_ms", "p99_ms"))
            latencies = [f"{value:.2f}" for value in medians]
        ratios = side.ratios if side.ours else []
        better = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
        per_s = statistics.median(load.per_s for load in side.saturated)
        table.add_row(name, f"{1e3 / side.per_cpu_s:.2f}", f"{per_s:.1f}", *latencies, better, f"{side.difference:.1g}")
    return table


if __name__ == "__main__":
    main()
