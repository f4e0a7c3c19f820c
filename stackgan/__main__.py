"""python -m stackgan "a caption" --seed 7 --out flower.png

python -m stackgan interpolate "one sentence" "another" --frames 24 --out between.gif
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from stackgan import images, latents
from stackgan.messages import first_line
from stackgan.paths import MAX_SENTENCES
from stackgan.pipeline import BATCH, MAX_FRAMES, Inputs, Pipeline
from stackgan.ranking import BEST_OF, MAX_BEST_OF

MAX_SAMPLES = 1024  # pictures of one command
FILMS = ", ".join(images.ANIMATIONS)


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 after saying on stderr what was wrong.

    Arguments that argparse refuses end the process with 2, after its usage.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = _interpolate if argv[:1] == ["interpolate"] else _generate
    try:
        return command(argv[1:] if command is _interpolate else argv)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, MemoryError) as error:  # a device that is not there, or is full
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _generate(argv: list[str]) -> int:
    p = _parser(
        'python -m stackgan "CAPTION"',
        'Draw pictures of a sentence. To go between two: python -m stackgan interpolate "A" "B"',
    )
    p.add_argument("caption", help="one sentence, for example: a flower with long yellow petals")
    p.add_argument(
        "-n",
        "--count",
        type=int,
        default=1,
        help="how many pictures, with seeds counting up from --seed",
    )
    p.add_argument(
        "--best-of",
        type=int,
        help=f"draw so many for each picture, 1 to {MAX_BEST_OF}, and keep the best; unless given "
        f"{BEST_OF}, or 1 with --seed or where the checkpoint brings no scorer",
    )
    p.add_argument("--seed", type=int, help="of the noise z; a random one unless given")
    p.add_argument("--out", default="stackgan.png", help="PNG; several are numbered (name-1.png)")
    p.add_argument("--sketch", help="PNG for Stage-I's 64×64 sketch as well")
    args = p.parse_args(argv)
    if not 1 <= args.count <= MAX_SAMPLES:
        p.error(f"-n is from 1 to {MAX_SAMPLES}, not {args.count}")
    if args.best_of is not None and not 1 <= args.best_of <= MAX_BEST_OF:
        p.error(f"--best-of is from 1 to {MAX_BEST_OF}, not {args.best_of}")
    out = _paths(p, "--out", args.out, args.count)
    sketch_out = _paths(p, "--sketch", args.sketch, args.count) if args.sketch else []
    if set(out) & set(sketch_out):
        p.error(f"--sketch and --out are the same file, {args.out}")
    first = random.randrange(2**31) if args.seed is None else args.seed
    pipeline = _pipeline(p, args)
    best_of = args.best_of or (BEST_OF if args.seed is None and pipeline.can_rank else 1)
    candidates = latents.seeds_from(first, args.count * best_of)
    epsilon_seeds = args.epsilon_seed
    if epsilon_seeds is not None:
        epsilon_seeds = latents.seeds_from(epsilon_seeds, args.count)

    def prepare(seeds: list[int], pictures: slice) -> Inputs:
        return pipeline.prepare(
            args.caption,
            seeds,
            epsilon_seeds=epsilon_seeds and epsilon_seeds[pictures],
            truncation=args.truncation,
            emphasis=args.emphasis,
        )

    drawn = []
    # What is drawn is saved at once: an interruption loses a batch, and memory holds no more.
    with _bar(args.count) as bar:
        for start in range(0, args.count, BATCH):
            rows = slice(start, min(start + BATCH, args.count))
            seeds, scores = candidates[rows], []
            if best_of > 1:
                chosen = [
                    _best(pipeline, prepare(candidates[i * best_of :][:best_of], slice(i, i + 1)))
                    for i in range(rows.start, rows.stop)
                ]
                seeds, scores = ([pair[k] for pair in chosen] for k in (0, 1))
            # The chosen are drawn again, as they will be when somebody asks for their seeds.
            inputs = prepare(seeds, rows)
            settings = inputs.settings
            if scores:
                settings = [
                    {**record, "score": score}
                    for record, score in zip(settings, scores, strict=True)
                ]
            sketches = pipeline.sketch(inputs)
            _save(pipeline.refine(sketches, inputs), out[rows], settings)
            if sketch_out:
                _save(sketches, sketch_out[rows], settings)
            drawn += settings
            bar.update(len(inputs))
    for path, record in zip(out, drawn, strict=True):
        score = f"  score {record['score']:.2f}" if "score" in record else ""
        print(f"{path}  seed {record['seed']}{score}")
    return 0


def _best(pipeline: Pipeline, inputs: Inputs) -> tuple[int, float]:
    """Of the pictures of these inputs the seed of the best, and its score."""
    scores = pipeline.score(pipeline.refine(pipeline.sketch(inputs), inputs), inputs)
    return inputs.settings[int(scores.argmax())]["seed"], round(scores.max().item(), 4)


def _interpolate(argv: list[str]) -> int:
    p = _parser(
        'python -m stackgan interpolate "A" "B"',
        "Go from one sentence to another in small steps, or on through up to five.",
    )
    p.add_argument("captions", nargs="+", help="2 to 5 sentences, in order")
    p.add_argument("--frames", type=int, default=24, help=f"2 to {MAX_FRAMES} (default 24)")
    p.add_argument("--seed", type=int, help="of z, held all the way; z = 0 unless given")
    p.add_argument("--end-seed", type=int, help="z travels from --seed to this one")
    p.add_argument("--spherical", action="store_true", help="along the arc, not the line")
    p.add_argument(
        "--stage", type=int, choices=(1, 2), default=2, help="whose pictures (default 2)"
    )
    p.add_argument("--seconds", type=float, default=3.0, help="from start to end (default 3)")
    p.add_argument(
        "--one-way", action="store_true", help="start again at the end instead of playing backwards"
    )
    p.add_argument("--out", default="stackgan.gif", help=f"{FILMS}, or .png for a film strip")
    args = p.parse_intermixed_args(argv)
    low = len(args.captions)
    if not 2 <= low <= MAX_SENTENCES:
        p.error(f"a path goes through 2 to {MAX_SENTENCES} sentences, not {low}")
    if not low <= args.frames <= MAX_FRAMES:
        p.error(f"--frames is from {low} to {MAX_FRAMES}, not {args.frames}")
    # There and back equal frames become one, and a GIF's frame lasts 655 seconds at most.
    if not 0.1 <= args.seconds <= 300:
        p.error(f"--seconds is from 0.1 to 300, not {args.seconds}")
    if args.end_seed is not None and args.seed is None:
        p.error("--end-seed needs a --seed to begin with")
    [out] = _paths(p, "--out", args.out, 1, suffixes=(*images.ANIMATIONS, ".png"))
    if out.suffix.lower() == ".mp4" and not images.can_write_mp4():
        p.error("--out: an .mp4 is written by PyAV: pip install av")
    pipeline = _pipeline(p, args)
    inputs = pipeline.prepare_path(
        args.captions,
        args.frames,
        seed=args.seed if args.end_seed is None else [args.seed, args.end_seed],
        epsilon_seed=args.epsilon_seed,
        truncation=args.truncation,
        emphasis=args.emphasis,
        spherical=args.spherical,
    )
    frames = pipeline.sketch(inputs)
    if args.stage == 2:
        with _bar(args.frames) as bar:
            frames = pipeline.refine(frames, inputs, lambda done, _: bar.update(done - bar.n))
    if out.suffix.lower() == ".png":
        settings = {k: v for k, v in inputs.settings[0].items() if k != "position"}
        settings |= {"frames": args.frames, "stage": args.stage}
        images.save_png(images.grid(frames, columns=args.frames), out, settings)
    else:
        images.save_animation(images.to_pictures(frames), out, args.seconds, not args.one_way)
    print(out)
    return 0


def _parser(prog: str, description: str) -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=prog, description=description)
    p.add_argument("--checkpoint", default="flowers", help="bundled name, folder or Hub repository")
    p.add_argument("--epsilon-seed", type=int, help="draw ε from this seed; ε = 0 unless given")
    p.add_argument("--truncation", type=float, default=1.0, help="scale of z, 0 to 1.5")
    p.add_argument(
        "--emphasis",
        type=float,
        default=latents.EMPHASIS,
        help=f"how much the words count, 0 to {latents.MAX_EMPHASIS:g} "
        f"(default {latents.EMPHASIS:g}; 1 reads them as they are)",
    )
    p.add_argument("--device", help="cpu, cuda, …")
    return p


def _pipeline(p: argparse.ArgumentParser, args: argparse.Namespace) -> Pipeline:
    for flag in ("--seed", "--end-seed", "--epsilon-seed"):
        seed = getattr(args, flag[2:].replace("-", "_"), None)
        if seed is not None and not 0 <= seed <= latents.MAX_SEED:
            p.error(f"{flag} is from 0 to {latents.MAX_SEED}, not {seed}")
    try:
        torch.empty(0, device=args.device)
    except (AssertionError, RuntimeError) as error:
        p.error(f"--device {args.device}: {first_line(error)}")
    return Pipeline.from_pretrained(args.checkpoint, device=args.device)


def _paths(
    p: argparse.ArgumentParser, flag: str, name: str, count: int, suffixes=(".png",)
) -> list[Path]:
    """Where to write, checked before any work is done: nothing is drawn that cannot be saved."""
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        p.error(f"{flag} ends in {' or '.join(suffixes)}, not {name!r}")
    if not path.parent.is_dir():
        p.error(f"{flag}: there is no folder {path.parent}")
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{i + 1}") for i in range(count)]


def _save(pictures: torch.Tensor, paths: list[Path], settings: list[dict]) -> None:
    for picture, path, record in zip(images.to_pictures(pictures), paths, settings, strict=True):
        images.save_png(picture, path, record)


def _bar(total: int) -> tqdm:
    """A progress bar for work that takes longer than a moment, on a terminal."""
    return tqdm(total=total, unit="picture", disable=None if total > 4 else True)


if __name__ == "__main__":
    sys.exit(main())
