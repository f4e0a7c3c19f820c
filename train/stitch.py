"""Photographs put together wrongly, which D is to call drawn: negative data augmentation (Sinha et al. 2021).

Photographs differ from drawn pictures in so much that D need not notice whether what it sees is of
one piece, and G is not told: two heads, a body without one or half of another bird pass. Here a region of
a photograph is exchanged for another place of it, mirrored, moved or upside down, or for the same place
of another photograph.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

OTHER_SHARE = 0.4  # from another photograph


def draw_stitches(n: int, generator: torch.Generator | None = None) -> Tensor:
    """How `stitch` is to change n photographs: (N, 13), places in [−1, 1].

    Columns: whether the region is filled from another photograph (1); the affine map from a place
    of the region to the place that fills it (6); the region, a half-plane by its normal, its
    offset and a number without meaning, or an ellipse by its centre and half axes (4); whether it is
    a half-plane (1); and how sharp its outline is (1), from a twelfth of the side down to a pixel.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    def sign() -> Tensor:
        return torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1

    other = uniform(0, 1) < OTHER_SHARE
    half = uniform(0, 1) < 0.5
    zero, one = torch.zeros(n), torch.ones(n)
    angle, offset = uniform(-math.pi, math.pi), uniform(-0.3, 0.3)
    across, down = angle.cos(), angle.sin()
    # The mirror image beyond a half-plane's edge: p − 2 (n·p − b) n.
    mirror = [1 - 2 * across**2, -2 * across * down, 2 * offset * across]
    mirror += [-2 * across * down, 1 - 2 * down**2, 2 * offset * down]
    # Or a place elsewhere, flipped or not.
    way, far = uniform(-math.pi, math.pi), uniform(0.35, 0.8)
    moved = [sign(), zero, far * way.cos(), zero, sign(), far * way.sin()]
    reflects = half & (uniform(0, 1) < 0.6)
    warp = [torch.where(reflects, m, v) for m, v in zip(mirror, moved, strict=True)]
    same = [one, zero, zero, zero, one, zero]
    warp = [torch.where(other, s, w) for s, w in zip(same, warp, strict=True)]
    ellipse = [uniform(-0.45, 0.45), uniform(-0.45, 0.45), uniform(0.25, 0.6), uniform(0.25, 0.6)]
    region = [
        torch.where(half, h, e) for h, e in zip([across, down, offset, one], ellipse, strict=True)
    ]
    sharpness = uniform(math.log(6), math.log(60)).exp()
    return torch.stack([other.float(), *warp, *region, half.float(), sharpness], dim=1)


def stitch(photos: Tensor, others: Tensor, stitches: Tensor) -> Tensor:
    """Photographs put together as `stitches` (N, 13) of `draw_stitches` says, with `others`.

    Both (N, 3, S, S) in [−1, 1], and so is what comes of them, channels last.
    """
    other, warp, region, half, sharpness = stitches.split([1, 6, 4, 1, 1], dim=1)
    pixels = photos.shape[-1]
    side = (2 * torch.arange(pixels, device=photos.device) + 1) / pixels - 1  # centres of pixels
    y, x = side[None, :, None], side[None, None, :]
    a, b, c, d = (v[:, None, None] for v in region.T)
    inside = torch.where(
        half[:, :, None] > 0,
        a * x + b * y - c,
        (1 - (((x - a) / c) ** 2 + ((y - b) / d) ** 2).sqrt()) * torch.minimum(c, d),
    )
    mask = torch.sigmoid(sharpness[:, :, None] * inside)[:, None]  # (N, 1, S, S)
    source = torch.where(other[:, :, None, None] > 0, others, photos).float()
    with torch.autocast(photos.device.type, enabled=False):
        places = F.affine_grid(warp.view(-1, 2, 3), list(photos.shape), align_corners=False)
        source = F.grid_sample(source, places, padding_mode="reflection", align_corners=False)
    stitched = photos.lerp(source.to(photos.dtype), mask.to(photos.dtype))
    return stitched.contiguous(memory_format=torch.channels_last)
