"""What the loops read: batches drawn from the arrays that `train.prepare` wrote.

Batch k of a run is a function of the run's seed and k alone, so a resumed run sees what the
unbroken one would have seen, and process r of w takes its own part of the same batch.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackgan.config import StackGANConfig
from stackgan.devices import shifted, to_device
from stackgan.images import from_uint8, shrink
from train.prepare import FORMAT


class Batch(NamedTuple):
    photos: Tensor  # (N, 3, S, S) in [−1, 1]
    embeddings: Tensor  # (N, E), as the encoder gave them
    mismatched: Tensor  # (N, E), the same of other photos, of another class where there is one


class DataError(ValueError):
    """Arrays that cannot be trained on, in words for the person who named them."""


class PhotoData:
    """A prepared folder, seen at one resolution: photographs to train on, and those kept out.

    Photos stay where they are (a memory map) on the CPU, and move to the device once, as uint8, on
    an accelerator.
    """

    def __init__(
        self,
        folder: str | Path,
        resolution: int,
        device: torch.device | str = "cpu",
        name_share: float = 0.0,
    ):
        """`name_share`: how often a batch has the name of a photo's class in place of a caption.

        Raises DataError when the folder is not what train.prepare writes, or has no names.
        """
        self.folder = folder = Path(folder)
        self.meta = read_meta(folder)
        try:
            # 72-pixel copies serve 64-pixel crops; larger crops come from the full photos.
            self.factor = 1 if resolution == 64 else 256 // resolution
            file = "photos_small.npy" if resolution == 64 else "photos.npy"
            photos = np.load(folder / file, mmap_mode="r")
            embeddings = np.load(folder / "embeddings.npy")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{folder} was not written by train.prepare, or is damaged: {error}"
            ) from error
        self.resolution, self.device = resolution, torch.device(device)
        mapped = self.device.type == "cpu" and hasattr(os, "posix_fadvise")
        self._file = (folder / file).open("rb") if mapped else None
        self._start, self._bytes = photos.offset, photos.strides[0]  # in the file, of a photo
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # read-only array: nothing here writes
            self.photos = torch.from_numpy(photos).to(self.device)  # (P, 288 or 72, …, 3) uint8
        self.embeddings = torch.from_numpy(embeddings)  # (P, K, E) float16
        self.name_share = name_share
        self.names = class_names(folder) if name_share else None  # (C, T, E) float16
        self.counts = torch.tensor(self.meta["caption_counts"])
        self.class_ids = torch.tensor(self.meta["class_ids"])
        held = torch.zeros(len(self.photos), dtype=torch.bool)
        held[self.meta["validation"]] = True
        self.train = torch.nonzero(~held).flatten()
        self.validation = torch.nonzero(held).flatten()
        if len(self.train) < 2:
            raise DataError(f"{folder} has {len(self.train)} photos to train on; two are the least")
        kinds = self._kinds()
        order = kinds.argsort(stable=True)
        self._by_kind = self.train[order]
        kinds = kinds[order].contiguous()
        # The part of `_by_kind` that holds each photo's class: first and end place, by photo.
        self._own = torch.zeros(len(self.photos), 2, dtype=torch.long)
        self._own[self._by_kind, 0] = torch.searchsorted(kinds, kinds)
        self._own[self._by_kind, 1] = torch.searchsorted(kinds, kinds, right=True)

    def _kinds(self) -> Tensor:
        """Photos to train on → (P,) numbers, alike where one's caption would fit the other's photo.

        Their classes; where all are of one, what their first captions say, or each stands for itself.
        """
        classes = self.class_ids[self.train]
        if len(classes.unique()) > 1:
            return classes
        if self.name_share:
            raise DataError("--name-share needs classes to tell apart, and all photos are of one")
        said = self.embeddings[self.train, 0].float().unique(dim=0, return_inverse=True)[1]
        return said if len(said.unique()) > 1 else torch.arange(len(said))

    @cached_property
    def rows(self) -> list[dict]:
        """captions.jsonl: of each photo its `file_name`, `captions` and `class_name`."""
        with (self.folder / "captions.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    @property
    def fingerprint(self) -> str:
        """Of what decides which photographs are learned from and how their captions are read.

        Not of the captions' vectors, which differ by rounding from one machine to the next.
        """
        parts = [self.meta[k] for k in ("class_ids", "validation", "encoder", "embedding_dim")]
        told = hashlib.sha256(json.dumps(parts).encode())
        told.update((self.folder / "captions.jsonl").read_bytes())
        return told.hexdigest()[:16]

    def is_of(self, settings: dict) -> bool:
        """Whether a run with these settings (see state.run_settings) was begun with these photos, split
        alike and with the same captions, read alike."""
        # Older runs tell of none that compares.
        fingerprint = settings.get("data_fingerprint", self.fingerprint)
        return (len(self.train), self.fingerprint) == (settings["train_photos"], fingerprint)

    def check_is_of(self, settings: dict, run: str | Path) -> None:
        """Raises DataError where the run with these settings was not begun with these photos."""
        if not self.is_of(settings):
            raise DataError(
                f"{self.folder} holds other photographs, another split or other captions "
                f"than {run} was begun with: name its own with --data"
            )

    def check_is_read_by(self, config: StackGANConfig, name: str | Path) -> None:
        """Raises DataError where the captions' vectors are not those that these networks read."""
        dim, encoder = self.embeddings.shape[2], self.meta["encoder"]
        if (config.embedding_dim, config.encoder) != (dim, encoder):
            raise DataError(
                f"{name} reads {config.encoder} embeddings of {config.embedding_dim} numbers, "
                f"{self.folder} holds {encoder}'s of {dim}"
            )

    def batch(
        self,
        step: int,
        size: int,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
        start: int | None = None,
    ) -> Batch:
        """Part `rank` of batch number `step`: `size` photos, random crops and flips, their captions.

        `size` counts all processes' parts together. `start`: how many photos were seen before,
        step · size unless given; it is another number where the batch's size has changed.
        """
        start = step * size if start is None else start
        share = size // processes
        draw = random_stream(seed, step, "batch")
        chosen = self.epoch_order(start, size, seed)
        caption = (torch.rand(size, generator=draw) * self.counts[chosen]).long()
        other = self._mismatched(chosen, draw)
        other_caption = (torch.rand(size, generator=draw) * self.counts[other]).long()
        crop = self.resolution * self.factor
        room = self.photos.shape[1] - crop + 1
        tops = torch.randint(0, room, (size,), generator=draw)
        lefts = torch.randint(0, room, (size,), generator=draw)
        flips = torch.rand(size, generator=draw) < 0.5
        named = torch.rand(2, size, generator=draw) < self.name_share
        phrases = torch.rand(2, size, generator=draw)
        mine = slice(rank * share, (rank + 1) * share)
        photos = self._crops(chosen[mine], tops[mine], lefts[mine], flips[mine])
        return Batch(
            photos,
            self._texts(chosen[mine], caption[mine], named[0, mine], phrases[0, mine]),
            self._texts(other[mine], other_caption[mine], named[1, mine], phrases[1, mine]),
        )

    def expect(
        self, start: int, size: int, seed: int = 0, rank: int = 0, processes: int = 1
    ) -> None:
        """Have the system read the photos of the batch that begins after `start` photos from the
        disk while something else computes.

        A map that is not yet in memory costs up to a tenth of a step at 256×256. No thread of ours
        does it: one that uses torch has a team of OpenMP threads of its own, more threads than cores
        make all of them sleep at every barrier, and steps take a sixth to a quarter longer.
        """
        if self._file is None:
            return
        share = size // processes
        for photo in self.epoch_order(start, size, seed)[rank * share : (rank + 1) * share]:
            offset = self._start + int(photo) * self._bytes
            os.posix_fadvise(self._file.fileno(), offset, self._bytes, os.POSIX_FADV_WILLNEED)

    def draw_texts(self, photos: Tensor, draw: torch.Generator) -> Tensor:
        """A caption of each of these photos, or with `name_share` the name of its class: (N, E)."""
        caption = (torch.rand(len(photos), generator=draw) * self.counts[photos]).long()
        named = torch.zeros(len(photos), dtype=torch.bool)
        phrases = torch.zeros(len(photos))
        if self.name_share:
            named = torch.rand(len(photos), generator=draw) < self.name_share
            phrases = torch.rand(len(photos), generator=draw)
        return self._texts(photos, caption, named, phrases)

    def _texts(self, photos: Tensor, captions: Tensor, named: Tensor, phrases: Tensor) -> Tensor:
        """(N, E): of each photo that caption, or where `named` the name of its class.

        phrases: in [0, 1), which of the ways to say it.
        """
        texts = self.embeddings[photos, captions]
        if named.any():
            phrase = (phrases[named] * self.names.shape[1]).long()
            texts[named] = self.names[self.class_ids[photos[named]], phrase]
        return to_device(texts.float(), self.device)

    def epoch_order(self, start: int, size: int, seed: int) -> Tensor:
        """Photos number start … start + size of an endless walk, each epoch a new permutation."""
        chosen = []
        while size > 0:
            epoch, offset = divmod(start, len(self.train))
            order = torch.randperm(len(self.train), generator=random_stream(seed, epoch, "epoch"))
            part = order[offset : offset + size]
            chosen.append(self.train[part])
            start, size = start + len(part), size - len(part)
        return torch.cat(chosen)

    def _mismatched(self, chosen: Tensor, draw: torch.Generator) -> Tensor:
        """For each photo another one: of all those of other classes, each as likely."""
        first, end = self._own[chosen].T
        others = len(self.train) - (end - first)
        place = (torch.rand(len(chosen), generator=draw, dtype=torch.float64) * others).long()
        return self._by_kind[torch.where(place < first, place, place + (end - first))]

    def _crops(self, photos: Tensor, tops: Tensor, lefts: Tensor, flips: Tensor) -> Tensor:
        side = self.resolution * self.factor
        if self.device.type != "cpu":
            return self._crops_at_once(photos, tops, lefts, flips)
        # Slices copy whole rows; one indexed gather over all photos is ten times slower on a CPU.
        pixels = torch.stack(
            [
                self.photos[photo, top : top + side, left : left + side]
                for photo, top, left in zip(
                    photos.tolist(), tops.tolist(), lefts.tolist(), strict=True
                )
            ]
        )  # (N, S, S, 3) uint8
        pixels[flips] = pixels[flips].flip(2)
        return shrink(from_uint8(pixels), self.resolution)

    def _crops_at_once(self, photos: Tensor, tops: Tensor, lefts: Tensor, flips: Tensor) -> Tensor:
        """The same in a few operations on the whole batch, after one copy to the device."""
        drawn = to_device(torch.stack([photos, tops, lefts, flips.long()], dim=1), self.device)
        photos, corners, flips = drawn[:, 0], drawn[:, 1:3], drawn[:, 3, None, None, None] > 0
        side = self.resolution * self.factor
        crops = shifted(self.photos.permute(0, 3, 1, 2), corners, side, photos)
        pixels = torch.where(flips, crops.flip(3), crops).permute(0, 2, 3, 1)
        return shrink(from_uint8(pixels), self.resolution)

    def grid_captions(self, count: int) -> list[dict]:
        """`count` photos kept out of training, always the same: {"photo": index, "caption": its first}.

        Training photos where none was kept out.
        """
        chosen = self.validation if len(self.validation) else self.train
        order = chosen[torch.randperm(len(chosen), generator=random_stream(0, 0, "grid"))]
        picks = [int(order[i % len(order)]) for i in range(count)]
        return [{"photo": p, "caption": self.rows[p]["captions"][0]} for p in picks]


