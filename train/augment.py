"""Differentiable augmentation (Zhao et al. 2020) of everything the discriminator sees.

Translation and cutout only: changing colours would teach D that the named colour does not matter.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CUT_SHARE = 0.5


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
    shifted = [
        F.pad(image, (reach_x, reach_x, reach_y, reach_y))[
            :, reach_y + dy : reach_y + dy + height, reach_x + dx : reach_x + dx + width
        ]
        for image, (dy, dx) in zip(images.unbind(0), shifts, strict=True)
    ]
    visible = torch.ones(n, 1, height, width, dtype=images.dtype)
    is_cut = (torch.rand(n, generator=generator) < CUT_SHARE).tolist()
    for mask, (top, left), cut in zip(visible, corners, is_cut, strict=True):
        if cut:
            mask[:, max(top, 0) : top + side_y, max(left, 0) : left + side_x] = 0
    return torch.stack(shifted) * visible.to(images.device, non_blocking=True)


def _draw(n: int, rows: tuple[int, int], columns: tuple[int, int], generator) -> list[list[int]]:
    """n pairs of whole numbers, the first in `rows` (end not included), the second in `columns`."""
    return torch.stack(
        [
            torch.randint(*rows, (n,), generator=generator),
            torch.randint(*columns, (n,), generator=generator),
        ],
        dim=1,
    ).tolist()
