"""A trained generator made wider without forgetting: the aim of Net2Net (Chen, Goodfellow and Shlens 2016)."""

from __future__ import annotations

from torch import Tensor

Weights = dict[str, Tensor]


def widened(trained: Weights, fresh: Weights, last_inputs: dict[str, int] | None = None) -> Weights:
    """Weights of a wider generator that draws what the narrower `trained` draws.

    `fresh`: the wider one's initial weights. Its first channels become the trained ones; further
    channels keep their initial weights, and nothing trained reads them yet: those weights are 0.
    BatchNorm and ReLU treat each channel for itself, so pictures are the same to rounding, in
    training too. (Net2Net copies channels instead, which then need noise to become different.)

    `last_inputs`: by name of a weight, how many of its inputs stay the last ones, because they are
    no channels of the layer before. Raises KeyError where `trained` lacks a weight.
    """
    wide = {}
    for name, weight in fresh.items():
        old = trained[name]
        if old.shape == weight.shape:
            wide[name] = old
            continue
        wide[name] = weight = weight.clone()
        outputs = len(old)
        if weight.dim() == 1:  # of a BatchNorm
            weight[:outputs] = old
            continue
        last = (last_inputs or {}).get(name, 0)
        first = old.shape[1] - last
        weight[:outputs] = 0
        weight[:outputs, :first] = old[:, :first]
        weight[:outputs, weight.shape[1] - last :] = old[:, first:]
    return wide
