"""How pictures vary: over z, over ε, and along the way between two sentences (Figs. 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from stackgan import latents
from stackgan.features import FeatureNetwork, brought_to_size
from stackgan.latents import EMPHASIS, Noise
from stackgan.pipeline import Inputs, Pipeline
from train.metrics import Score, mean_score, missing
from train.texts import Texts

CAPTIONS = 8  # how many sentences are drawn again and again
SEEDS = 8  # pictures of each
PATHS = 6  # pairs of sentences
FRAMES = 9  # pictures from one to the other, both included
STEP_RATIO = "interpolation_step_ratio"

Drawn = dict[str, Tensor]  # "pictures" and, of two stages, "stage1": (N, 3, S, S) in [−1, 1]


def draw(pipeline: Pipeline, embeddings: Tensor, noise: Noise, emphasis: float = EMPHASIS) -> Drawn:
    """Both stages' pictures of N embeddings (N, E), as they leave the generators."""
    inputs = Inputs(embeddings, noise, captions=[], settings=[], emphasis=emphasis)
    sketches = pipeline.sketch(inputs)
    if pipeline.config.stages == 1:
        return {"pictures": sketches}
    return {"pictures": pipeline.refine(sketches, inputs), "stage1": sketches}


def draw_best(
    pipeline: Pipeline,
    embeddings: Tensor,
    seeds: list[int],
    best_of: int = 1,
    emphasis: float = EMPHASIS,
) -> Drawn:
    """`draw` with ε = 0, each of N pictures the best of `best_of` seeds of its own, N · best_of in all.

    Which is best, `Pipeline.score` says. Raises ValueError where the checkpoint cannot.
    """
    best, highest = {}, None
    for candidate in range(best_of):
        noise = Noise(latents.noise(seeds[candidate::best_of], pipeline.config.noise_dim))
        drawn = draw(pipeline, embeddings, noise, emphasis)
        if best_of == 1:
            return drawn
        inputs = Inputs(embeddings, noise, captions=[], settings=[])
        scores = pipeline.score(drawn["pictures"], inputs)
        if highest is None:
            best, highest = drawn, scores
            continue
        better = scores > highest
        best = {
            name: images.where(better[:, None, None, None], best[name])
            for name, images in drawn.items()
        }
        highest = scores.maximum(highest)
    return best


def pairwise_distance(features: Tensor) -> float:
    """(N, D) → mean cosine distance of all pairs, 0 for equal pictures."""
    unit = normalize(features.double(), dim=1)
    count = len(unit)
    among = unit @ unit.T
    return float(1 - (among.sum() - among.trace()) / (count * (count - 1)))


def deviation(images: Tensor) -> float:
    """(N, 3, H, W) → standard deviation of a pixel over the N, mean over pixels and channels."""
    return float(images.std(dim=0).mean())


def step_ratio(features: Tensor) -> float:
    """(F, D) along a way → largest step over mean step; 1 for steps all alike.

    A step is the distance between neighbours' unit features. A way that leads nowhere has ratio 1.
    """
    steps = normalize(features, dim=1).diff(dim=0).norm(dim=1)
    return float(steps.max() / steps.mean()) if steps.mean() > 1e-6 else 1.0


def diversity(
    pipeline: Pipeline,
    texts: Texts,
    network: FeatureNetwork,
    seed: int = 0,
    emphasis: float = EMPHASIS,
) -> dict[str, dict[str, Score]]:
    """Spread among eight pictures of each of eight captions → measure → column → score.

    "over_z" redraws z with ε = 0; "over_epsilon" redraws both stages' ε with z fixed (Fig. 7).
    Each by features (pairwise_distance) and by pixels (deviation). Samples are captions.
    """
    config, found = pipeline.config, {}
    seeds = latents.seeds_from(seed, SEEDS)

    def over_z() -> Noise:
        return Noise(latents.noise(seeds, config.noise_dim))

    def over_epsilon() -> Noise:
        z = latents.noise(seeds[:1] * SEEDS, config.noise_dim)
        streams = ("epsilon1", "epsilon2")
        return Noise(z, *(latents.noise(seeds, config.condition_dim, s) for s in streams))

    for name, noise in (("over_z", over_z), ("over_epsilon", over_epsilon)):
        values = _measured(
            [texts.embeddings[i].expand(SEEDS, -1) for i in range(min(CAPTIONS, texts.distinct))],
            lambda embeddings, noise=noise: draw(pipeline, embeddings, noise(), emphasis),
            {
                f"diversity_{name}": lambda images: pairwise_distance(network(images)),
                f"diversity_{name}_pixels": deviation,
            },
            f"diversity {name.replace('_', ' ')}",
        )
        found |= values
    return found


def smoothness(
    pipeline: Pipeline,
    texts: Texts,
    network: FeatureNetwork,
    seed: int = 0,
    emphasis: float = EMPHASIS,
) -> dict[str, dict[str, Score]]:
    """Largest over mean step from one sentence to another, z fixed (Fig. 8). Samples are ways."""
    if texts.distinct < 2:
        return {STEP_RATIO: {"pictures": missing("fewer than two captions")}}
    seed %= latents.MAX_SEED + 1
    ends = texts.embeddings[: 2 * min(PATHS, texts.distinct // 2)].split(2)
    z = latents.noise([seed] * FRAMES, pipeline.config.noise_dim)
    ways = [
        torch.stack([latents.lerp(a, b, t) for t in torch.linspace(0, 1, FRAMES)]) for a, b in ends
    ]
    return _measured(
        ways,
        lambda embeddings: draw(pipeline, embeddings, Noise(z), emphasis),
        {STEP_RATIO: lambda images: step_ratio(network(images))},
        "interpolation",
    )


def _measured(
    sets: list[Tensor],
    draw_set: Callable[[Tensor], Drawn],
    measures: dict[str, Callable[[Tensor], float]],
    label: str,
) -> dict[str, dict[str, Score]]:
    """The mean of each measure over sets of pictures, a column a stage."""
    values: dict[str, dict[str, list[float]]] = {name: {} for name in measures}
    for embeddings in tqdm(sets, desc=label, unit="set", disable=None):
        for column, images in draw_set(embeddings).items():
            images = brought_to_size(images)
            for name, measure in measures.items():
                values[name].setdefault(column, []).append(measure(images))
    return {
        name: {column: mean_score(torch.tensor(v)) for column, v in columns.items()}
        for name, columns in values.items()
    }
