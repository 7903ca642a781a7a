"""Render a simulated world: mp4 files into the object store, their catalogue, and the truth behind them."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.progress import progress
from components.runtime import memo
from interest.catalog import Catalog, read_jsonl, write_jsonl
from interest.records import Video
from interest.simulator.captions import caption
from interest.simulator.renderer import RenderSettings, render
from interest.simulator.world import sample_videos, signals, video_id
from wire.objects import ObjectStore
from wire.workers import workers

SHARD = 64
"""Videos rendered between two points from which a killed run goes on."""


@dataclass(frozen=True)
class Plan:
    """All that one file and its catalogue entry are made of; each signal is [6]."""

    video_id: str
    video: NDArray[np.float64]
    audio: NDArray[np.float64]
    text: NDArray[np.float64]
    duration_s: float
    published_at_ms: int
    seed: int


def run(catalog: Path, world: Path, *, videos: int, seed: int, processes: int = 2) -> dict[str, Any]:
    """Write the folder `catalog` of `videos` rendered videos and, into the folder `world`, their latents.

    The files go to the object store as `videos/<sha256>`. Returns {"videos": count}.
    """
    latents = sample_videos(videos, seed)
    seen = signals(latents, seed)
    plans = [
        Plan(
            video_id=video_id(row),
            video=seen["video"][row],
            audio=seen["audio"][row],
            text=seen["text"][row],
            duration_s=float(latents.length_s[row]),
            published_at_ms=int(latents.published_ms[row]),
            seed=seed * 1_000_000 + row,
        )
        for row in range(videos)
    ]
    store = ObjectStore.from_env()
    rendered: list[Video] = []
    with (
        workers(processes) as pool,
        progress("render videos", videos, unit="videos") as bar,
    ):
        for start in range(0, videos, SHARD):
            rendered.extend(_shard(store, pool, plans[start : start + SHARD], bar.advance))
            bar.set(len(rendered))
    Catalog(tuple(rendered)).write(catalog)
    latents.write(world)
    return {"videos": len(rendered)}


def render_plans(plans: list[Plan], folder: Path, pool: Executor) -> Iterator[tuple[Plan, Path]]:
    """Render every plan into `folder` on `pool`; yields each with its file, in order, once it is there."""
    paths = [folder / f"{plan.video_id}.mp4" for plan in plans]
    waiting = [
        pool.submit(
            render,
            path,
            picture=plan.video,
            sound=plan.audio,
            duration_s=plan.duration_s,
            seed=plan.seed,
            settings=RenderSettings(),
        )
        for plan, path in zip(plans, paths, strict=True)
    ]
    for plan, path, future in zip(plans, paths, waiting, strict=True):
        future.result()
        yield plan, path


def _shard(store: ObjectStore, pool: Executor, plans: list[Plan], advance: Callable[[], None]) -> list[Video]:
    """Catalogue entries of one shard, rendered unless an earlier run did it; `advance` after each."""

    def compute(entries: Path) -> None:
        videos: list[Video] = []
        with tempfile.TemporaryDirectory() as folder:
            for made in render_plans(plans, Path(folder), pool):
                videos.append(_upload(store, *made))
                advance()
        write_jsonl(entries, videos)

    key = {"plans": _digest(plans), "settings": dataclasses.asdict(RenderSettings()), "bucket": store.bucket}
    with tempfile.TemporaryDirectory() as folder:
        entries = Path(folder) / "videos.jsonl"
        store.get_blob(memo(store, key, compute), entries)
        return list(read_jsonl(entries, Video))


def _upload(store: ObjectStore, plan: Plan, path: Path) -> Video:
    key = f"videos/{hashlib.sha256(path.read_bytes()).hexdigest()}"
    store.put_file(key, path)
    path.unlink()
    return Video(
        video_id=plan.video_id,
        uri=store.uri(key),
        caption=caption(plan.text, plan.seed),
        duration_s=plan.duration_s,
        published_at_ms=plan.published_at_ms,
    )


def _digest(plans: list[Plan]) -> str:
    fields = [
        (
            p.video_id,
            p.video.tolist(),
            p.audio.tolist(),
            p.text.tolist(),
            p.duration_s,
            p.published_at_ms,
            p.seed,
        )
        for p in plans
    ]
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
