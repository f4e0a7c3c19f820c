"""Where photographs and captions come from: each source is one function that lists its photos.

A photo is read only when it is needed, so listing is quick and a bad file is found one at a time.
Broken lines of a metadata file are reported by number and skipped.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OBJECT_RATIO = 0.75  # the paper's object-to-image ratio for birds


@dataclass(frozen=True)
class Photo:
    """One photograph: how to read it, what people said of it, and the class it belongs to."""

    name: str
    captions: tuple[str, ...]
    class_name: str  # "" where the source has no classes
    read: Callable[[], Image.Image]  # RGB, a square or cropped to one by the caller


class SourceError(ValueError):
    """A data folder that cannot be used, in words for the person who named it."""


Report = Callable[[str], None]


def open_source(folder: str | Path, report: Report) -> tuple[str, list[Photo]]:
    """Recognise the folder's layout and list its photos: (name of the layout, photos).

    `report` hears of everything that was skipped. Raises SourceError when no layout fits.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder")
    if list(folder.glob("images-*.zip")) and (folder / "metadata.jsonl").exists():
        return "packs", list(packs(folder, report))
    if (folder / "metadata.jsonl").exists() or (folder / "metadata.csv").exists():
        return "imagefolder", list(imagefolder(folder, report))
    if (folder / "bounding_boxes.txt").exists() or (folder / "CUB_200_2011").is_dir():
        return "cub", list(cub(folder, report))
    if (folder / "jpg").is_dir():
        return "oxford", list(oxford(folder, report))
    raise SourceError(
        f"{folder} holds no known layout. Expected one of: metadata.jsonl beside pictures (a line "
        'a picture: {"file_name": …, "text": …} or "captions": […]); images-*.zip packs with a '
        "metadata.jsonl; CUB_200_2011/ or bounding_boxes.txt; jpg/ with Oxford-102's pictures"
    )


def packs(folder: Path, report: Report) -> Iterator[Photo]:
    """Zip packs images-K.zip with a metadata.jsonl of `file_name`, `pack`, `captions`, …"""
    archives: dict[int, zipfile.ZipFile] = {}
    for number, row in json_lines(folder / "metadata.jsonl", report):
        captions = captions_in(row)
        if not captions:
            report(f"metadata.jsonl line {number}: no caption")
            continue
        try:
            name, pack = str(row["file_name"]), int(row["pack"])
        except (KeyError, TypeError, ValueError) as error:
            report(f"metadata.jsonl line {number}: {error!r} in file_name or pack")
            continue
        if pack not in archives:
            path = folder / f"images-{pack}.zip"
            if not path.exists():
                report(f"metadata.jsonl line {number}: {path.name} is missing")
                continue
            try:
                archives[pack] = zipfile.ZipFile(path)
            except (OSError, zipfile.BadZipFile) as error:
                report(f"metadata.jsonl line {number}: {path.name} cannot be opened ({error})")
                continue

        def read(archive=archives[pack], name=name) -> Image.Image:
            return _rgb(Image.open(io.BytesIO(archive.read(name))))

        yield Photo(name, captions, str(row.get("class_name") or ""), read)


def imagefolder(folder: Path, report: Report) -> Iterator[Photo]:
    """The Hub's imagefolder convention: metadata.jsonl or .csv with `file_name` and `text`.

    `captions` (a list) may stand in place of `text`; `class_name` or `label` is optional.
    """
    path = folder / "metadata.jsonl"
    if not path.exists():
        path = folder / "metadata.csv"
    rows = json_lines(path, report) if path.suffix == ".jsonl" else _csv_rows(path)
    for number, row in rows:
        captions, name = captions_in(row), row.get("file_name")
        if not captions or not isinstance(name, str):
            report(f"{path.name} line {number}: no file_name, or no text and no captions")
            continue
        picture = (folder / name).resolve()
        if not picture.is_relative_to(folder.resolve()) or not picture.is_file():
            report(f"{path.name} line {number}: there is no picture {name}")
            continue
        label = row.get("class_name") or row.get("label") or ""
        yield Photo(name, captions, str(label), lambda picture=picture: _rgb(Image.open(picture)))


def oxford(folder: Path, report: Report) -> Iterator[Photo]:
    """Oxford-102 as published, jpg/image_NNNNN.jpg, with Reed's text_c10/class_NNNNN/*.txt.

    One caption a line; the caption folders carry the classes.
    """
    for caption_file in _caption_files(folder, "class_*/image_*.txt"):
        picture = folder / "jpg" / f"{caption_file.stem}.jpg"
        yield from _captioned(picture, caption_file, caption_file.parent.name, report)


