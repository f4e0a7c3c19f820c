"""Small heads on stored features: the classifier behind the Inception-style score."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stackgan.ranking import Standardise
from train.metrics import Score, mean_score

WEIGHT_DECAY = 1e-3  # on standardised features: enough that probabilities are not all 0 and 1
HELD_OUT = 10  # every tenth photo of a class checks the classifier


def train_classifier(features: Tensor, classes: Tensor, steps: int = 60) -> tuple[nn.Module, Score]:
    """Multinomial logistic regression: features (N, D) and class numbers (N,) → logits' network.

    Full-batch L-BFGS from zero, so the result is a function of the data. The second result is its
    accuracy on photos it has not seen: every tenth of each class, or of few the third.
    Raises ValueError when there are fewer than two classes.
    """
    names, labels = classes.unique(return_inverse=True)
    if len(names) < 2:
        raise ValueError("the training photographs have no classes to tell apart")
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(len(names)):
        rows = torch.nonzero(labels == label).flatten()
        held[rows[HELD_OUT - 1 :: HELD_OUT] if len(rows) >= HELD_OUT else rows[2:3]] = True
    norm = Standardise(features[~held])
    x, y = norm(features[~held]), labels[~held]
    linear = nn.Linear(x.shape[1], len(names))
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(
        linear.parameters(), max_iter=steps, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(linear(x), y) + WEIGHT_DECAY * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    network = nn.Sequential(norm, linear).eval().requires_grad_(False)
    right = network(features[held]).argmax(1) == labels[held]
    return network, mean_score(right.double())
