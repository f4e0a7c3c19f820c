"""Photographs and captions → memory-mapped arrays and sentence embeddings, once, for every run.

    python -m train.prepare FOLDER --out data/flowers

What it writes, all that training reads:

    photos.npy        (P, 288, 288, 3) uint8   a random 256 crop and a flip are the augmentation
    photos_small.npy  (P, 72, 72, 3) uint8     box averages of the same, for Stage-I's 64 crops
    embeddings.npy    (P, K, E) float16        one row per caption, short lists repeated to K
    names.npy         (C, T, E) float16        one row per class: its name in T phrases
    meta.json         names, classes, captions' count, split, encoder, statistics of the embeddings
    captions.jsonl    one line per photo: file name, class, split and its captions

The folder appears under its name only when everything is in it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from stackgan.text import MAX_CAPTION_CHARACTERS, clean_caption, load_encoder
from train.sources import Photo, SourceError, open_source

PHOTO_SIDE = 288  # pixels: 256 and an eighth more, for random crops
SMALL_SIDE = 72
# What Pillow raises for pictures that are broken or bombs, and a pack for a broken member.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    SyntaxError,
    Image.DecompressionBombError,
    zipfile.BadZipFile,
    zlib.error,
)
FORMAT = 1
NAMED = ("{}", "a {}")  # as people type a name


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    split: str = "class",
    validation: float = 0.1,
    captions_per_photo: int = 10,
    encoder: str = "all-MiniLM-L6-v2",
    embedding_dim: int = 384,
    seed: int = 0,
    limit: int | None = None,
    encode=None,
) -> dict:
    """Write the arrays of `source` into the new folder `out`; returns meta.json's contents.

    split: "class" keeps whole classes for validation, "random" keeps photos.
    validation: share of classes or photos kept, 0 ≤ share < 1.
    limit: at most so many photos, for a quick try.
    encode: list of captions → (N, E); the named encoder unless given.
    Raises SourceError for a folder that cannot be used, FileExistsError if `out` is there already,
    ValueError for an encoder that is unknown or gives vectors of another length.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out} is there already: remove it, or name another --out")
    skipped: list[str] = []
    layout, photos = open_source(source, skipped.append)
    photos = photos[:limit]
    if not photos:
        raise SourceError(f"{source}: no picture with a caption. First problems: {skipped[:3]}")
    # Before the photographs, which take minutes: what cannot be had is told at once.
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encode = encode or load_encoder(encoder, embedding_dim, device)
    _check_vectors(encode(["a picture"]), 1, embedding_dim)
    _split([p.class_name for p in photos], split, validation, seed)
    with _all_or_nothing(out) as partial:
        photos = _write_photos(partial, photos, skipped)
        if not photos:
            raise SourceError(
                f"{source}: no usable picture among those listed. First problems: {skipped[:3]}"
            )
        captions = [_usable(photo.captions)[:captions_per_photo] for photo in photos]
        is_validation = _split([p.class_name for p in photos], split, validation, seed)
        mean, scale = _write_embeddings(partial, captions, is_validation, encode, embedding_dim)
        with (partial / "captions.jsonl").open("w", encoding="utf-8") as file:
            for photo, texts, held in zip(photos, captions, is_validation, strict=True):
                row = {
                    "file_name": photo.name,
                    "class_name": photo.class_name,
                    "split": "validation" if held else "train",
                    "captions": texts,
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        classes = sorted({p.class_name for p in photos})
        write_names(partial, classes, encode)
        meta = {
            "format": FORMAT,
            "layout": layout,
            "photos": len(photos),
            "classes": classes,
            "class_ids": [classes.index(p.class_name) for p in photos],
            "caption_counts": [len(texts) for texts in captions],
            "validation": [int(i) for i in np.flatnonzero(is_validation)],
            "split": split,
            "encoder": encoder,
            "embedding_dim": embedding_dim,
            "embedding_mean": mean,
            "embedding_scale": scale,
            "skipped": skipped,
        }
        (partial / "meta.json").write_text(json.dumps(meta))
    return meta


@contextmanager
def _all_or_nothing(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out`; where that fails, gigabytes do not stay behind."""
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def square(picture: Image.Image, side: int = PHOTO_SIDE) -> Image.Image:
    """The centre square, `side` pixels wide."""
    return ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)


def _write_photos(folder: Path, photos: list[Photo], skipped: list[str]) -> list[Photo]:
    """Fill photos.npy and photos_small.npy; returns the photos that could be read, in order."""
    large = _new_array(folder / "photos.npy", (len(photos), PHOTO_SIDE, PHOTO_SIDE, 3), np.uint8)
    small = _new_array(
        folder / "photos_small.npy", (len(photos), SMALL_SIDE, SMALL_SIDE, 3), np.uint8
    )
    good: list[Photo] = []
    for photo in tqdm(photos, desc="photos", unit="photo", disable=None):
        if not _usable(photo.captions):
            skipped.append(f"{photo.name}: no usable caption")
            continue
        try:
            picture = square(photo.read())
        except UNREADABLE as error:
            skipped.append(f"{photo.name}: cannot be read ({error})")
            continue
        large[len(good)] = np.asarray(picture)
        small[len(good)] = np.asarray(picture.reduce(PHOTO_SIDE // SMALL_SIDE))
        good.append(photo)
    for array, name in ((large, "photos.npy"), (small, "photos_small.npy")):
        array.flush()
        if len(good) < len(photos):
            _shorten(folder / name, len(good))
    return good


def _write_embeddings(folder, captions, is_validation, encode, dim) -> tuple[list[float], float]:
    """Fill embeddings.npy; returns the training captions' mean (E,) and one scalar deviation."""
    flat = [text for texts in captions for text in texts]
    encoded = []
    for start in tqdm(range(0, len(flat), 1024), desc="captions", unit="×1024", disable=None):
        encoded.append(np.asarray(encode(flat[start : start + 1024]), dtype=np.float32))
    vectors = np.concatenate(encoded)
    _check_vectors(vectors, len(flat), dim)
    counts = [len(texts) for texts in captions]
    most = max(counts)
    array = _new_array(folder / "embeddings.npy", (len(captions), most, dim), np.float16)
    start = 0
    for i, count in enumerate(counts):
        rows = vectors[start : start + count]
        array[i] = rows[np.arange(most) % count]
        start += count
    array.flush()
    train = vectors[np.repeat(~is_validation, counts)]
    mean = train.mean(axis=0)
    scale = float((train - mean).std())
    if scale < 1e-4:
        raise SourceError("all captions to learn from say the same: there is nothing to tell apart")
    return [float(m) for m in mean], scale


def write_names(folder: Path, classes: list[str], encode) -> None:
    """Fill names.npy, in the order of `classes`; there is none where a class has no name."""
    if not all(map(is_name, classes)):
        return
    phrases = [[phrase.format(name) for name in classes] for phrase in NAMED]
    vectors = np.stack([np.asarray(encode(texts), np.float16) for texts in phrases], axis=1)
    np.save(folder / "names.npy", vectors)


def is_name(class_name: str) -> bool:
    """Whether a class has a name that people may type. A number in a list (class_00077) is none."""
    try:
        return not re.fullmatch(r"(class)?[ _]*\d*", clean_caption(class_name))
    except ValueError:
        return False


def _check_vectors(vectors, count: int, dim: int) -> None:
    if np.shape(vectors) != (count, dim):
        raise ValueError(f"the encoder gave {np.shape(vectors)}, expected {(count, dim)}")


def _split(class_names: list[str], split: str, share: float, seed: int) -> np.ndarray:
    """True for photos kept for validation."""
    random = np.random.default_rng(seed)
    keys = np.asarray(class_names if split == "class" else np.arange(len(class_names)))
    groups = np.unique(keys)
    if split == "class" and len(groups) < 2 and share:
        raise SourceError("a class-disjoint split needs two classes or more: use --split random")
    # Of a share above nought at least one, and at least one to learn from.
    count = min(max(1, round(share * len(groups))), len(groups) - 1) if share else 0
    return np.isin(keys, random.permutation(groups)[:count])


def _usable(captions: tuple[str, ...]) -> list[str]:
    """The captions an encoder takes; overlong ones are cut at a word."""
    usable = []
    for caption in captions:
        try:
            if len(caption := " ".join(caption.split())) > MAX_CAPTION_CHARACTERS:
                caption = caption[: MAX_CAPTION_CHARACTERS + 1].rpartition(" ")[0]
            usable.append(clean_caption(caption))
        except ValueError:
            continue
    return usable


def _new_array(path: Path, shape: tuple[int, ...], dtype) -> np.memmap:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    # Its blocks now: where the disk is full, writing into the map would end the process at once.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _shorten(path: Path, length: int) -> None:
    """Keep the first `length` rows of an array file."""
    old = np.load(path, mmap_mode="r")
    new = _new_array(path.with_suffix(".short"), (length, *old.shape[1:]), old.dtype)
    new[:] = old[:length]
    new.flush()
    path.with_suffix(".short").rename(path)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m train.prepare",
        description="Turn a folder of photographs with captions into training arrays.",
        epilog="Layouts understood: your own pictures with a metadata.jsonl (file_name and text or "
        "captions), Oxford-102 or CUB-200-2011 as published with Reed's text_c10, zip packs.",
    )
    p.add_argument("source", help="folder of photographs and captions")
    p.add_argument("--out", required=True, help="new folder for the arrays")
    p.add_argument("--split", choices=("class", "random"), default="class")
    p.add_argument(
        "--validation",
        type=float,
        default=0.1,
        help="share of classes or photos kept (default 0.1)",
    )
    p.add_argument("--captions", type=int, default=10, help="captions a photo (default 10)")
    p.add_argument("--encoder", default="all-MiniLM-L6-v2")
    p.add_argument("--embedding-dim", type=int, default=384)
    p.add_argument("--seed", type=int, default=0, help="of the split")
    p.add_argument("--limit", type=int, help="at most so many photos")
    return p


def main(argv: list[str] | None = None) -> int:
    p = parser()
    args = p.parse_args(argv)
    if not 0 <= args.validation < 1:
        p.error(f"--validation is a share from 0 to under 1, not {args.validation}")
    if args.captions < 1 or (args.limit is not None and args.limit < 1):
        p.error("--captions and --limit are whole numbers from 1")
    try:
        meta = prepare(
            args.source,
            args.out,
            split=args.split,
            validation=args.validation,
            captions_per_photo=args.captions,
            encoder=args.encoder,
            embedding_dim=args.embedding_dim,
            seed=args.seed,
            limit=args.limit,
        )
    except (OSError, ValueError) as error:  # SourceError is one
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: {error.msg}", file=sys.stderr)
        return 2
    for problem in meta["skipped"][:20]:
        print(f"skipped {problem}", file=sys.stderr)
    if len(meta["skipped"]) > 20:
        print(f"… and {len(meta['skipped']) - 20} more, in meta.json", file=sys.stderr)
    held = len(meta["validation"])
    print(
        f"{args.out}: {meta['photos'] - held} photos to train on, {held} for validation, "
        f"{len(meta['classes'])} classes, {sum(meta['caption_counts'])} captions, "
        f"{len(meta['skipped'])} skipped"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
