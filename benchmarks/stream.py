"""The feeder beside Bytewax on the same topic of a real Kafka, and what the viewers' states cost.

    python -m benchmarks.stream [--events 4000000] [--viewers 1000000] [--rounds 3]

Feeder and peer read the same events, one after the other, several rounds, each alone on one core; the broker and
the object store have the others. Both checkpoint: Bytewax into SQLite on this disk every 10 s, its default, ours to
the object store from 3 s on. The feeder also orders, drops duplicates and lets others read. Before that, states of a
thousand to a million viewers with full histories are checkpointed, restored into an empty slab, and read at random.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import urllib3
from rich.console import Console
from rich.table import Table

from benchmarks.peers import environment
from benchmarks.plot import line_chart
from benchmarks.report import FOLDER, Row, record
from inference.state import open_reader
from inference.state.apply import SlabWriter
from inference.state.checkpoint import Checkpointer
from inference.state.index import Index
from inference.state.layout import META, Layout, Phase, Word
from inference.state.restore import restore
from inference.state.slab import META_BLOB, ROW_BLOB, create
from interest.history import HISTORY
from interest.records import FEEDBACK, Event
from interest.viewer_rows import ROW, user_key
from rapt.credentials import Credentials, credentials
from rapt.seaweed import seaweed
from rapt.service import start, stop
from tests.kafka_broker import KafkaBroker, jars
from tests.ports import free_ports
from wire.kafka import ALL, EVENTS, Admin, Client, producer
from wire.objects import ObjectStore

ROOT = Path(__file__).parent.parent
VIEWERS, VIDEOS = 20_000, 20_000
CURVE_VIEWERS = (1_000, 10_000, 100_000, 1_000_000)
INTERVAL_S, PEER_INTERVAL_S = 3.0, 10.0
PARTITIONS = 8
READS = 50_000
LONGEST_S = 900.0
FILLED_AT_ONCE = 50_000


def main() -> None:
    """Measure all and record it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=4_000_000, help="records in the topic")
    parser.add_argument("--viewers", type=int, default=1_000_000, help="viewers to restore")
    parser.add_argument("--rounds", type=int, default=3, help="runs of feeder and peer, in turns")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rapt-stream-")))
        shared = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rapt-stream-", dir=memory())))
        store = stack.enter_context(object_store(folder / "objects"))
        rows = by_viewers(ObjectStore.from_env(store), shared, options.viewers)
        rows += throughput(folder, shared, store, options.events, options.rounds)
    record("stream", rows)


def throughput(folder: Path, shared: Path, store: dict[str, str], events: int, rounds: int) -> list[Row]:
    """Events a second of the feeder and of Bytewax, in turns."""
    broker = KafkaBroker(folder / "kafka", jars())
    try:
        broker.prepare(secrets.token_hex(8))
        fill(broker, events)
        ours, peers = [], []
        for number in range(rounds):
            ours.append(feeder_rate(broker, shared / f"state-{number}", store, events))
            peers.append(bytewax_rate(broker, folder / f"recovery-{number}", events))
            print(f"round {number + 1}: feeder {ours[-1]:,.0f}/s, Bytewax {peers[-1]:,.0f}/s", flush=True)
    finally:
        broker.kill()
    ratios = [mine / theirs for mine, theirs in zip(ours, peers, strict=True)]
    return [
        {"name": "feeder_events_per_s", "value": statistics.median(ours), "unit": "events/s", "better": "higher",
         "interval": (min(ours), max(ours))},
        {"name": "feeder_ratio_bytewax", "value": statistics.median(ratios), "unit": "times", "better": "higher",
         "peer": "Bytewax (events/s)", "peer_value": statistics.median(peers), "ratio": statistics.median(ratios),
         "interval": (min(ratios), max(ratios))},
    ]  # fmt: skip


def fill(broker: KafkaBroker, events: int) -> None:
    """Write the events: every viewer's in the order of time, as apps send them."""
    admin = Admin(broker.plain)
    admin.create(ALL)
    admin.close()
    draw = np.random.default_rng(1)
    viewers, videos = draw.integers(VIEWERS, size=events).tolist(), draw.integers(VIDEOS, size=events).tolist()
    kinds, watch_ms = draw.integers(len(FEEDBACK), size=events).tolist(), draw.integers(60_000, size=events).tolist()
    encode, begin_ms = msgspec.json.Encoder().encode, time.time_ns() // 1_000_000 - events
    sender = producer(broker.plain, Client.CONFLUENT)
    for number in range(events):
        user_id = f"u{viewers[number]}"
        event = Event(
            event_id=f"{number:024x}", user_id=user_id, video_id=f"v{videos[number]}", request_id=f"{number:024x}",
            ts_ms=begin_ms + number, kind=FEEDBACK[kinds[number]], watch_ms=watch_ms[number], position=1 + number % 20,
        )  # fmt: skip
        while sender.unacknowledged > 50_000:
            time.sleep(0.001)
        sender.send(EVENTS, user_id.encode(), encode(event))
    sender.flush(120)
    sender.close()


