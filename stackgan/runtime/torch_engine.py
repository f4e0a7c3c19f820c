"""The folded networks in PyTorch: channels_last, bf16 where the hardware multiplies it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stackgan import onednn
from stackgan.model import StackGAN
from stackgan.runtime.folded import Condition, FoldedStage1, FoldedStage2, pack
from stackgan.runtime.plain import has_native_bf16, moved


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
        with torch.no_grad():
            self.stage1 = self._prepared(FoldedStage1(model.embedding_norm, model.stage1))
            self.stage2 = None
            if model.stage2 is not None:
                self.stage2 = self._prepared(FoldedStage2(model.embedding_norm, model.stage2))

    @torch.inference_mode()
    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        return self.stage1(*moved(self.device, embeddings, z, epsilon)).cpu()

    @torch.inference_mode()
    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        return self.stage2(*moved(self.device, sketches, embeddings, epsilon)).cpu()

    def _prepared(self, network: nn.Module) -> nn.Module:
        network = network.eval().requires_grad_(False).to(self.device)
        for child in network.children():
            # μ and σ are little work, and σ = exp(½ log σ²) wants the precision.
            if not isinstance(child, Condition):
                child.to(self.dtype, memory_format=torch.channels_last)
        if self.device.type == "cpu" and onednn.is_available(self.dtype):
            pack(network)
        return network
