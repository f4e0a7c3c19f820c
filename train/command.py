"""The command line that train.stage1 and train.stage2 share: it checks, then hands plain values on."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from stackgan.config import SIZES, StackGANConfig
from stackgan.latents import MAX_SEED
from stackgan.messages import first_line
from stackgan.model import WEIGHTS, CheckpointError, StackGAN
from train.begin import begin_with
from train.data import DataError, read_meta
from train.history import history, settings_of
from train.loop import Trainer
from train.recipes import (
    RECIPE_HELP,
    RECIPE_OPTIONS,
    RECIPES,
    SIZE_OPTIONS,
    Recipe,
    size_options,
)
from train.state import config_of, model_of, network_of, recipe_of, run_settings

# Of a size, what Stage-II settles; Stage-I's own width was settled before.
STAGE2_WIDTHS = ("stage2_width", "discriminator_width", "discriminator_text_dim")
# What a run is made of, and the values of a new one; a resumed one has its own.
MADE_OF = {
    "recipe": "base",
    "size": "base",
    "seed": 0,
    "begin_with": None,
    "no_ca": False,
    "alone": False,
    "no_text": False,
    **dict.fromkeys(SIZE_OPTIONS),
}


def parser(stage: int) -> argparse.ArgumentParser:
    """Options of `train.stage1` or `train.stage2`."""
    p = argparse.ArgumentParser(
        prog=f"python -m train.stage{stage}",
        description=f"Train Stage-{'I' * stage} on arrays that train.prepare wrote. "
        "Also runs under `accelerate launch -m`.",
    )
    p.add_argument(
        "--data", help="folder that train.prepare wrote; with --resume, where it lies now"
    )
    p.add_argument("--out", required=True, help="folder of the run: stats, grids, weights, state")
    p.add_argument(
        "--resume",
        action="store_true",
        help="continue --out with its own settings, but for the recipe's values given here",
    )
    p.add_argument(
        "--begin-with",
        metavar="RUN_OR_CHECKPOINT",
        help="start from the weights of a run on other photographs (its D too), or of a checkpoint; as "
        "wide as that, or wider with --stage1-width, --stage2-width",
    )
    p.add_argument(
        "--recipe", choices=sorted({name for name, _ in RECIPES}), help="base unless given"
    )
    p.add_argument("--size", choices=sorted(SIZES), help="base unless given")
    if stage == 1:
        p.add_argument(
            "--no-ca", action="store_true", default=None, help="without Conditioning Augmentation"
        )
        p.add_argument(
            "--alone",
            action="store_true",
            default=None,
            help="no second stage: Stage-I draws --resolution itself",
        )
    else:
        p.add_argument(
            "--stage1",
            help="run or checkpoint whose Stage-I is built upon; with --resume, one to change to",
        )
        p.add_argument("--no-text", action="store_true", default=None, help="no text in Stage-II")
    for name in size_options(stage):
        p.add_argument(_option(name), type=int, help="instead of the size's own")
    p.add_argument(
        "--images", type=int, help="stop after so many images in all; --resume remembers it"
    )
    p.add_argument("--minutes", type=float, help="stop after so many minutes; --resume goes on")
    p.add_argument("--tick", type=int, default=2048, help="images between lines of stats")
    p.add_argument(
        "--snapshot-minutes", type=float, default=5.0, help="minutes between snapshots (default 5)"
    )
    p.add_argument("--precision", choices=("auto", "bf16", "fp32"), help="auto unless given")
    p.add_argument("--seed", type=int, help="0 unless given")
    p.add_argument("--tensorboard", action="store_true", help="needs the package tensorboard")
    group = p.add_argument_group("instead of the recipe's own values")
    for name, kind in RECIPE_OPTIONS.items():
        kind = _boolean if kind is bool else kind
        group.add_argument(_option(name), type=kind, metavar="X", help=RECIPE_HELP[name])
    return p


def main(stage_number: int, stage_class, argv: list[str] | None) -> int:
    """Parse, build the Trainer, run. Returns the exit code; errors are one line on stderr."""
    p = parser(stage_number)
    args = p.parse_args(argv)
    for name in ("images", "minutes", "tick", "snapshot_minutes"):
        if (value := getattr(args, name)) is not None and not value > 0:
            p.error(f"{_option(name)} is more than 0, not {value}")
    if args.images and args.epochs:
        p.error("--images and --epochs both say when to stop: give one of them")
    if args.seed is not None and not 0 <= args.seed <= MAX_SEED:
        p.error(f"--seed is a whole number from 0 to {MAX_SEED}, not {args.seed}")
    if stage_number == 1 and args.resolution and not args.alone and not args.resume:
        p.error("--resolution is for --alone: below a Stage-II, Stage-I draws 64×64")
    out = Path(args.out)
    try:
        if args.resume:
            given = [_option(n) for n in MADE_OF if getattr(args, n, None) is not None]
            if given:
                p.error(f"--resume keeps these of the run: leave out {', '.join(given)}")
            trainer = resumed(
                stage_number,
                stage_class,
                out,
                stage1=getattr(args, "stage1", None),
                data=args.data,
                precision=args.precision,
                changed=_changed(args),
            )
        else:
            if not args.data:
                p.error("--data is needed: a folder that train.prepare wrote")
            if (out / "state.pt").exists():
                p.error(f"{out} holds a run already: continue it with --resume, or name another")
            if (out / WEIGHTS).exists():
                p.error(f"{out} holds a checkpoint, which a run would destroy: name another --out")
            trainer = fresh(stage_number, stage_class, args)
        if trainer.device.type == "cuda":
            # What is left to the host is small: a team of threads would only wait for each other.
            torch.set_num_threads(1)
        if args.images or args.epochs:
            trainer.settings["until"] = args.images
        trainer.run(
            images=trainer.settings.get("until"),
            minutes=args.minutes,
            tick=args.tick,
            snapshot_minutes=args.snapshot_minutes,
            tensorboard=args.tensorboard,
        )
    except (CheckpointError, DataError, FloatingPointError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error.msg}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError as error:
        width = f"--stage{stage_number}-width"
        print(
            f"error: the GPU's memory does not suffice; a smaller --batch or {width} needs less: "
            f"{first_line(error)}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:  # before the first step; after it the run ends as it should
        return 130
    return 0


def fresh(stage_number: int, stage_class, args: argparse.Namespace) -> Trainer:
    """A new run from parsed options. Of what it begins with it has the width, unless one is asked
    for, or a size."""
    as_begun = bool(args.begin_with) and args.size is None
    for name, value in MADE_OF.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    recipe = replace(RECIPES[args.recipe, stage_number], **_changed(args))
    meta = read_meta(args.data)
    sizes = {n: v for n in SIZE_OPTIONS if (v := getattr(args, n, None)) is not None}
    _check_read(recipe, stage_number, _changed(args) | sizes)
    if as_begun:
        width = f"stage{stage_number}_width"
        sizes = {width: getattr(config_of(args.begin_with), width)} | sizes
    earlier = {}
    settings = {"recipe_name": args.recipe, "size": args.size, "earlier": earlier}
    if stage_number == 1:
        model = _new_stage1(args, meta, sizes)
    else:
        if not args.stage1:
            raise ValueError("--stage1 is needed: the run or checkpoint of a trained Stage-I")
        model = _new_stage2(args, meta, sizes)
        settings["stage1"] = args.stage1
        earlier["stage1"] = history(args.stage1)["stage1"]
    stage = stage_class(recipe, model.config)
    if args.begin_with:
        settings["begin_with"] = args.begin_with
        earlier[stage.name] = history(args.begin_with)[stage.name]
    trainer = Trainer(
        stage,
        model,
        recipe,
        args.data,
        args.out,
        seed=args.seed,
        precision=args.precision or "auto",
        settings=settings,
    )
    _tell_of_other_splits(trainer, getattr(args, "stage1", None), args.begin_with)
    if args.begin_with:
        brings_d = begin_with(trainer, args.begin_with)
        if not (brings_d or recipe.head_start) and trainer.rank == 0:
            print(
                f"{args.begin_with} brings no discriminator that fits, so D begins untrained and may spoil "
                "the trained G: with --head-start 6144 it learns alone first",
                file=sys.stderr,
            )
    return trainer


def _tell_of_other_splits(trainer: Trainer, *sources: str | None) -> None:
    """Say so where a run begins with one that learned from photographs kept out of training now."""
    for source in filter(None, sources):
        try:
            settings = settings_of(source)
        except CheckpointError:  # it does not tell
            continue
        same_folder = Path(settings["data"]) == trainer.data.folder
        if same_folder and not trainer.data.is_of(settings) and trainer.rank == 0:
            print(
                f"{trainer.data.folder} was prepared anew since {source} was trained on it: scores on "
                "photographs that are kept out of training now may flatter, for it may have seen them",
                file=sys.stderr,
            )


def _new_stage1(args: argparse.Namespace, meta: dict, sizes: dict) -> StackGAN:
    """Stage-I, or with --alone the one-stage baseline, for the captions of the data."""
    config = replace(
        SIZES[args.size],
        encoder=meta["encoder"],
        embedding_dim=meta["embedding_dim"],
        conditioning_augmentation=not args.no_ca,
    )
    if args.alone:
        config = replace(config, stages=1, **sizes)
    else:
        config = replace(config, **sizes).stage1_alone()
    model = _seeded(config, args.seed)
    model.embedding_norm.set_statistics(meta["embedding_mean"], meta["embedding_scale"])
    return model


def _new_stage2(args: argparse.Namespace, meta: dict, sizes: dict) -> StackGAN:
    """Stage-II upon --stage1, which has to read the same encoder's sentences as the data hold."""
    size = SIZES[args.size]
    sizes = {n: getattr(size, n) for n in STAGE2_WIDTHS} | sizes
    model = built_upon(args.stage1, args.seed, text_in_stage2=not args.no_text, **sizes)
    expected = (meta["encoder"], meta["embedding_dim"])
    if (model.config.encoder, model.config.embedding_dim) != expected:
        raise ValueError(
            f"{args.stage1} was trained on {model.config.encoder} embeddings, {args.data} holds "
            f"{meta['encoder']}'s: prepare the data with --encoder {model.config.encoder}"
        )
    return model


