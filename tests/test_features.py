import pytest
import torch

from stackgan.features import EfficientNetLite, _load


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite("lite0")


def test_folding_changes_nothing(network):
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    original = _load("lite0").eval()
    with torch.no_grad():
        expected = original.extract_features((images + 1) / 2 * 255 / 128 - 127 / 128)
        torch.testing.assert_close(network(images), expected.mean(dim=(2, 3)), rtol=1e-3, atol=1e-4)


def test_gradient_is_that_of_the_original(network):
    """Same seed, no unit at a kink of ReLU6 there, so both gradients are defined and agree."""
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
