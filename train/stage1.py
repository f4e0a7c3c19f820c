"""Train Stage-I: noise and a sentence → a 64×64 sketch (section 3.3 of the paper).

python -m train.stage1 --data data/flowers --out runs/flowers-stage1
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from stackgan import images, latents
from stackgan.config import StackGANConfig
from stackgan.model import StackGAN
from train.command import main as run
from train.loop import Drawn
from train.losses import mode_seeking
from train.recipes import Recipe


class Stage1:
    """What the loop does not know of Stage-I."""

    name = "stage1"

    def __init__(self, recipe: Recipe, config: StackGANConfig):
        self.recipe, self.config = recipe, config
        self.resolution = config.sketch_resolution
        self.noise_dims = (config.noise_dim, config.condition_dim)  # z, ε

    def trainee(self, model: StackGAN) -> nn.Module:
        return model.stage1

    def draw(self, model: StackGAN, embeddings: Tensor, photos: Tensor, noise: Tensor) -> Drawn:
        """Sketches for standardised embeddings (N, E), from z ~ N(0, I) and ε ~ N(0, I).

        With the recipe's `diversity_weight` the first half of the captions is drawn twice, with the
        same ε and another z, in place of the second half.
        """
        z, epsilon = noise.split(self.noise_dims, dim=1)
        pairs = len(embeddings) // 2 if self.recipe.diversity_weight else 0
        if pairs:
            embeddings = torch.cat([embeddings[:-pairs], embeddings[:pairs]])
            epsilon = torch.cat([epsilon[:-pairs], epsilon[:pairs]])
        drawing = model.stage1(embeddings, z, epsilon)
        penalty = z.new_zeros(())
        if pairs:
            first, second = drawing.pictures[:pairs], drawing.pictures[-pairs:]
            alike = mode_seeking(first, second, z[:pairs], z[-pairs:])
            penalty = self.recipe.diversity_weight * alike
        return Drawn(drawing.pictures, embeddings, drawing.mu, drawing.log_variance, penalty)

    def samples(self, model: StackGAN, embeddings: Tensor, seeds: list[int]):
        """The sketches of `seeds`, eight a row."""
        z = latents.noise(seeds, self.config.noise_dim).to(embeddings.device)
        return images.grid(model.stage1(embeddings, z).pictures, columns=8)


def main(argv: list[str] | None = None) -> int:
    return run(1, Stage1, argv)


if __name__ == "__main__":
    sys.exit(main())
