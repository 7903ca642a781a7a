"""Samples a second of training, beside the naive design that encodes every candidate anew in each step.

    python -m benchmarks.training [--rounds 5]

Ours is one epoch of all stages: the factorisation of the log (all of its steps), each video through the
content encoders, then each viewer's stretch of events with all of the impressions in it. The naive peer has the
same networks and loss; each sample brings its candidate's raw frames, MFCC and text through the encoders and its
own history of 100 events through the viewer's Transformer. (It is spared encoding the history's videos; those
come from a table.) A second peer
keeps content embeddings as ours does but still takes each impression as a sample of its own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.report import Row, record
from interest.catalog import Catalog
from interest.datasets.samples import Dataset, Split, build
from interest.datasets.windows import before
from interest.models.content_model import ContentEncoders
from interest.models.fusion_predictor import FusionPredictor
from interest.records import Video
from interest.simulator.log import events_table
from interest.simulator.viewers import simulate
from interest.simulator.world import sample_videos, video_id
from interest.training.collaborative import train_collaborative
from interest.training.content import train_content
from interest.training.features import FeatureArrays
from interest.training.fit import Stage
from interest.training.fusion import Content, known_items, train_fusion
from interest.training.loss import binary_loss
from interest.training.settings import TrainSettings

VIDEOS, VIEWERS, STEPS = 400, 600, 110
PEER_BATCH, PEER_STEPS = 32, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(2)
    dataset, features = _world()
    content = Content.of(dataset, np.random.default_rng(0).random((VIDEOS, 3, 13), np.float32), features.present)
    runs: dict[str, Callable[[], float]] = {
        "ours": lambda: _ours(dataset, features, content),
        "naive": lambda: _peer(dataset, features, content, encode=True),
        "cached": lambda: _peer(dataset, features, content, encode=False),
    }
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            speed = run()
            if turn:
                speeds[name].append(speed)
    record("main", [_row("train_ratio", speeds, "naive"), _row("train_ratio_cached", speeds, "cached")])


def _row(name: str, speeds: dict[str, list[float]], peer: str) -> Row:
    ratios = sorted(a / b for a, b in zip(speeds["ours"], speeds[peer], strict=True))
    return {
        "name": name,
        "value": statistics.median(ratios),
        "unit": "times the samples a second",
        "better": "higher",
        "peer": f"{peer}: {statistics.median(speeds[peer]):.0f}/s; ours {statistics.median(speeds['ours']):.0f}/s",
        "peer_value": 1.0,
        "ratio": statistics.median(ratios),
        "interval": (ratios[0], ratios[-1]),
    }


def _world() -> tuple[Dataset, FeatureArrays]:
    latents = sample_videos(VIDEOS, seed=0)
    videos = (
        Video(video_id=video_id(row), uri="", duration_s=float(length)) for row, length in enumerate(latents.length_s)
    )
    catalog = Catalog(tuple(videos))
    dataset = build(catalog, events_table(simulate(latents, VIEWERS, STEPS, seed=0), catalog))
    rng = np.random.default_rng(0)
    return dataset, FeatureArrays(
        frames=rng.integers(0, 256, (VIDEOS, 3, 8, 64, 64, 3), np.uint8),
        mfcc=rng.standard_normal((VIDEOS, 3, 20, 98), np.float32),
        text=rng.standard_normal((VIDEOS, 384), np.float32),
        present=np.ones((VIDEOS, 3), bool),
    )


def _ours(dataset: Dataset, features: FeatureArrays, content: Content) -> float:
    """Training impressions a second over one epoch of each stage, validation included."""
    settings = replace(TrainSettings(), content_epochs=1, epochs=1)
    begun = time.perf_counter()
    log = train_collaborative(dataset, settings)
    train_content(dataset, features, log, settings, lambda name, epochs: Stage(name, 0, epochs, 1))
    train_fusion(dataset, content, settings, Stage("fusion", 0, 1, 1))
    return len(dataset.rows(Split.TRAIN)) / (time.perf_counter() - begun)


def _peer(dataset: Dataset, features: FeatureArrays, content: Content, *, encode: bool) -> float:
    """Impressions a second when each is a sample of its own; `encode` brings candidates from raw features."""
    settings = TrainSettings()
    encoders = ContentEncoders(settings.backbone, settings.fusion.embedding, features.mfcc.shape[2])
    model = FusionPredictor(settings.fusion).train()
    optimizer = torch.optim.AdamW([*encoders.parameters(), *model.parameters()], lr=1e-3)
    rows = np.random.default_rng(0).permutation(dataset.rows(Split.TRAIN))
    begun = time.perf_counter()
    for step in range(PEER_STEPS):
        chosen = rows[step * PEER_BATCH : (step + 1) * PEER_BATCH]
        video = dataset.targets.video[chosen]
        embeddings = content.embeddings[video]
        if encode:
            inputs = {"video": features.frames[video, :1], "audio": features.mfcc[video], "text": features.text[video]}
            made = [getattr(encoders, name)(torch.from_numpy(array)) for name, array in inputs.items()]
            embeddings = torch.stack(made, dim=1)
        histories, visible, now = before(dataset, chosen)
        known = known_items(model, content)
        state = model.encode_viewer(
            known.token[torch.from_numpy(histories.video)],
            *(torch.from_numpy(array) for array in (histories.kind, histories.outcome, visible)),
        )
        items = model.items(model.content(embeddings, content.present[video]), content.log_length[video])
        candidates = items.take(torch.arange(len(chosen))[:, None])
        position = torch.from_numpy(dataset.targets.position[chosen])[:, None]
        scores = model.score(state, torch.from_numpy(now), candidates, position)
        log_chance = (scores.log_look + F.logsigmoid(scores.logit))[:, 0]
        loss = binary_loss(log_chance, torch.from_numpy(dataset.targets.engaged[chosen]).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return PEER_BATCH * PEER_STEPS / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
