"""Feature maps out of the graph against those that the torch modules give at the same places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from interest.bundle import Bundle, open_bundle, weights
from interest.explain import ActivationMaps
from interest.layers import LayerMaps
from interest.models.names import VideoBackbone
from interest.models.video_encoder import PretrainedVideoEncoder, VideoEncoder
from interest.training.bundle import load_modules
from tests.interest.small_model import SETTINGS, train
from tests.interest.worlds import signal_features, small_world

VIDEO, WINDOWS, FRAMES = 5, 2, 4


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model whose frames go through EfficientNet."""
    settings = replace(SETTINGS, backbone=VideoBackbone.EFFICIENTNET, content_epochs=1, epochs=1)
    return train(tmp_path_factory.mktemp("pretrained") / "bundle", settings)


def frames() -> NDArray[np.uint8]:
    return signal_features(small_world()[0]).frames[VIDEO]


def encoder(bundle: Bundle) -> VideoEncoder | PretrainedVideoEncoder:
    arrays = {name: torch.from_numpy(value) for name, value in weights(bundle).items()}
    return load_modules(arrays, dict(bundle.manifest))[0].video


def leaving(network: nn.Module, modules: dict[str, nn.Module]) -> dict[str, NDArray[np.float32]]:
    """What leaves each of the modules while the network sees the frames."""
    found: dict[str, NDArray[np.float32]] = {}

    def note(name: str) -> None:
        modules[name].register_forward_hook(lambda _module, _inputs, output: found.update({name: output.numpy()}))

    for name in modules:
        note(name)
    with torch.no_grad():
        network.maps(torch.from_numpy(frames())[None])  # type: ignore[operator]
    return found


def test_each_block_of_the_3d_network_as_torch_has_it(bundle: Bundle) -> None:
    network = encoder(bundle)
    assert isinstance(network, VideoEncoder)
    found = LayerMaps(bundle).maps(frames())
    assert list(found) == [f"blocks.{number}.0" for number in range(4)]
    wanted = leaving(network, {f"blocks.{number}.0": block for number, block in enumerate(network.blocks)})
    for name, maps in found.items():
        assert maps.dtype == np.float32
        assert maps.shape == wanted[name].shape
        np.testing.assert_allclose(maps, wanted[name], atol=1e-4)
    assert [maps.shape for maps in found.values()][:2] == [(WINDOWS, 16, FRAMES, 8, 8), (WINDOWS, 32, FRAMES, 4, 4)]


def test_the_last_layer_is_what_class_activation_maps_are_made_of(bundle: Bundle) -> None:
    *_, last = LayerMaps(bundle).maps(frames()).values()
    np.testing.assert_array_equal(last, ActivationMaps(bundle).maps(frames()))


def test_each_block_of_the_pretrained_network_frame_by_frame(pretrained: Bundle) -> None:
    network = encoder(pretrained)
    assert isinstance(network, PretrainedVideoEncoder)
    layers = LayerMaps(pretrained)
    found = layers.maps(frames())
    assert (layers.names[0], layers.names[-1], len(layers.names)) == ("conv_stem", "conv_head", 49)
    blocks = {f"blocks.{number}.project_conv": block for number, block in enumerate(network.backbone._blocks)}
    for name, wanted in leaving(network, blocks).items():
        by_frame = found[name].swapaxes(1, 2).reshape(wanted.shape)
        np.testing.assert_allclose(by_frame, wanted, atol=1e-3)
        assert found[name].shape[:3] == (WINDOWS, wanted.shape[1], FRAMES)


def test_the_bundle_stays_as_it_is(bundle: Bundle) -> None:
    LayerMaps(bundle)
    assert open_bundle(bundle.folder, bundle.digest).digest == bundle.digest
