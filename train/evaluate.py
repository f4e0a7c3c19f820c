"""Measure a checkpoint: how its pictures compare with photographs, in one metrics.json.

    python -m train.evaluate --checkpoint flowers --data data/flowers --out metrics.json

Every score stands beside anchors of the same run: real photographs of the validation split (the
floor, or the ceiling), the same shrunk to 64×64 and enlarged again (what Stage-II must beat), and
the checkpoint's own Stage-I enlarged. The reference of the set distances is the training split.

Figures made with EfficientNet-Lite0 features, the default, are never to be set beside published
figures, which were made with Inception-v3: they differ in scale and in order. Nor do counts that
differ compare, except for the kernel distance, which is unbiased.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from stackgan import latents
from stackgan.config import StackGANConfig
from stackgan.features import FeatureNetwork
from stackgan.latents import EMPHASIS, MAX_EMPHASIS
from stackgan.messages import first_line
from stackgan.model import CheckpointError
from stackgan.pipeline import Pipeline
from stackgan.ranking import MAX_BEST_OF, Scorer
from train import scores
from train.colours import subject_of
from train.columns import FIRST, Column, drawn_columns, real_columns
from train.data import DataError, PhotoData, has_names
from train.featureset import (
    NETWORK_TITLES,
    Through64,
    discriminator_features,
    load_network,
    photo_features,
    photos,
)
from train.files import write_atomically
from train.machine import hardware
from train.metrics import missing
from train.report import entry, nearest_figure, table
from train.spread import diversity, smoothness
from train.texts import file_texts, name_texts, validation_texts

NAMES_DRAWN = 600  # pictures asked for by the name of a class


def evaluate(
    checkpoint: str | Path,
    data_folder: str | Path,
    *,
    captions: str | Path | None = None,
    samples: int = 2000,
    scorer_file: str | Path | None = None,
    features: str = "lite0",
    inception_weights: str | None = None,
    reference: int | None = None,
    discriminator_run: str | Path | None = None,
    seed: int = 0,
    best_of: int = 1,
    emphasis: float = EMPHASIS,
    encode=None,
    figure: str | Path | None = None,
    report=print,
) -> dict:
    """Draw `samples` pictures and measure them; returns what metrics.json holds.

    captions: file whose captions are drawn instead of the validation split's. scorer_file: of
    train.scorer, for R-precision. reference: at most so many training photographs, for a quick try.
    discriminator_run: of train.stage2, whose discriminator looks for the nearest photographs too.
    best_of: every picture, but for diversity and smoothness, is the best of so many for its caption.
    emphasis: how far from the mean caption captions are read, see Pipeline.prepare.
    encode: list of captions → (N, E); the checkpoint's own encoder unless given. figure: where to
    write pictures over their nearest training photographs. report: hears of captions skipped.
    Raises CheckpointError, DataError or ValueError in words for the person who asked.
    """
    data = PhotoData(data_folder, 256)
    pipeline = Pipeline.from_pretrained(checkpoint, encoder=encode)
    config, device = pipeline.config, "cuda" if torch.cuda.is_available() else "cpu"
    data.check_is_read_by(config, checkpoint)
    if best_of > 1 and not pipeline.can_rank:
        raise ValueError(f"--best-of: {checkpoint} brings no scorer to choose by, see train.scorer")
    own = validation_texts(data, samples, seed)
    texts = file_texts(captions, pipeline.encoder, samples, seed, report) if captions else own
    scorer = _fitting_scorer(scorer_file, config) if scorer_file else None
    discriminator = discriminator_features(discriminator_run) if discriminator_run else None
    judge = load_network(features, inception_weights)
    coarse = Through64(judge)
    networks = {judge.name: judge, coarse.name: coarse}
    if scorer and scorer.about["features"] not in networks:
        networks[scorer.about["features"]] = load_network(scorer.about["features"])
    if discriminator:
        networks[discriminator.name] = discriminator

    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    training = data.train[order][:reference]
    known = photo_features(data, training, judge)
    subject = subject_of(texts.captions)
    columns = real_columns(data, own, networks, subject)
    columns |= drawn_columns(pipeline, texts, networks, subject, seed, best_of, emphasis)
    at_hand = {name: column.seen_by(judge.name) for name, column in columns.items()}

    found = scores.set_scores(at_hand, known, seed)
    found["kid_64"] = scores.kernel_distances(
        {name: column.seen_by(coarse.name) for name, column in columns.items()},
        photo_features(data, training, coarse),
        seed,
        "training photographs through 64×64",
    )
    named, asked = {}, torch.zeros(0)
    if has_names(data_folder):
        names = name_texts(data, training, min(samples, NAMES_DRAWN), seed)
        drawn = drawn_columns(
            pipeline, names, {judge.name: judge}, subject, seed, best_of, emphasis
        )
        named, asked = {n: c.seen_by(judge.name) for n, c in drawn.items()}, names.groups
    found |= scores.class_scores(at_hand, known, data.class_ids[training], seed, named, asked)
    found["r_precision"] = scores.r_precision(columns, scorer)
    found["colour_faithfulness"] = scores.colour(columns, subject)
    searched = [(judge, known)]
    if discriminator:
        seen = [discriminator(batch) for batch in photos(data, training.tolist())]
        searched.append((discriminator, torch.cat(seen)))
    found |= _memorisation(columns, searched)
    drawn_as = (pipeline, texts, judge, seed, emphasis)
    spread = diversity(*drawn_as) | smoothness(*drawn_as)
    classes = data.class_ids[columns["real"].texts.groups]
    for name in ("diversity_over_z", "diversity_over_epsilon"):
        spread[name]["real"] = scores.class_spread(at_hand["real"], classes)
    found |= {name: entry(value) for name, value in spread.items()}
    _name_networks(found, judge.name, scorer.about["features"] if scorer else judge.name)
    if figure:
        drawn = columns["pictures"]
        nearest_figure(torch.cat(drawn.first)[:FIRST], data, training, searched).save(figure)
    about = {
        "checkpoint": str(checkpoint),
        "data": str(data_folder),
        "captions": str(captions or "validation split"),
        "scorer": str(scorer_file) if scorer_file else None,
        "discriminator": str(discriminator_run) if discriminator_run else None,
        "samples": samples,
        "best_of": best_of,
        "emphasis": emphasis,
        "training_photographs": len(training),
        "validation_photographs": len(data.validation),
        "stages": config.stages,
        "seed": seed,
        "features": NETWORK_TITLES.get(judge.name, judge.name),
        "engine": pipeline.engine.name,
        "hardware": hardware(torch.device(device)),
        "warning": "never set beside published figures unless the features are Inception's",
    }
    return {"about": about, **found}


def _fitting_scorer(path: str | Path, config: StackGANConfig) -> Scorer:
    """Raises ValueError where it reads another encoder's sentences than the checkpoint."""
    scorer = Scorer.load(path)
    scorer.check_encoder(config.encoder, config.embedding_dim, path)
    return scorer


