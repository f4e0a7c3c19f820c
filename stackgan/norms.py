"""Normalisations of torch's, in fewer passes over memory: BatchNorm of narrow maps, spectral norm.

torch's BatchNorm on a CPU handles a pixel's channels a vector at a time. Where there are fewer
channels than a vector holds it handles single numbers, which takes five times as long. But a
channels-last map (N, C, H, W) can be viewed, without a copy, as (N, kC, H, W / k): k pixels in a row
become one, with k copies of each channel. On that view the same kernels run at full width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize

FEW = 16  # channels; from here on there is nothing to gain
WIDE = 64  # channels that fewer are read as


class NarrowBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d (N, C, H, W), to rounding, and as fast for few channels as for many.

    That is in training on a CPU, channels last; elsewhere it is torch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self._can_widen(x):
            return super().forward(x)
        y, mean, variance = _Widened.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            count = x.numel() // len(mean)
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return y

    def _can_widen(self, x: Tensor) -> bool:
        usual = self.affine and self.track_running_stats and self.momentum is not None
        return (
            self.training
            and usual
            and self.weight.dtype == torch.float32
            and x.dtype in (torch.float32, torch.bfloat16)
            and x.device.type == "cpu"
            and self.num_features < FEW
            and WIDE % self.num_features == 0
            and x.shape[3] % (WIDE // self.num_features) == 0
            and x.is_contiguous(memory_format=torch.channels_last)
        )


class _Widened(torch.autograd.Function):
    """Normalised x, and the mean and the variance (biased) of each channel, (C,) in float32."""

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = _widen(x)
        # Given running statistics in float32, and so told not to answer in x's own bfloat16.
        unused = torch.zeros(2, WIDE)
        means, variances = (
            part.view(-1, len(weight))
            for part in torch.batch_norm_update_stats(wide, unused[0], unused[1], 0.0)
        )
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        scale = (variance + eps).rsqrt()
        y = _affine(x, weight * scale, bias - weight * scale * mean)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, *_) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        channels, count = len(weight), x.numel() // len(weight)
        repeats = WIDE // channels
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        unused = torch.zeros(2, WIDE)
        # Sums of gradient · x̂ and of the gradient; the rest needs them over all of a channel.
        _, *sums = torch.ops.aten.native_batch_norm_backward(
            _widen(gradient),
            _widen(x),
            weight.repeat(repeats),
            *unused,
            mean.repeat(repeats),
            scale.repeat(repeats),
            True,
            0.0,
            [False, True, True],
        )
        for_weight, for_bias = (part.view(-1, channels).sum(dim=0) for part in sums)
        # weight · scale · (gradient − mean of gradient − x̂ · mean of (gradient · x̂)), x̂ written out.
        factor = weight * scale
        of_x = -factor * scale * for_weight / count
        rest = -factor * for_bias / count - of_x * mean
        for_x = _affine(gradient, factor, rest).add_(_affine(x, of_x, torch.zeros_like(rest)))
        return for_x, for_weight, for_bias, None


def _affine(x: Tensor, factor: Tensor, addend: Tensor) -> Tensor:
    """factor · x + addend in one pass, rounded once; both (C,) in float32.

    What BatchNorm does in eval mode with a mean of 0 and a variance of 1.
    """
    repeats = WIDE // len(factor)
    mean, variance = torch.zeros(WIDE), torch.ones(WIDE)
    y = torch.empty_like(x)
    torch.ops.aten.native_batch_norm.out(
        _widen(x),
        factor.repeat(repeats),
        addend.repeat(repeats),
        mean,
        variance,
        False,
        0.0,
        0.0,
        out=_widen(y),
        save_mean=torch.empty(0),
        save_invstd=torch.empty(0),
    )
    return y


def _widen(x: Tensor) -> Tensor:
    """(N, C, H, W), channels last → (N, WIDE, H, W · C / WIDE), the same memory."""
    n, _, height, _ = x.shape
    return x.permute(0, 2, 3, 1).view(n, height, -1, WIDE).permute(0, 3, 1, 2)


class SpectralNorm(nn.Module):
    """Parametrization W → W / σ, σ its largest singular value (Miyato et al. 2018).

    W of any shape (O, …) is taken as the matrix (O, rest). One step of power iteration a call while
    W learns; none in eval mode, or while W is frozen. As torch.nn.utils.parametrizations has it, to
    rounding, in half its passes over W: it keeps u alone, takes σ from the iteration itself, reads
    W in the order of its memory, and answers in autocast's precision.
    """

    STEPS_AT_FIRST = 15

    def __init__(self, weight: Tensor):
        super().__init__()
        u = torch.randn(len(weight), dtype=weight.dtype, device=weight.device)
        self.register_buffer("u", F.normalize(u, dim=0))
        with torch.no_grad():
            for _ in range(self.STEPS_AT_FIRST):
                self.u.copy_(_singular(weight, self.u)[0])

    def forward(self, weight: Tensor) -> Tensor:
        learns = self.training and weight.requires_grad
        kind = weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        # CUDA's autocast, unlike the CPU's, would take these products in bf16.
        with torch.no_grad(), torch.autocast(kind, enabled=False):
            left, right, sigma = _singular(weight, self.u, iterate=learns)
            if learns:
                self.u.copy_(left)
        return _Normalized.apply(weight, left, right, sigma, dtype)


def spectral_norm(layer: nn.Module) -> nn.Module:
    """The layer, its weight divided by its largest singular value from now on."""
    return parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))


class _Normalized(torch.autograd.Function):
    """W / σ for σ = uᵀWv, u and v held: the gradient is (g − ⟨g, W / σ⟩ · u vᵀ) / σ."""

    @staticmethod
    def forward(
        ctx, weight: Tensor, left: Tensor, right: Tensor, sigma: Tensor, dtype: torch.dtype
    ) -> Tensor:
        ctx.save_for_backward(weight, left, right, sigma)
        return (weight / sigma).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        weight, left, right, sigma = ctx.saved_tensors
        of_weight = torch.empty_like(weight).copy_(gradient).div_(sigma)
        along = torch.dot(_matrix(of_weight).flatten(), _matrix(weight).flatten()) / sigma
        _matrix(of_weight).addr_(left * -along, right)
        return of_weight, None, None, None, None


def _singular(weight: Tensor, u: Tensor, iterate: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """(u, v, σ) with σ = uᵀWv: after a step of power iteration from u, or of u as it is."""
    matrix = _matrix(weight)
    right = torch.mv(matrix.T, u)
    if not iterate:
        sigma = right.norm().clamp_min(1e-12)
        return u, right / sigma, sigma
    right = F.normalize(right, dim=0)
    left = torch.mv(matrix, right)
    sigma = left.norm().clamp_min(1e-12)
    return left / sigma, right, sigma


def _matrix(weight: Tensor) -> Tensor:
    """(O, …) → (O, rest), columns in the order of memory: the same values, not copied."""
    if weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last):
        weight = weight.permute(0, 2, 3, 1)
    return weight.reshape(len(weight), -1)
