"""A simulated run as the records of a real product: the events table, and beside it the truth of each impression."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from interest.catalog import Catalog
from interest.records import Kind
from interest.simulator.oracle import impersonal
from interest.simulator.viewers import Impressions, Ints
from interest.simulator.world import VideoLatents

SHARES_EVERY = 5
"""Every fifth viewer that likes shares instead."""
SKIP_BELOW_MS = 2000


def events_table(log: Impressions, catalog: Catalog) -> pa.Table:
    """One impression and one feedback event for each cell of the log, sorted by time; see `records.Event`."""
    viewers, steps = log.video.shape
    viewer, step = (axis.ravel() for axis in np.indices((viewers, steps)))
    request = pc.binary_join_element_wise(_ids("u", viewer), _ids("r", step), "-")
    video_ids = pa.array([video.video_id for video in catalog]).take(pa.array(log.video.ravel()))
    common = {
        "user_id": _ids("u", viewer),
        "video_id": video_ids,
        "request_id": request,
        "position": pa.array(log.position.ravel().astype(np.int32)),
    }
    zeros = pa.array(np.zeros(viewers * steps, np.int64))
    shown = pa.table(
        common
        | {
            "event_id": pc.binary_join_element_wise(request, "i", "-"),
            "ts_ms": pa.array(log.ts_ms.ravel()),
            "kind": pa.array([Kind.IMPRESSION.value] * len(viewer)),
            "watch_ms": zeros,
            "randomised": pa.array(log.randomised.ravel()),
        }
    )
    reacted = pa.table(
        common
        | {
            "event_id": pc.binary_join_element_wise(request, "f", "-"),
            "ts_ms": pa.array((log.ts_ms + log.watch_ms).ravel()),
            "kind": pa.array(_feedback_kind(log, step)),
            "watch_ms": pa.array(log.watch_ms.ravel()),
            "randomised": pa.array(np.zeros(len(viewer), bool)),
        }
    )
    return pa.concat_tables([shown, reacted]).sort_by([("ts_ms", "ascending"), ("event_id", "ascending")])


def truth_table(log: Impressions, latents: VideoLatents) -> pa.Table:
    """What only the world knows of each impression: `event_id`, `p_latent`, `p_honest`, `p_impersonal`."""
    viewers, steps = log.video.shape
    viewer, step = (axis.ravel() for axis in np.indices((viewers, steps)))
    request = pc.binary_join_element_wise(_ids("u", viewer), _ids("r", step), "-")
    return pa.table(
        {
            "event_id": pc.binary_join_element_wise(request, "i", "-"),
            "p_latent": log.p_latent.ravel(),
            "p_honest": log.p_honest.ravel(),
            "p_impersonal": impersonal(log.base, log.video, log.position, latents).ravel(),
        }
    )


def _feedback_kind(log: Impressions, step: Ints) -> NDArray[np.object_]:
    liked = np.where(step % SHARES_EVERY == 0, Kind.SHARE.value, Kind.LIKE.value)
    passive = np.where(log.watch_ms.ravel() < SKIP_BELOW_MS, Kind.SKIP.value, Kind.WATCH.value)
    passive = np.where(log.engaged.ravel(), Kind.WATCH.value, passive)
    return np.where(log.liked.ravel(), liked, passive).astype(object)


def _ids(prefix: str, numbers: Ints) -> pa.Array:
    text = pc.utf8_lpad(pa.array(numbers.astype(np.int64)).cast(pa.string()), width=5, padding="0")
    return pc.binary_join_element_wise(prefix, text, "")
