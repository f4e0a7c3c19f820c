"""The blocks of the paper's generators and discriminator, and how their weights begin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stackgan import enlarging
from stackgan.norms import NarrowBatchNorm2d


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3×3 convolution that keeps the size, without a bias: BatchNorm follows, but for the pictures' own layers."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


class UpBlock(nn.Sequential):
    """Nearest ×2, 3×3 convolution, BatchNorm, ReLU: (N, C, H, W) → (N, C′, 2H, 2W).

    In training on a CPU the first two are one operation on the same weights: see `enlarging`.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"),
            conv3x3(in_channels, out_channels),
            NarrowBatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        enlarge, conv, norm, relu = self
        # While Stage-II learns, the Stage-I below it is in eval mode; but only training has autocast.
        learning = self.training or torch.is_autocast_enabled("cpu")
        if learning and x.device.type == "cpu":
            x = enlarging.convolve(x, conv.weight)
        else:
            x = conv(enlarge(x))
        return relu(norm(x))


class DownBlock(nn.Sequential):
    """4×4 stride-2 convolution, BatchNorm (unless `norm=False`), LeakyReLU 0.2 or another `activation`.

    (N, C, H, W) → (N, C′, H/2, W/2)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: bool = True,
        activation: nn.Module | None = None,
    ):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=not norm),
            nn.BatchNorm2d(out_channels) if norm else nn.Identity(),
            activation or nn.LeakyReLU(0.2, inplace=True),
        )


class ResidualBlock(nn.Module):
    """x + two 3×3 convolutions with BatchNorm, then ReLU; the shape does not change."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            conv3x3(channels, channels),
            nn.BatchNorm2d(channels),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.body(x))


def initialize_weights(module: nn.Module) -> None:
    """Normal(0, 0.02) weights and zero biases for every trainable layer; scales of BatchNorm on maps
    Normal(1, 0.02).

    The DCGAN initialisation, which the paper's code uses. Frozen layers keep what they hold.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.requires_grad:
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d) and layer.affine and layer.weight.requires_grad:
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)
