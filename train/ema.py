"""Averages of weights: the moving one of a run, and the BatchNorm statistics that any of them needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from stackgan.devices import to_device
from stackgan.model import StackGAN
from train.data import PhotoData, draw_noise

if TYPE_CHECKING:
    from train.loop import Stage

STATISTICS_BATCHES = 64  # over which an average's BatchNorm statistics are measured


@torch.no_grad()
def ema_update(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 − decay) · model, of weights.

    BatchNorm's statistics do not average: see measure_statistics. What else they hold is constant.
    """
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1.0 - decay)


@torch.no_grad()
def measure_statistics(
    average: StackGAN,
    stage: Stage,
    data: PhotoData,
    *,
    seed: int = 0,
    precision: str = "fp32",
    processes: int = 1,
) -> None:
    """Give a stage's averaged generator BatchNorm statistics of its own, over batches as in training.

    Those of the weights that were averaged were measured on activations that vary more, by a tenth
    to a third in the first layers, and with them pictures come out flat. (As Izmailov et al. 2018 do
    after averaging; Brock et al. 2019 call them standing statistics.)

    Of each batch one of `processes` draws its share. precision: "bf16" or "fp32".
    """
    batch = stage.recipe.batch
    generator = stage.trainee(average)
    norms = [m for m in generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    generator.train()
    share = batch // processes
    for step in range(STATISTICS_BATCHES):
        drawn = data.batch(step, batch, seed, 0, processes)
        noise = draw_noise(batch, stage.noise_dims, seed, step)[:share]
        photos = drawn.photos.contiguous(memory_format=torch.channels_last)
        with torch.autocast(data.device.type, torch.bfloat16, enabled=precision == "bf16"):
            embeddings = average.embedding_norm(drawn.embeddings)
            stage.draw(average, embeddings, photos, to_device(noise, data.device))
    generator.eval()
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
