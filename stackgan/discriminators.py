"""Matching-aware discriminators: is this picture real, and is it what the sentence says?

Two of them behind one interface. `encode` turns pictures into features, once, whatever texts they
are then judged with; where it looks at crops, `draw_corners` has placed them. `score` joins features
with a text and gives one logit a head; `score_both` does so for the right text and a wrong one,
sharing what does not depend on the text. The losses take a list of heads, so that one logit and a
discriminator of several scales read the same.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stackgan.config import StackGANConfig
from stackgan.devices import shifted
from stackgan.images import shrink
from stackgan.layers import DownBlock, initialize_weights
from stackgan.norms import spectral_norm

STRIDES = (4, 8, 16, 32)  # of a FeaturePyramid's maps


class FeaturePyramid(Protocol):
    """What FeatureDiscriminator stands on: a frozen network that gives a pyramid of maps."""

    channels: list[int]

    def maps(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [−1, 1] → maps at strides 4, 8, 16, 32, (N, channels[i], H/s, W/s)."""

    def pooled(self, deepest: Tensor) -> Tensor:
        """The last of those maps → what the network makes of the whole picture, (N, D)."""


class MatchingDiscriminator(nn.Module):
    """The paper's discriminator, for either stage.

    Down-sampling blocks until 4×4 (M_d); the text, compressed to N_d and replicated over the map,
    is concatenated; a 1×1 convolution reads both; one node decides. Above 64×64 the extra
    down-sampling blocks are followed by 3×3 convolutions back to 8d channels.
    """

    encoder_is_frozen = False  # features change with every step of the optimizer

    def __init__(self, config: StackGANConfig, resolution: int):
        super().__init__()
        d = config.discriminator_width
        blocks = [DownBlock(3, d, norm=False)]
        channels = d
        for _ in range(int(math.log2(resolution)) - 3):
            blocks.append(DownBlock(channels, 2 * channels))
            channels *= 2
        while channels > 8 * d:
            blocks.append(
                nn.Sequential(
                    nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels // 2),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
            channels //= 2
        self.encoder = nn.Sequential(*blocks)
        self.text = nn.Sequential(
            nn.Linear(config.embedding_dim, config.discriminator_text_dim),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.decide = nn.Sequential(
            nn.Conv2d(channels + config.discriminator_text_dim, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, 1, 4),
        )
        initialize_weights(self)

    def draw_corners(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Nought for each of n pictures, (N, 2): they are looked at whole."""
        return torch.zeros(n, 2, dtype=torch.long)

    def encode(self, images: Tensor, corners: Tensor | None = None) -> list[Tensor]:
        """Pictures (N, 3, H, W) in [−1, 1] → one map, [(N, 8d, 4, 4)]. `corners` are not used."""
        return [self.encoder(images)]

    def score(self, features: list[Tensor], embeddings: Tensor) -> list[Tensor]:
        """One map (N, 8d, 4, 4) and standardised embeddings (N, E) → one head of logits [(N,)]."""
        return [self.decide(_beside(features[0], self.text(embeddings))).flatten().float()]

    def score_both(
        self, features: list[Tensor], embeddings: Tensor, mismatched: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """`score` with the right embeddings and with mismatched ones, (N, E) each."""
        return self.score(features, embeddings), self.score(features, mismatched)

    def describe(self, images: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [−1, 1] → what is seen in them, whatever the text: (N, 8d)."""
        return self.encoder(images).mean(dim=(2, 3))

    def forward(self, images: Tensor, embeddings: Tensor) -> list[Tensor]:
        return self.score(self.encode(images), embeddings)


class FeatureDiscriminator(nn.Module):
    """A discriminator over a frozen pretrained network: Projected GANs made matching-aware.

    Sauer et al. 2021: fixed random 1×1 convolutions mix the channels of each map, fixed random 3×3
    convolutions mix the scales from the top down, and only the heads learn. Each deeper map is mixed
    to `growth` times the channels of the one before: a deep map mixed to few channels no longer says
    what is in the picture. Every head of the whole picture also reads the sentence. Pictures larger
    than `view` pixels are judged twice: whole, shrunk to `view`, with the text; and as one random
    native-size crop of `view`, without it. Smaller ones are enlarged, and maps with a cell of less
    than two of their pixels, which see the enlargement alone, are left out.
    """

    encoder_is_frozen = True  # features of a picture stay true while the heads learn

    def __init__(
        self,
        config: StackGANConfig,
        resolution: int,
        pyramid: FeaturePyramid,
        view: int = 128,
        channels: int = 64,
        growth: int = 2,
        seed: int = 0,
    ):
        super().__init__()
        self.view = view
        self.crops = resolution > view
        self._room = max(resolution - view, 0)
        # Not a registered submodule: its weights come from its own package, not from our state.
        self._frozen_pyramid = [pyramid]
        generator = torch.Generator().manual_seed(seed)
        coarsest = len(STRIDES) - 1
        self.levels = [
            i for i, s in enumerate(STRIDES) if s * resolution >= 2 * view or i == coarsest
        ]
        widths = [channels * growth**i for i in self.levels]
        self.mix_channels = nn.ModuleList(
            _frozen_conv(pyramid.channels[i], width, 1, generator)
            for i, width in zip(self.levels, widths, strict=True)
        )
        self.mix_scales = nn.ModuleList(_frozen_conv(w, w, 3, generator) for w in widths)
        # From a deeper map's channels to those of the map that it is added to.
        self.narrow = nn.ModuleList(
            nn.Identity() if deep == width else _frozen_conv(deep, width, 1, generator)
            for width, deep in pairwise(widths)
        )
        # The maps' deviations on photographs; see `calibrate`.
        self.register_buffer("map_scale", torch.ones(len(self.levels)))
        sizes = [view // STRIDES[i] for i in self.levels]
        text = (config.embedding_dim, config.discriminator_text_dim)
        self.heads = nn.ModuleList(
            _Head(width, size, *text) for width, size in zip(widths, sizes, strict=True)
        )
        self.crop_heads = nn.ModuleList(
            _Head(width, size)
            for width, size in (zip(widths, sizes, strict=True) if self.crops else [])
        )

    @torch.no_grad()
    def calibrate(self, photos: Tensor) -> None:
        """Measure each map's deviation on photographs (N, 3, H, W), once, before training.

        Shallow maps vary six times as much as deep ones; dividing by this keeps the heads of fine
        texture from drowning those that see whole objects.
        """
        maps = self._maps(resized(photos, self.view))
        self.map_scale.copy_(torch.stack([m.float().std() for m in maps]))

    def draw_corners(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """A place for the crop of each of n pictures: top and left, (N, 2), by a CPU generator."""
        return torch.randint(0, self._room + 1, (n, 2), generator=generator)

    def encode(self, images: Tensor, corners: Tensor | None = None) -> list[Tensor]:
        """Pictures (N, 3, H, W) in [−1, 1] → the mixed maps of each view; nothing here learns.

        `corners`: (N, 2) of `draw_corners`, on the pictures' device; needed where `crops` is true.
        """
        return self._encode(images, corners)[0]

    def encode_with_summary(
        self, images: Tensor, corners: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """`encode`, and what `summarise` gives, in one pass through the frozen network."""
        features, deepest = self._encode(images, corners)
        return features, self._frozen_pyramid[0].pooled(deepest)

    def summarise(self, images: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [−1, 1] → what the frozen network itself makes of each, (N, D)."""
        return self._frozen_pyramid[0].pooled(self._maps(resized(images, self.view))[-1])

    def score(self, features: list[Tensor], embeddings: Tensor) -> list[Tensor]:
        """The maps of `encode` and standardised embeddings (N, E) → logits, (N,) for each head."""
        return [logits[0] for logits in self._score(features, embeddings)]

    def score_both(
        self, features: list[Tensor], embeddings: Tensor, mismatched: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """`score` with the right embeddings, and the text-reading heads' with mismatched ones.

        The second list is shorter: heads of crops read no text, so for them nothing mismatches.
        """
        logits = self._score(features, embeddings, mismatched)
        return [x[0] for x in logits], [x[1] for x in logits[: len(self.heads)]]

    def describe(self, images: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [−1, 1] → what is seen in them, whatever the text: (N, D).

        The heads' last maps of the whole picture, averaged over the place.
        """
        maps = self._mixed(self._maps(resized(images, self.view)))
        seen = [head.down(m).mean(dim=(2, 3)) for head, m in zip(self.heads, maps, strict=True)]
        return torch.cat(seen, dim=1)

    def _encode(self, images: Tensor, corners: Tensor | None) -> tuple[list[Tensor], Tensor]:
        """The mixed maps of each view, and the whole picture's deepest map as it was."""
        whole = self._maps(resized(images, self.view))
        features = self._mixed(whole)
        if self.crops:
            features += self._mixed(self._maps(_Windows.apply(images, corners, self.view)))
        return features, whole[-1]

    def _score(self, features: list[Tensor], *texts: Tensor) -> list[list[Tensor]]:
        heads = [*self.heads, *self.crop_heads]
        return [head(maps, *texts) for head, maps in zip(heads, features, strict=True)]

    def forward(self, images: Tensor, embeddings: Tensor) -> list[Tensor]:
        corners = self.draw_corners(len(images)).to(images.device)
        return self.score(self.encode(images, corners), embeddings)

    def _maps(self, view: Tensor) -> list[Tensor]:
        maps = self._frozen_pyramid[0].maps(view)
        return [maps[i] for i in self.levels]

    def _mixed(self, maps: list[Tensor]) -> list[Tensor]:
        mixed, above = [], None
        for i in reversed(range(len(maps))):
            x = self.mix_channels[i](maps[i] / self.map_scale[i])
            if above is not None:
                above = self.narrow[i](above)
                x = x + F.interpolate(above, size=x.shape[2:], mode="bilinear")
            above = self.mix_scales[i](x)
            mixed.append(above)
        return mixed[::-1]


class _Head(nn.Module):
    """Spectrally normalised: (N, C, S, S) → 4×4 or less, joined with the text if any → logit."""

    def __init__(self, channels: int, size: int, embedding_dim: int = 0, text_dim: int = 0):
        super().__init__()
        down = []
        while size > 4:
            wider = max(channels, min(2 * channels, 256))
            down += [spectral_norm(nn.Conv2d(channels, wider, 4, 2, 1)), nn.LeakyReLU(0.2)]
            channels, size = wider, size // 2
        self.down = nn.Sequential(*down)
        self.text = nn.Linear(embedding_dim, text_dim) if text_dim else None
        self.join = spectral_norm(nn.Conv2d(channels + text_dim, channels, 1))
        self.decide = spectral_norm(nn.Conv2d(channels, 1, size))

    def forward(self, x: Tensor, *texts: Tensor) -> list[Tensor]:
        """Logits (N,) in single precision for each of the texts (N, E); one where none is read."""
        x = self.down(x)  # (N, C′, S′, S′), S′ at most 4
        # In a 1×1 convolution over map and text, the text's part is the same at every place, and the
        # map's part is the same whatever the text: each is computed once, and they are added.
        of_map, of_text = self.join.weight.flatten(1).tensor_split([x.shape[1]], dim=1)
        joined = F.conv2d(x, of_map[:, :, None, None], self.join.bias)
        if self.text is None:
            return [self._decide(joined)]
        texts = [F.linear(F.leaky_relu(self.text(t), 0.2), of_text) for t in texts]
        return [self._decide(joined + text[:, :, None, None]) for text in texts]

    def _decide(self, joined: Tensor) -> Tensor:
        # A kernel as large as its map is one inner product, which a convolution takes thrice as
        # long for. Both are read in the order that they have in memory.
        x = F.leaky_relu(joined, 0.2).permute(0, 2, 3, 1).flatten(1)
        kernel = self.decide.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(x, kernel, self.decide.bias).flatten().float()  # (N,)


def _beside(x: Tensor, text: Tensor) -> Tensor:
    """Replicate text (N, T) over the map x (N, C, H, W) and concatenate: (N, C + T, H, W)."""
    text = text.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, text], dim=1)


def _frozen_conv(inputs: int, outputs: int, size: int, generator: torch.Generator) -> nn.Conv2d:
    """A convolution with fixed random weights that keeps the variance of its input."""
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
    with torch.no_grad():
        conv.weight.normal_(0.0, 1.0 / math.sqrt(inputs * size * size), generator=generator)
    return conv.requires_grad_(False)


def resized(images: Tensor, size: int) -> Tensor:
    """Pictures (N, 3, S, S) → (N, 3, size, size), as FeatureDiscriminator is shown whole ones."""
    if images.shape[-1] == size:
        return images
    # A box average when shrinking by a whole factor: exact, and cheaper than antialiasing.
    if images.shape[-1] % size == 0:
        return shrink(images, size)
    # Bilinear: a product from either side, in a third of the time that F.interpolate takes.
    side = torch.eye(images.shape[-1], device=images.device)[None, None]
    weights = F.interpolate(side, (size, images.shape[-1]), mode="bilinear", antialias=True)
    weights = weights[0, 0].to(images.dtype)  # (size, H)
    planes = weights @ images.contiguous() @ weights.T
    return planes.contiguous(memory_format=torch.channels_last)


class _Windows(torch.autograd.Function):
    """One window of each picture, its top left corner one of `corners` (N, 2), in the batch's own
    memory format, forward and backward; on a GPU always channels last.

    Stacked slices would lose it, and every operation up to the generator's last BatchNorm would then
    read one format and write another.
    """

    @staticmethod
    def forward(ctx, images: Tensor, corners: Tensor, size: int) -> Tensor:
        ctx.shape, ctx.corners, ctx.size = images.shape, corners, size
        if images.device.type != "cpu":
            return shifted(images, corners, size)
        last = images.is_contiguous(memory_format=torch.channels_last)
        ctx.format = torch.channels_last if last else torch.contiguous_format
        windows = images.new_empty((*images.shape[:2], size, size)).to(memory_format=ctx.format)
        for i, (top, left) in enumerate(corners.tolist()):
            windows[i] = images[i, :, top : top + size, left : left + size]
        return windows

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        if gradient.device.type != "cpu":
            return shifted(gradient, -ctx.corners, ctx.shape[2]), None, None
        whole = gradient.new_empty(ctx.shape).to(memory_format=ctx.format).zero_()
        for i, (top, left) in enumerate(ctx.corners.tolist()):
            whole[i, :, top : top + ctx.size, left : left + ctx.size] = gradient[i]
        return whole, None, None
