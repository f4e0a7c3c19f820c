"""A sample of the training captions to ship beside the weights: see stackgan.known.

The threshold of what is far is nine tenths of the cosine that all but one in a thousand of the
validation split's captions reach. Those are of classes kept out of training, as new as a full
sentence about the subject can be; but people type less ("orchid"), and come less near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stackgan.known import KnownCaptions
from stackgan.text import load_encoder
from train.data import PhotoData, random_stream
from train.prepare import is_name

CAPTIONS = 4000  # with a byte a number and their words, 2 MB
ALL_BUT = 0.001  # share of the validation split's captions that may be called far
LEEWAY = 0.9  # for words shorter than captions
USUAL = 0.57  # the threshold of the bundled sets, for a set without validation photographs


def known_captions(
    data: PhotoData,
    subject: str,
    encode: Callable[[Sequence[str]], Tensor] | None = None,
    count: int = CAPTIONS,
) -> KnownCaptions:
    """Captions of a prepared folder, spread over its classes and photographs.

    subject: what it shows, in a word. encode: list of names of classes → (N, E); the folder's own
    encoder unless given.
    """
    rows = data.rows
    picks = _spread(data, count)
    photos, numbers = (torch.tensor(column) for column in zip(*picks.values(), strict=True))
    embeddings = data.embeddings[photos, numbers].float()
    names = sorted(
        {rows[p]["class_name"] for p in data.train.tolist() if is_name(rows[p]["class_name"])}
    )
    if names:
        encode = encode or load_encoder(data.meta["encoder"], data.meta["embedding_dim"])
        embeddings = torch.cat([embeddings, encode(names)])
    known = KnownCaptions(subject, list(picks), embeddings, USUAL, names=names)
    unseen = [data.embeddings[p, : data.counts[p]] for p in data.validation.tolist()]
    if unseen:
        reached = known.closeness(torch.cat(unseen))
        known.threshold = round(LEEWAY * float(reached.quantile(ALL_BUT)), 3)
    return known


def _spread(data: PhotoData, count: int) -> dict[str, tuple[int, int]]:
    """caption → (photo, its number): classes in turn, each photo once before any comes twice."""
    draw = random_stream(0, 0, "known")
    order = data.train[torch.randperm(len(data.train), generator=draw)].tolist()
    seen: Counter[int] = Counter()
    turns = []
    for photo in order:
        class_id = int(data.class_ids[photo])
        turns.append((seen[class_id], photo))
        seen[class_id] += 1
    order = [photo for _, photo in sorted(turns, key=lambda turn: turn[0])]
    picks: dict[str, tuple[int, int]] = {}
    for number in range(int(data.counts.max())):
        for photo in order:
            if number < data.counts[photo]:
                picks.setdefault(data.rows[photo]["captions"][number], (photo, number))
            if len(picks) == count:
                return picks
    return picks
