"""How an evaluation is told: entries of metrics.json, the table on the screen, the figure."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stackgan.features import FeatureNetwork
from stackgan.images import grid
from train.data import PhotoData
from train.featureset import photos
from train.metrics import Score

TILE = 128  # pixels a picture in the figure
NEIGHBOURS = 3  # photographs under each
# What the table calls each figure, and what it is multiplied by there.
ROWS = {
    "kid": ("KID ×10³", 1000),
    "kid_unseen": ("KID ×10³, unseen classes", 1000),
    "kid_64": ("KID ×10³ through 64×64", 1000),
    "frechet": ("Fréchet distance", 1),
    "precision": ("precision", 1),
    "recall": ("recall", 1),
    "inception_score": ("Inception-style score", 1),
    "named_class": ("asked by name: its class", 1),
    "r_precision": ("R-precision", 1),
    "colour_faithfulness": ("colour faithfulness", 1),
    "memorisation": ("nearest training photo", 1),
    "memorisation_discriminator": ("… as the discriminator sees it", 1),
    "diversity_over_z": ("diversity over z", 1),
    "diversity_over_z_pixels": ("… in pixels", 1),
    "diversity_over_epsilon": ("diversity over ε", 1),
    "diversity_over_epsilon_pixels": ("… in pixels", 1),
    "interpolation_step_ratio": ("largest / mean step", 1),
}


def entry(scores: dict[str, Score], better: str | None = None, **more) -> dict:
    """One figure of metrics.json: the pictures' own score, "stage1" beside it, and "anchors"."""
    anchors = {n: s.as_dict() for n, s in scores.items() if n not in ("pictures", "stage1")}
    stage1 = scores["stage1"].as_dict() if "stage1" in scores else None
    own = scores["pictures"].as_dict()
    return {**own, "better": better, "stage1": stage1, "anchors": anchors, **more}


def table(found: dict) -> str:
    """metrics.json's content as plain text, a row a figure with 95 % intervals."""
    about = found["about"]
    finest = "Stage-II" if about["stages"] == 2 else "Stage-I"
    lines = [["", finest, "Stage-I, enlarged", "real photos", "real through 64²"]]
    notes = []
    for name, (title, scale) in ROWS.items():
        own = found[name]
        anchors = own["anchors"]
        cells = [own, own["stage1"], anchors.get("real"), anchors.get("shrunk")]
        lines.append([title, *(cell(score, scale) for score in cells)])
        if own["value"] is None:
            notes.append(f"{title}: {own['reason']}")
    if "classifier" in (score := found["inception_score"]):
        accuracy = score["classifier"]["accuracy"]["value"]
        right = "not known" if accuracy is None else f"{accuracy:.3f}"
        notes.append(
            f"Inception-style score: accuracy of its classifier on held-out photos {right}"
        )
    if "chance" in (rate := found["r_precision"]):
        notes.append(f"R-precision: first among {rate['among']}, chance {rate['chance']}")
    notes.append(
        f"{about['samples']} pictures{chosen(about)}, {about['features']} features: {about['warning']}"
    )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rows = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*(row.rstrip() for row in rows), "", *notes])


def chosen(about: dict) -> str:
    """A word for pictures that were chosen among several; those of diversity and steps never are."""
    best_of = about.get("best_of", 1)  # older files do not tell
    return (
        f" (each the best of {best_of}; those of diversity and steps are not)"
        if best_of > 1
        else ""
    )


def cell(score: dict | None, scale: float) -> str:
    """A figure with its interval, in a few digits; a dash for none."""
    if score is None or score["value"] is None:
        return "–"
    value, (low, high) = score["value"] * scale, (x * scale for x in score["interval"])
    digits = 1 if scale > 1 or abs(value) >= 10 else 3
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def nearest_figure(
    pictures: Tensor,
    data: PhotoData,
    rows: Tensor,
    searched: list[tuple[FeatureNetwork, Tensor]],
) -> Image.Image:
    """Fig. 6: pictures (N, 3, 256, 256) in a row, their three nearest training photos under each.

    rows: (M,), which photos of `data` were searched. searched: by which networks, each with its
    features (M, D) of them; three rows of photos for each.
    """
    lines = [pictures]
    for network, known in searched:
        alike = F.normalize(network(pictures), dim=1) @ F.normalize(known, dim=1).T
        close = alike.topk(min(NEIGHBOURS, len(rows)), dim=1).indices  # (N, ≤ 3)
        for column in close.T:
            lines.append(torch.cat(list(photos(data, rows[column].tolist()))).cpu())
    small = F.interpolate(torch.cat(lines), (TILE, TILE), mode="area")
    return grid(small, columns=len(pictures))