def feeder_rate(broker: KafkaBroker, state: Path, store: dict[str, str], events: int) -> float:
    """Records a second from the feeder's first look at them to the last, by its own status."""
    forget_checkpoints(ObjectStore.from_env(store))
    port = free_ports()
    settings = {
        **store,
        "RAPT_KAFKA_BOOTSTRAP": broker.plain.bootstrap,
        "RAPT_STATE_FOLDER": str(state),
        "RAPT_STATE_MEMORY_MIB": "256",
        "RAPT_STATE_CHECKPOINT_S": f"{INTERVAL_S:g}",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "inference.feeder", "--host", "127.0.0.1", "--port", str(port)]
    with (state.parent / "feeder.log").open("w") as log:
        process = subprocess.Popen([*one_core(), *command], env={**os.environ, **settings}, stdout=log, stderr=log)
    try:
        first, begun = 0, 0.0
        give_up_at = time.monotonic() + LONGEST_S
        while time.monotonic() < give_up_at:
            now, records = time.perf_counter(), _status(port).get("records", 0)
            if records == events:
                assert _checkpointed(port), "more events: the feeder was through them before its first checkpoint"
                return (records - first) / (now - begun)
            if records and not first:
                first, begun = records, now
            time.sleep(0.05)
        raise AssertionError(f"the feeder did not end: {(state.parent / 'feeder.log').read_text()[-2000:]}")
    finally:
        process.kill()
        process.wait()


