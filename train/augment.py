"""Differentiable augmentation (Zhao et al. 2020) of everything the discriminator sees.

Translation and cutout only: changing colours would teach D that the named colour does not matter.
"""

from __future__ import annotations

import torch
from torch import Tensor

CUT_SHARE = 0.5
Hole = tuple[int, int, int, int]  # top, left, height, width; may reach over the edges


def augment(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Translate each picture by up to ⅛ of its side, then blank one square of half its side in some.

    Every second picture, by chance, is left whole: were all of them cut, a generator that paints
    grey squares itself would not be found out (Karras et al. 2020, section 2.2).

    Pictures (N, 3, H, W) in [−1, 1]; what is uncovered or blanked becomes 0, mid-grey.
    `generator` is a CPU generator; gradients flow to what stays visible.
    """
    n, _, height, width = images.shape
    reach_y, reach_x = height // 8, width // 8
    side_y, side_x = height // 2, width // 2
    shifts = _draw(n, (-reach_y, reach_y + 1), (-reach_x, reach_x + 1), generator)
    corners = _draw(
        n, (-side_y // 2, height - side_y // 2), (-side_x // 2, width - side_x // 2), generator
    )
    is_cut = (torch.rand(n, generator=generator) < CUT_SHARE).tolist()
    holes = [
        (top, left, side_y, side_x) if cut else None
        for (top, left), cut in zip(corners, is_cut, strict=True)
    ]
    return _MoveAndCut.apply(images, shifts, holes)


class _MoveAndCut(torch.autograd.Function):
    """Each picture's pixels copied once, and each gradient's: torch's own slices, stacked and
    masked, copy a batch six times."""

    @staticmethod
    def forward(ctx, images: Tensor, shifts: list[list[int]], holes: list[Hole | None]) -> Tensor:
        ctx.shifts, ctx.holes = shifts, holes
        return _moved(images, shifts, holes)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        back = [[-dy, -dx] for dy, dx in ctx.shifts]
        holes = [
            hole and (hole[0] + dy, hole[1] + dx, *hole[2:])
            for hole, (dy, dx) in zip(ctx.holes, ctx.shifts, strict=True)
        ]
        return _moved(gradient, back, holes), None, None


def _moved(images: Tensor, shifts: list[list[int]], holes: list[Hole | None]) -> Tensor:
    """out[y, x] = image[y + dy, x + dx], and 0 beyond the image and in its hole."""
    height, width = images.shape[2:]
    moved = torch.zeros_like(images)
    for i, ((dy, dx), hole) in enumerate(zip(shifts, holes, strict=True)):
        top, bottom = max(0, -dy), min(height, height - dy)
        left, right = max(0, -dx), min(width, width - dx)
        moved[i, :, top:bottom, left:right] = images[
            i, :, top + dy : bottom + dy, left + dx : right + dx
        ]
        if hole:
            top, left, tall, wide = hole
            moved[i, :, max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = 0
    return moved


def _draw(n: int, rows: tuple[int, int], columns: tuple[int, int], generator) -> list[list[int]]:
    """n pairs of whole numbers, the first in `rows` (end not included), the second in `columns`."""
    return torch.stack(
        [
            torch.randint(*rows, (n,), generator=generator),
            torch.randint(*columns, (n,), generator=generator),
        ],
        dim=1,
    ).tolist()
