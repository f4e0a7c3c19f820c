"""EfficientNet-Lite compiled by OpenVINO for the CPU: the same features, about twice as fast."""

from __future__ import annotations

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as op
from torch import Tensor

from stackgan.features import ENTER, INPUT_SIZE, EfficientNetLite, FrozenConv2d
from stackgan.runtime.openvino_engine import Compiled, constant


class OpenVINOLite:
    """`EfficientNetLite.forward` in single precision, for features that are not differentiated.

    Not in bf16, although that is faster still: photographs' features turn by up to 0.1 rad in it,
    and the kernel distance of flowers from flowers rises from 0.2 to 0.4 thousandths.
    """

    def __init__(self, network: EfficientNetLite):
        self._compiled = Compiled(features_graph(network), torch.float32)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [−1, 1], S the network's input size → pooled features (N, 1280)."""
        return self._compiled(images)


def features_graph(network: EfficientNetLite) -> ov.Model:
    """Pictures (N, 3, S, S) → pooled features (N, 1280)."""
    side = INPUT_SIZE[network.name]
    pictures = op.parameter([-1, 3, side, side], np.float32)
    scale, shift = (np.float32(number) for number in ENTER)
    x = op.add(op.multiply(pictures, op.constant(scale)), op.constant(shift))
    x = _convolution(x, network.stem)
    for block in network.blocks:
        y = x
        for layer in block.layers:
            y = _convolution(y, layer)
        x = op.add(x, y) if block.skip else y
    x = op.reduce_mean(_convolution(x, network.head), np.array([2, 3]))
    return ov.Model([x], [pictures], network.name)


def _convolution(x: ov.Node, layer: FrozenConv2d) -> ov.Node:
    weight, groups, (before, after) = layer.weight, layer.groups, layer.padding
    build = op.convolution
    if groups > 1:
        weight, build = weight.unflatten(0, (groups, -1)), op.group_convolution
    x = build(
        x,
        constant(weight),
        strides=[layer.stride] * 2,
        pads_begin=[before] * 2,
        pads_end=[after] * 2,
        dilations=[1, 1],
    )
    x = op.add(x, constant(layer.bias[None, :, None, None]))
    return op.clamp(x, 0.0, 6.0) if layer.relu6 else x
