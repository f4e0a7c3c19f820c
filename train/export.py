"""A finished run → a checkpoint to ship: half-precision weights, a sample grid, a model card.

    python -m train.export --run runs/flowers-stage2 --out checkpoints/flowers --name flowers

The grid is the run's own fixed one: captions of the validation split, seeds 0 to 31, none chosen.
Beside the weights go a sample of the training captions, which says what the checkpoint knows, and
with --scorer the scorer, which lets the page rank pictures by how well they fit. `push_to_hub`
takes all of it along.
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
from stackgan.matching import Scorer
from stackgan.model import CHECKPOINTS, KNOWN, SCORER, CheckpointError, StackGAN
from train.card import SAMPLES, model_card, read_metrics
from train.command import SWITCHES
from train.data import DataError, PhotoData
from train.files import save_model, write_atomically
from train.known import known_captions
from train.recipes import RECIPES, Recipe

TILE = 128  # pixels a picture in samples.png; the weights are the artefact, not the grid


def export(
    run: str | Path,
    out: str | Path,
    name: str,
    *,
    scorer: str | Path | None = None,
    metrics: str | Path | None = None,
    encode=None,
) -> None:
    """Write `out`/config.json, model.safetensors, known.safetensors, samples.png and README.md.

    run: a folder of train.stage2, or of train.stage1 for a checkpoint that only sketches. scorer:
    a file of train.scorer, shipped as scorer.safetensors. metrics: a file of train.evaluate, whose
    figures go into the card. encode: list of names of classes → (N, E); the data's own encoder
    unless given. Raises CheckpointError, DataError or ValueError when one of them cannot be read.
    """
    run, out = Path(run), Path(out)
    steps = _history(run)
    scores = read_metrics(metrics) if metrics else None
    judge = Scorer.load(scorer) if scorer else None
    model = StackGAN.from_pretrained(run / "model")
    # What may still be refused comes before the weights, so that old ones stay with their card.
    meta = PhotoData(steps[-1]["data"], 64).meta
    out.mkdir(parents=True, exist_ok=True)
    write_companions(steps[-1]["data"], out, name, scorer=judge, encode=encode)
    save_model(model.half(), out)
    # Drawn by the weights as shipped: what half precision costs is in the grid.
    shipped = StackGAN.from_pretrained(out)
    picture, captions = sample_grid(shipped, steps[-1]["data"])
    picture.save(out / "samples.png", optimize=True)
    address = out.name if out.resolve().parent == CHECKPOINTS.resolve() else str(out)
    card = model_card(name, shipped, steps, captions, meta, address, scores)
    (out / "README.md").write_text(card, encoding="utf-8")


def write_companions(
    data_folder: str | Path, out: Path, name: str, *, scorer: Scorer | None = None, encode=None
) -> None:
    """What lies beside the weights: `out`/known.safetensors and, given one, scorer.safetensors.

    Raises DataError when the data cannot be read, and ValueError when the scorer reads another
    encoder's sentences.
    """
    meta = PhotoData(data_folder, 64).meta
    if scorer:
        scorer.check_encoder(meta["encoder"], meta["embedding_dim"], SCORER)
    known = known_captions(data_folder, name, encode)
    if scorer:
        write_atomically(out / SCORER, scorer.save)
    write_atomically(out / KNOWN, known.save)


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


def _history(run: Path) -> list[dict]:
    """What each stage of a run was, first stage first, each after what it was begun with."""
    steps = _lineage(run)
    earlier = steps[-1]["stage1"]
    if earlier and (Path(earlier) / "stats.jsonl").exists():
        return [*_lineage(Path(earlier), steps[-1]["stage1_at"]), *steps]
    return steps


def _lineage(run: Path, until: int | None = None) -> list[dict]:
    """One stage's training, up to `until` images: runs begun with one another, the oldest first."""
    try:
        config = json.loads((run / "config.json").read_text())
        lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
        last = [line for line in lines if until is None or line["images"] <= until][-1]
    except (OSError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"{run} is no folder of train.stage1 or train.stage2: {error}"
        ) from error
    images = until or last["images"]  # a state may be saved between two lines
    source = Path(config.get("begin_with", ""))
    begun_at = config.get("begun_at")
    earlier = _lineage(source, begun_at) if begun_at and (source / "stats.jsonl").exists() else []
    for step in earlier:
        step["title"] = step["title"].partition(",")[0] + f", earlier ({step['run']})"
    step = {
        "run": run,
        "title": "Stage-" + "I" * int(config["stage"][-1]),
        "images": images,
        "seconds": last["seconds"],
        "train_photos": config["train_photos"],
        "hardware": config["hardware"],
        "data": config["data"],
        "stage1": config.get("stage1"),
        "stage1_at": config.get("stage1_at"),
        "command": "\n".join(_commands(run, config, images)),
    }
    return [*earlier, step]


def _commands(run: Path, config: dict, until: int) -> list[str]:
    """What was typed to train `run` up to `until` images: its beginning, and a line a change."""
    number = int(config["stage"][-1])
    recipe = RECIPES[config["recipe_name"], number]
    first = config | asdict(Recipe(**config["recipe"]))  # fields younger than the run too
    for change in reversed(config.get("changes", [])):
        first |= change["from"]
    options = {k: first[k] for k, v in asdict(recipe).items() if first[k] != v}
    network = config["config"]
    switches = {
        "--no-ca": number == 1 and not network["conditioning_augmentation"],
        "--alone": number == 1 and network["resolution"] != 64,
        "--no-text": number == 2 and not network["text_in_stage2"],
        f"--seed {config['seed']}": config["seed"] != 0,
    }
    switched = "".join(f" {switch}" for switch, on in switches.items() if on)
    usual = asdict(SIZES[config["size"]])
    widths = {n: network[n] for n in (SWITCHES if number == 1 else SWITCHES[1:])}
    if number == 1 and network["resolution"] == 64:
        del widths["resolution"]  # Stage-I on its way to a second stage
    options |= {n: v for n, v in widths.items() if v != usual[n]}
    before = {name: first[name] for name in ("stage1", "begin_with") if name in first}
    changes = [c for c in config.get("changes", []) if c["images"] < until]
    command = f"python -m train.{config['stage']}"
    ends = [change["images"] for change in changes] + [until]
    start = (
        f"{command} --data {config['data']}{_options(before)} --out {run} --size {config['size']} "
        f"--recipe {config['recipe_name']}{switched}{_options(options)} --images {ends[0]}"
    )
    return [start] + [
        f"{command} --out {run} --resume{_options(change['to'])} --images {end}"
        for change, end in zip(changes, ends[1:], strict=True)
    ]


def _options(values: dict) -> str:
    texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in values.items()}
    return "".join(f" --{k.replace('_', '-')} {text}" for k, text in texts.items())


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m train.export", description=__doc__.split("\n")[0])
    p.add_argument("--run", required=True, help="folder of train.stage2 (or train.stage1)")
    p.add_argument("--out", required=True, help="checkpoint folder to write")
    p.add_argument("--name", required=True, help="what it draws, for the card: flowers, birds, …")
    p.add_argument("--scorer", help="file of train.scorer, so that the page can rank pictures")
    p.add_argument("--metrics", help="file of train.evaluate, for the card")
    args = p.parse_args(argv)
    try:
        export(args.run, args.out, args.name, scorer=args.scorer, metrics=args.metrics)
    except (CheckpointError, DataError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
