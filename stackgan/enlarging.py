"""Nearest ×2 and a 3×3 convolution as one operation, which never writes the enlarged map.

On the enlarged map a convolution takes 9 products for each pixel of the result. But a pixel that it
sees twice or four times needs to be multiplied once only:

* transposed: one 4×4 convolution, transposed, with stride 2, whose taps are sums of the 3×3 kernel's:
  4 products for each pixel of the result;
* gathered: the small map's pixels times the nine taps, 2¼ products for each pixel of the result, which
  is then a sum of some of them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Taps of a 3-tap kernel k that reach an input pixel twice enlarged: with stride 2 and padding 1 the
# transposed kernel [k₂, k₁ + k₂, k₀ + k₁, k₀] gives k₀·x[y−1] + (k₁ + k₂)·x[y] on even rows and
# (k₀ + k₁)·x[y] + k₂·x[y+1] on odd ones, as the convolution of the enlarged picture does.
ENLARGE = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
# Channels up to which a CPU learns faster through the transposed form: forward and backward 1.3 to 4
# times from 256 channels down to 16 (batch 64 and 16, bf16); at 512 it is slower.
TRANSPOSED_UP_TO = 256


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """(N, I, H, W) and a 3×3 kernel (O, I, 3, 3) → (N, O, 2H, 2W), in the form in which a CPU learns
    fastest."""
    channels = weight.shape[1]
    if suits_gathering(channels, x.shape[2] * x.shape[3]):
        return gathered(x, weight)
    if channels <= TRANSPOSED_UP_TO:
        return F.conv_transpose2d(x, transposed_kernel(weight), stride=2, padding=1)
    return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)


def transposed_kernel(weight: Tensor) -> Tensor:
    """3×3 kernels (O, I, 3, 3) that follow nearest ×2 → (I, O, 4, 4), transposed, that do both.

    For `conv_transpose2d` with stride 2 and padding 1; see ENLARGE.
    """
    with torch.autocast(weight.device.type, enabled=False):  # sums before they are rounded
        enlarge = ENLARGE.to(weight)
        return torch.einsum("ak,bl,oikl->ioab", enlarge, enlarge, weight)


def suits_gathering(channels: int, pixels: int) -> bool:
    """Whether a CPU gets on faster with `gathered`: forward and backward (batch 32, bf16) 3 times faster
    than with the enlarged map at 4×4, 1024 channels, 1.8 and 1.2 times faster than transposed at 8×8
    and 16×16, 512 and 256 channels. At 32×32, 128 channels, the sums take more than is saved."""
    return pixels <= channels


def gathered(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest ×2 and a 3×3 convolution, (O, I, 3, 3): (N, I, H, W) → (N, O, 2H, 2W).

    The products are one matrix product, and their sums are of slices.
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
    sums, (even, odd) = _apart(first, 2, axis + 1)
    rest = first.shape[axis] - 1
    torch.add(middle, last, out=even).narrow(axis, 1, rest).add_(first.narrow(axis, 0, rest))
    torch.add(first, middle, out=odd).narrow(axis, 0, rest).add_(last.narrow(axis, 1, rest))
    return sums


def _spread_over_taps(sums: Tensor, axis: int) -> Tensor:
    """The adjoint of `_add_taps`."""
    even, odd = sums.unbind(axis + 1)
    products, (first, middle, last) = _apart(even, 3, axis + 1)
    rest = even.shape[axis] - 1
    torch.add(even, odd, out=middle)
    first.copy_(odd).narrow(axis, 0, rest).add_(even.narrow(axis, 1, rest))
    last.copy_(even).narrow(axis, 1, rest).add_(odd.narrow(axis, 0, rest))
    return products


def _apart(like: Tensor, count: int, axis: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Room for a stack of `count` tensors along a new axis, and each one's place in it.

    What is written there need not be copied, as torch.stack would.
    """
    room = like.new_empty((*like.shape[:axis], count, *like.shape[axis:]))
    return room, room.unbind(axis)
