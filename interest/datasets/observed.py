"""Observations as a log to learn from: the canonical events, and how much each impression should count.

What served the viewers chose what they saw, so that a model which learns from it learns most about what its
predecessor liked. Pages at random, a share r of all, show each of n candidates with chance k / n. So the chance that a
video was shown is known from its rank alone,

    mu = (1 - r) [rank <= k] + r k / n        (the balance heuristic, Veach and Guibas 1995),

and (k / n) / mu makes the log stand for pages at random. Such weights leave few effective samples; `flattening` raises
them to a power below 1 (Shimodaira 2000): bias for variance.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from interest.bundle import Bundle
from interest.datasets.events import SCHEMA, sort_events
from interest.records import Kind

FLATTENING = 0.5
"""Power of the weights that a model learns with; it is judged with 1."""

Floats = NDArray[np.float64]


def impressions(observations: pa.Table) -> pa.Table:
    """The rows with a video, the first of each (request, video), in order of time; missing labels are left out."""
    shown = observations.filter(pc.is_valid(observations["video_id"]))
    shown = shown.sort_by([("logged_ms", "ascending"), ("request_id", "ascending"), ("position", "ascending")])
    keys = impression_ids(shown).dictionary_encode()
    _, first = np.unique(keys.indices.to_numpy(), return_index=True)
    return shown.take(pa.array(np.sort(first)))


def served_by(shown: pa.Table, digest: str, since_ms: int) -> pa.Table:
    """The rows of `impressions` that one model answered from `since_ms` on."""
    its = pc.equal(shown["model_digest"].cast(pa.string()), digest)
    return shown.filter(pc.and_(its, pc.greater_equal(shown["logged_ms"], since_ms)))


def chances(scored: pa.Table, bundle: Bundle) -> Floats:
    """What the model promised for each row, [N]: its score, taken to where the video was shown."""
    place, scored_at = (bundle.examination(scored[name].to_numpy()) for name in ("position", "scored_position"))
    return np.asarray(scored["score"].to_numpy().astype(np.float64) * place / scored_at)


def viewers(shown: pa.Table) -> NDArray[np.int64]:
    """A code of each row's viewer, [N]."""
    codes = shown["user_id"].combine_chunks().dictionary_encode().indices
    return np.asarray(codes.to_numpy(), np.int64)


def events(shown: pa.Table) -> pa.Table:
    """Canonical events of `impressions`: one for each, at the moment that it was scored, and one for each thing done.

    So a history holds what was known when the scores were made, as in serving. Ids: `<request>/<video>` for the
    impression, with `/<number>` for what was done.
    """
    ids = impression_ids(shown)
    feedback = shown["feedback"].combine_chunks()
    count = np.asarray(pc.fill_null(pc.list_value_length(feedback), 0), np.int64)
    of = np.repeat(np.arange(len(shown)), count)
    number = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    done = pa.table(feedback.flatten().flatten(), names=["kind", "ts_ms", "watch_ms", "position"])
    first = {
        "event_id": ids, "ts_ms": shown["ts_ms"], "kind": pa.repeat(Kind.IMPRESSION.value, len(shown)),
        "watch_ms": pa.array(np.zeros(len(shown), np.int64)), "position": shown["position"].cast(pa.int64()),
        "randomised": shown["randomised"],
    }  # fmt: skip
    then = {
        "event_id": pc.binary_join_element_wise(ids.take(pa.array(of)), pa.array(number).cast(pa.string()), "/"),
        "ts_ms": done["ts_ms"], "kind": done["kind"], "watch_ms": done["watch_ms"],
        "position": done["position"].cast(pa.int64()), "randomised": pa.repeat(False, len(of)),
    }  # fmt: skip
    whose = shown.select(["user_id", "video_id", "request_id"])
    parts = [_table(first, whose), _table(then, whose.take(pa.array(of)))]
    return sort_events(pa.concat_tables(parts))


def weights(shown: pa.Table, flattening: float = 1.0) -> Floats:
    """How much each row of `impressions` counts, with a mean of 1: as if all pages had been drawn at random.

    All count the same where no page was; a video that was not among the candidates does not count. The rows of a page
    belong together; a page that was not drawn is as long as its worst rank, though impressions of it may be missing.
    """
    rank = np.asarray(pc.fill_null(shown["rank"], 0), np.float64)
    candidates = np.asarray(shown["candidates"], np.float64)
    request = shown["request_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first, place, count = np.unique(request, return_index=True, return_inverse=True, return_counts=True)
    drawn = np.asarray(pc.fill_null(shown["randomised"], False), bool)
    np.maximum.at(count, place, np.where(drawn, 0, rank).astype(count.dtype))
    page = count[place]
    share = float(drawn[first].mean()) if len(first) else 0.0
    made = np.where(rank > 0, 1.0, 0.0)
    if share > 0:
        even = page / np.maximum(candidates, page)
        ratio = even / ((1.0 - share) * (rank <= page) + share * even)
        made *= ratio**flattening
    mean = made.mean() if len(made) else 0.0
    return made / mean if mean > 0 else np.ones(len(made))


def effective(weight: Floats) -> float:
    """How many equally weighted rows tell as much (Kish 1965)."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def impression_ids(shown: pa.Table) -> pa.Array:
    """Ids of the impressions' events."""
    joined = pc.binary_join_element_wise(shown["request_id"], shown["video_id"], "/")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _table(columns: dict[str, pa.Array], whose: pa.Table) -> pa.Table:
    columns = {**columns, **{name: whose[name] for name in whose.column_names}}
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
