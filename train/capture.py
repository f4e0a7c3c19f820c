"""A training step as one CUDA graph.

A step is some two thousand kernels, which a host takes longer to launch one by one than a GPU takes
to run them. They are recorded once, and launched together from then on. (Of Stage-I at batch 32, an
H100 then drew 1,662 images a second, where it had drawn 494.)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor


class CapturedStep:
    """compute(inputs, *constants) → a tensor, recorded when it has run a few times with the same
    constants, and from then on replayed upon the inputs' values.

    `compute` has to leave the host out of it: to copy nothing to or from the device, and to read no
    value. Inputs keep shape and memory format. The result is overwritten by the next call.
    """

    WARM_UP = 3  # calls in which libraries choose their kernels, and optimizers make their state

    def __init__(self, compute: Callable[..., Tensor]):
        self.compute = compute
        self._constants: tuple[Hashable, ...] | None = None
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, inputs: NamedTuple, *constants: Hashable) -> Tensor:
        if constants != self._constants:  # what was recorded holds the old ones
            self._constants, self._calls, self._graph = constants, 0, None
        self._calls += 1
        if self._calls <= self.WARM_UP:
            return self.compute(inputs, *constants)
        if self._graph is None:
            self._inputs = type(inputs)(*(tensor.clone() for tensor in inputs))
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._result = self.compute(self._inputs, *constants)
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._result