def resumed(
    stage_number: int,
    stage_class,
    out: Path,
    *,
    stage1: str | None = None,
    data: str | None = None,
    precision: str | None = None,
    changed: dict | None = None,
) -> Trainer:
    """The run in `out`, with the settings it was started with, at the step it was saved.

    `stage1`: take Stage-I anew from there, because it was trained further in the meantime.
    `data`: where the run's photographs lie now. `precision`: as the machine at hand wants it.
    `changed`: fields of the recipe that are other from here on.
    """
    try:
        saved = run_settings(out)
    except CheckpointError as error:
        raise FileNotFoundError(f"nothing to resume: {error}") from error
    if saved["stage"] != f"stage{stage_number}":
        raise ValueError(
            f"{out} is a run of train.{saved['stage']}, not of train.stage{stage_number}"
        )
    config, saved_recipe = network_of(saved), recipe_of(saved)
    recipe = replace(saved_recipe, **(changed or {}))
    _check_read(recipe, stage_number, changed or {})
    kept = (
        "recipe_name",
        "size",
        "stage1",
        "begin_with",
        "earlier",
        "changes",
        "until",
        "hardware",
    )
    extra = {k: saved[k] for k in kept if k in saved}
    trainer = Trainer(
        stage_class(recipe, config),
        _seeded(config, saved["seed"]),
        recipe,
        data or saved["data"],
        out,
        seed=saved["seed"],
        precision=precision or saved["precision"],
        settings=extra,
    )
    if not trainer.data.is_of(saved):  # what was kept out of training would be learned from
        raise DataError(
            f"{trainer.data.folder} holds other photographs, another split or other captions "
            f"than {out} was begun with: begin a new run with --begin-with {out}, whose weights may "
            "have learned from what is kept out of training now"
        )
    trainer.resume()
    was = asdict(saved_recipe)
    other = {k: v for k, v in asdict(recipe).items() if was[k] != v}
    before = {k: was[k] for k in other}
    if stage1:
        _exchange_stage1(trainer, stage1)
        before["stage1"], other["stage1"] = saved["stage1"], stage1
    if other:
        change = {"images": trainer.images, "from": before, "to": other}
        trainer.settings["changes"] = [*extra.get("changes", []), change]
    return trainer


