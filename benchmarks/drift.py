"""What a verdict on drift costs: 100,000 rows of 20 columns beside Evidently's preset, and 10,000 vectors of 128.

    python -m benchmarks.drift [--rounds 5]

Both tables have so many rows and have not drifted. Evidently takes pandas frames and ours Arrow tables, each what it
would be given; making them is not measured. Each figure is the median over rounds that take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pyarrow as pa

from benchmarks.report import Row, record, seconds_of
from interest.drift.embeddings import Vectors, compare
from interest.drift.verdict import verdict

ROWS, NUMBERS, FLAGS, LEVELS = 100_000, 10, 4, 6
VIEWERS = 10_000
VECTORS, WIDTH = 10_000, 128
PEER = "Evidently DataDriftPreset"


def main() -> None:
    """Measure and record it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    record("monitoring", rows(measure(parser.parse_args().rounds)))


def rows(found: dict[str, list[float]]) -> list[Row]:
    """The figures by their names, from the seconds of each round."""
    made = [
        seconds_of("drift_100k_s", found["columns"]),
        seconds_of("drift_100k_grouped_s", found["grouped"]),
        seconds_of("embedding_drift_s", found["vectors"]),
    ]
    if "evidently" in found:
        ratios = [theirs / ours for ours, theirs in zip(found["columns"], found["evidently"], strict=True)]
        made.append(
            Row(
                name="drift_ratio_evidently", value=statistics.median(ratios), unit="times", better="higher",
                interval=(min(ratios), max(ratios)), peer=PEER, peer_value=statistics.median(found["evidently"]),
            )
        )  # fmt: skip
    return made


def measure(rounds: int = 5) -> dict[str, list[float]]:
    """Seconds of each round, by what was done."""
    reference, current = (table(np.random.default_rng(seed)) for seed in (1, 2))
    viewers = [np.random.default_rng(seed).integers(0, VIEWERS, ROWS) for seed in (3, 4)]
    grouped = [one.append_column("viewer", [who]) for one, who in zip((reference, current), viewers, strict=True)]
    first, second = (Vectors(np.random.default_rng(seed).standard_normal((VECTORS, WIDTH))) for seed in (5, 6))
    tasks: dict[str, Callable[[], object]] = {
        "columns": lambda: verdict(reference, current),
        "grouped": lambda: verdict(*grouped, groups="viewer"),
        "vectors": lambda: compare({"video": (first, second)}),
    }
    if find_spec("evidently") is None:
        print("evidently is not installed (extra `monitoring`): no ratio to it")
    else:
        tasks["evidently"] = evidently(reference, current)
    for task in tasks.values():
        task()
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            began = time.perf_counter()
            task()
            found[name].append(time.perf_counter() - began)
    return found


def table(rng: np.random.Generator) -> pa.Table:
    """Numbers, some of them null, booleans, and text of 5 to 30 levels."""
    columns: dict[str, pa.Array] = {}
    for number in range(NUMBERS):
        columns[f"number_{number}"] = pa.array(rng.standard_normal(ROWS), mask=rng.random(ROWS) < number / 100)
    for number in range(FLAGS):
        columns[f"flag_{number}"] = pa.array(rng.random(ROWS) < 0.3)
    for number in range(LEVELS):
        codes = pa.array(rng.integers(0, 5 * (number + 1), ROWS, np.int32))
        levels = pa.array([f"level {level}" for level in range(5 * (number + 1))])
        columns[f"text_{number}"] = pa.DictionaryArray.from_arrays(codes, levels)
    return pa.table(columns)


def evidently(reference: pa.Table, current: pa.Table) -> Callable[[], object]:
    """Evidently's verdict on the same tables."""
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    first, second = (Dataset.from_pandas(_plain(one).to_pandas()) for one in (reference, current))
    return lambda: Report([DataDriftPreset()]).run(second, first).dict()


def _plain(one: pa.Table) -> pa.Table:
    """Text as strings: pandas would make categories of dictionaries."""
    texts = [pa.string() if pa.types.is_dictionary(field.type) else field.type for field in one.schema]
    return one.cast(pa.schema(list(zip(one.column_names, texts, strict=True))))


if __name__ == "__main__":
    main()
