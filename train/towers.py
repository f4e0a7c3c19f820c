"""How two towers learn which captions belong to which pictures: of the scorer, and of the matching term.

After the image-text encoders of AttnGAN (Xu et al. 2018): small heads on the stored sentence
embeddings and on frozen features of pictures, brought together by the symmetric InfoNCE loss of CLIP
(Radford et al. 2021). A tenth of the classes is put aside to stop early by, so that what is learned
holds for new classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from stackgan.ranking import Scorer, Standardise

AMONG = 100  # captions a picture's own is ranked among


def train_scorer(
    scorer: Scorer,
    features: Tensor,
    first: Tensor,
    classes: Tensor,
    draw_texts: Callable[[Tensor, torch.Generator], Tensor],
    *,
    epochs: int = 60,
    patience: int = 6,
    batch: int = 256,
    seed: int = 0,
) -> tuple[Scorer, float]:
    """Learn which captions belong to the photos → (the best scorer, its rate on those held out).

    features: (N, D), or (N, V, D) of V views of each photo, of which every step draws one; first:
    (N, E), one caption of each; classes: (N,), of which a tenth is held out (photos, where there are
    fewer than ten); draw_texts(rows, generator): a caption of each of these photos, (len(rows), E).
    Ends `patience` epochs after the best loss on those held out. The rate is R-precision on them.
    Raises ValueError for fewer than four photos.
    """
    from train.metrics import ranks_first  # and torchmetrics, which no training should wait for

    if len(features) < 4:
        raise ValueError(
            f"{len(features)} photos are too few to train a scorer; four are the least"
        )
    views = features if features.dim() == 3 else features[:, None]  # (N, V, D)
    draw = torch.Generator().manual_seed(seed)
    held = _held_out(classes, draw)
    train, check = torch.nonzero(~held).flatten(), torch.nonzero(held).flatten()
    scorer.picture_tower[0] = Standardise(views[train].flatten(0, 1).float())
    scorer.text_tower[0] = Standardise(first[train].float())
    seen, said = views[check, 0].float(), first[check].float()
    optimizer = torch.optim.AdamW(scorer.parameters(), lr=1e-3, weight_decay=0.05)
    best, best_loss, since = copy.deepcopy(scorer), math.inf, 0
    bar = tqdm(range(epochs), desc="scorer", unit="epoch", disable=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from the global generator
        for _ in bar:
            scorer.train()
            for rows in train[torch.randperm(len(train), generator=draw)].split(batch):
                if len(rows) < 2:
                    continue  # nothing to tell apart
                texts = draw_texts(rows, draw)
                view = 0
                if views.shape[1] > 1:
                    view = torch.randint(views.shape[1], (len(rows),), generator=draw)
                loss = scorer.loss(views[rows, view].float(), texts)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            scorer.eval()
            with torch.no_grad():
                loss = float(scorer.loss(seen, said))
            bar.set_postfix(held_out=f"{loss:.3f}")
            since += 1
            if loss < best_loss:
                best, best_loss, since = copy.deepcopy(scorer), loss, 0
            if since >= patience:
                break
    best.eval().requires_grad_(False)
    pictures, texts = best.pictures(seen).cpu(), best.texts(said).cpu()
    ranked = ranks_first(pictures, texts, check, texts, check, among=AMONG)
    return best, float(ranked.mean())


def _held_out(classes: Tensor, draw: torch.Generator) -> Tensor:
    """True for the photos to stop early by: a tenth of the classes, or of the photos."""
    names = classes.unique()
    if len(names) >= 10:
        kept = names[torch.randperm(len(names), generator=draw)[: len(names) // 10]]
        held = torch.isin(classes, kept)
        if held.sum() >= 2:  # one alone has nothing to be told from
            return held
    held = torch.zeros(len(classes), dtype=torch.bool)
    held[torch.randperm(len(classes), generator=draw)[: max(2, len(classes) // 10)]] = True
    return held