def _exchange_stage1(trainer: Trainer, stage1: str) -> None:
    """Have Stage-II learn upon a Stage-I that was trained further, a run's or a checkpoint's."""
    newer = model_of(stage1)
    means = newer.embedding_norm.mean, trainer.model.embedding_norm.mean.cpu()
    if not torch.allclose(*means, rtol=1e-2, atol=1e-3):  # a checkpoint's are rounded
        raise ValueError(f"{stage1} reads other captions than the Stage-I {trainer.out} began with")
    try:
        for network in (trainer.model, trainer.average):
            network.stage1.load_state_dict(newer.stage1.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"{stage1} is of another size than the Stage-I that {trainer.out} began with"
        ) from error
    settings = trainer.settings
    settings["stage1"] = stage1
    settings["earlier"] = {**settings.get("earlier", {}), "stage1": history(stage1)["stage1"]}
    trainer.snapshot()  # before config.json says so: a run that is killed now has exchanged it


def built_upon(stage1: str, seed: int, **changes) -> StackGAN:
    """A two-stage model whose Stage-I and embedding statistics are a trained one's."""
    trained = model_of(stage1)
    base = trained.config
    if base.sketch_resolution != 64:
        raise ValueError(f"{stage1} draws {base.sketch_resolution} pixels; Stage-II refines 64")
    config = replace(base, **{"stages": 2, "resolution": 256, **changes})
    model = _seeded(config, seed)
    model.stage1.load_state_dict(trained.stage1.state_dict())
    model.embedding_norm.load_state_dict(trained.embedding_norm.state_dict())
    return model


def _seeded(config: StackGANConfig, seed: int) -> StackGAN:
    """A model whose initial weights are a function of the seed, D's after it too."""
    torch.manual_seed(seed)
    return StackGAN(config)


def _check_read(recipe: Recipe, stage_number: int, given: dict) -> None:
    """Raises ValueError naming the first given value that would have no effect."""
    for name, why in recipe.unread(stage_number).items():
        if given.get(name):
            raise ValueError(f"{_option(name)} {given[name]} would do nothing: it {why}")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _changed(args: argparse.Namespace) -> dict:
    """What of the recipe was given on the command line."""
    return {n: getattr(args, n) for n in RECIPE_OPTIONS if getattr(args, n) is not None}


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "1"):
        return True
    if text.lower() in ("false", "no", "0"):
        return False
    raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
