"""Train the scorer, of R-precision and of *Best of*: does a picture belong to a caption?

    python -m train.scorer --data data/flowers --out runs/flowers-scorer.safetensors

Two towers after the image-text encoders of AttnGAN (Xu et al. 2018): small heads on the stored
sentence embeddings and on frozen EfficientNet-Lite0 features, brought together by the symmetric
InfoNCE loss of CLIP (Radford et al. 2021). Only training photographs are seen; a tenth of their
classes is put aside to stop early by, so that what is learned holds for new classes.

The file also keeps what typical training photographs look like to that network, which the page's
*Best of* compares pictures with: see stackgan.ranking.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2
from torch import Tensor
from tqdm import tqdm

from stackgan.ranking import Scorer, Standardise
from train.data import DataError, PhotoData
from train.featureset import NETWORK_TITLES, load_network, photo_features
from train.files import write_atomically
from train.metrics import mean_score, ranks_first

AMONG = 100  # captions a picture's own is ranked among
TYPICAL = 256  # groups of like photographs; as many as there are, where there are fewer


def train_scorer(
    scorer: Scorer,
    features: Tensor,
    embeddings: Tensor,
    counts: Tensor,
    classes: Tensor,
    *,
    epochs: int = 60,
    patience: int = 6,
    batch: int = 256,
    seed: int = 0,
) -> tuple[Scorer, float]:
    """Learn which of the photos' captions belong to them → (the best scorer, its held-out rate).

    features: (N, D); embeddings: (N, K, E), of which the first counts[i] belong to photo i; classes:
    (N,), of which a tenth is held out (photos, where there are fewer than ten). Ends `patience`
    epochs after the best loss on the held-out ones. The rate is R-precision on those.
    Raises ValueError for fewer than four photos.
    """
    if len(features) < 4:
        raise ValueError(
            f"{len(features)} photos are too few to train a scorer; four are the least"
        )
    draw = torch.Generator().manual_seed(seed)
    held = _held_out(classes, draw)
    train, check = torch.nonzero(~held).flatten(), torch.nonzero(held).flatten()
    scorer.picture_tower[0] = Standardise(features[train])
    scorer.text_tower[0] = Standardise(embeddings[train, 0].float())
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
                caption = (torch.rand(len(rows), generator=draw) * counts[rows]).long()
                loss = scorer.loss(features[rows], embeddings[rows, caption].float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            scorer.eval()
            with torch.no_grad():
                loss = float(scorer.loss(features[check], embeddings[check, 0].float()))
            bar.set_postfix(held_out=f"{loss:.3f}")
            since += 1
            if loss < best_loss:
                best, best_loss, since = copy.deepcopy(scorer), loss, 0
            if since >= patience:
                break
    best.eval().requires_grad_(False)
    pictures, texts = best.pictures(features[check]), best.texts(embeddings[check, 0].float())
    first = ranks_first(pictures, texts, check, texts, check, among=AMONG)
    return best, mean_score(first).value


def typical_photographs(features: Tensor, count: int = TYPICAL, *, seed: int = 0) -> Tensor:
    """Features of photographs (N, D) → what each of `count` groups of them has in common: (C, D).

    Means of k-means over vectors of length 1, at length 1 again. C is at most N.
    """
    with warnings.catch_warnings():
        # Equal photographs leave a group empty, whose mean stays where it began: on one of them.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        found, _ = kmeans2(
            F.normalize(features, dim=1).numpy(),
            min(count, len(features)),
            minit="points",
            rng=seed,
        )
    return F.normalize(torch.from_numpy(found).to(features.dtype), dim=1)


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


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m train.scorer", description=__doc__.splitlines()[0])
    p.add_argument("--data", required=True, help="folder that train.prepare wrote")
    p.add_argument("--out", required=True, help="file to write, .safetensors")
    p.add_argument(
        "--photos", type=int, help="learn from so many photographs only, for a quick try"
    )
    p.add_argument(
        "--epochs", type=int, default=60, help="at most; it stops by itself (default 60)"
    )
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args(argv)
    if args.epochs < 1 or (args.photos is not None and args.photos < 4):
        p.error("--epochs is a whole number from 1, --photos from 4")
    try:
        if not Path(args.out).absolute().parent.is_dir():
            raise DataError(f"--out {args.out}: there is no such folder")
        data = PhotoData(args.data, 256)
        network = load_network("lite0")
        draw = torch.Generator().manual_seed(args.seed)
        order = data.train[torch.randperm(len(data.train), generator=draw)]
        rows = order[: args.photos].sort().values
        features = photo_features(data, rows, network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.seed)
            scorer = Scorer(
                network.dim, data.embeddings.shape[2], network.name, data.meta["encoder"]
            )
        scorer, rate = train_scorer(
            scorer,
            features,
            data.embeddings[rows],
            data.counts[rows],
            data.class_ids[rows],
            epochs=args.epochs,
            seed=args.seed,
        )
        scorer.typical = typical_photographs(features, seed=args.seed)
        write_atomically(Path(args.out), scorer.save)
    except (DataError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error.msg}", file=sys.stderr)
        return 2
    print(
        f"{args.out}: {len(rows)} photographs, {NETWORK_TITLES.get(network.name, network.name)} features; on those kept aside "
        f"a photograph's own caption ranks first among at most {AMONG} in {rate:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
