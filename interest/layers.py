"""What each layer of a video's encoder makes of the frames, out of the bundle's graph `content_video` alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from interest.bundle import Bundle
from interest.scoring import options

FOLLOWS = {"GroupNormalization", "BatchNormalization", "Relu", "Clip", "Add"}
"""What belongs to the layer of the convolution before it: normalisation, activation, and a residual's sum."""


class LayerMaps:
    """Feature maps of every convolution's layer, as they leave it: normalised, activated, with the residual added.

    The bundle's file stays as it is; the graph's inner tensors become outputs of a copy in memory.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        model = onnx.load(bundle.graph("content_video"))
        self._tensors = _layers(model.graph)
        known = {output.name for output in model.graph.output}
        new = [onnx.ValueInfoProto(name=tensor) for tensor in self._tensors.values() if tensor not in known]
        model.graph.output.extend(new)
        self._graph = onnxruntime.InferenceSession(
            model.SerializeToString(), options(threads), providers=["CPUExecutionProvider"]
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The layers, from the frames on, as their weights are called."""
        return tuple(self._tensors)

    def maps(self, frames: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Each layer's maps [W, K, t, h, w] of one video's frames uint8 [W, T, S, S, 3], in the order of `names`."""
        windows = len(frames)
        made = self._graph.run(list(self._tensors.values()), {"frames": frames[None]})
        return {name: _by_window(maps, windows) for name, maps in zip(self._tensors, made, strict=True)}


def _layers(graph: onnx.GraphProto) -> dict[str, str]:
    """The tensor that leaves each layer, by the layer's name."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for tensor in node.input:
            readers.setdefault(tensor, []).append(node)
    found = {}
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        tensor = node.output[0]
        while len(after := readers.get(tensor, [])) == 1 and after[0].op_type in FOLLOWS:
            tensor = after[0].output[0]
        found[_name(node.input[1])] = tensor
    return found


def _name(weight: str) -> str:
    """`encoder.blocks.0.0.weight` is layer `blocks.0.0`; torch's private names lose their underscores."""
    parts = weight.removeprefix("encoder.").removeprefix("backbone.").removesuffix(".weight").split(".")
    return ".".join(part.strip("_") for part in parts)


def _by_window(maps: NDArray[np.float32], windows: int) -> NDArray[np.float32]:
    """[W, K, t, h, w] as a 3D network has them, or [W * T, K, h, w] as one of single frames does."""
    if maps.ndim == 4:
        maps = maps.reshape(windows, -1, *maps.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(maps)
