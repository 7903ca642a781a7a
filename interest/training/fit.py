"""The loop both training stages share: epochs, one-cycle rate, early stopping, checkpoints that survive kill -9."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Progress = Callable[[int, int], None]
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Stage:
    """One stage's schedule. Every epoch draws from its own seed, so a resumed run repeats the uninterrupted one."""

    name: str
    seed: int
    epochs: int
    patience: int
    checkpoints: Path | None = None
    on_progress: Progress | None = None


@dataclass
class _State:
    """Where a stage stands after an epoch."""

    epoch: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0


def fit(
    stage: Stage,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Sequence[Batch]],
    loss: Callable[[Batch], Tensor],
    validate: Callable[[], float],
) -> list[float]:
    """Train `model`, leave it at its best validated weights, and return the validation losses by epoch.

    `batches(epoch)` lists an epoch's work; `loss` is called with the model in training mode.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    state, best, losses = _resume(stage, model, optimizer)
    while state.epoch < stage.epochs and state.epoch - state.best_epoch < stage.patience:
        torch.manual_seed(_epoch_seed(stage, state.epoch))
        model.train()
        work = batches(state.epoch)
        for number, batch in enumerate(work):
            scale = one_cycle((state.epoch + number / len(work)) / stage.epochs)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * scale
            optimizer.zero_grad()
            loss(batch).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(_parameters(optimizer), 1.0)
            optimizer.step()
            if stage.on_progress:
                stage.on_progress(state.epoch * len(work) + number + 1, stage.epochs * len(work))
        model.eval()
        losses.append(validate())
        state.epoch += 1
        if losses[-1] < state.best_loss:
            state.best_loss, state.best_epoch = losses[-1], state.epoch
            best = {name: value.clone() for name, value in model.state_dict().items()}
        _save(stage, state, model, optimizer, best, losses)
    model.load_state_dict(best)
    model.eval()
    return losses


def one_cycle(progress: float, warmup: float = 0.1, floor: float = 0.01) -> float:
    """Rate as a share of its peak: linear warm-up, then a cosine down to `floor` (Smith & Topin 2019)."""
    if progress < warmup:
        return 0.1 + 0.9 * progress / warmup
    cosine = 0.5 * (1.0 + math.cos(math.pi * (progress - warmup) / (1.0 - warmup)))
    return floor + (1.0 - floor) * cosine


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Parameter groups: matrices decay, vectors and scalars do not, frozen ones stay out."""
    learned = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _epoch_seed(stage: Stage, epoch: int) -> int:
    return (stage.seed * 1_000_003 + sum(stage.name.encode()) * 1009 + epoch) % 2**31


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"])


def _save(
    stage: Stage,
    state: _State,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    losses: list[float],
) -> None:
    """One file, written beside and renamed, so that a kill leaves the old or the new one whole."""
    if stage.checkpoints is None:
        return
    stage.checkpoints.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    meta = {
        "epoch": state.epoch,
        "best_loss": state.best_loss,
        "best_epoch": state.best_epoch,
        "losses": losses,
    }
    path = stage.checkpoints / f"{stage.name}.safetensors"
    partial = path.with_suffix(".part")
    contiguous = {name: value.contiguous().clone() for name, value in tensors.items()}
    save_file(contiguous, partial, metadata={"state": json.dumps(meta)})
    partial.replace(path)


def _resume(
    stage: Stage, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[_State, dict[str, Tensor], list[float]]:
    best = {name: value.clone() for name, value in model.state_dict().items()}
    path = stage.checkpoints / f"{stage.name}.safetensors" if stage.checkpoints else None
    if path is None or not path.exists():
        return _State(), best, []
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        meta = json.loads(file.metadata()["state"])
    tensors = load_file(path)
    model.load_state_dict({name: tensors[f"model.{name}"] for name in best})
    for index, parameter in enumerate(_parameters(optimizer)):
        prefix = f"optimizer.{index}."
        kept = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if kept:
            optimizer.state[parameter] = kept
    losses = meta.pop("losses")
    return _State(**meta), {name: tensors[f"best.{name}"] for name in best}, losses
