"""Equations 3–6 of the paper, for discriminators of one head or several.

Logits are lists of (N,) tensors, one a head; losses are scalars, the mean over heads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Logits = list[Tensor]


class AdversarialLoss:
    """The matching-aware GAN objective; it never sees an optimizer.

    "cross-entropy" is the paper's: equations 3 and 5 for D, and for G the non-saturating form of
    equations 4 and 6 that the reference code uses. "hinge" (Lim and Ye 2017) suits discriminators
    with spectral norm. Real pictures with mismatched text and fakes with their own text are the two
    kinds of negatives, half the weight each.
    """

    def __init__(self, kind: str = "cross-entropy"):
        if kind not in ("cross-entropy", "hinge"):
            raise ValueError(f"kind is 'cross-entropy' or 'hinge', not {kind!r}")
        self.kind = kind

    def discriminator(self, real: Logits, mismatched: Logits, fake: Logits) -> Tensor:
        """Equations 3 and 5, negated: what D minimises.

        `mismatched` may have fewer heads than the others: where a head reads no text, fakes are its
        only negatives and count in full.
        """
        negatives = _per_head(fake, self._negative)
        wrong = _per_head(mismatched, self._negative)
        wrong = torch.cat([wrong, negatives[len(wrong) :]])
        return (_per_head(real, self._positive) + 0.5 * (negatives + wrong)).mean()

    def drawn(self, logits: Logits) -> Tensor:
        """What D minimises for further pictures that it is to call drawn, with whatever text."""
        return _per_head(logits, self._negative).mean()

    def generator(self, fake: Logits) -> Tensor:
        """The adversarial part of equations 4 and 6, non-saturating: what G minimises."""
        if self.kind == "hinge":
            return -_per_head(fake, lambda x: x).mean()
        return _per_head(fake, lambda x: _cross_entropy(x, 1.0)).mean()

    def _positive(self, logits: Tensor) -> Tensor:
        if self.kind == "hinge":
            return F.relu(1.0 - logits)
        return _cross_entropy(logits, 1.0)

    def _negative(self, logits: Tensor) -> Tensor:
        return F.relu(1.0 + logits) if self.kind == "hinge" else _cross_entropy(logits, 0.0)


def mode_seeking(first: Tensor, second: Tensor, z1: Tensor, z2: Tensor) -> Tensor:
    """E [ |z₁ − z₂| / |x₁ − x₂| ] over pairs drawn from one ĉ: a scalar (Mao et al. 2019).

    Nearly every caption has one photograph, so nothing in equations 3–6 asks for two different
    pictures of one sentence; this does, more the more alike the two are. Pictures (N, 3, H, W),
    noise (N, N_z); distances are means of absolute differences.
    """
    pictures = (first.float() - second.float()).abs().mean(dim=(1, 2, 3))
    noise = (z1 - z2).abs().mean(dim=1)
    return (noise / (pictures + 1e-5)).mean()


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(
        logits, torch.full_like(logits, target), reduction="none"
    )


def _per_head(logits: Logits, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss of each head, averaged over its batch: (heads,)."""
    return torch.stack([loss(x).mean() for x in logits])