def _memorisation(
    columns: dict[str, Column], searched: list[tuple[FeatureNetwork, Tensor]]
) -> dict:
    """How near pictures are to training photographs, as one or two networks see both.

    searched: each network, and what it makes of the training photographs; the discriminator second.
    """
    found = [
        scores.memorisation({n: c.seen_by(network.name) for n, c in columns.items()}, known)
        for network, known in searched
    ]
    by_discriminator = (
        {**found[1], "features": "the discriminator's"}
        if len(found) > 1
        else entry({"pictures": missing("no --discriminator: name the run of train.stage2")})
    )
    return {"memorisation": found[0], "memorisation_discriminator": by_discriminator}


def _name_networks(found: dict, main: str, scorer: str) -> None:
    """Tell of each figure what it was seen with, where it does not yet."""
    for name, value in found.items():
        on_pixels = name == "colour_faithfulness" or name.endswith("_pixels")
        network = scorer if name == "r_precision" else main
        value.setdefault(
            "features", "pixels" if on_pixels else NETWORK_TITLES.get(network, network)
        )


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        prog="python -m train.evaluate",
        description="Measure a checkpoint's pictures against photographs.",
        epilog="Figures made with Lite0 features are never to be set beside published ones.",
    )
    p.add_argument("--checkpoint", required=True, help="bundled name, folder or Hub repository")
    p.add_argument("--data", required=True, help="folder that train.prepare wrote")
    p.add_argument("--out", required=True, help="file to write: metrics.json")
    p.add_argument(
        "--captions", help="draw this file's captions: a JSON object with caption a line"
    )
    p.add_argument("--samples", type=int, default=2000, help="pictures to draw (default 2000)")
    p.add_argument(
        "--best-of",
        type=int,
        default=1,
        help=f"draw so many for each picture, 1 to {MAX_BEST_OF}, and measure the best, which the checkpoint's "
        "scorer chooses by Lite0 features: --features lite2 judges with others",
    )
    p.add_argument(
        "--emphasis",
        type=float,
        default=EMPHASIS,
        help=f"how far from the mean caption captions are read, 0 to {MAX_EMPHASIS:g} (default {EMPHASIS:g}, "
        "as the page does)",
    )
    p.add_argument("--scorer", help="file of train.scorer, for R-precision")
    p.add_argument(
        "--discriminator",
        metavar="RUN",
        help="run of train.stage2: nearest photographs by its D too",
    )
    p.add_argument("--features", choices=tuple(NETWORK_TITLES), default="lite0")
    p.add_argument("--inception-weights", help="file with Inception-v3's FID weights")
    p.add_argument("--reference", type=int, help="at most so many training photographs")
    p.add_argument("--nearest", help="picture to write: drawn ones over their nearest photographs")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args(argv)
    if args.samples < 4 or (args.reference is not None and args.reference < 4):
        p.error("--samples and --reference are whole numbers from 4")
    if not 1 <= args.best_of <= MAX_BEST_OF:
        p.error(f"--best-of is a whole number from 1 to {MAX_BEST_OF}")
    if not 0 <= args.emphasis <= MAX_EMPHASIS:
        p.error(f"--emphasis is a number from 0 to {MAX_EMPHASIS:g}")
    if not 0 <= args.seed <= latents.MAX_SEED:
        p.error(f"--seed is a whole number from 0 to {latents.MAX_SEED}")
    try:
        for option, name in (("--out", args.out), ("--nearest", args.nearest)):
            if name and not Path(name).absolute().parent.is_dir():
                raise DataError(f"{option} {name}: there is no such folder")
            if name and Path(name).is_dir():
                raise DataError(f"{option} {name} is a folder: name a file in it")
        if args.nearest and Path(args.nearest).suffix.lower() not in (".png", ".jpg", ".webp"):
            raise DataError(f"--nearest {args.nearest}: its ending is .png, .jpg or .webp")
        if args.inception_weights and args.features != "inception":
            raise DataError("--inception-weights needs --features inception")
        found = evaluate(
            args.checkpoint,
            args.data,
            captions=args.captions,
            samples=args.samples,
            scorer_file=args.scorer,
            features=args.features,
            inception_weights=args.inception_weights,
            reference=args.reference,
            discriminator_run=args.discriminator,
            seed=args.seed,
            best_of=args.best_of,
            emphasis=args.emphasis,
            figure=args.nearest,
            report=lambda problem: print(f"skipped {problem}", file=sys.stderr),
        )
        text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(Path(args.out), lambda path: path.write_text(text, encoding="utf-8"))
    except (CheckpointError, DataError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error.msg}", file=sys.stderr)
        return 2
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
