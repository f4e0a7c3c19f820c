"""The same network made fast for inference."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from stackgan.model import StackGAN


def has_native_bf16(device: torch.device | str) -> bool:
    """Whether the device multiplies bf16 in hardware; emulated bf16 is slower than fp32."""
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


class Engine(Protocol):
    """What the pipeline runs: two functions over CPU tensors in single precision."""

    name: str

    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        """Embeddings (N, E) as the encoder gave them, z (N, N_z), ε (N, N_g) → (N, 3, W₀, H₀)."""

    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        """Sketches (N, 3, 64, 64), embeddings (N, E), ε (N, N_g) → pictures (N, 3, W, H)."""


class PlainEngine:
    """The network as it was trained: single precision, eager. The measure of the others."""

    name = "plain"

    def __init__(self, model: StackGAN, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        embeddings, z, epsilon = self._moved(embeddings, z, epsilon)
        return self.model.stage1(self.model.embedding_norm(embeddings), z, epsilon).pictures.cpu()

    @torch.inference_mode()
    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        sketches, embeddings, epsilon = self._moved(sketches, embeddings, epsilon)
        embeddings = self.model.embedding_norm(embeddings)
        return self.model.stage2(sketches, embeddings, epsilon).pictures.cpu()

    def _moved(self, *tensors: Tensor | None) -> list[Tensor | None]:
        return [None if t is None else t.to(self.device) for t in tensors]


def load_engine(model: StackGAN, name: str = "auto", device: torch.device | str = "cpu") -> Engine:
    """The engine of that name for a trained model; "auto" takes the fastest that is safe here."""
    if name not in ("auto", "plain"):
        raise ValueError(f"unknown engine {name!r}; there are auto, plain")
    return PlainEngine(model, device)
