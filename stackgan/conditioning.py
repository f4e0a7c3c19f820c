"""From a sentence embedding to the condition ĉ that a generator sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LOG_VARIANCE_BOUND = 8.0  # σ stays between e⁻⁴ and e⁴, so exp() never overflows in half precision


class EmbeddingNorm(nn.Module):
    """(φ − mean) / scale with the training set's statistics, which travel with the weights.

    One scalar scale, not one per dimension: sentences that differ in a colour word alone lie close
    together in the encoder's space, and scaling each dimension would amplify its noise instead.
    """

    def __init__(self, embedding_dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(embedding_dim))
        self.register_buffer("scale", torch.ones(()))

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, scale: Tensor | float) -> None:
        """Take the statistics of a training set: mean (E,), scale a positive scalar."""
        self.mean.copy_(torch.as_tensor(mean))
        self.scale.copy_(torch.as_tensor(scale))

    def forward(self, embeddings: Tensor) -> Tensor:
        return (embeddings - self.mean) / self.scale  # (N, E)


class ConditioningAugmentation(nn.Module):
    """Section 3.2 of the paper: one linear layer gives μ(φ) and σ(φ); ĉ = μ + σ ⊙ ε.

    There is no activation over μ or log σ²: a ReLU there, as in two public ports, would force
    μ ≥ 0 and σ ≥ 1. log σ² is bounded smoothly to ±8.

    With `augment=False` the layer is a plain compression, ĉ = μ: the paper's "without CA" rows.
    """

    def __init__(self, embedding_dim: int, condition_dim: int, augment: bool = True):
        super().__init__()
        self.augment = augment
        self.linear = nn.Linear(embedding_dim, condition_dim * (2 if augment else 1))

    def statistics(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised embeddings (N, E) → μ and log σ², (N, N_g) each, in single precision.

        Without augmentation log σ² is −∞ (σ = 0).
        """
        if not self.augment:
            mu = self.linear(embeddings).float()
            return mu, torch.full_like(mu, -torch.inf)
        mu, raw = self.linear(embeddings).float().chunk(2, dim=1)  # (N, N_g) twice
        return mu, bounded(raw)

    def forward(
        self, embeddings: Tensor, epsilon: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(N, E) and ε (N, N_g) or None for ε = 0 → ĉ, μ, log σ², (N, N_g) each."""
        mu, log_variance = self.statistics(embeddings)
        if epsilon is None or not self.augment:
            return mu, mu, log_variance
        return mu + torch.exp(0.5 * log_variance) * epsilon, mu, log_variance


def bounded(raw: Tensor) -> Tensor:
    """What the layer gives for log σ² → log σ², between −8 and 8."""
    return LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)


def kl_divergence(mu: Tensor, log_variance: Tensor) -> Tensor:
    """D_KL(N(μ, Σ) ‖ N(0, I)), the regulariser of equations 4 and 6, in nats per dimension.

    A mean over batch and dimensions as in the reference code, not a sum over dimensions, so that
    its weight λ means the same whatever N_g is. Both inputs (N, N_g); the result is a scalar.
    """
    return 0.5 * (mu.square() + log_variance.exp() - 1.0 - log_variance).mean()
