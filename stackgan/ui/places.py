"""A place in z that somebody walked to, and what is drawn there.

A walk begins at a seed's z. Steps that were locked lead to the centre of a map, one more from the
centre to a place on it. The places of a map share their centre, directions and radius.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import torch

from stackgan import latents
from stackgan.latents import EMPHASIS, MAX_EMPHASIS, MAX_TRUNCATION, Step
from stackgan.pipeline import Inputs, Pipeline
from stackgan.ui import checks

MAX_LOCKED = 16
MAX_RADIUS = 90  # degrees
UNLOCKED = "[]"
TOO_MANY = f"{MAX_LOCKED} locked steps are the limit: go back first"


@dataclass(frozen=True)
class Place:
    """A point of z under a caption: all that it takes to draw it again."""

    pipeline: Pipeline
    caption: str
    seed: int
    locked: list[Step]
    step: Step
    truncation: float = 1.0
    epsilon_seed: int | None = None  # None is ε = 0
    emphasis: float = EMPHASIS

    def __post_init__(self) -> None:
        """Raises ValueError in words for what is out of range."""
        checks.seed(self.seed)
        checks.number(self.truncation, "truncation", 0, MAX_TRUNCATION)
        checks.number(self.emphasis, "emphasis", 0, MAX_EMPHASIS)
        if self.epsilon_seed is not None:
            checks.seed(self.epsilon_seed, "the ε seed")
        if len(self.locked) > MAX_LOCKED:
            raise ValueError(TOO_MANY)

    @property
    def degrees(self) -> float:
        """How far z is turned from the centre."""
        return math.hypot(self.step.x, self.step.y) * self.step.radius

    def inputs(self) -> Inputs:
        """Of the one picture here."""
        return self._inputs([self.step], [self.epsilon_seed])

    def inputs_at(self, points: Sequence[tuple[float, float]]) -> Inputs:
        """Of a picture at each of these points (x, y) of the map."""
        steps = [replace(self.step, x=x, y=y) for x, y in points]
        return self._inputs(steps, [self.epsilon_seed])

    def inputs_under(self, epsilon_seeds: Sequence[int | None]) -> Inputs:
        """Of a picture here for each ε, z being the same: the paper's Fig. 7."""
        return self._inputs([self.step] * len(epsilon_seeds), list(epsilon_seeds))

    def _inputs(self, steps: list[Step], epsilon_seeds: list[int | None]) -> Inputs:
        inputs = self.pipeline.prepare(
            [self.caption],
            [self.seed] * len(steps),
            epsilon_seeds=epsilon_seeds,
            truncation=self.truncation,
            emphasis=self.emphasis,
        )
        centre = latents.walk(inputs.noise.z[0].double(), self.locked)
        z = torch.stack([latents.walk(centre, [step]) for step in steps])
        settings = [
            {**record, "steps": [list(astuple(leg)) for leg in (*self.locked, step)]}
            for record, step in zip(inputs.settings, steps, strict=True)
        ]
        noise = replace(inputs.noise, z=z.to(inputs.noise.z.dtype))
        return replace(inputs, noise=noise, settings=settings)


def step(directions: object, x: object, y: object, radius: object) -> Step:
    """A step from what a client sent. Raises ValueError in words."""
    return Step(
        checks.seed(directions, "the seed of the directions"),
        checks.number(x, "x", -1, 1),
        checks.number(y, "y", -1, 1),
        checks.number(radius, "the radius", 0, MAX_RADIUS),
    )


def steps(rows: object, most: int = MAX_LOCKED) -> list[Step]:
    """Steps from rows of [directions, x, y, radius]. Raises ValueError in words."""
    if isinstance(rows, list) and len(rows) > most:  # before anything is made of them
        raise ValueError(TOO_MANY)
    if not isinstance(rows, list) or not all(isinstance(r, list) and len(r) == 4 for r in rows):
        raise ValueError("the locked steps are a list of [directions, x, y, radius]")
    return [step(*row) for row in rows]


def from_text(text: object) -> list[Step]:
    """Steps from JSON, the inverse of `to_text`. Raises ValueError in words."""
    try:
        rows = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        rows = None
    return steps(rows)


def to_text(locked: Sequence[Step]) -> str:
    """Steps as JSON, which a control of the page holds."""
    return json.dumps([astuple(step) for step in locked], separators=(",", ":"))
