"""What an engine is, and the plainest one: the network as it was trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from stackgan.model import StackGAN


class Engine(Protocol):
    """What the pipeline runs: two functions over CPU tensors in single precision.

    It may be called from several threads, and leaves the model it was made from as it was.
    """

    name: str  # "plain", "torch" or "openvino"
    dtype: torch.dtype  # what the convolutions multiply in

    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        """Embeddings (N, E) as the encoder gave them, z (N, N_z), ε (N, N_g) → (N, 3, H₀, W₀)."""

    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        """Sketches (N, 3, H₀, W₀), embeddings (N, E), ε (N, N_g) → pictures (N, 3, H, W)."""


class PlainEngine:
    """The network as it was trained: single precision, eager. The measure of the others."""

    name = "plain"
    dtype = torch.float32

    def __init__(self, model: StackGAN, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        embeddings, z, epsilon = moved(self.device, embeddings, z, epsilon)
        return self.model.stage1(self.model.embedding_norm(embeddings), z, epsilon).pictures.cpu()

    @torch.inference_mode()
    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        sketches, embeddings, epsilon = moved(self.device, sketches, embeddings, epsilon)
        embeddings = self.model.embedding_norm(embeddings)
        return self.model.stage2(sketches, embeddings, epsilon).pictures.cpu()


def moved(device: torch.device, *tensors: Tensor | None) -> list[Tensor | None]:
    """The tensors on that device; None stays None."""
    return [None if tensor is None else tensor.to(device) for tensor in tensors]


def has_native_bf16(device: torch.device | str) -> bool:
    """Whether the device multiplies bf16 in hardware; emulated bf16 is slower than fp32.

    The environment variable STACKGAN_PRECISION=float32 says no for every device. Raises ValueError
    for any other precision.
    """
    if asked := os.environ.get("STACKGAN_PRECISION"):
        if asked != "float32":
            raise ValueError(f"STACKGAN_PRECISION is float32 or unset, not {asked!r}")
        return False
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        try:
            flags = Path("/proc/cpuinfo").read_text()
        except OSError:
            return False
        return "avx512_bf16" in flags or "amx_bf16" in flags
    return False
