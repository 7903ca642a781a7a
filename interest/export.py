"""Trained modules to ONNX graphs: what serving runs, without torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from interest.history import HISTORY
from interest.models.content_model import ContentEncoders
from interest.models.fusion_predictor import FusionPredictor, Items, ViewerState
from interest.models.names import MODALITIES
from interest.models.video_encoder import PretrainedVideoEncoder, VideoEncoder

OPSET = 23


class _ContentGraph(nn.Module):
    """One modality's encoder and its adapter: raw features [B, ...] to content [B, C]."""

    mean: Tensor
    spread: Tensor

    def __init__(self, encoders: ContentEncoders, fusion: FusionPredictor, modality: str) -> None:
        super().__init__()
        number = MODALITIES.index(modality)
        self.encoder, self.adapter = getattr(encoders, modality), fusion.adapters[number]
        self.register_buffer("mean", fusion.embedding_mean[number])
        self.register_buffer("spread", fusion.embedding_spread[number])

    def adapt(self, embedding: Tensor) -> Tensor:
        content: Tensor = self.adapter((embedding - self.mean) / self.spread)
        return content

    def forward(self, features: Tensor) -> Tensor:
        return self.adapt(self.encoder(features))


class _VideoGraph(_ContentGraph):
    """As its base, and the feature maps [B, W, K, t, h, w] that class activation maps are made of."""

    encoder: VideoEncoder | PretrainedVideoEncoder

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        maps = self.encoder.maps(features)
        return self.adapt(self.encoder.head(maps.mean(dim=(1, 3, 4, 5)))), maps


class _ViewerGraph(nn.Module):
    def __init__(self, fusion: FusionPredictor) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, token: Tensor, kind: Tensor, outcome: Tensor, length: Tensor) -> ViewerState:
        return self.fusion.encode_viewer(token, kind, outcome, length)


class _ItemGraph(nn.Module):
    def __init__(self, fusion: FusionPredictor) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, content: Tensor, log_length: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.fusion.items(content, log_length)[1:])


class _ScorerGraph(nn.Module):
    def __init__(self, fusion: FusionPredictor) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(
        self, last: Tensor, keys: Tensor, values: Tensor, visible: Tensor, now: Tensor,
        content: Tensor, query: Tensor, appeal: Tensor, position: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        state = ViewerState(last, keys, values, visible)
        scores = self.fusion.score(state, now, Items(content, content, query, appeal), position)
        return scores.probability, scores.logit, scores.contributions, scores.attention


def export_graphs(
    folder: Path,
    encoders: ContentEncoders,
    fusion: FusionPredictor,
    *,
    frames: tuple[int, int, int],
    mfcc: tuple[int, int, int],
    text: int,
) -> None:
    """Write the six graphs into `folder`.

    `frames` = (W, T, S), `mfcc` = (W, C, F), `text` = width of the sentence embedding.
    """
    encoders.eval()
    fusion.eval()
    w, t, s = frames
    pixels = torch.randint(0, 256, (2, w, t, s, s, 3), dtype=torch.uint8)
    some = {"frames": {0: "B"}}
    _export(_VideoGraph(encoders, fusion, "video"), (pixels,), ["frames"], ["content", "maps"], some,
            folder / "content_video.onnx")  # fmt: skip
    _export(_ContentGraph(encoders, fusion, "audio"), (torch.randn(2, *mfcc),), ["mfcc"], ["content"],
            {"mfcc": {0: "B"}}, folder / "content_audio.onnx")  # fmt: skip
    _export(_ContentGraph(encoders, fusion, "text"), (torch.randn(2, text),), ["text"], ["content"],
            {"text": {0: "B"}}, folder / "content_text.onnx")  # fmt: skip
    _export_fusion(folder, fusion)


def _export_fusion(folder: Path, fusion: FusionPredictor) -> None:
    c, m = fusion.config, len(MODALITIES)
    videos = (torch.randn(3, m, c.content), torch.randn(3))
    _export(_ItemGraph(fusion), videos, ["content", "log_length"], ["token", "query", "appeal"],
            {"content": {0: "V"}, "log_length": {0: "V"}}, folder / "item_encoder.onnx")  # fmt: skip
    past = (
        torch.randn(2, HISTORY, c.state), torch.randint(0, 4, (2, HISTORY)), torch.randn(2, HISTORY, 4),
        torch.tensor([[HISTORY], [3]]),
    )  # fmt: skip
    names = ["token", "kind", "outcome", "length"]
    states = list(ViewerState._fields)
    axes = {name: {0: "B", 1: "L"} for name in names[:3]} | {"length": {0: "B"}}
    _export(_ViewerGraph(fusion), past, names, states, axes, folder / "viewer_encoder.onnx")
    with torch.no_grad():
        state = fusion.encode_viewer(*past)
    candidates = (
        torch.randn(2, 1, 2), torch.randn(2, 7, m, c.content), torch.randn(2, 7, m, c.key), torch.randn(2, 7, 1 + m),
        torch.randint(1, 6, (2, 7)),
    )  # fmt: skip
    names = ["now", "content", "query", "appeal", "position"]
    axes = {"last": {0: "B"}, "now": {0: "B"}} | {name: {0: "B", 2: "H"} for name in ("keys", "values", "visible")}
    axes |= {name: {0: "B", 1: "N"} for name in names[1:]}
    _export(_ScorerGraph(fusion), (*state, *candidates), [*states, *names],
            ["probability", "logit", "contributions", "attention"], axes, folder / "scorer.onnx")  # fmt: skip


def _export(
    module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str],
    axes: dict[str, dict[int, str]], path: Path,
) -> None:  # fmt: skip
    """One graph, without the traces and paths of the machine that exported it, so that equal models are equal files."""
    dims = {(name, axis): torch.export.Dim.DYNAMIC for name, by_axis in axes.items() for axis in by_axis}
    shapes = [{axis: dims[name, axis] for axis in axes.get(name, {})} or None for name in inputs]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), example, dynamo=True, input_names=inputs, output_names=outputs,
            dynamic_shapes=shapes, opset_version=OPSET, verbose=False,
        )  # fmt: skip
    assert program is not None  # noqa: S101 - only None when dynamo is off
    model = program.model_proto
    _forget_origin(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _forget_origin(model: onnx.ModelProto) -> None:
    model.ClearField("metadata_props")
    model.doc_string = ""
    model.producer_version = ""
    for graph in (model.graph, *model.functions):
        graph.ClearField("metadata_props")
        graph.doc_string = ""
        for node in graph.node:
            node.ClearField("metadata_props")
            node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.doc_string = ""
