"""Stage-I draws a sketch from noise and text; Stage-II redraws it large, reading the text again.

Pictures are tensors (N, 3, H, W) in [−1, 1]. Embeddings are standardised (see EmbeddingNorm).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from stackgan.conditioning import ConditioningAugmentation
from stackgan.config import StackGANConfig
from stackgan.layers import DownBlock, ResidualBlock, UpBlock, conv3x3, initialize_weights


class Drawing(NamedTuple):
    """What a generator returns: its pictures, and the Gaussian they were conditioned on."""

    pictures: Tensor  # (N, 3, H, W) in [−1, 1]
    mu: Tensor  # (N, N_g); (N, 1) zeros of a Stage-II that reads no text
    log_variance: Tensor  # as mu


def up_sampling(
    channels: int, size: int, resolution: int, fewest: int
) -> tuple[nn.Sequential, nn.Sequential]:
    """Up blocks from (N, channels, size, size) to `resolution`, and what makes its maps a picture.

    Each block halves the channels, down to `fewest` (the one-stage 256×256 baseline has six blocks).
    The last convolution has no BatchNorm; tanh follows it.
    """
    blocks = []
    while size < resolution:
        narrower = max(channels // 2, fewest)
        blocks.append(UpBlock(channels, narrower))
        channels, size = narrower, 2 * size
    return nn.Sequential(*blocks), nn.Sequential(conv3x3(channels, 3), nn.Tanh())


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
        self.up, self.to_rgb = up_sampling(
            channels, 4, config.sketch_resolution, config.stage1_width // 2
        )
        initialize_weights(self)

    def forward(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None = None) -> Drawing:
        """embeddings (N, E), z (N, N_z), ε (N, N_g) or None for 0 → sketches (N, 3, H₀, W₀)."""
        condition, mu, log_variance = self.conditioning(embeddings, epsilon)
        return Drawing(self.draw(condition, z), mu, log_variance)

    def draw(self, condition: Tensor, z: Tensor) -> Tensor:
        """ĉ₀ (N, N_g) and z (N, N_z) → sketches (N, 3, H₀, W₀)."""
        x = self.seed_map(torch.cat([condition, z], dim=1))  # (N, 8g·4·4)
        x = self.up(x.unflatten(1, (-1, 4, 4)))  # (N, C, H₀, W₀)
        return self.to_rgb(x)  # (N, 3, H₀, W₀)


class Stage2Generator(nn.Module):
    """G of section 3.4: sketch → 16×16 map, joined with ĉ → residual blocks → picture. No z."""

    def __init__(self, config: StackGANConfig):
        super().__init__()
        g = config.stage2_width
        self.encoder = nn.Sequential(
            conv3x3(3, g),
            nn.ReLU(inplace=True),
            # ReLU, as in the reference code.
            *DownBlock(g, 2 * g, activation=nn.ReLU(inplace=True)),
            *DownBlock(2 * g, 4 * g, activation=nn.ReLU(inplace=True)),
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
        self.up, self.to_rgb = up_sampling(4 * g, 16, config.resolution, g // 4)
        initialize_weights(self)

    def forward(
        self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None = None
    ) -> Drawing:
        """sketches (N, 3, 64, 64), embeddings (N, E), ε (N, N_g) or None → (N, 3, H, W).

        Without text in Stage-II, μ and log σ² are zeros, whose divergence from N(0, I) is nought.
        """
        if self.conditioning is None:
            zeros = sketches.new_zeros(len(sketches), 1, dtype=torch.float32)
            return Drawing(self.draw(sketches, None), zeros, zeros)
        condition, mu, log_variance = self.conditioning(embeddings, epsilon)
        return Drawing(self.draw(sketches, condition), mu, log_variance)

    def draw(self, sketches: Tensor, condition: Tensor | None) -> Tensor:
        """Sketches (N, 3, H₀, W₀) and ĉ (N, N_g) → pictures (N, 3, H, W)."""
        x = self.encoder(sketches)  # (N, 4g, 16, 16)
        if condition is not None:
            text = condition.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, text], dim=1)  # (N, 4g + N_g, 16, 16)
        x = self.residual(self.join(x))  # (N, 4g, 16, 16)
        return self.to_rgb(self.up(x))  # (N, 3, H, W)