def bytewax_rate(broker: KafkaBroker, recovery: Path, events: int) -> float:
    """Records a second from Bytewax's first to its last."""
    recovery.mkdir()
    command = [str(environment.python("bytewax")), "-m", "benchmarks.peers.bytewax_app", broker.plain.bootstrap,
               str(recovery), f"{PEER_INTERVAL_S:g}"]  # fmt: skip
    done = subprocess.run(
        [*one_core(), *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=LONGEST_S,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["records"] == events, found
    return float(found["records"] / found["seconds"])


@dataclass(frozen=True)
class Costs:
    """What a state of so many viewers costs; reads as their 10th, 50th and 99th percentile."""

    bytes_per_viewer: float
    checkpoint_s: float
    restore_s: float
    read_us: tuple[float, float, float]


def by_viewers(store: ObjectStore, shared: Path, most: int) -> list[Row]:
    """The costs from a thousand viewers to `most`, printed and drawn; the rows are those of `most`."""
    sizes = [*(size for size in CURVE_VIEWERS if size < most), most]
    table = Table("viewers", "bytes a viewer", "checkpoint s", "restore s", "read us", "p99", title="viewers' states")
    lines: dict[str, list[tuple[float, float]]] = {"restore ms a 1,000 viewers": [], "read us": []}
    for viewers in sizes:
        costs = state_costs(store, shared / f"state-of-{viewers}", viewers)
        _, middle, high = costs.read_us
        table.add_row(f"{viewers:,}", f"{costs.bytes_per_viewer:,.0f}", f"{costs.checkpoint_s:.2f}",
                      f"{costs.restore_s:.2f}", f"{middle:.1f}", f"{high:.1f}")  # fmt: skip
        for line, value in zip(lines.values(), (costs.restore_s * 1e6 / viewers, middle), strict=True):
            line.append((viewers, value))
    Console().print(table)
    title = "What viewers' states cost, by their number"
    print(line_chart(FOLDER / "stream_viewers.svg", title, "viewers", "ms or us", lines, log_x=True))
    low, middle, high = costs.read_us
    return [
        {"name": "bytes_per_viewer", "value": costs.bytes_per_viewer, "unit": "bytes", "better": "lower"},
        {"name": "restore_million_s", "value": costs.restore_s * 1e6 / most, "unit": "s", "better": "lower"},
        {"name": "read_us", "value": middle, "unit": "us", "better": "lower", "interval": (low, high)},
    ]


def state_costs(store: ObjectStore, folder: Path, viewers: int) -> Costs:
    """Bytes a viewer, seconds to checkpoint and to restore them all, and microseconds to read one at random."""
    forget_checkpoints(store)
    folder.mkdir()
    writer = filled(SlabWriter(create(folder, Layout(viewers)), PARTITIONS), viewers)
    begun = time.perf_counter()
    checkpointer = Checkpointer(writer, store, interval_s=3600)
    assert checkpointer.finish(LONGEST_S), "the checkpoint was not written"
    checkpointer.close()
    checkpoint_s = time.perf_counter() - begun
    writer.slab.close()
    del writer, checkpointer
    os.sync()  # what was just uploaded is not to be written to the disk while it is read
    begun = time.perf_counter()
    slab = create(folder, Layout(viewers))
    restored = restore(slab, store)
    slab.words[Word.STATE] = Phase.SERVING
    restore_s = time.perf_counter() - begun
    assert restored.manifest is not None, "there was a checkpoint"
    assert slab.words[Word.VIEWERS] == viewers, "the checkpoint was this one"
    reader = open_reader(folder)
    users = [f"u{number}" for number in np.random.default_rng(2).integers(viewers, size=READS).tolist()]
    took = []
    SlabWriter(slab, PARTITIONS).beat(time.time_ns() // 1_000_000 + 3_600_000, 0, 0, ready=True)
    for user in users:
        begun = time.perf_counter()
        state = reader.read(user)
        took.append(time.perf_counter() - begun)
        assert len(state.rows) == HISTORY
    bytes_per_viewer = slab.size_bytes / viewers
    slab.close()
    shutil.rmtree(folder)
    low, middle, high = (float(value) * 1e6 for value in np.percentile(took, [10, 50, 99]))
    return Costs(bytes_per_viewer, checkpoint_s, restore_s, (low, middle, high))


def forget_checkpoints(store: ObjectStore) -> None:
    """Delete those of the measurement before."""
    for key in list(store.list("state/")):
        store.delete(key)


def filled(writer: SlabWriter, viewers: int) -> SlabWriter:
    """The writer with as many viewers of random full histories, written as a restore would."""
    slab, draw = writer.slab, np.random.default_rng(1)
    for begin in range(0, viewers, FILLED_AT_ONCE):
        size = min(FILLED_AT_ONCE, viewers - begin)
        rows = np.frombuffer(draw.bytes(size * HISTORY * ROW.itemsize), ROW).copy()
        rows["ts_ms"] = np.sort(draw.integers(10**12, 2 * 10**12, (size, HISTORY)), axis=1).ravel()
        keys = b"".join(user_key(b"u%d" % number) for number in range(begin, begin + size))
        metas = np.zeros(size, META)
        metas["high"], metas["low"] = np.frombuffer(keys, ">u8").reshape(-1, 2).T
        metas["last_ts_ms"] = rows["ts_ms"][HISTORY - 1 :: HISTORY]
        metas["last_offset"], metas["count"] = 10**6, HISTORY
        slab.meta_blobs[begin : begin + size] = metas.view(META_BLOB)
        slab.write_rows(begin, rows.view(ROW_BLOB).tobytes())
    slab.filled(viewers)
    slab.words[Word.USED] = slab.words[Word.VIEWERS] = viewers
    slab.offsets[:PARTITIONS] = 10**6
    Index(slab).rebuild()
    return writer


@contextmanager
def object_store(folder: Path) -> Iterator[dict[str, str]]:
    """A SeaweedFS of its own, as the environment that leads to it."""
    keys: Credentials = credentials(folder / "credentials.json")
    service = seaweed(folder / "data", free_ports(), keys, "rapt")
    start(service, folder / "run", deadline_s=60)
    try:
        yield {
            "RAPT_S3_ENDPOINT": service.address,
            "RAPT_S3_BUCKET": "rapt",
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        }
    finally:
        stop(service.name, folder / "run", grace_s=1)


def memory() -> Path | None:
    """A folder in memory, where the system has one."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made inside
    return shared if shared.is_dir() else None


def one_core() -> list[str]:
    """What to put before a command so that it has one core."""
    return ["taskset", "--cpu-list", str(max(os.sched_getaffinity(0)))]


def _checkpointed(port: int) -> bool:
    found = _status(port)
    print(f"  the feeder wrote {found['checkpoints']} checkpoints, {found['checkpoints_failed']} failed", flush=True)
    return found["checkpoints"] > 0 and not found["checkpoints_failed"]


def _status(port: int) -> dict[str, int]:
    try:
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/status", timeout=5, retries=False)
    except urllib3.exceptions.HTTPError:
        return {}
    found: dict[str, int] = json.loads(answer.data)
    return found


if __name__ == "__main__":
    main()
