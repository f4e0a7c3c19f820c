"""Numbers made visible on the How it works tab."""

from __future__ import annotations

import html
import math

import torch.nn.functional as F
from torch import Tensor

AMPLIFIED = 3  # times as strong as it is, the difference between two pictures is shown

WIDTH, HEIGHT, MARGIN = 560, 150, 34  # of the plot, in units of its own


def difference(sketches: Tensor, images: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) less their sketches (N, 3, h, w), enlarged smoothly: in [−2, 2]."""
    enlarged = F.interpolate(sketches, images.shape[-2:], mode="bilinear", align_corners=False)
    return images - enlarged


def grey_levels(change: Tensor) -> float:
    """Mean size of a difference of pictures in [−1, 1], in levels of 0 to 255."""
    return 127.5 * change.abs().mean().item()


def gaussian_svg(mu: Tensor, sigma: Tensor, title: str) -> str:
    """μ (N_g,) as a line inside the band μ ± σ, both in the order of μ; as a figure with its words.

    Colours come from the page's theme, so that it reads in light and dark.
    """
    order = mu.argsort()
    means, spreads = mu[order].tolist(), sigma[order].tolist()
    top = max(abs(m) + s for m, s in zip(means, spreads, strict=True))
    top = max(math.ceil(top * 2) / 2, 0.5)

    def point(i: int, value: float) -> str:
        x = MARGIN + (WIDTH - MARGIN) * i / max(len(means) - 1, 1)
        return f"{x:.1f},{HEIGHT * (0.5 - 0.48 * value / top):.1f}"

    places = range(len(means))
    upper = [point(i, means[i] + spreads[i]) for i in places]
    lower = [point(i, means[i] - spreads[i]) for i in reversed(places)]
    line = " ".join(point(i, means[i]) for i in places)
    labels = "".join(
        f'<text x="0" y="{point(0, value).split(",")[1]}" dominant-baseline="middle">{value:+g}</text>'
        for value in (top, -top)
    )
    spread = sum(spreads) / len(spreads)
    words = (
        f"{title}: {len(means)} numbers, μ from {means[0]:.2f} to {means[-1]:.2f}, "
        f"σ {spread:.2f} on average"
    )
    return (
        f'<figure class="gaussian"><svg viewBox="0 -6 {WIDTH} {HEIGHT + 12}" role="img" '
        f'aria-label="{html.escape(words)}">'
        f'<polygon points="{" ".join(upper + lower)}" class="band"/>'
        f'<polyline points="{line}" class="mean"/>'
        f'<line x1="{MARGIN}" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}" class="zero"/>'
        f'<text x="0" y="{HEIGHT / 2}" dominant-baseline="middle">0</text>{labels}</svg>'
        f"<figcaption>{html.escape(words)}</figcaption></figure>"
    )
