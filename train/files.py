"""Writing so that a reader never meets half a file, nor an interruption leaves one."""

from __future__ import annotations

import os
from pathlib import Path

from stackgan.model import StackGAN


def save_model(model: StackGAN, folder: Path) -> None:
    """model.save_pretrained, each file replaced in one move: a reader never sees half a file."""
    partial = folder.with_name(folder.name + ".partial")
    model.save_pretrained(partial)
    folder.mkdir(parents=True, exist_ok=True)
    for file in partial.iterdir():
        os.replace(file, folder / file.name)
    partial.rmdir()


def write_atomically(path: Path, write) -> None:
    """`write(temporary)`, then rename: the file is the old one or the new one, never half."""
    temporary = path.with_name(path.name + ".partial")
    write(temporary)
    os.replace(temporary, path)
