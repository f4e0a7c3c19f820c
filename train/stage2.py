"""Train Stage-II: a sketch and its sentence → a 256×256 picture, Stage-I fixed (section 3.4).

python -m train.stage2 --data data/flowers --stage1 runs/flowers-stage1 --out runs/flowers-stage2
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stackgan import images, latents
from stackgan.config import StackGANConfig
from stackgan.model import StackGAN
from train.command import main as run
from train.loop import Drawn
from train.recipes import Recipe

# Pixels a side at which a picture must agree with its sketch: enough to hold colours and layout,
# too few to hold Stage-I's artefacts, which Stage-II is there to mend.
LAYOUT_SIDE = 16


class Stage2:
    """What the loop does not know of Stage-II."""

    name = "stage2"

    def __init__(self, recipe: Recipe, config: StackGANConfig):
        self.recipe, self.config = recipe, config
        self.resolution = config.resolution
        # z and ε of Stage-I, ε of Stage-II.
        self.noise_dims = (config.noise_dim, config.condition_dim, config.condition_dim)

    def trainee(self, model: StackGAN) -> nn.Module:
        # Fixed, and in eval mode: else its BatchNorm statistics would drift while Stage-II learns.
        model.stage1.eval().requires_grad_(False)
        return model.stage2

    def draw(self, model: StackGAN, embeddings: Tensor, photos: Tensor, noise: Tensor) -> Drawn:
        """Pictures for standardised embeddings (N, E).

        With the recipe's `pair_share` the first part of the batch starts from its own photographs
        shrunk to 64×64, and must return to them; the rest starts from Stage-I's sketches.
        """
        config, recipe = self.config, self.recipe
        z, epsilon1, epsilon2 = noise.split(self.noise_dims, dim=1)
        pairs = round(recipe.pair_share * len(embeddings))
        with torch.no_grad():
            drawn = model.stage1(embeddings[pairs:], z[pairs:], epsilon1[pairs:])
            shrunk = images.shrink(photos[:pairs], config.sketch_resolution)
            sketches = torch.cat([shrunk, drawn.pictures.to(shrunk.dtype)])
        drawing = model.stage2(sketches, embeddings, epsilon2)
        distance = z.new_zeros(())
        # Split, for the gradient of a slice is a batch of zeros in another memory format.
        sizes = [size for size in (pairs, len(sketches) - pairs) if size]
        parts = [part.float() for part in drawing.pictures.split(sizes)]
        if pairs and recipe.pair_weight:
            distance = distance + recipe.pair_weight * F.l1_loss(parts[0], photos[:pairs])
        if recipe.consistency_weight:
            layout = torch.cat([images.shrink(part, LAYOUT_SIDE) for part in parts])
            distance = distance + recipe.consistency_weight * F.l1_loss(
                layout, images.shrink(sketches.float(), LAYOUT_SIDE)
            )
        return Drawn(drawing.pictures, embeddings, drawing.mu, drawing.log_variance, distance)

    def samples(self, model: StackGAN, embeddings: Tensor, seeds: list[int]):
        """Sketches of `seeds` over the pictures made of them, eight a row."""
        z = latents.noise(seeds, self.config.noise_dim).to(embeddings.device)
        sketches = model.stage1(embeddings, z).pictures
        pictures = [
            model.stage2(s, e).pictures
            for s, e in zip(sketches.split(8), embeddings.split(8), strict=True)
        ]
        return images.stages_grid(sketches, torch.cat(pictures))


def main(argv: list[str] | None = None) -> int:
    return run(2, Stage2, argv)


if __name__ == "__main__":
    sys.exit(main())
