"""The figures of metrics.json, one function a figure or a family: columns → entries."""

from __future__ import annotations

import torch
from torch import Tensor

from stackgan.ranking import Scorer
from train import metrics
from train.colours import named_colour
from train.columns import Column
from train.heads import train_classifier
from train.metrics import Score, mean_score, missing
from train.report import entry
from train.spread import pairwise_distance
from train.towers import AMONG

Features = dict[str, Tensor]  # column → (N, D)


def set_scores(at_hand: Features, known: Tensor, seed: int) -> dict:
    """Distances of each set from the training photographs, and precision and recall.

    kid_unseen compares with every other validation photograph instead, that is with the classes
    that the captions speak of; the real columns are then the remaining ones.
    """
    others = {n: x[::2] if n in ("real", "shrunk") else x for n, x in at_hand.items()}
    unseen = {name: metrics.kid(x, at_hand["real"][1::2], seed) for name, x in others.items()}
    # This one depends on the number of samples, so a column of fewer than the pictures has none.
    drawn = len(at_hand["pictures"])
    frechet = {
        name: metrics.frechet(x[:drawn], known)
        if len(x) >= drawn
        else missing(f"{len(x)} samples do not compare with {drawn}", len(x))
        for name, x in at_hand.items()
    }
    # So do these two, and all columns get the same.
    count = min(len(known), *map(len, at_hand.values()))
    both = {
        name: metrics.precision_recall(x[:count], known[:count], seed=seed)
        for name, x in at_hand.items()
    }
    return {
        "kid": kernel_distances(at_hand, known, seed, "training photographs"),
        "kid_unseen": entry(unseen, "lower", reference="every other validation photograph"),
        "frechet": entry(frechet, "lower", reference="training photographs"),
        "precision": entry({name: pair[0] for name, pair in both.items()}, "higher"),
        "recall": entry({name: pair[1] for name, pair in both.items()}, "higher"),
    }


def kernel_distances(at_hand: Features, known: Tensor, seed: int, reference: str) -> dict:
    """The kernel distance of each set from features of photographs, `reference` says which."""
    kids = {name: metrics.kid(x, known, seed) for name, x in at_hand.items()}
    return entry(kids, "lower", reference=reference)


def class_scores(
    at_hand: Features, known: Tensor, classes: Tensor, seed: int, named: Features, asked: Tensor
) -> dict:
    """What a classifier says that is trained here on the training photographs (M, D) and `classes`.

    The Inception-style score; and of pictures `named`, each drawn from the name of the class
    `asked`, (N,), how many it takes for one of that class. Without names, N = 0, only the first.
    """
    try:
        classifier, accuracy = train_classifier(known, classes)
    except ValueError as error:
        reason = entry({"pictures": missing(str(error))})
        return {"inception_score": reason, "named_class": reason}
    scores = {name: metrics.inception_score(classifier(x), seed) for name, x in at_hand.items()}
    there = classes.unique()
    checked = {"accuracy": accuracy.as_dict(), "classes": len(there)}
    found = {"inception_score": entry(scores, "higher", classifier=checked)}
    if not len(asked):
        reason = "the prepared folder has no names of classes"
        return found | {"named_class": entry({"pictures": missing(reason)})}
    hits = {name: there[classifier(x).argmax(1)] == asked for name, x in named.items()}
    shares = {name: mean_score(hit.double()) for name, hit in hits.items()}
    chance = round(1 / len(there), 6)
    return found | {"named_class": entry({**shares, "real": accuracy}, "higher", chance=chance)}


def r_precision(columns: dict[str, Column], scorer: Scorer | None) -> dict:
    """How often a picture's own caption ranks first among AMONG by the scorer."""
    if scorer is None:
        return entry({"pictures": missing("no --scorer: train one with python -m train.scorer")})
    # As many for every column: whoever is ranked among fewer comes first more often.
    scores, among = {}, min(AMONG, *(column.texts.distinct for column in columns.values()))
    for name, column in columns.items():
        texts = column.texts
        own = scorer.texts(texts.embeddings)
        pool = slice(0, texts.distinct)
        first = metrics.ranks_first(
            scorer.pictures(column.seen_by(scorer.about["features"])),
            own,
            texts.groups,
            own[pool],
            texts.groups[pool],
            among=among,
        )
        scores[name] = mean_score(first)
    return entry(scores, "higher", among=among, chance=round(1 / among, 4))


def colour(columns: dict[str, Column], subject: str) -> dict:
    """Of captions that name one colour of the subject, the share whose pictures show it most."""
    scores = {}
    for name, column in columns.items():
        named = [named_colour(caption, subject) for caption in column.texts.captions]
        pairs = [(n, c) for n, c in zip(named, column.colours, strict=True) if n]
        hits = torch.tensor([float(n == c) for n, c in pairs])
        scores[name] = (
            mean_score(hits) if pairs else missing(f"no caption names one {subject} colour")
        )
    return entry(scores, "higher", subject=subject)


def memorisation(at_hand: Features, known: Tensor) -> dict:
    """Median cosine distance to the nearest training photograph, and its distribution (Fig. 6).

    `closer_than_real`: share of a set nearer to one than 99 % of real validation photographs are.
    The anchor "training" is how near training photographs are to each other.
    """
    shares = torch.tensor([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
    distances = {name: metrics.nearest(x, known)[0] for name, x in at_hand.items()}
    distances["training"] = metrics.nearest(known[: len(at_hand["real"])], known, skip_self=True)[0]
    floor = distances["real"].quantile(0.01)
    scores = {name: metrics.bootstrapped(d, _median) for name, d in distances.items()}
    return entry(
        scores,
        closer_than_real={n: float((d < floor).double().mean()) for n, d in distances.items()},
        quantiles={
            name: {f"{s:.2f}": round(float(d.quantile(s)), 5) for s in shares}
            for name, d in distances.items()
        },
    )


def _median(values: Tensor, dim: int = 0) -> Tensor:
    return values.quantile(0.5, dim=dim)


def class_spread(features: Tensor, classes: Tensor) -> Score:
    """How far photographs of one class are apart: the measure of diversity, classes as captions."""
    groups = [features[classes == c] for c in classes.unique()]
    return mean_score(torch.tensor([pairwise_distance(g) for g in groups if len(g) > 1]))
