"""A further term of G's loss: a picture is to fit its own sentence better than those of others.

D's verdict on text is a single logit, right or wrong. Here a picture is held against every sentence of the
batch, as in AttnGAN's matching loss (Xu et al. 2018, for whole sentences alone) and XMC-GAN's (Zhang
et al. 2021). What compares them are two towers, which learn from the training photographs as D is shown
them which caption belongs, and then stay as they are. They stand on D's own frozen network, so
that a step takes hardly longer.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor
from tqdm import tqdm

from stackgan.discriminators import FeatureDiscriminator
from stackgan.ranking import Scorer
from train.augment import augment, draw_changes, draw_warps
from train.data import PhotoData, random_stream
from train.recipes import Recipe
from train.towers import train_scorer

VIEWS = 4  # ways in which every photograph is looked at: cropped, mirrored and augmented anew
BATCH = 64
EPOCHS, PATIENCE = 100, 10  # each sees one of the views of every photograph


def learn_matcher(
    discriminator: FeatureDiscriminator,
    data: PhotoData,
    norm: torch.nn.Module,
    recipe: Recipe,
    autocast: AbstractContextManager,
    *,
    seed: int = 0,
) -> tuple[Scorer, float]:
    """Towers that say whether a picture, as this discriminator sees it, belongs to a sentence.

    data: photographs at the run's resolution. norm: what standardises their embeddings. Whoever
    asks for names of classes (`name_share`) gets towers that know them too. A function of the seed.
    Returns them and their R-precision on photographs kept aside, see train_scorer.
    """
    views = _photographs_seen(discriminator, data, recipe, autocast, seed)  # (N, V, D)
    rows = data.train

    def draw_texts(chosen: Tensor, draw: torch.Generator) -> Tensor:
        return norm(data.draw_texts(rows[chosen], draw))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dim = data.embeddings.shape[2]
        scorer = Scorer(views.shape[2], dim, "discriminator", data.meta["encoder"])
    return train_scorer(
        scorer.to(data.device),
        views,
        norm(data.embeddings[rows, 0].float().to(data.device)),
        data.class_ids[rows],
        draw_texts,
        epochs=EPOCHS,
        patience=PATIENCE,
        seed=seed,
    )


def matcher_of(weights: dict[str, Tensor], data: PhotoData) -> Scorer:
    """The towers with this state of before, on the data's device."""
    dims = (weights[f"{tower}_tower.0.mean"].numel() for tower in ("picture", "text"))
    scorer = Scorer(*dims, "discriminator", data.meta["encoder"])
    scorer.load_state_dict(weights)
    return scorer.to(data.device).eval().requires_grad_(False)


def matching_loss(scorer: Scorer, features: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """InfoNCE over the sentences of a batch: mean of −log P(own sentence | picture), in nats.

    features: (N, D) of pictures; own: (N, E), what each was drawn from; others: (M, E), sentences beside
    those. P is the softmax over all N + M. A sentence that says the same as a picture's own, word for word
    (a second picture of one caption, the name of a class), counts as its own.
    """
    texts = torch.cat([own, others])
    with torch.autocast(features.device.type, enabled=False):
        scale = scorer.log_scale.exp().clamp(max=100)
        logits = scale * scorer.pictures(features.float()) @ scorer.texts(texts).T  # (N, N + M)
    same = (own[:, None] == texts).all(-1)
    right = logits.masked_fill(~same, -torch.inf).logsumexp(1)
    return (logits.logsumexp(1) - right).mean()


@torch.no_grad()
def _photographs_seen(
    discriminator: FeatureDiscriminator,
    data: PhotoData,
    recipe: Recipe,
    autocast: AbstractContextManager,
    seed: int,
) -> Tensor:
    """Features of every training photograph in VIEWS ways, as fakes are shown to D: (N, V, D)."""
    total = len(data.train)
    place = torch.empty(len(data.photos), dtype=torch.long)
    place[data.train] = torch.arange(total)
    found = None
    bar = tqdm(total=VIEWS * total, desc="photographs as D sees them", unit="photo", disable=None)
    starts = [(view, at) for view in range(VIEWS) for at in range(0, total, BATCH)]
    for step, (view, at) in enumerate(starts):
        size, start = min(BATCH, total - at), view * total + at
        photos = data.batch(step, size, seed, start=start).photos
        if recipe.augment:
            draw = random_stream(seed, step, "matching")
            changes = draw_changes(size, data.resolution, draw).to(data.device)
            warps = draw_warps(size, recipe.warp_share, draw).to(data.device)
            photos = augment(photos, changes, warps if recipe.warp_share else None)
        with autocast:
            features = discriminator.summarise(photos).half()
        if found is None:
            found = features.new_empty((total, VIEWS, features.shape[1]))
        found[place[data.epoch_order(start, size, seed)], view] = features
        bar.update(size)
    bar.close()
    return found
