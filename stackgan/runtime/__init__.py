"""The same network made fast for inference.

    engine = load_engine(model)  # or load_engine(model, "torch")

Engines: "plain" is the network as it was trained; "torch" the folded one in PyTorch; "openvino" the
folded one compiled by OpenVINO, where that package is installed (requirements-fast.txt). "auto" is
what the environment variable STACKGAN_ENGINE names, or else the first whose pictures are the plain
network's: "torch" in bf16 where the hardware has it, in fp32, then "openvino" (see _fastest_first).
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable

import torch

from stackgan.messages import first_line
from stackgan.model import StackGAN
from stackgan.runtime.plain import Engine, PlainEngine, has_native_bf16
from stackgan.runtime.torch_engine import TorchEngine

__all__ = ["ENGINES", "Engine", "available_engines", "has_native_bf16", "load_engine"]

ENGINES = ("plain", "torch", "openvino")
GREY_LEVEL = 2 / 255  # of pictures in [−1, 1]
log = logging.getLogger(__name__)


def available_engines(device: torch.device | str = "cpu") -> list[str]:
    """Names of the engines that can run here, plain first."""
    openvino = torch.device(device).type == "cpu" and importlib.util.find_spec("openvino")
    return list(ENGINES if openvino else ENGINES[:-1])


def load_engine(model: StackGAN, name: str = "auto", device: torch.device | str = "cpu") -> Engine:
    """The engine of that name for a trained model, which stays as it is (in eval mode, on `device`).

    "auto" draws one picture with each candidate and takes the first that agrees with the plain
    network. A named engine is taken at its word; where OpenVINO cannot be had, "torch" runs, and a
    warning says why. Raises ValueError for an unknown name, and for another STACKGAN_PRECISION than
    has_native_bf16 knows.
    """
    if name == "auto":
        name = os.environ.get("STACKGAN_ENGINE") or "auto"
    if name not in ("auto", *ENGINES):
        raise ValueError(f"unknown engine {name!r}; there are auto, {', '.join(ENGINES)}")
    has_native_bf16(device)  # refuses a STACKGAN_PRECISION that there is not, whatever the engine
    plain = PlainEngine(model, device)
    candidates: list[Callable[[], Engine]] = []
    if name == "auto":
        candidates = _fastest_first(model, device)
    elif name != "plain":
        candidates = [lambda: TorchEngine(model, device)]
    if name == "openvino":
        candidates.insert(0, lambda: _openvino(model, device))
    engine = plain
    for load in candidates:
        try:
            candidate = load()
            reason = disagreement(candidate, plain) if name == "auto" else None
        except Exception as error:
            if name == "torch":
                raise
            reason = f"{type(error).__name__}: {first_line(error)}"
        if reason is None:
            engine = candidate
            break
        log.warning("engine skipped: %s", reason)
    log.info("engine %s, %s, on %s", engine.name, str(engine.dtype).partition(".")[2], device)
    return engine


def _fastest_first(model: StackGAN, device: torch.device | str) -> list[Callable[[], Engine]]:
    """What "auto" tries, in order.

    PyTorch's packed convolutions are ahead of OpenVINO on two threads, at every batch (the README's
    table), in fp32 by less. On one thread OpenVINO may win; STACKGAN_ENGINE=openvino asks for it.
    """
    half = [lambda: TorchEngine(model, device, torch.bfloat16)] if has_native_bf16(device) else []
    openvino = "openvino" in available_engines(device)
    return [
        *half,
        lambda: TorchEngine(model, device, torch.float32),
        *([lambda: _openvino(model, device)] if openvino else []),
    ]


@torch.inference_mode()
def disagreement(engine: Engine, plain: PlainEngine) -> str | None:
    """What is wrong with the engine's pictures of one fixed input, or None.

    Rounding to bf16 moves a picture by a fraction of a grey level on average and single pixels
    by some; the bounds, a level and 32 levels, are for what is broken.
    """
    config, norm = plain.model.config, plain.model.embedding_norm
    draw = torch.Generator().manual_seed(0)
    embeddings = torch.randn(1, config.embedding_dim, generator=draw) * norm.scale.cpu()
    embeddings += norm.mean.cpu()
    z = torch.randn(1, config.noise_dim, generator=draw)
    epsilon = torch.randn(1, config.condition_dim, generator=draw)
    expected = plain.sketch(embeddings, z, epsilon)
    pairs = [(engine.sketch(embeddings, z, epsilon), expected)]
    if config.stages == 2:
        inputs = (expected, embeddings, epsilon)
        pairs.append((engine.refine(*inputs), plain.refine(*inputs)))
    for stage, (found, right) in enumerate(pairs, start=1):
        difference = (found - right).abs() / GREY_LEVEL
        mean, worst = difference.mean().item(), difference.max().item()
        if not (mean < 1 and worst < 32):  # also where either is not a number
            return (
                f"{engine.name} in {engine.dtype} is off by {mean:.2g} grey levels in the mean "
                f"and {worst:.2g} at worst in Stage-{'I' * stage}"
            )
    return None


def _openvino(model: StackGAN, device: torch.device | str) -> Engine:
    if torch.device(device).type != "cpu":
        raise ValueError(f"the openvino engine runs on the CPU, not on {device}")
    from stackgan.runtime.openvino_engine import OpenVINOEngine  # only where it is wanted

    return OpenVINOEngine(model)
