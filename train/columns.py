"""Sets of pictures side by side: drawn ones of both stages, and real photographs as anchors."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from stackgan import latents
from stackgan.features import FeatureNetwork, brought_to_size
from stackgan.latents import EMPHASIS
from stackgan.pipeline import Pipeline
from train.colours import dominant_colours
from train.data import PhotoData
from train.featureset import BATCH, Through64, photos
from train.spread import draw_best
from train.texts import Texts

FIRST = 8  # pictures kept for the figure

Networks = dict[str, FeatureNetwork]


@dataclass
class Column:
    """What is kept of a set of pictures; the pictures themselves are let go."""

    texts: Texts
    features: dict[str, list[Tensor]] = field(default_factory=dict)  # network → (≤ batch, D) each
    colours: list[str | None] = field(default_factory=list)
    first: list[Tensor] = field(default_factory=list)  # the first few pictures, for the figure

    def add(self, images: Tensor, networks: dict[str, FeatureNetwork], subject: str) -> None:
        """Look at pictures (N, 3, S, S) in [−1, 1]."""
        native, images = images, brought_to_size(images)
        for name, network in networks.items():
            seen = native if isinstance(network, Through64) else images
            self.features.setdefault(name, []).append(network(seen))
        self.colours += dominant_colours(images, subject)
        if sum(map(len, self.first)) < FIRST:
            self.first.append(images.clone())

    def seen_by(self, network: str) -> Tensor:
        """Features (N, D)."""
        return torch.cat(self.features[network])


def real_columns(
    data: PhotoData, own: Texts, networks: Networks, subject: str
) -> dict[str, Column]:
    """The validation photographs, each once, as they are and through 64×64."""
    rows = own.groups[: own.distinct]
    texts = Texts(own.captions[: len(rows)], own.embeddings[: len(rows)], rows, len(rows))
    columns = {"real": Column(texts), "shrunk": Column(texts)}
    bar = tqdm(total=len(rows), desc="real photographs", unit="photo", disable=None)
    for images in photos(data, rows):
        images = images.cpu()
        columns["real"].add(images, networks, subject)
        # Not enlarged yet, as sketches are not: see Through64.
        columns["shrunk"].add(F.interpolate(images, (64, 64), mode="area"), networks, subject)
        bar.update(len(images))
    bar.close()
    return columns


def drawn_columns(
    pipeline: Pipeline,
    texts: Texts,
    networks: Networks,
    subject: str,
    seed: int,
    best_of: int = 1,
    emphasis: float = EMPHASIS,
) -> dict[str, Column]:
    """Pictures of all texts, picture i from the seed `seed` + i; ε = 0, as pictures are shown.

    best_of: picture i is the best of so many, their seeds from `seed` + i · best_of on.
    """
    names = ("pictures", "stage1") if pipeline.config.stages == 2 else ("pictures",)
    columns = {name: Column(texts) for name in names}
    bar = tqdm(total=len(texts), desc="pictures", unit="pic", disable=None)
    for start in range(0, len(texts), BATCH):
        embeddings = texts.embeddings[start : start + BATCH]
        seeds = latents.seeds_from(seed + start * best_of, len(embeddings) * best_of)
        for name, images in draw_best(pipeline, embeddings, seeds, best_of, emphasis).items():
            columns[name].add(images, networks, subject)
        bar.update(len(embeddings))
    bar.close()
    return columns
