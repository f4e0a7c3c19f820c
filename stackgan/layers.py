"""The three blocks that every StackGAN network is made of."""

from __future__ import annotations

import functools

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
# Pixels of the map up to which products are gathered: there and back 3 times faster than the
# enlarged form at 4×4, 2.3 times at 8×8 (bf16). The sum over pixels grows with their square.
GATHERED_UP_TO = 8 * 8


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3×3 convolution that keeps the size; no bias, because BatchNorm follows."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


class UpBlock(nn.Sequential):
    """Nearest ×2, 3×3 convolution, BatchNorm, ReLU: (N, C, H, W) → (N, C′, 2H, 2W).

    In training on a CPU the first two are one operation on the same weights, in 4/9 of the
    multiplications or, on small maps, a quarter; and the enlarged map is never written.
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
        # Under autocast a fixed Stage-I draws for a Stage-II that learns.
        learning = self.training or torch.is_autocast_enabled("cpu")
        if x.device.type != "cpu" or not learning:
            x = conv(enlarge(x))
        elif x.shape[2] * x.shape[3] <= GATHERED_UP_TO:
            x = gathered(x, conv.weight)
        elif conv.in_channels <= TRANSPOSED_UP_TO:
            x = F.conv_transpose2d(x, enlarging_kernel(conv.weight), stride=2, padding=1)
        else:
            x = conv(enlarge(x))
        return relu(norm(x))


def gathered(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest ×2 and a 3×3 convolution, (O, I, 3, 3): (N, I, H, W) → (N, O, 2H, 2W).

    By way of the 9 products of each pixel with the kernel's taps, where the enlarged form has 36 and
    the transposed one 16: each pixel of the result is a sum of some of them.
    """
    n, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(n, height * width, channels)
    products = F.linear(pixels, taps(weight.to(x.dtype)))  # (N, H·W, 9·O)
    return gather(products, height, width)


def gather(products: Tensor, height: int, width: int) -> Tensor:
    """Products of pixels and `taps` (N, H·W, 9·O) → (N, O, 2H, 2W), channels last."""
    products = products.reshape(len(products), 9 * height * width, -1)
    sums = torch.matmul(gathering(height, width, products.dtype), products)  # (N, 4·H·W, O)
    return sums.unflatten(1, (2 * height, 2 * width)).permute(0, 3, 1, 2)


def taps(weight: Tensor) -> Tensor:
    """3×3 kernels (O, I, 3, 3) as rows of a matrix, (9·O, I), tap by tap."""
    return weight.permute(2, 3, 0, 1).flatten(0, 2)


@functools.cache
def gathering(height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Which of a map's products with nine taps, (y, x, tap), each pixel of the convolved enlarged map
    is the sum of: zeros and ones, (4·H·W, 9·H·W)."""

    def along(size: int) -> Tensor:
        """One axis, (2·size, size, 3): row 2y + a sees at tap k the enlarged row 2y + a + k − 1."""
        rows, tap = torch.meshgrid(torch.arange(2 * size), torch.arange(3), indexing="ij")
        seen = rows + tap - 1  # outside there are zeros
        return (seen.div(2, rounding_mode="floor")[:, None] == torch.arange(size)[:, None]).float()

    which = torch.einsum("iyk,jxl->ijyxkl", along(height), along(width))
    return which.reshape(4 * height * width, 9 * height * width).to(dtype)


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
