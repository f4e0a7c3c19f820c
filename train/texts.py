"""What an evaluation draws: the validation split's captions or a file's, and names of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stackgan.text import clean_caption
from train.data import DataError, PhotoData, class_names, random_stream
from train.prepare import NAMED
from train.sources import Report, captions_in, json_lines


@dataclass(frozen=True)
class Texts:
    """N captions to draw, one a picture. No group comes twice before all have come once."""

    captions: list[str]
    embeddings: Tensor  # (N, E), as the encoder gives them
    groups: Tensor  # (N,): the photo, or the file's line, that a caption belongs to
    distinct: int  # the first so many are of different groups, one each

    def __len__(self) -> int:
        return len(self.captions)


def validation_texts(data: PhotoData, count: int, seed: int = 0) -> Texts:
    """`count` captions of the validation photos, in a random order; embeddings are the stored ones.

    Every photo in turn, with another of its captions each time around. Raises DataError when fewer
    than four photos were kept for validation.
    """
    if len(data.validation) < 4:
        raise DataError(
            f"{data.folder} keeps {len(data.validation)} photos for validation and four are the least: "
            "prepare it with a larger --validation"
        )
    photos = data.validation.tolist()
    picks = _in_turn([int(data.counts[p]) for p in photos], count, seed)
    rows = torch.tensor([photos[i] for i, _ in picks])
    numbers = torch.tensor([k for _, k in picks])
    pairs = zip(rows.tolist(), numbers.tolist(), strict=True)
    captions = [data.rows[p]["captions"][k] for p, k in pairs]
    embeddings = data.embeddings[rows, numbers].float()
    return Texts(captions, embeddings, rows, min(count, len(photos)))


def file_texts(
    path: str | Path,
    encode: Callable[[Sequence[str]], Tensor],
    count: int,
    seed: int = 0,
    report: Report = print,
) -> Texts:
    """`count` captions of a file with a line each {"caption": …} or {"captions": […]}.

    `report` hears of every line that cannot be used, by number. Raises DataError when none can.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"--captions {path}: there is no such file")
    groups: list[list[str]] = []
    for number, row in json_lines(path, report):
        usable = []
        for caption in captions_in(row):
            try:
                usable.append(clean_caption(caption))
            except ValueError as error:
                report(f"{path.name} line {number}: {error}")
        if usable:
            groups.append(usable)
        else:
            report(f"{path.name} line {number}: no caption and no captions")
    if not groups:
        raise DataError(f'{path} holds no caption: expected lines such as {{"caption": "…"}}')
    picks = _in_turn([len(group) for group in groups], count, seed)
    captions = [groups[i][k] for i, k in picks]
    rows = torch.tensor([i for i, _ in picks])
    parts = [encode(captions[start : start + 256]) for start in range(0, count, 256)]
    return Texts(captions, torch.cat(parts), rows, min(count, len(groups)))


def name_texts(data: PhotoData, photos: Tensor, count: int, seed: int = 0) -> Texts:
    """`count` times the name of a class of `photos`, "a rose", all in turn; groups are classes.

    Raises DataError when the folder has no names.
    """
    classes = data.class_ids[photos].unique()
    picks = torch.tensor([place for place, _ in _in_turn([1] * len(classes), count, seed)])
    rows = classes[picks]
    captions = [NAMED[-1].format(data.meta["classes"][row]) for row in rows.tolist()]
    return Texts(
        captions, class_names(data.folder)[rows, -1].float(), rows, min(count, len(classes))
    )


def _in_turn(sizes: list[int], count: int, seed: int) -> list[tuple[int, int]]:
    """`count` pairs (group, number of one of its sizes[group] members), all groups in turn."""
    order = torch.randperm(len(sizes), generator=random_stream(seed, 0, "texts")).tolist()
    rounds = (divmod(i, len(sizes)) for i in range(count))
    return [(order[place], turn % sizes[order[place]]) for turn, place in rounds]
