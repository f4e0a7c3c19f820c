"""The folded networks compiled by OpenVINO for the CPU.

The graph is built from the folded modules' weights, operation by operation: no tracing, no
converter, and nothing of OpenVINO but its core is loaded.
"""

from __future__ import annotations

import threading

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as op
from torch import Tensor

from stackgan.model import StackGAN
from stackgan.runtime.folded import (
    Convolution,
    FoldedStage1,
    FoldedStage2,
    GatheredUp,
    TextMap,
)
from stackgan.runtime.plain import has_native_bf16


class Compiled:
    """A graph of one result compiled for the CPU: tensors → that result, in single precision."""

    def __init__(self, graph: ov.Model, dtype: torch.dtype):
        """`dtype`: what is computed in, bfloat16 or float32."""
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._request = ov.Core().compile_model(graph, "CPU", settings).create_infer_request()
        # A request serves one caller at a time; one who cancelled may still wait for it meanwhile.
        self._lock = threading.Lock()

    def __call__(self, *inputs: Tensor) -> Tensor:
        arrays = [tensor.float().contiguous().numpy() for tensor in inputs]
        with self._lock:
            return torch.from_numpy(np.array(self._request.infer(arrays, share_inputs=True)[0]))


class OpenVINOEngine:
    """Runs on the CPU alone; as many threads as torch has."""

    name = "openvino"

    def __init__(self, model: StackGAN, dtype: torch.dtype | None = None):
        """`dtype`: bf16 where the CPU has it in hardware, else single precision, unless given."""
        self.dtype = dtype or (torch.bfloat16 if has_native_bf16("cpu") else torch.float32)
        with torch.no_grad():
            stage1 = FoldedStage1(model.embedding_norm, model.stage1).eval()
            self.conditioning1, self.conditioning2 = stage1.conditioning, None
            self.stage1 = Compiled(stage1_graph(stage1), self.dtype)
            if model.stage2 is not None:
                stage2 = FoldedStage2(model.embedding_norm, model.stage2).eval()
                self.conditioning2 = stage2.conditioning
                self.stage2 = Compiled(stage2_graph(stage2), self.dtype)

    @torch.inference_mode()
    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        condition = self.conditioning1(embeddings, epsilon)
        return self.stage1(torch.cat([condition, z], dim=1))

    @torch.inference_mode()
    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        if self.conditioning2 is None:
            return self.stage2(sketches)
        return self.stage2(sketches, self.conditioning2(embeddings, epsilon))


def stage1_graph(stage: FoldedStage1) -> ov.Model:
    """[ĉ₀, z] (N, N_g + N_z) → sketches (N, 3, H₀, W₀)."""
    weight = torch.cat([stage.text.weight, stage.seed_map.weight], dim=1)
    inputs = op.parameter([-1, weight.shape[1]], np.float32)
    x = op.relu(op.add(matmul(inputs, weight), constant(stage.text.bias)))
    x = op.reshape(x, np.array([0, 4, 4, -1]), special_zero=True)
    x = op.transpose(x, np.array([0, 3, 1, 2]))
    return ov.Model([tail(x, stage)], [inputs], "stage1")


def stage2_graph(stage: FoldedStage2) -> ov.Model:
    """Sketches (N, 3, 64, 64) and, with text in Stage-II, ĉ (N, N_g) → pictures (N, 3, H, W)."""
    inputs = [op.parameter([-1, 3, 64, 64], np.float32)]
    x, text = inputs[0], None
    for layer in stage.encoder:
        x = convolution(x, layer)
    if stage.text is not None:
        inputs.append(op.parameter([-1, stage.text.linear.in_features], np.float32))
        text = text_map(inputs[1], stage.text)
    x = convolution(x, stage.join, text)
    for first, second in zip(stage.residual[::2], stage.residual[1::2], strict=True):
        x = convolution(convolution(x, first), second, x)
    return ov.Model([tail(x, stage)], inputs, "stage2")


def tail(x: ov.Node, stage: FoldedStage1 | FoldedStage2) -> ov.Node:
    """Up-sampling blocks and the last convolution, and what `finish` does."""
    for layer in stage.up:
        x = gathered(x, layer) if isinstance(layer, GatheredUp) else convolution(x, layer)
    x = convolution(x, stage.to_rgb)
    if len(stage.to_rgb.bias) > 3:
        x = op.depth_to_space(x, "depth_first", 2)
    return op.tanh(op.multiply(x, np.float32(0.5)))


def convolution(x: ov.Node, layer: Convolution, added: ov.Node | None = None) -> ov.Node:
    """What `Convolution.forward` does."""
    build = op.convolution_backprop_data if layer.transposed else op.convolution
    padding = [layer.padding] * 2
    x = build(
        x,
        constant(layer.weight),
        strides=[layer.stride] * 2,
        pads_begin=padding,
        pads_end=padding,
        dilations=[1, 1],
    )
    x = op.add(x, constant(layer.bias[None, :, None, None]))
    if added is not None:
        x = op.add(x, added)
    return op.relu(x) if layer.relu else x


def gathered(x: ov.Node, layer: GatheredUp) -> ov.Node:
    """What `GatheredUp.forward` does; the sums along an axis are a product with zeros and ones."""
    size = x.get_output_partial_shape(0)[2].get_length()  # H = W
    pixel, tap = np.divmod(np.arange(3 * size), 3)
    seen = (
        np.arange(2 * size)[:, None] + tap - 1
    ) // 2  # by that tap from each place of the result
    which = op.constant((seen == pixel).astype(np.float32))  # (2H, 3H)
    pixels = op.transpose(x, np.array([0, 2, 3, 1]))
    products = op.add(
        matmul(pixels, layer.linear.weight), constant(layer.linear.bias)
    )  # (N, H, W, 9·C′)
    shape = np.array([0, size, size, 3, 3, -1])
    by_tap = op.transpose(op.reshape(products, shape, True), np.array([0, 1, 3, 2, 4, 5]))
    columns = op.reshape(by_tap, np.array([0, 3 * size, 3 * size, -1]), True)
    columns = op.matmul(which, columns, False, False)  # (N, 3H, 2W, C′)
    rows = op.matmul(which, op.reshape(columns, np.array([0, 3 * size, -1]), True), False, False)
    sums = op.reshape(op.relu(rows), np.array([0, 2 * size, 2 * size, -1]), True)
    return op.transpose(sums, np.array([0, 3, 1, 2]))


def text_map(condition: ov.Node, layer: TextMap) -> ov.Node:
    """What `TextMap.forward` does."""
    sums = op.reshape(
        matmul(condition, layer.linear.weight), np.array([0, 9, -1]), special_zero=True
    )
    pixels = op.gather(sums, layer.where.numpy(), np.array(1))  # (N, H·W, C′)
    shape = np.array([0, layer.size, layer.size, -1])
    return op.transpose(op.reshape(pixels, shape, special_zero=True), np.array([0, 3, 1, 2]))


def matmul(x: ov.Node, weight: Tensor) -> ov.Node:
    """x (…, I) and a weight (O, I) → (…, O)."""
    return op.matmul(x, constant(weight), transpose_a=False, transpose_b=True)


def constant(values: Tensor) -> ov.Node:
    return op.constant(values.detach().contiguous().numpy())
