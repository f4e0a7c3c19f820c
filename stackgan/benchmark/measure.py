"""What is measured in this process: engines in turns, the machine's peaks, the encoder, a strip."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stackgan.model import StackGAN
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


def measure(model: StackGAN, batches: list[int], quick: bool) -> dict:
    """Everything that this process measures, as plain values ready for JSON; times in milliseconds."""
    encoder = load_encoder(model.config.encoder, model.config.embedding_dim)
    pipelines = {
        name: Pipeline(model, encoder, device="cpu", engine=name) for name in available_engines()
    }
    # Where OpenVINO is installed and does not run, another engine draws in its place.
    pipelines = {name: p for name, p in pipelines.items() if p.engine.name == name}
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
    result["peak_memory_mib"] = peak_memory_mib()
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
        low, middle, high = (quantile(values, q) for q in (0.1, 0.5, 0.9))
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
                "speedup": quantile(times["plain"], 0.5) / middle,
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


def machine() -> dict:
    """What the numbers were measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    return {
        "cpu": name,
        "threads": torch.get_num_threads(),
        "bf16": has_native_bf16("cpu"),
        "torch": torch.__version__,
        "openvino": importlib.metadata.version("openvino")
        if "openvino" in available_engines()
        else None,
        # Above 0, something else was running when this began; Windows does not tell.
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


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


def quantile(values: list[float], share: float) -> float:
    return torch.tensor(values, dtype=torch.float64).quantile(share).item()


def peak_memory_mib() -> float | None:
    """Of this process so far; None where the system does not tell."""
    try:
        import resource  # not on Windows
    except ModuleNotFoundError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
