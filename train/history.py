"""How networks came to be: the training of each stage, first to last, as a model card tells it.

A run keeps in its config.json, under `earlier`, what it was begun with and what trained the Stage-I
below it; a checkpoint keeps everything in training.json. So nobody needs the folders of those runs.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote

from stackgan.config import SIZES
from stackgan.model import TRAINING, CheckpointError, StackGAN
from train.files import write_atomically
from train.recipes import RECIPE_OPTIONS, RECIPES, size_options
from train.state import load_state, recipe_of, run_settings

STAGES = ("stage1", "stage2")
History = dict[str, list[dict]]  # of each stage, its runs, each begun with the one before


def history(source: str | Path) -> History:
    """Of a run's folder, or of a checkpoint; empty of one that doesn't say.

    Each run is a dict: `run` (its folder's name), `images` seen, `seconds`, `train_photos`,
    `hardware`, `data`, and `commands` (what was typed, one line per change of settings). Raises
    CheckpointError when the source cannot be read.
    """
    if (Path(source) / "state.pt").exists():
        return of_run(Path(source))
    path = StackGAN.from_pretrained(source).companions.get(TRAINING)
    if not path:
        return {stage: [] for stage in STAGES}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {stage: list(found[stage]) for stage in STAGES}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} does not tell how it was trained: {error!r}") from error


def of_run(run: Path) -> History:
    """What came before a run, and the run itself as it was when it last wrote its state."""
    config = run_settings(run)
    try:
        state = load_state(run / "state.pt", "cpu")
        itself = {
            "run": str(run),
            "images": state["images"],
            "seconds": round(state["seconds"]),
            "train_photos": config["train_photos"],
            "hardware": config["hardware"],
            "data": config["data"],
            "data_fingerprint": config.get("data_fingerprint"),  # older runs: none that compares
            "commands": _commands(run, config, state["images"]),
        }
        earlier = config.get("earlier", {})
        found = {stage: list(earlier.get(stage, [])) for stage in STAGES}
        found[config["stage"]].append(itself)
        return found
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{run} is no folder of train.stage1 or train.stage2: {error}"
        ) from error


def settings_of(source: str | Path) -> dict:
    """What a run is made of: see run_settings. Of a checkpoint, what its history tells of its last run.

    Raises CheckpointError when a checkpoint does not tell.
    """
    if (Path(source) / "state.pt").exists():
        return run_settings(source)
    trained = history(source)
    stage = "stage2" if trained["stage2"] else "stage1"
    if not trained[stage]:
        raise CheckpointError(f"{source} does not tell how it was trained")
    last = trained[stage][-1]
    try:
        base = RECIPES[last_told(last, "recipe") or "base", int(stage[-1])]
        told = {name: last_told(last, name) for name in RECIPE_OPTIONS}
        options = {
            name: text == "true" if kind is bool else kind(text)
            for name, kind in RECIPE_OPTIONS.items()
            if (text := told[name]) is not None
        }
        found = {
            "stage": stage,
            "recipe": asdict(replace(base, **options)),
            "seed": 0,
            "data": last["data"],
            "train_photos": last["train_photos"],
            "precision": "auto",
            "processes": 1,
        }
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{source} does not tell how it was trained: {error!r}") from error
    if fingerprint := last.get("data_fingerprint"):
        found["data_fingerprint"] = fingerprint
    return found


def last_told(run: dict, option: str) -> str | None:
    """The value that a run's commands gave an option last; None where they gave it none."""
    found = re.findall(rf"--{option.replace('_', '-')} (\S+)", "\n".join(run["commands"]))
    return found[-1] if found else None


def write_history(trained: History, checkpoint: Path) -> None:
    """Keep it beside a checkpoint's weights."""
    text = json.dumps(trained, indent=2) + "\n"
    write_atomically(checkpoint / TRAINING, lambda path: path.write_text(text, encoding="utf-8"))


def _commands(run: Path, config: dict, until: int) -> list[str]:
    """What was typed to train `run` up to `until` images: its beginning, and one line per change."""
    number = int(config["stage"][-1])
    recipe = RECIPES[config["recipe_name"], number]
    first = config | asdict(recipe_of(config))  # fields younger than the run too
    for change in reversed(config.get("changes", [])):
        first |= change["from"]
    options = {k: first[k] for k, v in asdict(recipe).items() if first[k] != v}
    network = config["config"]
    switches = {
        "--no-ca": number == 1 and not network["conditioning_augmentation"],
        "--alone": number == 1 and network["resolution"] != 64,
        "--no-text": number == 2 and not network["text_in_stage2"],
        f"--seed {config['seed']}": config["seed"] != 0,
    }
    switched = "".join(f" {switch}" for switch, on in switches.items() if on)
    usual = asdict(SIZES[config["size"]])
    sizes = {n: network[n] for n in size_options(number)}
    if number == 1 and network["resolution"] == 64:
        del sizes["resolution"]  # Stage-I on its way to a second stage
    options |= {n: v for n, v in sizes.items() if v != usual[n]}
    before = {name: first[name] for name in ("stage1", "begin_with") if name in first}
    changes = [c for c in config.get("changes", []) if c["images"] < until]
    command = f"python -m train.{config['stage']}"
    ends = [change["images"] for change in changes] + [until]
    out = f"--out {quote(str(run))}"
    start = (
        f"{command} --data {quote(config['data'])}{_options(before)} {out} --size {config['size']} "
        f"--recipe {config['recipe_name']}{switched}{_options(options)} --images {ends[0]}"
    )
    return [start] + [
        f"{command} {out} --resume{_options(change['to'])} --images {end}"
        for change, end in zip(changes, ends[1:], strict=True)
    ]


def _options(values: dict) -> str:
    texts = {k: str(v).lower() if isinstance(v, bool) else quote(str(v)) for k, v in values.items()}
    return "".join(f" --{k.replace('_', '-')} {text}" for k, text in texts.items())
