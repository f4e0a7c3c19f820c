"""BatchNorm for maps of few channels, which torch's CPU kernels take five times too long for.

They step through a pixel's channels a vector at a time, and below a vector's width one by one. Yet
in memory a channels-last map (N, C, H, W) is also one of (N, kC, H, W / k), whose channels are the
map's own k times over: taken so, the same kernels run at full width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 16  # channels; from here on there is nothing to gain
WIDE = 64  # channels that fewer are read as


class BatchNorm2d(nn.BatchNorm2d):
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
        for_x = _affine(gradient, factor, rest).add_(_affine(x, of_x, rest * 0))
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
