"""Stage-I draws a sketch from noise and text; Stage-II redraws it large, reading the text again.

Pictures are tensors (N, 3, H, W) in [−1, 1]. Embeddings are standardised (see EmbeddingNorm).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stackgan.conditioning import ConditioningAugmentation
from stackgan.config import StackGANConfig
from stackgan.layers import ResidualBlock, UpBlock, conv3x3, initialize_weights


class Drawing(NamedTuple):
    """What a generator returns: its pictures, and the Gaussian they were conditioned on."""

    pictures: Tensor  # (N, 3, H, W) in [−1, 1]
    mu: Tensor  # (N, N_g)
    log_variance: Tensor  # (N, N_g)


def to_rgb(channels: int) -> nn.Sequential:
    """The last convolution, without BatchNorm, and tanh."""
    return nn.Sequential(conv3x3(channels, 3), nn.Tanh())


class Stage1Generator(nn.Module):
    """G₀ of section 3.3: [ĉ₀, z] → 4×4 map of 8g channels → up-sampling blocks → sketch."""

    def __init__(self, config: StackGANConfig):
        super().__init__()
        self.conditioning = ConditioningAugmentation(
            config.embedding_dim, config.condition_dim, config.conditioning_augmentation
        )
        channels = 8 * config.stage1_width
        self.seed_map = nn.Sequential(
            nn.Linear(config.condition_dim + config.noise_dim, channels * 4 * 4, bias=False),
            nn.BatchNorm1d(channels * 4 * 4),
            nn.ReLU(inplace=True),
        )
        blocks = []
        size = 4
        while size < config.sketch_resolution:
            # The one-stage 256×256 baseline has six blocks; its last ones stop halving at g/2.
            narrower = max(channels // 2, config.stage1_width // 2)
            blocks.append(UpBlock(channels, narrower))
            channels, size = narrower, size * 2
        self.up = nn.Sequential(*blocks)
        self.to_rgb = to_rgb(channels)
        initialize_weights(self)

    def forward(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None = None) -> Drawing:
        """embeddings (N, E), z (N, N_z), ε (N, N_g) or None for 0 → sketches (N, 3, W₀, H₀)."""
        condition, mu, log_variance = self.conditioning(embeddings, epsilon)
        return Drawing(self.draw(condition, z), mu, log_variance)

    def draw(self, condition: Tensor, z: Tensor) -> Tensor:
        """ĉ₀ (N, N_g) and z (N, N_z) → sketches (N, 3, W₀, H₀)."""
        x = self.seed_map(torch.cat([condition, z], dim=1))  # (N, 8g·4·4)
        x = self.up(x.unflatten(1, (-1, 4, 4)))  # (N, C, W₀, H₀)
        return self.to_rgb(x)  # (N, 3, W₀, H₀)


class Stage2Generator(nn.Module):
    """G of section 3.4: sketch → 16×16 map, joined with ĉ → residual blocks → picture. No z."""

    def __init__(self, config: StackGANConfig):
        super().__init__()
        g = config.stage2_width
        self.encoder = nn.Sequential(
            conv3x3(3, g),
            nn.ReLU(inplace=True),
            *self._down(g, 2 * g),
            *self._down(2 * g, 4 * g),
        )
        self.conditioning = (
            ConditioningAugmentation(
                config.embedding_dim, config.condition_dim, config.conditioning_augmentation
            )
            if config.text_in_stage2
            else None
        )
        joined = 4 * g + (config.condition_dim if config.text_in_stage2 else 0)
        self.join = nn.Sequential(conv3x3(joined, 4 * g), nn.BatchNorm2d(4 * g), nn.ReLU(True))
        self.residual = nn.Sequential(
            *(ResidualBlock(4 * g) for _ in range(config.residual_blocks))
        )
        blocks, channels, size = [], 4 * g, 16
        while size < config.resolution:
            blocks.append(UpBlock(channels, max(channels // 2, g // 4)))
            channels, size = max(channels // 2, g // 4), size * 2
        self.up = nn.Sequential(*blocks)
        self.to_rgb = to_rgb(channels)
        initialize_weights(self)

    @staticmethod
    def _down(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
        """Generator's down-sampling: as a DownBlock, with ReLU as in the reference code."""
        return (
            nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(
        self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None = None
    ) -> Drawing:
        """sketches (N, 3, 64, 64), embeddings (N, E), ε (N, N_g) or None → (N, 3, W, H).

        Without text in Stage-II, μ and log σ² are zeros, whose divergence from N(0, I) is nought.
        """
        if self.conditioning is None:
            zeros = sketches.new_zeros(len(sketches), 1, dtype=torch.float32)
            return Drawing(self.draw(sketches, None), zeros, zeros)
        condition, mu, log_variance = self.conditioning(embeddings, epsilon)
        return Drawing(self.draw(sketches, condition), mu, log_variance)

    def draw(self, sketches: Tensor, condition: Tensor | None) -> Tensor:
        """Sketches (N, 3, W₀, H₀) and ĉ (N, N_g) → pictures (N, 3, W, H)."""
        x = self.encoder(sketches)  # (N, 4g, 16, 16)
        if condition is not None:
            text = condition.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, text], dim=1)  # (N, 4g + N_g, 16, 16)
        x = self.residual(self.join(x))  # (N, 4g, 16, 16)
        return self.to_rgb(self.up(x))  # (N, 3, W, H)
