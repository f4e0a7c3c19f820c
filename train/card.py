"""The model card of a checkpoint: what it draws, how it was trained, how it scores, its limits."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path
from textwrap import fill

from stackgan.model import StackGAN
from train.data import DataError
from train.history import History, last_told
from train.report import ROWS, cell, chosen

SAMPLES = 32  # pictures in the grid

# What a card must say of the bundled sets.
SOURCES = {
    "flowers": "Oxford-102 flowers (Nilsback and Zisserman, 2008)",
    "birds": "Caltech-UCSD Birds-200-2011 (Wah et al., 2011)",
}
CAPTIONS = (
    "captions from Reed et al., *Learning Deep Representations of Fine-grained Visual Descriptions* "
    "(2016)"
)

WEAK = {
    "birds": "The weakest are birds on water and in flight: about every second one has a wing, a neck or a "
    "head in the wrong place. The sentence's colours also stray into twigs and leaves.\n",
}
BASE = (
    "The recipe `base` trains against a discriminator over frozen EfficientNet-Lite1 features, "
    "matching-aware as the paper's, with a hinge loss."
)

TERMS = """\
The photographs are for non-commercial research and education, and each belongs to its
photographer. None is in this repository. The weights are offered on the same terms; the code is
Apache-2.0."""
OWN_TERMS = """\
TO DO before publishing: say here whose photographs these weights were trained on, and on what terms
they may be used. No photograph is among these files; the code is Apache-2.0."""


def _ancestors(commands: str) -> list[str]:
    """What the runs began with, or drew upon, and are not themselves."""
    words = shlex.split(commands)
    after = [pair for pair in pairwise(words) if pair[0].startswith("--")]
    runs = {folder for option, folder in after if option == "--out"}
    return sorted(
        {f for option, f in after if option in ("--begin-with", "--stage1", "--with")} - runs
    )


def model_card(
    name: str,
    model: StackGAN,
    trained: History,
    captions: list[str],
    meta: dict,
    address: str,
    metrics: dict | None = None,
) -> str:
    """The README.md of a checkpoint, in Markdown with the Hub's front matter.

    trained: by which runs. captions: those of the grid. meta: the data's meta.json.
    address: what loads the checkpoint. metrics: see read_metrics.
    """
    published = name in SOURCES and meta["layout"] != "imagefolder"
    steps = [
        (f"Stage-{'I' * number}" + ("" if run is runs[-1] else f", earlier ({run['run']})"), run)
        for number, runs in enumerate(trained.values(), 1)
        for run in runs
    ]
    photos = steps[-1][1]["train_photos"]
    side, two_stages = model.config.resolution, model.config.stages == 2
    unseen = _unseen(meta)
    draws = (
        f"Draws a 64×64 sketch of a sentence (Stage-I) and redraws it at {side}×{side}\n(Stage-II)"
        if two_stages
        else f"Draws a {side}×{side} picture of a sentence with Stage-I alone"
    )
    order = "Stage-I\nabove Stage-II, drawn" if two_stages else "drawn"
    rows = "\n".join(
        f"| {title} | {run['images']:,} | {run['images'] / run['train_photos']:.0f} | "
        f"{run['seconds'] / 3600:.1f} h | {run['hardware']} |"
        for title, run in steps
    )
    # Once each, when all that it needs is there: an average of two stages is told of both.
    lines = [line for _, run in steps for line in run["commands"]]
    commands = "\n".join(reversed(dict.fromkeys(reversed(lines))))
    sources = (
        f" of {SOURCES[name]}, {CAPTIONS}" if published else ", which are not published with it"
    )
    ancestors = _ancestors(commands)
    told = [BASE] if "--recipe base" in commands else []
    if published:
        told.append("Settings that changed, and why: [train/RECIPE.md](../../train/RECIPE.md).")
        if runs_before := [name for name in ancestors if not name.startswith("checkpoints/")]:
            told.append(
                "Folder names were used again: what a command reads before another writes it is an "
                f"older run of that name. Not told here are {', '.join(runs_before)}, which came before."
            )
        if len(runs_before) < len(ancestors):
            told.append(
                "Where a command names a checkpoint, it is the version bundled at that time."
            )
        told += [
            f"Earlier runs learned from {source}, so these weights did, too."
            for other, source in SOURCES.items()
            if other != name and other in commands
        ]
    history = f"\n{fill(' '.join(told), 100, break_on_hyphens=False)}\n" if told else ""
    terms = TERMS if published else OWN_TERMS
    if ancestors and not published:
        terms += f" They began with {', '.join(ancestors)}, whose terms hold here too."
    listed = "\n".join(f"{i}. {caption}" for i, caption in enumerate(captions))
    measured = scores_section(metrics, unseen) if metrics else ""
    by_name = (
        "It was taught the names of its classes, and knows no others."
        if trained["stage1"] and float(last_told(trained["stage1"][-1], "name_share") or 0)
        else "Names of species mostly do not work: captions do not mention them."
        if published
        else ""
    )
    follows = "Colours and shapes follow the sentence, counts mostly do not." if published else ""
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    licence = "license: other\nlicense_name: non-commercial-research\n" if published else ""
    return f"""---
{licence}library_name: stackgan
pipeline_tag: text-to-image
language: en
tags: [stackgan, gan, text-to-image, {json.dumps(name, ensure_ascii=False)}]
---

# StackGAN: {name}

