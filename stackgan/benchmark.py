"""python -m stackgan.benchmark [--json]: how fast captions become pictures on this machine.

The plain network and every engine that can run here take turns, caption → both pictures through the
pipeline, so that whatever else the machine does falls on all of them. `speedup` is the plain fp32
eager network's median over the default engine's at batch 1, the caption's embedding out of the
encoder's cache for both, as of any caption drawn twice.

GFLOP/s counts the plain network's arithmetic, whichever engine runs: what an engine saves by
rewriting shows as speed. A share of a peak can therefore pass 100 %.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stackgan.config import SIZES
from stackgan.model import CheckpointError, StackGAN, bundled
from stackgan.pipeline import Pipeline
from stackgan.runtime import available_engines, has_native_bf16
from stackgan.text import load_encoder

CAPTIONS = (
    "a flower with long yellow petals and a dark centre",
    "small white petals around a bright orange middle",
    "this flower is deep red with layers of round petals",
    "pink petals with purple veins and green leaves behind",
)
FRAMES = 33  # of the interpolation strip
MAX_BATCH = 256


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark. Returns 0, or 2 after one line on stderr that says what was wrong."""
    parser = _Parser(prog="python -m stackgan.benchmark", description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", help="bundled name, folder or Hub repository")
    parser.add_argument("--random", choices=sorted(SIZES), help="untrained weights of that size")
    parser.add_argument(
        "--batches", help="pictures at a time, 1 and these (4,8,16; with --quick 4)"
    )
    parser.add_argument("--quick", action="store_true", help="rough numbers, and no cold start")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--cold", metavar="ENGINE", help=argparse.SUPPRESS)
    try:
        args = parser.parse_args(argv)
        if args.checkpoint and args.random:
            raise ValueError("--checkpoint and --random exclude each other")
        batches = _batches(args.batches or ("4" if args.quick else "4,8,16"))
        if args.cold:
            print(json.dumps(cold_start(args)))
            return 0
        result = benchmark(_model(args), batches, args.quick)
        if not args.quick:
            result["cold_start"] = {
                name: _in_fresh_process(args, engine)
                for name, engine in (("plain", "plain"), (result["default"], "auto"))
            }
    except (ValueError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(result))
    if args.json:
        print(json.dumps(result))
    return 0


def benchmark(model: StackGAN, batches: list[int], quick: bool) -> dict:
    """Everything but the cold start, as plain values ready for JSON; times in milliseconds."""
    encoder = load_encoder(model.config.encoder, model.config.embedding_dim)
    pipelines = {
        name: Pipeline(model, encoder, device="cpu", engine=name) for name in available_engines()
    }
    default = Pipeline(model, encoder, device="cpu")
    name = default.engine.name
    if pipelines[name].engine.dtype != default.engine.dtype:
        # "auto" found that reduced precision does not do for this model.
        name = "default"
        pipelines[name] = default
    seconds = 1.0 if quick else 8.0
    started = time.perf_counter()
    encoder(CAPTIONS[:1])
    encoder_load = time.perf_counter() - started
    number = itertools.count()
    result = {
        "machine": machine(),
        "config": asdict(model.config),
        "caption_encoding": {
            "cached_in_runs": True,
            "load_ms": encoder_load * 1e3,
            "fresh_ms": _median_ms(lambda: encoder([f"flower {next(number)}"]), seconds / 4),
            "cached_ms": _median_ms(lambda: encoder(CAPTIONS[:1]), seconds / 4),
        },
        "peaks": peaks(seconds / 4),
        "gflop_per_picture": gflop(model),
        "default": name,
        "engines": {key: str(p.engine.dtype).partition(".")[2] for key, p in pipelines.items()},
        "runs": [],
    }
    for batch in batches:
        result["runs"] += runs(pipelines, batch, seconds, result["gflop_per_picture"])
    first = {run["engine"]: run["median_ms"] for run in result["runs"] if run["batch"] == 1}
    result["speedup"] = first["plain"] / first[name]
    strip = _median_ms(
        lambda: pipelines[name].interpolate(CAPTIONS[0], CAPTIONS[1], FRAMES), seconds / 2
    )
    result["strip"] = {"frames": FRAMES, "engine": name, "median_ms": strip}
    result["peak_memory_mib"] = _peak_memory_mib()
    return result


def runs(pipelines: dict[str, Pipeline], batch: int, seconds: float, gflop: float) -> list[dict]:
    """Interleaved runs at one batch size, `seconds` in all but at least three of each engine.

    Engines change places from round to round, so that none always follows the same other.
    """
    captions = [CAPTIONS[i % len(CAPTIONS)] for i in range(batch)]
    draw = {
        name: lambda p=pipeline: p.generate(captions, list(range(batch)))
        for name, pipeline in pipelines.items()
    }
    times = _interleaved(draw, seconds)
    found = []
    for name, values in times.items():
        low, middle, high = (_quantile(values, q) for q in (0.1, 0.5, 0.9))
        found.append(
            {
                "engine": name,
                "batch": batch,
                "runs": len(values),
                "median_ms": middle,
                "p10_ms": low,
                "p90_ms": high,
                "pictures_per_s": batch / middle * 1e3,
                "gflop_per_s": gflop * batch / middle * 1e3,
                "speedup": _quantile(times["plain"], 0.5) / middle,
            }
        )
    return found


def gflop(model: StackGAN) -> float:
    """Arithmetic of one picture, both stages, by the plain network, in GFLOP (2 a multiply-add)."""
    config = model.config
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        embeddings = torch.zeros(1, config.embedding_dim)
        sketches = model.stage1(embeddings, torch.zeros(1, config.noise_dim)).pictures
        if model.stage2 is not None:
            model.stage2(sketches, embeddings)
    return counter.get_total_flops() / 1e9


def peaks(seconds: float) -> dict[str, float]:
    """GFLOP/s that this machine reaches through torch on large operands: the best of many runs."""
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        if dtype == torch.bfloat16 and not has_native_bf16("cpu"):
            continue
        name = str(dtype).partition(".")[2]
        a = torch.randn(1024, 1024, dtype=dtype)
        found[f"matrix_{name}"] = 2 * 1024**3 / _best(lambda a=a: a @ a, seconds) / 1e9
        x = torch.randn(8, 256, 32, 32, dtype=dtype).to(memory_format=torch.channels_last)
        w = torch.randn(256, 256, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
        flop = 2 * 8 * 32 * 32 * 256 * 256 * 9
        seconds_each = _best(lambda x=x, w=w: F.conv2d(x, w, padding=1), seconds)
        found[f"convolution_{name}"] = flop / seconds_each / 1e9
    return found


def cold_start(args: argparse.Namespace) -> dict:
    """Load and first picture in this process, which has just started; the parent adds the import."""
    loaded = time.perf_counter()
    pipeline = Pipeline(_model(args), device="cpu", engine=args.cold)
    built = time.perf_counter()
    pipeline.encoder(CAPTIONS[:1])
    encoded = time.perf_counter()
    pipeline.generate(CAPTIONS[0], 0)
    return {
        "model_s": built - loaded,
        "encoder_s": encoded - built,
        "first_picture_s": time.perf_counter() - encoded,
        "peak_memory_mib": _peak_memory_mib(),
    }


def machine() -> dict:
    """What the numbers were measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": name,
        "threads": torch.get_num_threads(),
        "bf16": has_native_bf16("cpu"),
        "torch": torch.__version__,
        "openvino": importlib.metadata.version("openvino")
        if len(available_engines()) > 2
        else None,
        "load_average": load,  # above 0, something else was running when this began
    }


def table(result: dict) -> str:
    """The result as plain text."""
    peak, unit = result["peaks"], result["gflop_per_picture"]
    found = result["machine"]
    lines = [
        f"{found['cpu']}, {found['threads']} threads, torch {found['torch']}, "
        f"openvino {found['openvino'] or 'absent'}, load average {found['load_average']:.1f}",
        "peaks, GFLOP/s: " + ", ".join(f"{k.replace('_', ' ')} {v:.0f}" for k, v in peak.items()),
        f"{unit:.2f} GFLOP a picture, both stages, as the plain network counts them",
        "",
        "engine     precision  batch  median ms     p10     p90  pictures/s  GFLOP/s  of peak  × plain",
    ]
    for run in result["runs"]:
        precision = result["engines"][run["engine"]]
        share = run["gflop_per_s"] / peak[f"convolution_{precision}"]
        lines.append(
            f"{run['engine']:10} {precision:9}  {run['batch']:5}  {run['median_ms']:9.1f} "
            f"{run['p10_ms']:7.1f} {run['p90_ms']:7.1f}  {run['pictures_per_s']:10.1f}  "
            f"{run['gflop_per_s']:7.0f}  {share:7.0%}  {run['speedup']:7.2f}"
        )
    text, strip = result["caption_encoding"], result["strip"]
    lines += [
        "",
        f"caption: {text['fresh_ms']:.1f} ms through the encoder, {text['cached_ms']:.2f} ms cached "
        "(cached in the runs above)",
        f"strip of {strip['frames']} frames, {strip['engine']}: {strip['median_ms'] / 1e3:.2f} s",
        f"peak memory of this process: {result['peak_memory_mib']:.0f} MiB",
    ]
    for name, cold in result.get("cold_start", {}).items():
        lines.append(
            f"cold start, {name}: {cold['total_s']:.1f} s to the first picture (import "
            f"{cold['import_s']:.1f}, model {cold['model_s']:.1f}, encoder {cold['encoder_s']:.1f}, "
            f"picture {cold['first_picture_s']:.2f}), {cold['peak_memory_mib']:.0f} MiB"
        )
    lines.append(f"default engine, {result['default']}: {result['speedup']:.2f} × plain, batch 1")
    return "\n".join(lines)


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
    name = args.checkpoint or next(iter(bundled()), None)
    if name is None:
        raise ValueError("no checkpoint is bundled: name one with --checkpoint, or use --random")
    return StackGAN.from_pretrained(name)


def _in_fresh_process(args: argparse.Namespace, engine: str) -> dict:
    command = [
        sys.executable,
        "-m",
        "stackgan.benchmark",
        "--cold",
        engine,
    ]
    for flag, value in (("--checkpoint", args.checkpoint), ("--random", args.random)):
        command += [flag, value] if value else []
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    total = time.perf_counter() - started
    if done.returncode:
        raise ValueError(f"the cold start failed: {done.stderr.strip()[-300:]}")
    cold = json.loads(done.stdout.splitlines()[-1])
    rest = cold["model_s"] + cold["encoder_s"] + cold["first_picture_s"]
    return {"total_s": total, "import_s": total - rest, **cold}


def _interleaved(calls: dict[str, Callable], seconds: float, least: int = 3) -> dict[str, list]:
    """Milliseconds of each call, taken in turns after one unmeasured round."""
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, end = list(calls), time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[order[0]]) < least:
        for name in order:
            started = time.perf_counter()
            calls[name]()
            times[name].append((time.perf_counter() - started) * 1e3)
        order.append(order.pop(0))
    return times


def _median_ms(call: Callable, seconds: float) -> float:
    return statistics.median(_interleaved({"it": call}, seconds, least=1)["it"])


def _best(call: Callable, seconds: float) -> float:
    return min(_interleaved({"it": call}, seconds)["it"]) / 1e3


def _quantile(values: list[float], share: float) -> float:
    return torch.tensor(values, dtype=torch.float64).quantile(share).item()


def _peak_memory_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    sys.exit(main())
