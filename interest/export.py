"""Trained modules to ONNX graphs: what serving runs, without torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from interest.history import HISTORY
from interest.models.content_model import ContentEncoders
from interest.models.fusion_predictor import FusionPredictor
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
    """History to (last [B, 1, D], states [B, L + 1, D], visible bool [B, 1, L + 1])."""

    def __init__(self, fusion: FusionPredictor) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, token: Tensor, kind: Tensor, outcome: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states = self.fusion.sequence(token, kind, outcome)
        n, d = states.shape[1:]
        last = states.gather(1, length[..., None].expand(-1, -1, d))
        return last, states, torch.arange(n) <= length[..., None]


class _ItemGraph(nn.Module):
    """Content to (token, query [V, M, D], value [V, M, D], appeal).

    Keys and values are linear in a viewer's states s, so what they are multiplied with can take up their weights:
    q (K s) is (K' q) s, once a video in place of once a request, and a state is all that is kept of a viewer. The
    keys' bias adds the same to each past event, which the softmax does not see; the values' goes into the appeal.
    """

    def __init__(self, fusion: FusionPredictor) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, content: Tensor, log_length: Tensor) -> tuple[Tensor, ...]:
        fusion, c = self.fusion, self.fusion.config
        items = fusion.items(content, log_length)
        m = len(MODALITIES)
        keys = fusion.keys.weight.view(m, c.key, c.state) / c.key**0.5
        values = fusion.values.weight.view(m, c.content, c.state) / c.content**0.5
        bias = fusion.values.bias.view(m, c.content) / c.content**0.5
        query = torch.einsum("vmk,mkd->vmd", items.query, keys)
        value = torch.einsum("vmc,mcd->vmd", content, values)
        appeal = torch.cat([items.appeal[:, :1], items.appeal[:, 1:] + (content * bias).sum(-1)], dim=1)
        return items.token, query, value, appeal


class _ScorerGraph(nn.Module):
    """As `FusionPredictor.score` with what `_ViewerGraph` and `_ItemGraph` give; `attention` is [B, N * M, L + 1]."""

    def __init__(self, fusion: FusionPredictor) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(
        self, last: Tensor, states: Tensor, visible: Tensor, now: Tensor,
        content: Tensor, query: Tensor, value: Tensor, appeal: Tensor, position: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        moment, taste = self.fusion.moment(last, now)
        hidden = torch.where(visible, 0.0, float("-inf"))
        attention = (query.flatten(1, 2) @ states.transpose(1, 2) + hidden).softmax(-1)
        recalled = (attention @ states).view_as(value)
        match = (taste * content + recalled * value).sum(-1)
        scores = self.fusion.judge(moment, match, appeal, position, attention)
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
    export_fusion(folder, fusion)


def export_fusion(folder: Path, fusion: FusionPredictor) -> None:
    """Write those of the graphs that score into `folder`: all but the ones that make content."""
    fusion.eval()
    c, m = fusion.config, len(MODALITIES)
    videos = (torch.randn(3, m, c.content), torch.randn(3))
    _export(_ItemGraph(fusion), videos, ["content", "log_length"], ["token", "query", "value", "appeal"],
            {"content": {0: "V"}, "log_length": {0: "V"}}, folder / "item_encoder.onnx")  # fmt: skip
    past = (
        torch.randn(2, HISTORY, c.state), torch.randint(0, 4, (2, HISTORY)), torch.randn(2, HISTORY, 4),
        torch.tensor([[HISTORY], [3]]),
    )  # fmt: skip
    names, states = ["token", "kind", "outcome", "length"], ["last", "states", "visible"]
    axes = {name: {0: "B", 1: "L"} for name in names[:3]} | {"length": {0: "B"}}
    viewer = _ViewerGraph(fusion)
    _export(viewer, past, names, states, axes, folder / "viewer_encoder.onnx")
    with torch.no_grad():
        state = viewer(*past)
    candidates = (
        torch.randn(2, 1, 2), torch.randn(2, 7, m, c.content), torch.randn(2, 7, m, c.state),
        torch.randn(2, 7, m, c.state), torch.randn(2, 7, 1 + m), torch.randint(1, 6, (2, 7)),
    )  # fmt: skip
    names = ["now", "content", "query", "value", "appeal", "position"]
    axes = {"last": {0: "B"}, "now": {0: "B"}, "states": {0: "B", 1: "H"}, "visible": {0: "B", 2: "H"}}
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
