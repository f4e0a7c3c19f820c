"""What a checkpoint was trained on: a sample of its captions that travels beside the weights.

It says what a checkpoint knows when somebody asks for what it has never seen, and shows the
training sentences nearest to theirs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stackgan.messages import first_line

FORMAT = "stackgan-known-1"


class KnownCaptions:
    """Captions of the training set with their embeddings, and how near a familiar sentence comes.

    Sentences are compared by the cosine of their embeddings as the encoder gives them: centred on
    the training set's mean, they tell one flower from another better, but a car from a flower worse.
    """

    def __init__(
        self,
        subject: str,
        captions: Sequence[str],
        embeddings: Tensor,
        threshold: float,
        *,
        names: Sequence[str] = (),
    ):
        """`subject`: what the checkpoint draws, in a word or two: "flowers".

        `embeddings`: (M + C, E), those of the M captions and after them those of the C `names` of
        classes: nobody's caption says "tulip", although the set has tulips. `threshold`: the cosine
        below which a sentence is far from them all.
        """
        self.subject = subject
        self.captions, self.names = list(captions), list(names)
        self.threshold = threshold
        if len(embeddings) != len(self.captions) + len(self.names):
            raise ValueError(
                f"{len(embeddings)} embeddings do not pair off with {len(self.captions)} captions "
                f"and {len(self.names)} names"
            )
        self._unit = F.normalize(embeddings.float(), dim=1)  # (M + C, E)

    @property
    def embedding_dim(self) -> int:
        return self._unit.shape[1]

    def nearest(self, embeddings: Tensor, count: int) -> list[list[tuple[str, float]]]:
        """Embeddings (N, E) → for each the `count` nearest captions and their cosines, best first."""
        among = self._cosines(embeddings)[:, : len(self.captions)]
        best = among.topk(min(count, len(self.captions)), dim=1)
        return [
            [(self.captions[place], cosine) for place, cosine in zip(places, cosines, strict=True)]
            for places, cosines in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def closeness(self, embeddings: Tensor) -> Tensor:
        """Embeddings (N, E) → cosine to the nearest caption or name, (N,) in [−1, 1]."""
        return self._cosines(embeddings).amax(dim=1)

    def is_far(self, embeddings: Tensor) -> list[bool]:
        """Embeddings (N, E) → whether each is unlike anything that the checkpoint was trained on."""
        return (self.closeness(embeddings) < self.threshold).tolist()

    def _cosines(self, embeddings: Tensor) -> Tensor:
        return F.normalize(embeddings.float(), dim=1) @ self._unit.T  # (N, M + C)

    def save(self, path: str | Path) -> None:
        """One safetensors file: a byte for each number of an embedding, all else in the metadata."""
        # A row's own scale need not be kept: it does not change its direction.
        scaled = self._unit / self._unit.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
        about = {
            "format": FORMAT,
            "subject": self.subject,
            "threshold": self.threshold,
            "captions": self.captions,
            "names": self.names,
        }
        save_file(
            {"embeddings": (127 * scaled).round().to(torch.int8)},
            path,
            metadata={"known": json.dumps(about, ensure_ascii=False)},
        )

    @classmethod
    def load(cls, path: str | Path) -> KnownCaptions:
        """Raises ValueError when the file is not one that `save` wrote."""
        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {})["known"])
                embeddings = file.get_tensor("embeddings")
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}, {FORMAT} is needed")
            if embeddings.dim() != 2:
                raise ValueError(f"embeddings of shape {tuple(embeddings.shape)}")
            return cls(
                about["subject"],
                about["captions"],
                embeddings,
                about["threshold"],
                names=about["names"],
            )
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            raise ValueError(f"{path} is no file of known captions: {first_line(error)}") from error
