"""The three blocks that every StackGAN network is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stackgan.norms import BatchNorm2d

# Taps of a 3-tap kernel k that reach an input pixel twice enlarged: with stride 2 and padding 1 the
# transposed kernel [k₂, k₁ + k₂, k₀ + k₁, k₀] gives k₀·x[y−1] + (k₁ + k₂)·x[y] on even rows and
# (k₀ + k₁)·x[y] + k₂·x[y+1] on odd ones, as the convolution of the enlarged picture does.
ENLARGE = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
# Channels up to which a CPU learns faster through the transposed form: there and back 1.3 to 4
# times from 256 channels down to 16 (batch 64 and 16, bf16); at 512 it is slower.
TRANSPOSED_UP_TO = 256


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3×3 convolution that keeps the size; no bias, because BatchNorm follows."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


class UpBlock(nn.Sequential):
    """Nearest ×2, 3×3 convolution, BatchNorm, ReLU: (N, C, H, W) → (N, C′, 2H, 2W).

    In training on a CPU the first two are one transposed convolution of the same weights: the same
    function in 4/9 of the multiplications, and the enlarged map is never written.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"),
            conv3x3(in_channels, out_channels),
            BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        enlarge, conv, norm, relu = self
        if self.training and x.device.type == "cpu" and conv.in_channels <= TRANSPOSED_UP_TO:
            x = F.conv_transpose2d(x, enlarging_kernel(conv.weight), stride=2, padding=1)
        else:
            x = conv(enlarge(x))
        return relu(norm(x))


def enlarging_kernel(weight: Tensor) -> Tensor:
    """3×3 kernels (O, I, 3, 3) that follow nearest ×2 → (I, O, 4, 4), transposed, that do both.

    For `conv_transpose2d` with stride 2 and padding 1; see ENLARGE.
    """
    with torch.autocast(weight.device.type, enabled=False):  # sums before they are rounded
        enlarge = ENLARGE.to(weight)
        return torch.einsum("ak,bl,oikl->ioab", enlarge, enlarge, weight)


class DownBlock(nn.Sequential):
    """4×4 stride-2 convolution, BatchNorm (unless `norm=False`), LeakyReLU 0.2.

    (N, C, H, W) → (N, C′, H/2, W/2)
    """

    def __init__(self, in_channels: int, out_channels: int, norm: bool = True):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=not norm),
            nn.BatchNorm2d(out_channels) if norm else nn.Identity(),
            nn.LeakyReLU(0.2, inplace=True),
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
