"""How good a picture is, to choose the best of several: like a photograph, and fitting its sentence.

Whether it fits is said by two towers after the image-text encoders of AttnGAN (Xu et al. 2018):
small heads on sentence embeddings and on frozen EfficientNet-Lite0 features. How like a photograph
it is, by how near its features come to those of typical training photographs, as precision asks
(Kynkäänniemi et al. 2019). `train.scorer` makes both.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stackgan.features import FeatureNetwork, brought_to_size
from stackgan.messages import first_line

FORMAT = "stackgan-scorer-1"
WIDTH = 128  # of the vectors that are compared
HIDDEN = 256
MAX_BEST_OF = 16  # candidates for each picture that is kept
# Unless the noise is held: more hardly make a picture better, and all of them more alike.
BEST_OF = 4
NEAREST = 3  # typical photographs that a picture is compared with
# In a score. Fit varies more among pictures of one sentence, so a fifth of it still counts a third.
LIKENESS_SHARE = 0.8


class Ranker:
    """Pictures and the embeddings of their captions → scores, higher is better."""

    def __init__(self, scorer: Scorer, network: FeatureNetwork):
        """`network`: the one whose features the scorer reads."""
        self.scorer, self.network = scorer, network

    @torch.inference_mode()
    def __call__(self, images: Tensor, embeddings: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [−1, 1] and embeddings (N, E), as the encoder gives them → (N,).

        A mean of two cosines, weighted: how like photographs, and how well they fit. Of a scorer
        without typical photographs, the latter alone.
        """
        features = self.network(brought_to_size(images))
        fit = (self.scorer.pictures(features) * self.scorer.texts(embeddings)).sum(1)
        if not len(self.scorer.typical):
            return fit
        return fit.lerp(self.scorer.likeness(features), LIKENESS_SHARE)


class Scorer(nn.Module):
    """Features (N, D) and embeddings (N, E) → unit vectors (N, 128) whose cosine says they belong.

    Both as their networks give them: each tower standardises its own. Beside the towers it keeps
    `typical`, (C, D): what groups of like training photographs have in common, at length 1.
    """

    def __init__(
        self, feature_dim: int, embedding_dim: int, features: str, encoder: str, typical: int = 0
    ):
        """`features`, `encoder`: the names of the networks whose vectors it was trained on.

        `typical`: how many typical photographs it keeps, C.
        """
        super().__init__()
        self.about = {
            "format": FORMAT,
            "features": features,
            "encoder": encoder,
            "feature_dim": feature_dim,
            "embedding_dim": embedding_dim,
        }
        self.register_buffer("typical", torch.zeros(typical, feature_dim))
        self.picture_tower = _tower(feature_dim)
        self.text_tower = _tower(embedding_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def pictures(self, features: Tensor) -> Tensor:
        """(N, D) → (N, 128), of length 1."""
        return F.normalize(self.picture_tower(features), dim=1)

    def texts(self, embeddings: Tensor) -> Tensor:
        """(N, E) → (N, 128), of length 1."""
        return F.normalize(self.text_tower(embeddings), dim=1)

    def likeness(self, features: Tensor) -> Tensor:
        """(N, D) → (N,), the mean cosine of each to the NEAREST typical photographs."""
        cosines = F.normalize(features, dim=1) @ self.typical.T.to(features.dtype)  # (N, C)
        return cosines.topk(min(NEAREST, len(self.typical)), dim=1).values.mean(1)

    def loss(self, features: Tensor, embeddings: Tensor) -> Tensor:
        """InfoNCE both ways over a batch of pairs (N, D) and (N, E)."""
        scale = self.log_scale.exp().clamp(max=100)
        logits = scale * self.pictures(features) @ self.texts(embeddings).T  # (N, N)
        own = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    def check_encoder(self, encoder: str, embedding_dim: int, path: str | Path) -> None:
        """Raises ValueError, naming the file, when it reads another encoder's sentences."""
        reads = self.about["encoder"], self.about["embedding_dim"]
        if reads != (encoder, embedding_dim):
            raise ValueError(
                f"{path} was trained on {reads[0]} embeddings of {reads[1]} numbers, the checkpoint "
                f"reads {encoder}'s of {embedding_dim}: train one on the same data"
            )

    def save(self, path: str | Path) -> None:
        """One safetensors file; what it was trained on is in its metadata."""
        save_file(self.state_dict(), path, metadata={"scorer": json.dumps(self.about)})

    @classmethod
    def load(cls, path: str | Path) -> Scorer:
        """Raises ValueError when the file is not one that `save` wrote."""
        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {})["scorer"])
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}, {FORMAT} is needed")
            names = ("feature_dim", "embedding_dim", "features", "encoder")
            # Older files keep no typical photographs.
            typical = weights.setdefault("typical", torch.zeros(0, about["feature_dim"]))
            scorer = cls(*(about[name] for name in names), len(typical))
            scorer.load_state_dict(weights)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise ValueError(f"{path} is no file of train.scorer: {first_line(error)}") from error
        return scorer.eval().requires_grad_(False)


class Standardise(nn.Module):
    """(x − mean) / deviation with the statistics of the rows it was made from, (N, D)."""

    def __init__(self, rows: Tensor | None = None, dim: int = 0):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim) if rows is None else rows.mean(0))
        deviation = torch.ones(dim) if rows is None else rows.std(0).clamp_min(1e-6)
        self.register_buffer("deviation", deviation)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


def _tower(dim: int) -> nn.Sequential:
    return nn.Sequential(
        Standardise(dim=dim),
        nn.Dropout(0.2),
        nn.Linear(dim, HIDDEN),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(HIDDEN, WIDTH),
    )
