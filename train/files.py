"""Writing so that a reader never meets half a file, nor an interruption leaves one.

All raise OSError when the disk is full, and leave what was there before.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from safetensors import SafetensorError

from stackgan.model import StackGAN


def save_model(model: StackGAN, folder: Path) -> None:
    """model.save_pretrained, each file replaced in one move."""
    partial = folder.with_name(folder.name + ".partial")
    try:
        model.save_pretrained(partial)
        folder.mkdir(parents=True, exist_ok=True)
        for file in partial.iterdir():
            os.replace(file, folder / file.name)
    except SafetensorError as error:
        raise _unwritten(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_atomically(path: Path, write) -> None:
    """`write(temporary)`, then rename: the file is the old one or the new one, never half."""
    temporary = path.with_name(path.name + ".partial")
    try:
        write(temporary)
        os.replace(temporary, path)
    except (RuntimeError, SafetensorError) as error:  # torch's and safetensors' own for a full disk
        raise _unwritten(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritten(path: Path, error: Exception) -> OSError:
    return OSError(f"{path} could not be written; is the disk full? ({error})")
