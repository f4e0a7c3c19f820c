"""Paths through two to five points: where the frames lie, and what is there.

A position is from 0 to 1 along the whole path; the points lie evenly on it. Sentence embeddings are
travelled in this way, and so is the noise when z travels too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stackgan.latents import lerp, slerp

MAX_SENTENCES = 5


def positions(frames: int, stops: int = 2) -> list[float]:
    """Where `frames` pictures lie on a path of `stops` sentences, 0 first and 1 last.

    Every sentence has a frame exactly on it, so between two of them the steps are even, and from one
    stretch to the next they may differ a little. Needs frames ≥ stops.
    """
    stop_frames = np.linspace(0, frames - 1, stops).round()
    return np.interp(np.arange(frames), stop_frames, np.linspace(0, 1, stops)).tolist()


def along(points: Tensor, at: Sequence[float], spherical: bool) -> Tensor:
    """Points (K, D), evenly on a path, and N positions from 0 to 1 → (N, D).

    Straight from point to point, or on an arc (`spherical`; see latents.slerp). One point is the
    whole path.
    """
    last = len(points) - 1
    if last == 0:
        return points.expand(len(at), -1)
    way = slerp if spherical else lerp
    rows = []
    for position in at:
        scaled = position * last
        start = min(int(scaled + 1e-9), last - 1)  # a third of the way is the second of four points
        rows.append(way(points[start], points[start + 1], min(max(scaled - start, 0.0), 1.0)))
    return torch.stack(rows)
