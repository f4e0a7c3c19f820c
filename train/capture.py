"""A training step as one CUDA graph.

A step is some two thousand kernels, which a host takes longer to launch one by one than a GPU takes
to run them. They are recorded once, and launched together from then on; what that gains is measured
in train/RECIPE.md.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor


class CapturedStep:
    """step(inputs, *constants) → a tensor, recorded when it has run a few times with the same
    constants, and from then on replayed upon the inputs' values.

    The step has to leave the host out of it: to copy nothing to or from the device, and to read no
    value. Inputs keep shape and memory format. The result is overwritten by the next call.
    """

    WARM_UP = 3  # calls in which libraries choose their kernels, and optimizers make their state

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        """Record anew: what a step works upon lies in other memory now."""
        self._constants: tuple[Hashable, ...] | None = None
        self._calls = 0
        # The graph, and the tensors that it reads and writes.
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: NamedTuple | None = None
        self._result: Tensor | None = None

    def __call__(
        self, step: Callable[..., Tensor], inputs: NamedTuple, *constants: Hashable
    ) -> Tensor:
        if constants != self._constants:  # what was recorded holds the old ones
            self.forget()
            self._constants = constants
        self._calls += 1
        if self._calls <= self.WARM_UP:
            return step(inputs, *constants)
        if self._graph is None:
            self._inputs = type(inputs)(*(tensor.clone() for tensor in inputs))
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._result = step(self._inputs, *constants)
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._result
