import logging
import sys

import pytest
import torch
from torch import nn

from stackgan import onednn
from stackgan.features import EfficientNetLite, FeatureNetwork, FrozenConv2d, _load, load_lite
from train.featureset import load_network


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite("lite0")


def test_folding_changes_nothing(network):
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    original = _load("lite0").eval()
    with torch.no_grad():
        expected = original.extract_features((images + 1) / 2 * 255 / 128 - 127 / 128)
        torch.testing.assert_close(network(images), expected.mean(dim=(2, 3)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_gradient_is_that_of_the_original(network, monkeypatch, fused):
    """Same seed, no unit at a kink of ReLU6 there, so both gradients are defined and agree."""
    if not fused:
        monkeypatch.setattr("stackgan.onednn.is_available", lambda *_: False)
    original = _load("lite0").eval().requires_grad_(False)
    weights = torch.randn(1280, generator=torch.Generator().manual_seed(1))
    gradients = []
    for forward in (
        network,
        lambda x: original.extract_features(x * (127.5 / 128) + 0.5 / 128).mean(dim=(2, 3)),
    ):
        x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
        x.requires_grad_()
        (forward(x) @ weights).sum().backward()
        gradients.append(x.grad)
    difference = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert difference < 1e-2


def test_fused_convolutions_give_what_plain_ones_do(network, monkeypatch):
    if not onednn.is_available():
        pytest.skip("this build of torch has no fused convolutions")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fused = network.maps(images)
    monkeypatch.setattr("stackgan.onednn.is_available", lambda *_: False)
    for one, other in zip(fused, network.maps(images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("side", [8, 9])
def test_a_padded_map_gives_what_a_padded_kernel_does(size, side):
    layer = FrozenConv2d(nn.Conv2d(4, 4, size, stride=2, groups=4), relu6=True)
    x = torch.randn(2, 4, side, side).contiguous(memory_format=torch.channels_last)
    padded = layer._convolve_padded(x)
    torch.testing.assert_close(padded, layer.convolve(x))
    assert padded.is_contiguous(memory_format=torch.channels_last)


def test_the_judge_of_what_lite0_chose_is_here():
    judge = load_network("lite2")
    assert judge(torch.zeros(2, 3, 256, 256)).shape == (2, judge.dim) == (2, 1280)


@pytest.mark.parametrize("name", ["lite0", "lite1"])
def test_pyramid_has_four_scales_and_nothing_learns(name):
    network = EfficientNetLite(name).train()
    maps = network.maps(torch.zeros(1, 3, 128, 128))
    assert [m.shape[1] for m in maps] == network.channels == [24, 40, 112, 320]
    assert [m.shape[2] for m in maps] == [32, 16, 8, 4]
    assert not network.training
    assert not [p for p in network.parameters() if p.requires_grad]


def test_unknown_network_is_named():
    with pytest.raises(ValueError, match="lite9"):
        EfficientNetLite("lite9")


def test_the_fast_network_gives_the_same_features(network):
    """What `load_lite` chooses here (OpenVINO, where it is installed) against the plain network."""
    images = torch.rand(3, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain = FeatureNetwork("lite0", network, 1280, 224)(images)
    for count in (3, 1):  # batches may differ in size
        fast = load_lite("lite0")(images[:count])
        torch.testing.assert_close(fast, plain[:count], rtol=1e-3, atol=1e-4)


def test_without_openvino_the_plain_network_serves(network, monkeypatch, caplog):
    pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, "stackgan.runtime.openvino_features", None)
    with caplog.at_level(logging.WARNING):
        assert isinstance(load_lite("lite0").network, EfficientNetLite)
    assert "without OpenVINO" in caplog.text