{draws}, after Zhang et al., *StackGAN* (ICCV 2017). {parameters:.1f} M parameters, half precision.

In a checkout of the StackGAN code:

```python
from stackgan import Pipeline

pipeline = Pipeline.from_pretrained({json.dumps(address)})  # or, published, "you/its-name"
output = pipeline.generate({json.dumps(captions[0], ensure_ascii=False)}, seeds=7)
output.pictures()[0].save("picture.png")
```

![{"Sketches over pictures" if two_stages else "Pictures"}](samples.png)

Not chosen: captions of {unseen}, seeds 0 to {SAMPLES - 1}, {order} by these very weights.

## Training

{photos:,} photographs{sources}. Sentences are embedded by {model.config.encoder}.

| stage | images seen | epochs | time | hardware |
|---|---|---|---|---|
{rows}

```
{commands}
```
{history}{measured}
## Limits

It draws {name} alone, whatever else a sentence asks for. {follows}
{by_name}
The grid above shows how often a shape is whole and how often it is not.
{WEAK.get(name, "") if published else ""}
## Licence of the data

{terms}

## Captions of the grid

{listed}
"""


def _unseen(meta: dict) -> str:
    """Whose captions the grid and the scores are of."""
    if not meta["validation"]:
        return "training photographs, for none was kept out"
    return {
        "class": "classes that were kept out of training",
        "random": "photographs that were kept out of training",
    }[meta["split"]]


def read_metrics(path: str | Path) -> dict:
    """What train.evaluate wrote. Raises DataError when the file is something else."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if missing := [name for name in ("about", *ROWS) if name not in found]:
            raise ValueError(f"{', '.join(missing)} missing")
        return found
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no metrics.json of train.evaluate: {error}") from error


def scores_section(found: dict, unseen: str) -> str:
    """metrics.json's figures as a section of the card, a row a figure; `unseen`: what was drawn."""
    about = found["about"]
    if about["captions"] != "validation split":
        unseen = f"the file {about['captions']}"
    lines = []
    for name, (title, scale) in ROWS.items():
        own = found[name]
        if own["value"] is None:
            continue
        anchors = own["anchors"]
        columns = [own, own["stage1"], anchors.get("real"), anchors.get("shrunk")]
        cells = " | ".join(cell(column, scale) for column in columns)
        lines.append(f"| {title} | {cells} | {own['samples']:,} |")
    rows = "\n".join(lines)
    finest = "Stage-II" if about["stages"] == 2 else "Stage-I"
    return f"""
## Scores

{about["samples"]:,} pictures{chosen(about)} of captions of {unseen}, in {about["features"]} features,
each with its 95 % interval, beside what real photographs reach, and the same through 64×64. The
photographs were kept out of training: where a score counts likeness to those that were not, or its
judge learned from them, drawn pictures may come out ahead of real ones.
By `train.evaluate`; never to be set beside published figures, which were made with Inception-v3.

| | {finest} | Stage-I, enlarged | real photographs | real through 64² | pictures |
|---|---|---|---|---|---|
{rows}
{_notes(found)}{_memory(found)}"""


def _notes(found: dict) -> str:
    """How some of the rows are to be read, where they are there."""
    notes = []
    if found["named_class"]["value"] is not None:
        notes.append(
            "Asked by name: pictures of the names of training classes, “a NAME”, that the "
            "Inception-style score's classifier takes for the class (chance "
            f"{found['named_class']['chance']:.3f}); of photographs, its accuracy on unseen ones."
        )
    score, real = found["inception_score"], found["inception_score"]["anchors"].get("real")
    if real and real["value"] is not None and real["samples"] != score["samples"]:
        notes.append(
            "The Inception-style score rises with the number of pictures, and the photographs' is of "
            f"{real['samples']:,} for {score['samples']:,}."
        )
    if "chance" in (rate := found["r_precision"]):
        notes.append(
            f"R-precision: a picture's own caption ranks first among {rate['among']} "
            f"(chance {rate['chance']:.2f}), by a scorer trained on the training photographs."
        )
    if found["colour_faithfulness"]["value"] is not None:
        notes.append(
            "Colour faithfulness: captions that name one colour, and pictures that show it."
        )
    return "\n" + " ".join(notes) + "\n" if notes else ""


def _memory(found: dict) -> str:
    """Fig. 6: how near the pictures are to their nearest training photographs."""
    text = _distances(found["memorisation"], f"in {found['about']['features']} features")
    if found["memorisation_discriminator"]["value"] is not None:
        text += _distances(
            found["memorisation_discriminator"], "in features of its own discriminator"
        )
    return text


def _distances(distances: dict, by: str) -> str:
    quantiles = distances["quantiles"]
    titles = {
        "pictures": "pictures",
        "stage1": "Stage-I's",
        "real": "unseen photographs",
        "training": "training photographs to each other",
    }
    shares = ("0.01", "0.05", "0.50", "0.95")
    rows = "\n".join(
        f"| {title} | " + " | ".join(f"{quantiles[name][share]:.3f}" for share in shares) + " |"
        for name, title in titles.items()
        if name in quantiles
    )
    closer = distances["closer_than_real"]["pictures"]
    return f"""
Memorisation: cosine distance to the nearest training photograph {by}, as quantiles (Fig. 6).
{100 * closer:.1f} % of the pictures are nearer to one than 99 % of unseen photographs are.

| | 1 % | 5 % | median | 95 % |
|---|---|---|---|---|
{rows}
"""
