"""Noise from seeds, the ways between two points, and walks around one.

The noise of seed s is drawn on the CPU, a sample at a time, so that picture s is the same alone, in
a batch of eight, and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MAX_SEED = 2**32 - 1
MAX_TRUNCATION = 1.5  # beyond it z lies where the generators were never trained
EMPHASIS, MAX_EMPHASIS = 1.0, 2.0  # as pictures are drawn unless asked otherwise, and the most
# Each kind of noise has its own stream, so that holding z while redrawing ε is a matter of seeds.
STREAMS = {"z": 0, "epsilon1": 1, "epsilon2": 2, "directions": 3}


def check_seed(seed: int) -> int:
    """The seed as a whole number from 0 to 2³² − 1. Raises ValueError for anything else."""
    try:
        if not isinstance(seed, bool) and 0 <= seed <= MAX_SEED and int(seed) == seed:
            return int(seed)
    except (TypeError, ValueError):
        pass  # nothing that compares with numbers
    raise ValueError(f"a seed is a whole number from 0 to {MAX_SEED}, not {seed!r}")


def seeds_from(first: int, count: int) -> list[int]:
    """Seeds of `count` samples: sample i has seed first + i, beginning again at 0 past the last."""
    return [(first + i) % (MAX_SEED + 1) for i in range(count)]


@dataclass(frozen=True)
class Noise:
    """The random inputs of N pictures; an ε of None stands for ε = 0, that is ĉ = μ."""

    z: Tensor  # (N, N_z)
    epsilon1: Tensor | None = None  # (N, N_g), Stage-I's Conditioning Augmentation
    epsilon2: Tensor | None = None  # (N, N_g), Stage-II's

    def __getitem__(self, rows: slice) -> Noise:
        parts = (self.z, self.epsilon1, self.epsilon2)
        return Noise(*(None if part is None else part[rows] for part in parts))


def noise(seeds: Sequence[int], dim: int, stream: str = "z") -> Tensor:
    """N seeds → standard normal (N, dim), row i a function of seeds[i] and the stream alone."""
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(_stream_seed(check_seed(seed), STREAMS[stream]))
        rows.append(torch.randn(dim, generator=generator))
    return torch.stack(rows) if rows else torch.empty(0, dim)


def _stream_seed(seed: int, stream: int) -> int:
    """Stream 0 is the seed itself; the others mix it, because a CPU generator reads 32 bits."""
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0]) if stream else seed


def truncate(z: Tensor, truncation: float) -> Tensor:
    """Scale noise towards its mean, 0: at 1 as drawn, lower safer and more alike, 0 the mean.

    Raises ValueError outside 0 … 1.5.
    """
    if not 0.0 <= truncation <= MAX_TRUNCATION:
        raise ValueError(f"truncation is from 0 to {MAX_TRUNCATION}, not {truncation}")
    return z * truncation


def check_emphasis(emphasis: float) -> None:
    """Raises ValueError outside 0 … 2."""
    if not 0.0 <= emphasis <= MAX_EMPHASIS:
        raise ValueError(f"emphasis is from 0 to {MAX_EMPHASIS:g}, not {emphasis}")


def emphasise(embeddings: Tensor, mean: Tensor, emphasis: float) -> Tensor:
    """mean + emphasis · (φ − mean) of embeddings φ (N, E): what sets a caption apart, more or less.

    `mean` (E,) is that of the training captions: at 0 nothing is left of the words, at 1 they are
    read as they are. With ε = 0 every ĉ is its μ, half as long as the μ + σ ⊙ ε that the generators
    learned from, so a little more than 1 leads nearer to these: kinds differ more, at the price of
    variety over z. train/RECIPE.md has the figures, under "More of the words".
    """
    return embeddings if emphasis == 1 else mean + emphasis * (embeddings - mean)


def lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """(1 − t)·a + t·b for a and b (…, D); the paper's Fig. 8. Exact at both ends."""
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Along the arc between the directions of a and b (…, D), lengths interpolated linearly.

    Between nearly parallel vectors, or from or to a zero vector, the arc is a line: `lerp`. Between
    opposite ones there are many arcs; the one by way of the axis where a is smallest is taken.
    """
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    tiny = torch.finfo(a.dtype).eps
    unit_a = a / length_a.clamp_min(tiny)
    unit_b = b / length_b.clamp_min(tiny)
    # atan2 of sum and difference keeps its precision near 0 and π, where acos loses it.
    angle = 2 * torch.atan2(
        (unit_a - unit_b).norm(dim=-1, keepdim=True), (unit_a + unit_b).norm(dim=-1, keepdim=True)
    )
    across = unit_b - (unit_a * unit_b).sum(-1, keepdim=True) * unit_a
    opposite = angle > torch.pi - 1e-3
    across = torch.where(opposite, _perpendicular(unit_a), across)
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(tiny)
    arc = torch.cos(t * angle) * unit_a + torch.sin(t * angle) * across
    curved = arc * lerp(length_a, length_b, t)
    straight = (angle < 1e-4) | (length_a <= tiny) | (length_b <= tiny)
    return torch.where(straight, lerp(a, b, t), curved)


def _perpendicular(unit: Tensor) -> Tensor:
    """A vector at right angles to each unit vector (…, D): the axis least along it, projected."""
    axis = torch.zeros_like(unit).scatter_(-1, unit.abs().argmin(-1, keepdim=True), 1.0)
    return axis - (axis * unit).sum(-1, keepdim=True) * unit


@dataclass(frozen=True)
class Step:
    """One step of a walk in z: the plane it is taken in and where in that plane it ends."""

    directions: int  # seed of the plane's two directions
    x: float  # along the first, as a part of the radius: −1 to 1
    y: float  # along the second
    radius: float  # degrees that x = 1 turns z by; at 90 it is as foreign as another seed's


def directions(z: Tensor, seed: int) -> Tensor:
    """Two random unit vectors (2, D) at right angles to each other and to z (D,).

    A function of the seed and of z's direction alone. Raises ValueError for D < 3.
    """
    if len(z) < 3:
        raise ValueError(f"z has {len(z)} numbers; two directions at right angles to it need 3")
    drawn = noise([seed], 2 * len(z), "directions").reshape(2, -1).to(z)
    q, r = torch.linalg.qr(torch.stack([z, *drawn], dim=1))  # (D, 3), (3, 3)
    return (q * r.diagonal().sign())[:, 1:].T  # along what was drawn, not against it


def walk(z: Tensor, steps: Sequence[Step]) -> Tensor:
    """z (D,) after the steps, one by one; each takes its directions from where the last one ended.

    The walk turns z and keeps its length: noise of many dimensions lies in a thin shell (|z| ≈ √D),
    and a straight line at right angles to z would leave it for lengths that the generators have
    never seen. Its angle is proportional to the way on the plane, (x, y) times the radius; scaling
    z scales the result, so that truncation may come first. The same steps give the same bits.
    """
    place = z.double()  # rounded once at the end, so that a long walk's errors do not add up
    for step in steps:
        way = math.hypot(step.x, step.y)
        if way == 0:
            continue
        u, v = directions(place, step.directions)
        angle = math.radians(way * step.radius)
        across = (step.x * u + step.y * v) / way
        place = math.cos(angle) * place + math.sin(angle) * place.norm() * across
    return place.to(z.dtype)
