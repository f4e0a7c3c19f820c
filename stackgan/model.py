"""StackGAN: both generators and the embedding statistics under one config, saved as one folder."""

# No `from __future__ import annotations` here: the hub mixin reads the annotation of `config`.
import json
import os
import shutil
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Self

from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import nn

from stackgan.conditioning import EmbeddingNorm
from stackgan.config import StackGANConfig
from stackgan.generators import Stage1Generator, Stage2Generator

CHECKPOINTS = Path(
    os.environ.get("STACKGAN_CHECKPOINTS", Path(__file__).parents[1] / "checkpoints")
)
CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Files that travel with the weights, none of them needed to draw: what Pipeline reads, how they
# were trained, and what people read.
KNOWN, SCORER, TRAINING = "known.safetensors", "scorer.safetensors", "training.json"
COMPANIONS = (KNOWN, SCORER, TRAINING, "README.md", "samples.png")


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded, in words for the person who named it."""


class StackGAN(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="stackgan",
    paper_url="https://arxiv.org/abs/1612.03242",
    license="apache-2.0",
    pipeline_tag="text-to-image",
    tags=["stackgan", "gan", "text-to-image"],
):
    """The trained networks: `embedding_norm`, `stage1`, and `stage2` (None when `stages=1`).

    `save_pretrained(folder)` and `push_to_hub(repo)` come from huggingface_hub. Weights are saved
    in the precision they have (`model.half()` for a checkpoint to ship) and always loaded into
    single precision. `companions` are the files that lay beside them, by name; saving and pushing
    takes those along.
    """

    def __init__(self, config: StackGANConfig = StackGANConfig()):
        super().__init__()
        self.config = config
        self.companions: dict[str, Path] = {}
        self.embedding_norm = EmbeddingNorm(config.embedding_dim)
        self.stage1 = Stage1Generator(config)
        self.stage2 = Stage2Generator(config) if config.stages == 2 else None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> Self:
        """Load a bundled checkpoint ("flowers"), a folder, or a Hub repository ("user/name").

        A folder of that name wins over a bundled checkpoint, and the Hub is asked last. Keyword
        arguments are hf_hub_download's (`revision`, `token`, `cache_dir`, …), and others a TypeError.
        Raises CheckpointError for what is missing, damaged or of another kind.
        """
        if unknown := set(kwargs) - set(signature(hf_hub_download).parameters):
            raise TypeError(f"hf_hub_download has no argument {', '.join(sorted(unknown))}")
        name = str(pretrained_model_name_or_path)
        folder = find_checkpoint(name) or _download(name, kwargs)
        model = cls(_read_config(folder, name))
        try:
            load_model(model, folder / WEIGHTS)
        except (SafetensorError, RuntimeError, OSError) as error:
            reason = str(error).splitlines()
            raise CheckpointError(
                f"the weights of {name} do not fit their config.json, or the file is damaged: "
                + " ".join(line.strip() for line in reason[:3])[:400]
            ) from error
        model.companions = {n: folder / n for n in COMPANIONS if (folder / n).is_file()}
        return model.eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        super()._save_pretrained(save_directory)
        for name, path in self.companions.items():
            copy = save_directory / name
            if path.is_file() and not (copy.exists() and copy.samefile(path)):
                shutil.copyfile(path, copy)


def bundled() -> list[str]:
    """Names of the checkpoints that came with this copy."""
    return sorted(path.parent.name for path in CHECKPOINTS.glob(f"*/{WEIGHTS}"))


def find_checkpoint(name: str) -> Path | None:
    """The folder that `name` means: a path, or a bundled checkpoint; None for a Hub repository.

    A folder that has a bundled checkpoint's name but holds no config.json does not hide it.
    """
    bundle = CHECKPOINTS / name if os.sep not in name and (CHECKPOINTS / name).is_dir() else None
    if Path(name).is_dir() and (bundle is None or (Path(name) / CONFIG).exists()):
        return Path(name)
    if bundle is not None:
        return bundle
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"no checkpoint {name!r}: bundled are {bundled() or 'none'}; a folder must exist, and a "
            "Hub repository is written user/name"
        )
    return None


def checkpoint_name(source: str | Path) -> str:
    """What pictures and the page call a checkpoint: its folder's name, or the Hub repository's.

    Raises CheckpointError for a source that cannot be a checkpoint.
    """
    folder = find_checkpoint(str(source))
    return str(source) if folder is None else folder.resolve().name


def _download(repo: str, options: dict) -> Path:
    """A Hub repository's files → the folder they lie in. `options`: hf_hub_download's.

    What a network does wrong comes as any exception, some of them the HTTP library's own.
    """
    try:
        for file in (CONFIG, WEIGHTS):
            folder = Path(hf_hub_download(repo, file, **options)).parent
    except Exception as error:
        raise CheckpointError(
            f"no checkpoint {repo!r}: neither a folder, nor bundled ({bundled() or 'none'}), nor "
            f"to be had from the Hub ({' '.join(str(error).split())[:300]})"
        ) from error
    for file in COMPANIONS:
        with suppress(Exception):  # not there, or the network is gone: none is needed
            hf_hub_download(repo, file, **options)
    return folder


def _read_config(folder: Path, name: str) -> StackGANConfig:
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise CheckpointError(f"{name} is no StackGAN checkpoint: {file} is missing")
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        unknown = sorted(set(values) - set(StackGANConfig.__dataclass_fields__))
        if unknown:
            raise ValueError(f"unknown settings {unknown}")
        return StackGANConfig(**values)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{CONFIG} of {name} is not a StackGAN config: {error}") from error