def has_names(folder: str | Path) -> bool:
    """Whether every photo has a class with a name, and the folder is not older than names.npy."""
    return (Path(folder) / "names.npy").exists()


def class_names(folder: str | Path) -> Tensor:
    """Embeddings of each class's name in the phrases NAMED, (C, T, E) float16.

    Raises DataError when there are none.
    """
    try:
        return torch.from_numpy(np.load(Path(folder) / "names.npy"))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} has no names of classes: prepare it again, with a class_name for every photo"
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{folder}/names.npy is damaged: {error}") from error


def read_meta(folder: str | Path) -> dict:
    """meta.json of a prepared folder. Raises DataError when it is not what train.prepare writes."""
    try:
        meta = json.loads((Path(folder) / "meta.json").read_text())
        version = meta["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} was not written by train.prepare, or is damaged: {error}"
        ) from error
    if version != FORMAT:
        raise DataError(f"{folder} has format {version}, {FORMAT} is needed")
    return meta


# What is drawn from generators of its own, each with seeds that no other has.
SALTS = {
    "batch": 0,
    "epoch": 1,
    "grid": 2,
    "noise": 3,
    "texts": 5,
    "known": 7,
    "matching": 8,
    "augment": 16,  # and from there on, one for each process
}


def random_stream(seed: int, number: int, what: str, process: int = 0) -> torch.Generator:
    """The generator that `what` (of SALTS) is drawn from, out of a run's seed and a counter."""
    entropy = np.random.SeedSequence([seed, number, SALTS[what] + process])
    return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> 1))


def draw_noise(batch: int, dims: Sequence[int], seed: int, step: int) -> Tensor:
    """What the pictures of batch number `step` are drawn from, N(0, I): (batch, sum of dims).

    Of the whole batch, so that it does not depend on how many processes share it.
    """
    return torch.randn(batch, sum(dims), generator=random_stream(seed, step, "noise"))
