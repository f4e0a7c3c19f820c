"""A finished run → a checkpoint to ship: half-precision weights, a sample grid, a model card.

    python -m train.export --run runs/flowers-stage2 --out checkpoints/flowers --name flowers

The grid is the run's own fixed one: captions of the validation split, seeds 0 to 31, none chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from PIL import Image

from stackgan import images, latents
from stackgan.config import SIZES
from stackgan.model import CheckpointError, StackGAN
from train.command import SWITCHES
from train.data import DataError, PhotoData
from train.loop import save_model
from train.recipes import RECIPES

SAMPLES = 32
TILE = 128  # pixels a picture in samples.png; the weights are the artefact, not the grid

# What a card must say of the bundled sets.
SOURCES = {
    "flowers": "Oxford-102 flowers (Nilsback and Zisserman, 2008)",
    "birds": "Caltech-UCSD Birds-200-2011 (Wah et al., 2011)",
}
CAPTIONS = (
    "captions from Reed et al., *Learning Deep Representations of Fine-grained Visual Descriptions* "
    "(2016)"
)


def export(run: str | Path, out: str | Path, name: str) -> None:
    """Write `out`/config.json, model.safetensors, samples.png and README.md.

    run: a folder of train.stage2, or of train.stage1 for a checkpoint that only sketches.
    Raises CheckpointError or DataError when the run or its data cannot be read.
    """
    run, out = Path(run), Path(out)
    steps = _history(run)
    model = StackGAN.from_pretrained(run / "model")
    save_model(model.half(), out)
    # Drawn by the weights as shipped: what half precision costs is in the grid.
    shipped = StackGAN.from_pretrained(out)
    picture, captions = sample_grid(shipped, steps[-1]["data"])
    picture.save(out / "samples.png", optimize=True)
    (out / "README.md").write_text(model_card(name, shipped, steps, captions), encoding="utf-8")


def sample_grid(model: StackGAN, data_folder: str | Path) -> tuple[Image.Image, list[str]]:
    """Sketches over pictures for unseen captions, seeds 0 to 31 → (picture, captions)."""
    data = PhotoData(data_folder, 64)
    picks = data.captions(data_folder, "validation", SAMPLES)
    rows = torch.tensor([pick["photo"] for pick in picks])
    with torch.inference_mode():
        embeddings = model.embedding_norm(data.embeddings[rows, 0].float())
        z = latents.noise(range(SAMPLES), model.config.noise_dim)
        sketches = model.stage1(embeddings, z).pictures
        captions = [pick["caption"] for pick in picks]
        if model.stage2 is None:
            return images.grid(sketches, columns=8), captions
        parts = zip(sketches.split(8), embeddings.split(8), strict=True)
        pictures = torch.cat([model.stage2(s, e).pictures for s, e in parts])
    small = torch.nn.functional.interpolate(pictures, size=(TILE, TILE), mode="area")
    return images.stages_grid(sketches, small), captions


def model_card(name: str, model: StackGAN, steps: list[dict], captions: list[str]) -> str:
    """The README.md of a checkpoint, in Markdown with the Hub's front matter."""
    data = SOURCES.get(name, "your own photographs")
    photos = steps[-1]["train_photos"]
    rows = "\n".join(
        f"| {s['title']} | {s['images']:,} | {s['images'] / s['train_photos']:.0f} | "
        f"{s['seconds'] / 3600:.1f} h | {s['hardware']} |"
        for s in steps
    )
    commands = "\n".join(s["command"] for s in steps)
    sources = f"{data}, {CAPTIONS}" if name in SOURCES else data
    history = (
        "\nSettings that changed on the way, and why: [train/RECIPE.md](../../train/RECIPE.md).\n"
        if name in SOURCES
        else ""
    )
    listed = "\n".join(f"{i}. {caption}" for i, caption in enumerate(captions))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    return f"""---
license: other
license_name: non-commercial-research
library_name: stackgan
pipeline_tag: text-to-image
language: en
tags: [stackgan, gan, text-to-image, {name}]
---

# StackGAN: {name}

Draws a 64×64 sketch of a sentence (Stage-I) and redraws it at {model.config.resolution}×{model.config.resolution}
(Stage-II), after Zhang et al., *StackGAN* (ICCV 2017). {parameters:.1f} M parameters, half precision.

```python
from stackgan import Pipeline

output = Pipeline.from_pretrained("{name}").generate("{captions[0]}", seeds=7)
output.pictures()[0].save("picture.png")
```

![Sketches over pictures](samples.png)

Not chosen: captions of classes that were kept out of training, seeds 0 to {SAMPLES - 1}, Stage-I
above Stage-II, drawn by these very weights.

## Training

{photos:,} photographs of {sources}. Sentences are embedded by {model.config.encoder}.

| stage | images seen | epochs | time | hardware |
|---|---|---|---|---|
{rows}

```
{commands}
```
{history}
## Limits

It knows {name} and nothing else: a sentence about anything else gives {name}. Captions were written
by people looking at one photograph, so colours and shapes work, counts and names of species mostly
do not. Early checkpoint: fine structure is often wrong, and pictures of rare colours are weak.

## Licence of the data

The photographs are for non-commercial research and education, and each belongs to its
photographer. None is in this repository. The weights are offered on the same terms; the code is
Apache-2.0.

## Captions of the grid

{listed}
"""


def _history(run: Path) -> list[dict]:
    """What each stage of a run was, first stage first."""
    try:
        config = json.loads((run / "config.json").read_text())
        last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    except (OSError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{run} is no folder of train.stage1 or train.stage2: {error}"
        ) from error
    number = int(config["stage"][-1])
    recipe = RECIPES[config["recipe_name"], number]
    changed = {k: v for k, v in config["recipe"].items() if v != asdict(recipe)[k]}
    usual = asdict(SIZES[config["size"]])
    widths = {n: config["config"][n] for n in (SWITCHES if number == 1 else SWITCHES[1:])}
    if number == 1 and config["config"]["resolution"] == 64:
        del widths["resolution"]  # Stage-I on its way to a second stage
    changed |= {n: v for n, v in widths.items() if v != usual[n]}
    options = "".join(f" --{k.replace('_', '-')} {str(v).lower()}" for k, v in changed.items())
    before = f" --stage1 {config['stage1']}" if "stage1" in config else ""
    step = {
        "title": "Stage-" + "I" * number,
        "images": last["images"],
        "seconds": last["seconds"],
        "train_photos": config["train_photos"],
        "hardware": config["hardware"],
        "data": config["data"],
        "command": f"python -m train.{config['stage']} --data {config['data']}{before} --out {run} "
        f"--size {config['size']} --recipe {config['recipe_name']}{options} --images {last['images']}",
    }
    earlier = Path(config["stage1"]) if "stage1" in config else None
    if earlier and (earlier / "stats.jsonl").exists():
        return [*_history(earlier), step]
    return [step]


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m train.export", description=__doc__.split("\n")[0])
    p.add_argument("--run", required=True, help="folder of train.stage2 (or train.stage1)")
    p.add_argument("--out", required=True, help="checkpoint folder to write")
    p.add_argument("--name", required=True, help="what it draws, for the card: flowers, birds, …")
    args = p.parse_args(argv)
    try:
        export(args.run, args.out, args.name)
    except (CheckpointError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
