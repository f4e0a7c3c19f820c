"""The mean of two trainings' weights: a run's, and those that it was begun with.

    python -m train.average --run runs/mine-stage2 --with checkpoints/flowers --out runs/mine-average

A run that was begun with trained networks gains something new and forgets something old. Weights of
both lie in one valley of the loss, so that a network between them draws whole pictures, and has
much of either (Wortsman et al. 2022, *Robust fine-tuning of zero-shot models*; networks that were
trained apart have no such mean). Each may be a run or a checkpoint. What it writes is a checkpoint,
for `train.evaluate --checkpoint` to judge and `train.export --run` to ship.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from shlex import quote

import torch

from stackgan.messages import first_line
from stackgan.model import WEIGHTS, CheckpointError, StackGAN
from train.data import DataError, PhotoData
from train.ema import measure_statistics
from train.files import save_model
from train.history import history, settings_of, write_history
from train.machine import choose_precision
from train.recipes import Recipe
from train.stage1 import Stage1
from train.stage2 import Stage2
from train.state import model_of, recipe_of


def average(
    run: str | Path,
    other: str | Path,
    out: str | Path,
    *,
    share: float = 0.5,
    data: str | Path | None = None,
) -> None:
    """Write `out`/config.json, model.safetensors and training.json.

    run: a folder of train.stage1 or train.stage2, or a checkpoint that knows how it was trained.
    other: one of the same networks; one of two stages gives a run of Stage-I its own. share: how much
    of `other`, 0 to 1. data: where the run's photographs lie now, on which BatchNorm's statistics are
    measured.
    Raises CheckpointError, DataError or ValueError in words for the person who asked.
    """
    run, out = Path(run), Path(out)
    if not 0 <= share <= 1:
        raise ValueError(
            f"--share {share:g}: a share is from 0, all the run's, to 1, all the other's"
        )
    for file in (WEIGHTS, "state.pt"):
        if (out / file).exists():
            raise ValueError(f"{out} holds {file} already: name another --out")
    settings, trained = settings_of(run), history(run)
    model = model_of(run)
    model.companions = {}  # a checkpoint's card and samples are of its own weights
    mix(model, model_of(other), share)
    recipe = recipe_of(settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = settings["precision"]
    precision = choose_precision(device) if precision == "auto" else precision
    model.to(device, memory_format=torch.channels_last)
    # Stage-II's statistics are of what it makes of Stage-I's sketches, so they come last.
    stages = (
        [Stage1(recipe, model.config)]
        if model.stage2 is None
        else [Stage1(Recipe(), model.config), Stage2(recipe, model.config)]
    )
    for stage in stages:
        photos = PhotoData(data or settings["data"], stage.resolution, device, recipe.name_share)
        photos.check_is_of(settings, run)
        photos.check_is_read_by(model.config, run)
        measure_statistics(
            model,
            stage,
            photos,
            seed=settings["seed"],
            precision=precision,
            processes=settings["processes"] if stage.recipe is recipe else 1,
        )
    command = (
        f"python -m train.average --run {quote(str(run))} --with {quote(str(other))} "
        f"--share {share:g} --out {quote(str(out))}"
    )
    for runs in trained.values():  # Stage-I was averaged too
        if runs:
            runs[-1]["commands"].append(command)
    if data:
        trained[settings["stage"]][-1]["data"] = str(data)
    save_model(model.cpu(), out)
    write_history(trained, out)


@torch.no_grad()
def mix(model: StackGAN, other: StackGAN, share: float) -> None:
    """model ← (1 − share) · model + share · other, of weights; statistics stay the model's own.

    Raises ValueError, and changes nothing, where their networks differ.
    """
    theirs = dict(other.named_parameters())
    pairs = [(name, p, theirs.get(name)) for name, p in model.named_parameters()]
    for name, ours, its in pairs:
        if its is None or its.shape != ours.shape:
            there = "not there" if its is None else f"{tuple(its.shape)} there"
            raise ValueError(
                f"--with has other networks than --run: {name} is {tuple(ours.shape)} here, {there}"
            )
    for _, ours, its in pairs:
        ours.lerp_(its, share)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m train.average", description=__doc__.split("\n")[0])
    p.add_argument(
        "--run", required=True, help="run of train.stage2 or train.stage1, or a checkpoint"
    )
    p.add_argument(
        "--with",
        required=True,
        dest="other",
        help="run or checkpoint that it was begun with",
    )
    p.add_argument("--out", required=True, help="checkpoint folder to write")
    p.add_argument("--share", type=float, default=0.5, help="of --with in the mean, 0 to 1 (0.5)")
    p.add_argument("--data", help="where the run's photographs lie now")
    args = p.parse_args(argv)
    try:
        average(args.run, args.other, args.out, share=args.share, data=args.data)
    except (CheckpointError, DataError, OSError, ValueError, torch.OutOfMemoryError) as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
