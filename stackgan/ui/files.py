"""Files that the page hands out: PNGs with their settings inside, in folders that do not pile up."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from gradio import FileData
from gradio.utils import get_upload_folder
from torch import Tensor

from stackgan.images import save_png, to_pictures

KEEP_SECONDS = 2 * 60 * 60  # long enough to come back to an open page
CHECK_SECONDS = 10 * 60
# Gradio removes a file at that age in one of its rounds, and its name from its list; what is left
# after the next round, no one else removes.
_LEFT_SECONDS = KEEP_SECONDS + 2 * CHECK_SECONDS
MAX_BYTES = 2 * 2**30  # of all answers' files; one's are some 2 MB, and 15 MB at most
ROUND_SECONDS = 30  # between two looks at all files, of which a busy hour leaves ten thousand
_ANSWERS = "stackgan-answers"  # in Gradio's folder, where there may be others' files as well
_last_round = 0.0


def new_folder() -> Path:
    """An empty folder for one answer, where Gradio serves files from."""
    global _last_round
    root = Path(get_upload_folder()) / _ANSWERS
    root.mkdir(parents=True, exist_ok=True)
    if time.monotonic() - _last_round >= ROUND_SECONDS:
        _last_round = time.monotonic()
        _remove_old_folders(root)
    return Path(tempfile.mkdtemp(dir=root))


def _remove_old_folders(root: Path) -> None:
    """Those that Gradio leaves behind, and the oldest where there are too many bytes.

    Gradio deletes the files it has handed out (see `delete_cache`), but not those of a visitor who
    left half-way, nor folders.
    """
    found = []
    for folder in root.iterdir():
        with suppress(OSError):  # another process was quicker, or it is no folder
            size = sum(file.stat().st_size for file in folder.iterdir())
            found.append((folder.stat().st_mtime, size, folder))
    total = 0
    for made, size, folder in sorted(found, reverse=True):
        total += size
        if total > MAX_BYTES or time.time() - made > _LEFT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def file_name(caption: str, seed: int, stage: int) -> str:
    """What a downloaded picture is called: the caption's words, the seed and the stage."""
    return f"{plain_words(caption)}-seed{seed}-stage{stage}.png"


def plain_words(caption: str, most: int = 48) -> str:
    """A caption as a part of a file's name, of at most so many characters."""
    return re.sub(r"[^a-z0-9]+", "-", caption.lower())[:most].strip("-") or "picture"


def write_pngs(
    images: Tensor, folder: Path, names: Sequence[str], settings: Sequence[dict], stage: int
) -> list[str]:
    """(N, 3, H, W) in [−1, 1] → paths of N PNGs that carry their settings and their stage."""
    paths = [str(folder / name) for name in names]
    records = [{**record, "stage": stage} for record in settings]
    with ThreadPoolExecutor() as pool:  # Pillow compresses without Python's lock
        list(pool.map(save_png, to_pictures(images), paths, records))
    return paths


def served(path: str) -> dict:
    """A file as an endpoint's result: the record of a gradio.FileData, which is its annotation.

    Inside lists Gradio finds records alone, and gives those an address.
    """
    return FileData(path=path).model_dump()


def bundle(paths: Sequence[str], name: str | None = None) -> str | None:
    """One file to download: the picture itself, several in a zip beside them, or None for none.

    The zip is called `name`.zip, or as the first of the pictures.
    """
    if len(paths) < 2:
        return paths[0] if paths else None
    archive = Path(paths[0]).with_name(f"{name or Path(paths[0]).stem}.zip")
    with zipfile.ZipFile(archive, "w") as file:  # PNGs are compressed already
        for path in paths:
            file.write(path, Path(path).name)
    return str(archive)


def zip_results(results: Sequence[dict]) -> str | None:
    """Results {"record", "paths"}, newest first → path of a zip, or None when no file is left.

    A folder in it for each result, oldest first, and records.json, which names each result's files
    beside what draws it again.
    """
    archive = new_folder() / "stackgan-pictures.zip"
    records = []
    with zipfile.ZipFile(archive, "w") as file:  # PNGs are compressed already
        for number, result in enumerate(reversed(results), start=1):
            record = {k: v for k, v in result["record"].items() if k != "thumbnail"}
            folder = f"{number:02d}-{record['tab'].lower()}"
            # Once each: a sketch that is the picture, too, has one file.
            paths = [Path(p) for p in dict.fromkeys(result["paths"]) if Path(p).is_file()]
            names = [f"{folder}/{path.name}" for path in paths]
            for path, name in zip(paths, names, strict=True):
                file.write(path, name)
            if paths:
                records.append({**record, "files": names})
        file.writestr("records.json", json.dumps(records, ensure_ascii=False, indent=1))
    return str(archive) if records else None
