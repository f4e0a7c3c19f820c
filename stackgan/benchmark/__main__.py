"""The command line: see the package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from stackgan import benchmark as package
from stackgan.benchmark import processes
from stackgan.benchmark.measure import measure
from stackgan.benchmark.report import markdown, plot, table
from stackgan.config import SIZES
from stackgan.model import StackGAN, bundled

MAX_BATCH = 256
PLOTS = (".png", ".webp", ".jpg")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark. Returns 0, or 2 after one line on stderr that says what was wrong."""
    parser = _Parser(
        prog="python -m stackgan.benchmark", description=package.__doc__.split("\n\n")[0]
    )
    parser.add_argument("--checkpoint", help="bundled name, folder or Hub repository")
    parser.add_argument("--random", choices=sorted(SIZES), help="untrained weights of that size")
    parser.add_argument(
        "--batches", help="pictures at a time, 1 and these (4,8,16; with --quick 4)"
    )
    parser.add_argument("--quick", action="store_true", help="rough numbers, and no cold start")
    parser.add_argument("--page", action="store_true", help="start the page and ask it, too")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the engines' speed")
    parser.add_argument("--markdown", action="store_true", help="a table for the README as well")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--cold", metavar="ENGINE", help=argparse.SUPPRESS)
    try:
        args = parser.parse_args(argv)
        if args.checkpoint and args.random:
            raise ValueError("--checkpoint and --random exclude each other")
        if args.page and args.random:
            raise ValueError("--page needs a checkpoint, not --random weights")
        if args.plot and not _can_be_a_plot(Path(args.plot)):
            raise ValueError(f"--plot is a {', '.join(PLOTS)} in a folder, not {args.plot!r}")
        batches = _batches(args.batches or ("4" if args.quick else "4,8,16"))
        if args.cold:
            print(json.dumps(processes.first_picture(lambda: _model(args), args.cold)))
            return 0
        result = measure(_model(args), batches, args.quick)
        if not args.quick:
            flags = (("--checkpoint", args.checkpoint), ("--random", args.random))
            model = [word for pair in flags if pair[1] for word in pair]
            result["cold_start"] = {
                name: processes.cold_start(engine, model)
                for name, engine in (("plain", "plain"), (result["default"], "auto"))
            }
        if args.page:
            result["page"] = processes.page(args.checkpoint, 2.0 if args.quick else 8.0)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(result))
    if args.markdown:
        print(f"\n{markdown(result)}\n")
    if args.json:
        print(json.dumps(result))
    try:
        if args.plot:
            plot(result, args.plot)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ValueError(message)


def _batches(text: str) -> list[int]:
    try:
        batches = [int(part) for part in text.split(",")]
    except ValueError:
        batches = []
    if not batches or not all(1 <= batch <= MAX_BATCH for batch in batches):
        raise ValueError(
            f"--batches is whole numbers from 1 to {MAX_BATCH} with commas between, not {text!r}"
        )
    return list(dict.fromkeys([1, *batches]))  # `speedup` is told at batch 1


def _model(args: argparse.Namespace) -> StackGAN:
    if args.random:
        torch.manual_seed(0)
        return StackGAN(SIZES[args.random])
    name = args.checkpoint or min(bundled(), key=lambda name: name != "flowers", default=None)
    if name is None:
        raise ValueError("no checkpoint is bundled: name one with --checkpoint, or use --random")
    return StackGAN.from_pretrained(name)


def _can_be_a_plot(path: Path) -> bool:
    return path.suffix.lower() in PLOTS and path.parent.is_dir()


if __name__ == "__main__":
    sys.exit(main())