def cub(folder: Path, report: Report) -> Iterator[Photo]:
    """CUB-200-2011 as published (images/, images.txt, bounding_boxes.txt) with Reed's text_c10/.

    Each bird is cropped to its bounding box × 1.5, as the paper crops.
    """
    root = folder / "CUB_200_2011" if (folder / "CUB_200_2011").is_dir() else folder
    try:
        names = dict(line.split() for line in (root / "images.txt").read_text().splitlines())
        boxes = {
            names[fields[0]]: tuple(float(f) for f in fields[1:5])
            for fields in map(str.split, (root / "bounding_boxes.txt").read_text().splitlines())
        }
    except (OSError, KeyError, ValueError) as error:
        raise SourceError(
            f"{root}: images.txt or bounding_boxes.txt cannot be read ({error!r})"
        ) from error
    for caption_file in _caption_files(folder, "[0-9]*.*/*.txt"):
        class_name = caption_file.parent.name
        name = f"{class_name}/{caption_file.stem}.jpg"
        if name not in boxes:
            report(f"{name}: no bounding box")
            continue
        yield from _captioned(
            root / "images" / name,
            caption_file,
            class_name.partition(".")[2].replace("_", " ") or class_name,
            report,
            boxes[name],
        )


def crop_to_object(picture: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """Crop to a square about the object's box (x, y, width, height), of 1½ times its longer side.

    As in the reference code, where the ratio is that of half the square's side to the object's; the
    square is clipped to the picture.
    """
    x, y, width, height = box
    radius = int(max(width, height) * OBJECT_RATIO)
    centre_x, centre_y = int(x + width / 2), int(y + height / 2)
    left, top = max(0, centre_x - radius), max(0, centre_y - radius)
    right = min(picture.width, centre_x + radius)
    bottom = min(picture.height, centre_y + radius)
    return picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def _captioned(
    picture: Path, caption_file: Path, class_name: str, report: Report, box=None
) -> Iterator[Photo]:
    captions = captions_in({"captions": caption_file.read_text(errors="replace").splitlines()})
    if not picture.is_file() or not captions:
        report(f"{picture.name}: {'no caption' if picture.is_file() else 'no such picture'}")
        return

    def read() -> Image.Image:
        photo = _rgb(Image.open(picture))
        return (
            # To a square, as in the reference code: what the picture's edge has cut is stretched.
            crop_to_object(photo, box).resize((288, 288), Image.Resampling.LANCZOS)
            if box
            else photo
        )

    yield Photo(picture.name, captions, class_name, read)


def _caption_files(folder: Path, pattern: str) -> list[Path]:
    for captions in ("text_c10", "text", "captions", "."):
        if files := sorted((folder / captions).glob(pattern)):
            return files
    raise SourceError(
        f"{folder} has pictures but no captions: unpack Reed's text_c10 folder into it "
        f"(looked for text_c10/{pattern})"
    )


def captions_in(row: dict) -> tuple[str, ...]:
    """Captions of a metadata row, white space folded, empty ones dropped."""
    found = next((row[name] for name in ("captions", "text", "caption") if row.get(name)), [])
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list):
        return ()
    cleaned = (" ".join(text.split()) for text in found if isinstance(text, str))
    return tuple(text for text in cleaned if any(c.isalnum() for c in text))


def json_lines(path: Path, report: Report) -> Iterator[tuple[int, dict]]:
    """Number and JSON object of each line of a file; `report` hears of every other line."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                report(f"{path.name} line {number}: not JSON ({error.msg})")
                continue
            if not isinstance(row, dict):
                report(f"{path.name} line {number}: not a JSON object")
                continue
            yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict]]:
    import csv

    # Spreadsheets write a byte-order mark, or another encoding.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            yield from enumerate(csv.DictReader(file), start=2)
        except csv.Error as error:  # a stray quotation mark swallows what follows
            raise SourceError(f"{path} is no table: {error}") from error


def _rgb(picture: Image.Image) -> Image.Image:
    """Upright, 8 bits a colour, what is transparent on white.

    Raises ValueError for numbers of which nobody says where black and white are.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):  # of which Pillow would keep the lowest 255 values
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError(
            f"its values ({picture.mode}) are no grey levels: save it with 8 or 16 bits"
        )
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
