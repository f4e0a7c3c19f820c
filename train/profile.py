"""Where the time of a training step goes: beside its arithmetic, and beside what the machine can.

Arithmetic is convolutions and matrix products: a convolution is either, whichever is faster.

python -m train.profile runs/flowers-stage1
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from stackgan.benchmark.measure import peaks
from train.capture import CapturedStep
from train.command import resumed
from train.loop import Trainer
from train.stage1 import Stage1
from train.stage2 import Stage2
from train.state import run_settings

STAGES = {stage.name: (number, stage) for number, stage in ((1, Stage1), (2, Stage2))}
OTHERS = 6  # operations told besides
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
WARM_UP, PROFILED = CapturedStep.WARM_UP + 1, 3  # steps before those that are timed, and after


def profile(trainer: Trainer, steps: int = 8) -> dict:
    """Measure `steps` steps of a trainer once it is warm; it learns from all of them.

    Times are milliseconds a step, by the wall, of the whole of it and, in further steps, of each
    operation. An accelerator is waited for after each of these, launched one by one, where the steps
    that were timed are replayed: there `step_over_arithmetic` is None, as is `share_of_peak`, for its
    peak is not measured here.
    """
    for _ in range(WARM_UP):
        trainer.train_step()
    times = [_timed(trainer) for _ in range(steps)]
    trainer.captured = None  # operation by operation, where a GPU replayed them all
    fused = {}
    if torch.backends.mkldnn.is_available():
        # The counter knows torch's own operators, not what stackgan.onednn calls.
        fused[torch.ops.mkldnn._convolution_pointwise] = _fused_flop
    counter = FlopCounterMode(display=False, custom_mapping=fused)
    with counter:
        trainer.train_step()
    watch = _Stopwatch(trainer)
    with watch:
        for _ in range(PROFILED):
            trainer.train_step()
    spent = {name: seconds * 1e3 / PROFILED for name, seconds in watch.seconds.items()}
    arithmetic = {name: ms for name, ms in spent.items() if _is_arithmetic(name)}
    others = sorted((set(spent) - set(arithmetic)), key=spent.get, reverse=True)[:OTHERS]
    step, gflop = statistics.median(times), counter.get_total_flops() / 1e9
    peak = None
    on_cpu = trainer.device.type == "cpu"
    if on_cpu:
        name = {"bf16": "bfloat16", "fp32": "float32"}[trainer.precision]
        peak = peaks(1.0).get(f"convolution_{name}")  # none for bf16 without the hardware
    return {
        "stage": trainer.stage.name,
        "batch": trainer.recipe.batch,
        "precision": trainer.precision,
        "steps": steps,
        "step_ms": step,
        "images_per_second": trainer.recipe.batch / step * 1e3,
        "gflop_per_step": gflop,
        "gflop_per_second": gflop / step * 1e3,
        "convolution_peak": peak,
        "share_of_peak": gflop / step * 1e3 / peak if peak else None,
        "arithmetic_ms": sum(arithmetic.values()),
        "step_over_arithmetic": step / max(sum(arithmetic.values()), 1e-9) if on_cpu else None,
        "others_ms": {name: spent[name] for name in others},
    }


def report(found: dict) -> str:
    """The same in lines for people."""
    lines = [
        f"{found['stage']}, batch {found['batch']}, {found['precision']}: a step takes "
        f"{found['step_ms']:.0f} ms, {found['images_per_second']:.1f} images/s "
        f"(median of {found['steps']})",
        f"{found['gflop_per_step']:.0f} GFLOP a step, {found['gflop_per_second']:.0f} GFLOP/s",
        f"convolutions and matrix products {found['arithmetic_ms']:.0f} ms",
        "beside them: " + ", ".join(f"{k} {v:.0f} ms" for k, v in found["others_ms"].items()),
    ]
    if found["step_over_arithmetic"]:
        lines[2] += f": the step is {found['step_over_arithmetic']:.2f} × their sum"
    if found["share_of_peak"]:
        lines[1] += (
            f", {found['share_of_peak']:.0%} of the {found['convolution_peak']:.0f} of one large convolution"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Profile a run. Returns 0, or 2 after one line on stderr that says what was wrong."""
    p = argparse.ArgumentParser(
        prog="python -m train.profile",
        description="Time the training step of a run, which stays as it is.",
    )
    p.add_argument("run", type=Path, help="folder of a run with a saved state")
    p.add_argument("--steps", type=int, default=8, help="how many are timed")
    p.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = p.parse_args(argv)
    try:
        if args.steps < 1:
            raise ValueError(f"--steps is at least 1, not {args.steps}")
        found = profile(_trainer(args.run), args.steps)
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report(found))
    if args.json:
        print(json.dumps(found))
    return 0


def _trainer(run: Path) -> Trainer:
    number, stage = STAGES[run_settings(run)["stage"]]
    return resumed(number, stage, run)


class _Stopwatch(TorchDispatchMode):
    """Seconds by name of operation, backward included.

    torch's profiler disturbs what it measures: its records lie among the step's large blocks on the
    heap, which then is asked of the kernel anew. Under it one ReLU's backward took 31 ms instead of 2.
    """

    def __init__(self, trainer: Trainer):
        super().__init__()
        self.trainer, self.seconds = trainer, Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        started = time.perf_counter()
        result = operation(*args, **(kwargs or {}))
        _wait(self.trainer)
        self.seconds[operation.name()] += time.perf_counter() - started
        return result


def _timed(trainer: Trainer) -> float:
    _wait(trainer)
    started = time.perf_counter()
    trainer.train_step()
    _wait(trainer)
    return (time.perf_counter() - started) * 1e3


def _wait(trainer: Trainer) -> None:
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()


def _fused_flop(x_shape, weight_shape, *_, out_shape, **__) -> int:
    return conv_flop_count(x_shape, weight_shape, out_shape)


def _is_arithmetic(name: str) -> bool:
    """Convolutions forward or backward, plain or transposed, by whichever library, and products."""
    return "convolution" in name or name.partition("::")[2] in PRODUCTS


if __name__ == "__main__":
    sys.exit(main())
