"""What a GPU has to be asked for in one call, lest its host hold it up: copies to it, and windows of
many pictures."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on that device. A GPU fetches it when it comes to it, and the host does not wait."""
    device = torch.device(device)
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def shifted(images: Tensor, offsets: Tensor, side: int, which: Tensor | None = None) -> Tensor:
    """out[i, :, y, x] = image[:, y + down, x + right], and 0 beyond the image: (N, C, side, side),
    channels last.

    In one gather, whatever N. images: (P, C, H, W), read fastest channels last. offsets: (N, 2), down
    and right. which: (N,), the picture of each; the i-th unless given. All on one device.
    """
    height, width = images.shape[2:]
    pixel = torch.arange(side, device=images.device)
    rows, columns = (at[:, None] + pixel for at in offsets.T)  # (N, side) each
    which = torch.arange(len(images), device=images.device) if which is None else which
    seen = images.permute(0, 2, 3, 1)[
        which[:, None, None],
        rows.clamp(0, height - 1)[:, :, None],
        columns.clamp(0, width - 1)[:, None, :],
    ]  # (N, side, side, C)
    in_rows, in_columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    inside = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    return (seen * inside).permute(0, 3, 1, 2)
