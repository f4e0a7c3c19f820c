"""What lies in a run's folder, read back: its configuration and its resumable state."""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError

import torch

from stackgan.config import StackGANConfig
from stackgan.model import CheckpointError, StackGAN

STATE_FORMAT = 1


def config_of(source: str | Path) -> StackGANConfig:
    """Of the networks in a run's folder or a checkpoint. Raises CheckpointError for neither."""
    if not (Path(source) / "state.pt").exists():
        return StackGAN.from_pretrained(source).config
    path = Path(source) / "config.json"
    try:
        return StackGANConfig(**json.loads(path.read_text())["config"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is no run's, or damaged: {error!r}") from error


def load_state(path: Path, device: torch.device | str) -> dict:
    """What `Trainer.snapshot` wrote. Raises ValueError, in words, for a file that is something else."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        version = state["format"]
    except (RuntimeError, EOFError, UnpicklingError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged, or no run's state: {type(error).__name__}") from error
    if version != STATE_FORMAT:
        raise ValueError(f"{path} has format {version}, {STATE_FORMAT} is needed")
    return state
