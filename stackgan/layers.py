"""The three blocks that every StackGAN network is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
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
        elif suits_gathering(conv.in_channels, x.shape[2] * x.shape[3]):
            x = gathered(x, conv.weight)
        elif conv.in_channels <= TRANSPOSED_UP_TO:
            x = F.conv_transpose2d(x, enlarging_kernel(conv.weight), stride=2, padding=1)
        else:
            x = conv(enlarge(x))
        return relu(norm(x))


def suits_gathering(channels: int, pixels: int) -> bool:
    """Whether a CPU gets on faster with `gathered`: there and back 3 times faster than with the
    enlarged form at 4×4, 1024 channels, 1½ times than with the transposed one at 16×16, 256."""
    return pixels <= channels


def gathered(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest ×2 and a 3×3 convolution, (O, I, 3, 3): (N, I, H, W) → (N, O, 2H, 2W).

    By way of the 9 products of each pixel with the kernel's taps, where the enlarged form has 36 and
    the transposed one 16: each pixel of the result is a sum of some of them.
    """
    pixels = x.permute(0, 2, 3, 1).contiguous()  # (N, H, W, I); else the product is one of each row
    return gather(F.linear(pixels, taps(weight.to(x.dtype))))


def taps(weight: Tensor) -> Tensor:
    """3×3 kernels (O, I, 3, 3) as rows of a matrix, (9·O, I), tap by tap."""
    return weight.permute(2, 3, 0, 1).flatten(0, 2)


def gather(products: Tensor) -> Tensor:
    """Products of pixels and `taps`, (N, H, W, 9·O) → (N, O, 2H, 2W), channels last."""
    return _Gather.apply(products)


class _Gather(torch.autograd.Function):
    """Row 2y + a of the enlarged map, with tap k, is row (2y + a + k − 1) // 2 of the map: y − 1, y, y
    for the taps of an even row, y, y, y + 1 for those of an odd one. So with columns."""

    @staticmethod
    def forward(ctx, products: Tensor) -> Tensor:
        by_tap = products.unflatten(3, (3, 3, -1)).transpose(2, 3)  # (N, H, 3, W, 3, O)
        rows = _add_taps(by_tap, 1).flatten(1, 2)  # (N, 2H, W, 3, O)
        return _add_taps(rows, 2).flatten(2, 3).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.permute(0, 2, 3, 1)
        rows = _spread_over_taps(gradient.unflatten(2, (-1, 2)), 2)  # (N, 2H, W, 3, O)
        by_tap = _spread_over_taps(rows.unflatten(1, (-1, 2)), 1)  # (N, H, 3, W, 3, O)
        return by_tap.transpose(2, 3).flatten(3)


def _add_taps(products: Tensor, axis: int) -> Tensor:
    """Products (…, S, 3, …), S on that axis → sums of even and odd places (…, S, 2, …)."""
    first, middle, last = products.unbind(axis + 1)
    rest = first.shape[axis] - 1
    even, odd = middle + last, first + middle
    even.narrow(axis, 1, rest).add_(first.narrow(axis, 0, rest))
    odd.narrow(axis, 0, rest).add_(last.narrow(axis, 1, rest))
    return torch.stack([even, odd], axis + 1)


def _spread_over_taps(sums: Tensor, axis: int) -> Tensor:
    """The adjoint of `_add_taps`."""
    even, odd = sums.unbind(axis + 1)
    rest = even.shape[axis] - 1
    first, middle, last = odd.clone(), even + odd, even.clone()
    first.narrow(axis, 0, rest).add_(even.narrow(axis, 1, rest))
    last.narrow(axis, 1, rest).add_(odd.narrow(axis, 0, rest))
    return torch.stack([first, middle, last], axis + 1)


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
