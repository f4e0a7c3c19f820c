"""oneDNN's fused operations, which torch keeps for its compiler: packed weights, ReLU inside.

Here and nowhere else, because torch promises nothing about these operators: whoever uses them asks
`is_available` first, and has another way.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

ONES = [1, 1]


@functools.cache
def is_available(dtype: torch.dtype = torch.float32) -> bool:
    """Whether this build of torch has them on this CPU, and they give what they should."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        return all(torch.equal(found, right) for found, right in _pairs(dtype))
    except (RuntimeError, AttributeError, TypeError):
        return False


def _pairs(dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
    """What each operation below gives for small whole numbers, beside what torch's own gives."""
    shapes = (1, 2, 4, 4), (2, 2, 3, 3), (2, 2, 4, 4), (2,)
    x, weight, kernel, bias = (torch.ones(shape, dtype=dtype) for shape in shapes)
    x = x.contiguous(memory_format=torch.channels_last)  # as all maps are
    packed, right = pack(weight, 1, 1), F.conv2d(x, weight, bias, 1, 1)
    yield convolution(x, packed, bias, 1, 1), right
    limited = convolution(x, packed, bias, 1, 1, act="hardtanh", limits=(0.0, 6.0))
    yield limited, right.clamp(0, 6)
    added = torch.full_like(right, -16.0)
    yield convolution(x, packed, bias, 1, 1, act="relu", added=added), (right - 16).relu()
    enlarged = transposed_convolution(x, pack_transposed(kernel, 1, 2), bias, 1, 2, "relu")
    yield enlarged, F.conv_transpose2d(x, kernel, bias, 2, 1)
    rows, matrix = x.flatten(0, 2).contiguous(), weight.flatten(1)[:, :4].contiguous()
    packed, right = pack_linear(matrix), F.linear(rows, matrix, bias)
    yield linear(rows, packed, bias), right
    yield linear(rows, packed, bias, torch.ones_like(right)), right + 1


def pack(weight: Tensor, padding: int, stride: int, groups: int = 1) -> Tensor:
    """Weights (O, I / groups, k, k) in the layout that oneDNN likes best for them."""
    return torch._C._nn.mkldnn_reorder_conv2d_weight(
        weight.contiguous().to_mkldnn(), [padding] * 2, [stride] * 2, ONES, groups, None
    )


def pack_transposed(weight: Tensor, padding: int, stride: int) -> Tensor:
    """The same for a transposed convolution: (I, O, k, k)."""
    return torch.ops.mkldnn._reorder_convolution_transpose_weight(
        weight, [padding] * 2, [0, 0], [stride] * 2, ONES, 1, None
    )


def convolution(
    x: Tensor,
    packed: Tensor,
    bias: Tensor | None,
    padding: int,
    stride: int,
    groups: int = 1,
    act: str = "none",
    limits: tuple[float, ...] = (),
    added: Tensor | None = None,
) -> Tensor:
    """act(conv(x) + added): x (N, I, H, W) → (N, O, H', W'). `act`: "none", "relu", or "hardtanh" with its `limits`.

    `added`, of the result's shape, is overwritten by it.
    """
    where = [padding] * 2, [stride] * 2, ONES, groups
    if added is None:
        return torch.ops.mkldnn._convolution_pointwise(x, packed, bias, *where, act, limits, "")
    return torch.ops.mkldnn._convolution_pointwise_(
        added, x, packed, bias, *where, "add", 1.0, act, limits, ""
    )


def transposed_convolution(
    x: Tensor, packed: Tensor, bias: Tensor | None, padding: int, stride: int, act: str = "none"
) -> Tensor:
    """act of a transposed convolution: x (N, I, H, W) → (N, O, H', W')."""
    return torch.ops.mkldnn._convolution_transpose_pointwise(
        x, packed, bias, [padding] * 2, [0, 0], [stride] * 2, ONES, 1, act, [], ""
    )


def pack_linear(weight: Tensor) -> Tensor:
    """A linear layer's weight (O, I) in the layout that oneDNN likes best for it."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, None)


def linear(x: Tensor, packed: Tensor, bias: Tensor | None, added: Tensor | None = None) -> Tensor:
    """x (…, I) → (…, O), plus what is `added` of that shape."""
    if added is None:
        return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(x, added, packed, bias, "add")
