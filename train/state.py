"""What lies in a run's folder, read back: its configuration and its resumable state."""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError

import torch

from stackgan.config import StackGANConfig
from stackgan.model import CheckpointError, StackGAN
from train.recipes import Recipe

STATE_FORMAT = 1
RUN = (
    "stage",
    "config",
    "recipe",
    "seed",
    "data",
    "train_photos",
    "precision",
    "processes",
)  # in every run's config.json
RETIRED = {"real_label": 1.0, "r1_weight": 0.0}  # of older runs' recipes; all had these values


def config_of(source: str | Path) -> StackGANConfig:
    """Of the networks in a run's folder or a checkpoint. Raises CheckpointError for neither."""
    if not (Path(source) / "state.pt").exists():
        return StackGAN.from_pretrained(source).config
    return network_of(run_settings(source))


def model_of(source: str | Path) -> StackGAN:
    """The averaged networks of a run's folder, or a checkpoint's. Raises CheckpointError for neither."""
    run = Path(source) / "model"
    return StackGAN.from_pretrained(run if run.is_dir() else source)


def run_settings(run: str | Path) -> dict:
    """config.json of a run: `stage`, `config`, `recipe`, `seed`, `data` and what else it is made of.

    Raises CheckpointError when the folder is no run's.
    """
    try:
        found = json.loads((Path(run) / "config.json").read_text(encoding="utf-8"))
        if missing := [name for name in RUN if name not in found]:
            raise ValueError(f"its config.json does not tell {', '.join(missing)}")
        return found
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{run} is no folder of train.stage1 or train.stage2: {error}"
        ) from error


def network_of(settings: dict) -> StackGANConfig:
    """The networks of a run with these settings (see run_settings).

    Raises CheckpointError when they are of another version of this code, or damaged.
    """
    return _made(StackGANConfig, settings["config"])


def recipe_of(settings: dict) -> Recipe:
    """The recipe of a run with these settings. Raises CheckpointError likewise."""
    return _made(Recipe, {k: v for k, v in settings["recipe"].items() if RETIRED.get(k) != v})


def _made(kind: type, values: dict):
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f"a run's config.json is damaged, or of another version of this code: {error}"
        ) from error


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
