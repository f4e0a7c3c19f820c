"""When a step is recorded and when it is replayed, with a stand-in for CUDA's graphs."""

from contextlib import contextmanager
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from train.capture import CapturedStep


class Numbers(NamedTuple):
    a: Tensor
    b: Tensor


@pytest.fixture
def graphs(monkeypatch):
    """CUDA's graphs as far as a CPU can be one: what is recorded is computed again in place."""
    recorded = []

    class Graph:
        def replay(self):
            step, constants = self.of
            step._result.copy_(step.compute(step._inputs, *constants))

    @contextmanager
    def record(graph):
        recorded.append(graph)
        yield

    monkeypatch.setattr("torch.cuda.CUDAGraph", Graph)
    monkeypatch.setattr("torch.cuda.graph", record)
    return recorded


def test_a_step_is_recorded_once_and_follows_its_inputs(graphs):
    def compute(inputs, factor):
        if graphs and not hasattr(graphs[-1], "of"):
            graphs[-1].of = step, (factor,)
        return factor * inputs.a + inputs.b

    step = CapturedStep(compute)
    for i in range(8):
        inputs = Numbers(torch.full((3,), float(i)), torch.arange(3.0))
        torch.testing.assert_close(step(inputs, 2.0), 2.0 * inputs.a + inputs.b)
        assert len(graphs) == (i >= CapturedStep.WARM_UP)
        inputs.a.fill_(torch.nan)  # what was given is not kept

    # Another constant is another step: warmed up, and then recorded, anew.
    for i in range(5):
        inputs = Numbers(torch.ones(3), torch.full((3,), float(i)))
        torch.testing.assert_close(step(inputs, 5.0), 5.0 + inputs.b)
        assert len(graphs) == 1 + (i >= CapturedStep.WARM_UP)
