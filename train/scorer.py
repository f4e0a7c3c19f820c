"""Train the scorer, of R-precision and of *Best of*: does a picture belong to a caption?

    python -m train.scorer --data data/flowers --out runs/flowers-scorer.safetensors

Two towers, see train.towers, on the stored sentence embeddings and on frozen EfficientNet-Lite0
features. Only training photographs are seen.

The file also keeps what typical training photographs look like to that network, which the page's
*Best of* compares pictures with: see stackgan.ranking.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2
from torch import Tensor

from stackgan.ranking import Scorer
from train.data import DataError, PhotoData
from train.featureset import NETWORK_TITLES, load_network, photo_features
from train.files import write_atomically
from train.towers import AMONG, train_scorer

TYPICAL = 256  # groups of like photographs; as many as there are, where there are fewer


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
            data.embeddings[rows, 0],
            data.class_ids[rows],
            lambda chosen, draw: data.draw_texts(rows[chosen], draw),
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
