"""What is computed on features: distances between sets, coverage, sharpness, rank, with intervals.

torchmetrics does the arithmetic of KID, the Fréchet distance and the Inception score; precision and
recall it does not have. Every function is deterministic for a seed.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

RESAMPLES = 1000
Z95 = 1.96  # standard errors in half a 95 % interval


@dataclass(frozen=True)
class Score:
    """One figure: its value and 95 % interval, from how many samples, or the reason there is none."""

    value: float | None
    interval: tuple[float, float] | None
    samples: int
    reason: str | None = None

    def as_dict(self) -> dict:
        return {k: v for k, v in asdict(self).items() if k != "reason" or v is not None}


def missing(reason: str, samples: int = 0) -> Score:
    return Score(None, None, samples, reason)


def mean_score(values: Tensor, seed: int = 0) -> Score:
    """Mean of (N,) with the percentile bootstrap's interval (Efron 1979)."""
    return bootstrapped(values, torch.Tensor.mean, seed)


def bootstrapped(values: Tensor, statistic, seed: int = 0) -> Score:
    """`statistic(values, dim=…)` of (N,) with the percentile bootstrap's interval."""
    count = len(values)
    if count == 0:
        return missing("no samples")
    values = values.double()
    draw = torch.Generator().manual_seed(seed)
    again = [
        statistic(values[torch.randint(count, (RESAMPLES // 10, count), generator=draw)], dim=1)
        for _ in range(10)  # a tenth at a time: (RESAMPLES, N) would not be bounded memory
    ]
    low, high = torch.cat(again).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Score(float(statistic(values, dim=0)), (float(low), float(high)), count)


class _Given(nn.Module):
    """Stands where torchmetrics expects a network: the features are there already."""

    def __init__(self, num_features: int):
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def kid(features: Tensor, reference: Tensor, seed: int = 0, subsets: int = 50) -> Score:
    """Kernel distance (Bińkowski et al. 2018) of (N, D) from (M, D): cubic-kernel MMD², unbiased.

    Over random subsets of half the smaller set, at most 1,000. Halves drawn without replacement
    scatter as much as whole sets drawn anew would; smaller parts scatter more, hence the factor. It
    is the smaller set's: where the other is much larger, the interval is wider than it need be.
    """
    count = min(len(features), len(reference))
    size = min(count // 2, 1000)
    if size < 2:
        return missing("fewer than four samples", count)
    metric = _quiet(KernelInceptionDistance, _Given(features.shape[1]), subsets, size)
    metric.update(reference, real=True)
    metric.update(features, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # torchmetrics draws the subsets from the global generator
        mean, deviation = (float(x) for x in metric.compute())
    # The second part is that of the subsets, of which there are few.
    half = Z95 * deviation * (size / (count - size) + 1 / subsets) ** 0.5
    return Score(mean, (mean - half, mean + half), len(features))


def frechet(features: Tensor, reference: Tensor, folds: int = 5) -> Score:
    """Fréchet distance (Heusel et al. 2017) of (N, D) from (M, D), interval by jackknife over folds.

    Null where a covariance would be singular, N or M ≤ D: the distance then says more of the number
    of samples than of the pictures. It is biased by N even so: compare equal N only. The bootstrap
    would repeat samples and raise that bias; leaving out a fold does not.
    """
    count, dim = min(len(features), len(reference)), features.shape[1]
    kept = count - -(-count // folds)  # samples left without the largest fold
    if kept <= dim:
        return missing(
            f"{count} samples: {-(-dim * folds // (folds - 1)) + folds} are needed for a regular "
            f"covariance of {dim} features",
            count,
        )

    def distance(rows: Tensor) -> float:
        metric = _quiet(FrechetInceptionDistance, _Given(dim))
        metric.update(reference[:count], real=True)
        metric.update(features[:count][rows], real=False)
        return float(metric.compute())

    fold = torch.arange(count) % folds
    without = torch.tensor([distance(fold != f) for f in range(folds)])
    error = float(((folds - 1) / folds * (without - without.mean()).square().sum()).sqrt())
    value = distance(fold >= 0)
    return Score(value, (value - Z95 * error, value + Z95 * error), count)


def precision_recall(
    features: Tensor, reference: Tensor, k: int = 3, seed: int = 0
) -> tuple[Score, Score]:
    """Improved precision and recall (Kynkäänniemi et al. 2019) of (N, D) against N real (N, D).

    A set's manifold is the union of balls about its samples, each reaching its k-th neighbour.
    Precision: the share of pictures on the photographs' manifold. Recall: the reverse.
    """
    count = min(len(features), len(reference))
    if count <= k:
        return (missing(f"{count} samples: more than {k} are needed", count),) * 2
    features, reference = features[:count], reference[:count]
    precision = _on_manifold(features, reference, k)
    recall = _on_manifold(reference, features, k)
    return mean_score(precision, seed), mean_score(recall, seed)


def _on_manifold(samples: Tensor, of: Tensor, k: int) -> Tensor:
    """(N, D) → (N,) of 0 and 1: which samples lie in a ball about one of `of` (M, D)."""
    # In double precision the fast matrix form of the distance does not round equal points apart.
    samples, of = samples.double(), of.double()
    exact = {"compute_mode": "use_mm_for_euclid_dist"}
    radii = torch.cat(
        [torch.cdist(part, of, **exact).kthvalue(k + 1, dim=1).values for part in of.split(256)]
    )  # (M,), k + 1 because each is its own nearest
    inside = [(torch.cdist(p, of, **exact) <= radii).any(1) for p in samples.split(256)]
    return torch.cat(inside).double()


def inception_score(logits: Tensor, seed: int = 0, resamples: int = 100) -> Score:
    """Inception score (Salimans et al. 2016) of class logits (N, C), in one split.

    exp of the mean KL divergence between a picture's class distribution and all pictures'; from 1
    to C. Interval: ± 1.96 deviations of the bootstrap, whose own mean is biased low.
    """
    count = len(logits)
    if count < 2:
        return missing("fewer than two samples", count)

    def score(rows: Tensor) -> float:
        metric = _quiet(InceptionScore, _Given(logits.shape[1]), splits=1)
        # torchmetrics takes the logarithm of a mean that single precision may round to zero.
        metric.update(rows.double())
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore", UserWarning)  # one split has no deviation
            return float(metric.compute()[0])

    draw = torch.Generator().manual_seed(seed)
    again = torch.tensor(
        [score(logits[torch.randint(count, (count,), generator=draw)]) for _ in range(resamples)]
    )
    value, half = score(logits), Z95 * float(again.std())
    return Score(value, (value - half, value + half), count)


def ranks_first(
    pictures: Tensor, own: Tensor, groups: Tensor, pool: Tensor, pool_groups: Tensor, *, among: int
) -> Tensor:
    """R-precision (Xu et al. 2018, AttnGAN): whose own caption ranks first among `among`?

    pictures, own: (N, D) vectors of pictures and of their captions, compared by cosine.
    groups (N,), pool (M, D), pool_groups (M,): captions of other photos to choose from, one a
    photo; the `among` − 1 of picture i are a function of i alone. Another photo's caption that says
    the same in the same words is no wrong one, and is left out. → (N,) of 0 and 1.
    """
    pictures, own, pool = (nn.functional.normalize(x, dim=1) for x in (pictures, own, pool))
    right = (pictures * own).sum(1)
    wrong = pictures @ pool.T  # (N, M)
    same = own @ pool.T > 1 - 1e-5
    first = torch.zeros(len(pictures), dtype=torch.float64)
    for i in range(len(pictures)):
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(i))
        others = order[(pool_groups[order] != groups[i]) & ~same[i, order]][: among - 1]
        first[i] = bool((wrong[i, others] < right[i]).all())
    return first


def nearest(features: Tensor, among: Tensor, skip_self: bool = False) -> tuple[Tensor, Tensor]:
    """(N, D), (M, D) → cosine distance to the nearest and its index, (N,) each.

    skip_self: the N are among the M; the nearest other one counts.
    """
    among, place = nn.functional.normalize(among, dim=1), 2 if skip_self else 1
    found = [
        (1 - nn.functional.normalize(part, dim=1) @ among.T).kthvalue(place, dim=1)
        for part in features.split(256)
    ]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _quiet(metric, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it keeps features in memory: a few MB
        return metric(*args, **kwargs)
