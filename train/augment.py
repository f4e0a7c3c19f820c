"""Differentiable augmentation (Zhao et al. 2020) of everything the discriminator sees.

Translation and cutout, and if asked for zooming and turning, which keep a D that sees the same few
thousand photographs for a hundred epochs from learning them by heart (Karras et al. 2020). Colours stay:
changing them would teach D that the named colour does not matter.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stackgan.devices import shifted

CUT_SHARE = 0.5
# Deviations of the normal distributions that `draw_warps` draws from.
ZOOM, STRETCH = 0.2, 0.1  # of logarithms to the base 2
TURN = 0.15  # radians


def draw_changes(n: int, side: int, generator: torch.Generator | None = None) -> Tensor:
    """How `augment` is to change n pictures of `side` pixels: (N, 5) whole numbers.

    Down, right: the picture is seen from there on, up to ⅛ of its side either way. Top, left, side:
    the square that is blanked, which may reach over the edges. It has half the picture's side, or
    none: every second picture, by chance, is left whole. Were all of them cut, a generator that
    paints grey squares itself would not be found out (Karras et al. 2020, section 2.2).
    """
    reach, hole = side // 8, side // 2
    shifts = torch.randint(-reach, reach + 1, (n, 2), generator=generator)
    corners = torch.randint(-hole // 2, side - hole // 2, (n, 2), generator=generator)
    is_cut = torch.rand(n, 1, generator=generator) < CUT_SHARE
    return torch.cat([shifts, corners, is_cut * hole], dim=1)


def draw_warps(n: int, share: float, generator: torch.Generator | None = None) -> Tensor:
    """How `augment` is to zoom, stretch and turn n pictures: (N, 2, 3), for each the affine map from a
    place in what is seen to that place in the picture, both in [−1, 1].

    `share` of them are changed, each by a chance of its own; the rest get the identity. (Were all of them
    turned, a generator that draws slanted pictures would not be found out.)
    """
    zoom, stretch, turn = torch.randn(3, n, generator=generator)
    changed = torch.rand(n, generator=generator) < share
    turn = torch.where(changed, TURN * turn, 0.0)
    scales = torch.stack([ZOOM * zoom + STRETCH * stretch, ZOOM * zoom - STRETCH * stretch])
    across, down = torch.where(changed, scales, 0.0).exp2()
    zero = torch.zeros(n)
    rows = [
        across * turn.cos(),
        -across * turn.sin(),
        zero,
        down * turn.sin(),
        down * turn.cos(),
        zero,
    ]
    return torch.stack(rows, dim=1).view(n, 2, 3)


def augment(images: Tensor, changes: Tensor, warps: Tensor | None = None) -> Tensor:
    """Zoom and turn each picture as `warps` of `draw_warps` say, if given; translate it, then blank a
    square of it, as `changes` of `draw_changes` say.

    Pictures (N, 3, S, S) in [−1, 1]; what is uncovered or blanked becomes 0, mid-grey. Gradients
    flow to what stays visible.
    """
    if warps is not None:
        with torch.autocast(images.device.type, enabled=False):  # which would round places
            places = F.affine_grid(warps, list(images.shape), align_corners=False)
            seen = F.grid_sample(images.float(), places, align_corners=False)
        images = seen.to(images.dtype).contiguous(memory_format=torch.channels_last)
    return _MoveAndCut.apply(images, changes)


class _MoveAndCut(torch.autograd.Function):
    """On a CPU each picture's pixels copied once, and each gradient's: torch's own slices, stacked
    and masked, copy a batch six times."""

    @staticmethod
    def forward(ctx, images: Tensor, changes: Tensor) -> Tensor:
        ctx.changes = changes
        return _moved(images, changes)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        shifts, corners, sides = ctx.changes.split([2, 2, 1], dim=1)
        return _moved(gradient, torch.cat([-shifts, corners + shifts, sides], dim=1)), None


def _moved(images: Tensor, changes: Tensor) -> Tensor:
    """out[y, x] = image[y + down, x + right], and 0 beyond the image and in its hole."""
    side = images.shape[2]
    if images.device.type != "cpu":
        return _moved_at_once(images, changes)
    moved = torch.zeros_like(images)
    for i, (down, right, top, left, hole) in enumerate(changes.tolist()):
        ys = slice(max(0, -down), min(side, side - down))
        xs = slice(max(0, -right), min(side, side - right))
        moved[i, :, ys, xs] = images[
            i, :, ys.start + down : ys.stop + down, xs.start + right : xs.stop + right
        ]
        if hole:
            ys, xs = (slice(max(at, 0), max(at + hole, 0)) for at in (top, left))
            moved[i, :, ys, xs] = 0
    return moved


def _moved_at_once(images: Tensor, changes: Tensor) -> Tensor:
    """The same in a few operations on the whole batch."""
    pixel = torch.arange(images.shape[2], device=images.device)
    top, left, hole = changes.T[2:, :, None]  # (N, 1) each
    in_rows, in_columns = ((pixel >= at) & (pixel < at + hole) for at in (top, left))
    cut = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    # Multiplied, for masked_fill would lose channels last.
    return shifted(images, changes[:, :2], images.shape[2]) * ~cut
