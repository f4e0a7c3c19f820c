"""The folded networks in PyTorch: channels_last, bf16 where the hardware multiplies it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stackgan import onednn
from stackgan.model import StackGAN
from stackgan.runtime.folded import Condition, FoldedStage1, FoldedStage2, pack
from stackgan.runtime.plain import has_native_bf16, moved


class Reader:
    """What a stage makes of sentences, which for the same ones, and ε = 0, it gives again.

    Drawing one sentence with other noise is what people do most. Only the last sentences' is kept.
    """

    def __init__(self, read: Callable[[Tensor, Tensor | None], Tensor | None]):
        self._read, self._last = read, None

    def __call__(self, embeddings: Tensor, epsilon: Tensor | None) -> Tensor | None:
        """Of N sentences (N, E) on the CPU: N rows, or one where all are the same."""
        if epsilon is not None:
            return self._read(embeddings, epsilon)
        if torch.equal(embeddings, embeddings[:1].expand_as(embeddings)):
            embeddings = embeddings[:1]
        last = self._last  # looked up once: other threads draw other sentences
        if last is None or not torch.equal(last[0], embeddings):
            last = self._last = embeddings.clone(), self._read(embeddings, None)
        return last[1]


class TorchEngine:
    """Runs on any device that torch runs on; on a CPU through oneDNN's fused kernels."""

    name = "torch"

    def __init__(
        self,
        model: StackGAN,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ):
        """`dtype`: bf16 where the device has it in hardware, else single precision, unless given."""
        self.device = torch.device(device)
        self.dtype = dtype or (torch.bfloat16 if has_native_bf16(device) else torch.float32)
        self.stage2 = None
        with torch.no_grad():
            self.stage1 = self._prepared(FoldedStage1(model.embedding_norm, model.stage1))
            self._text1 = self._reader(self.stage1)
            if model.stage2 is not None:
                self.stage2 = self._prepared(FoldedStage2(model.embedding_norm, model.stage2))
                self._text2 = self._reader(self.stage2)

    @torch.inference_mode()
    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        return self.stage1.draw(self._text1(embeddings, epsilon), z.to(self.device)).cpu()

    @torch.inference_mode()
    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        text = self._text2(embeddings, epsilon)
        return self.stage2.draw(sketches.to(self.device), text).cpu()

    def _reader(self, stage: FoldedStage1 | FoldedStage2) -> Reader:
        return Reader(lambda *inputs: stage.read(*moved(self.device, *inputs)))

    def _prepared(self, network: nn.Module) -> nn.Module:
        network = network.eval().requires_grad_(False).to(self.device)
        for child in network.children():
            # μ and σ are little work, and σ = exp(½ log σ²) wants the precision.
            if not isinstance(child, Condition):
                child.to(self.dtype, memory_format=torch.channels_last)
        if self.device.type == "cpu" and onednn.is_available(self.dtype):
            pack(network)
        return network
