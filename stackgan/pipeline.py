"""Captions → pictures: the encoder, the two generators and the device behind a few functions.

    inputs = pipeline.prepare("a red flower", seeds=[1, 2, 3])
    sketches = pipeline.sketch(inputs)
    images = pipeline.refine(sketches, inputs)

`generate` and `interpolate` do all of it.
"""

from __future__ import annotations

import logging
import numbers
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stackgan import latents
from stackgan.features import INPUT_SIZE, FeatureNetwork, lite_is_installed, load_lite
from stackgan.images import to_pictures
from stackgan.known import KnownCaptions
from stackgan.latents import EMPHASIS, Noise
from stackgan.model import KNOWN, SCORER, StackGAN, checkpoint_name
from stackgan.paths import MAX_SENTENCES, along, positions
from stackgan.ranking import Ranker, Scorer
from stackgan.runtime import load_engine
from stackgan.text import SentenceEncoder, clean_caption, load_encoder

BATCH = 8  # pictures at a time: bounds memory, and larger batches are no faster on a CPU
MAX_FRAMES = 240
log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # called with (pictures done, pictures in all)


@dataclass(frozen=True)
class Inputs:
    """What N pictures are made of, before any is drawn."""

    embeddings: Tensor  # (N, E), as the encoder gives them
    noise: Noise
    captions: list[str]  # N sentences; along an interpolation, its two to five
    settings: list[dict]  # N records that reproduce each picture
    emphasis: float = 1.0  # how far from the mean caption the generators read them, see latents

    def __len__(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True)
class StackGANOutput:
    """Pictures of both stages, tensors in [−1, 1], and the settings that reproduce each."""

    sketches: Tensor  # (N, 3, H₀, W₀), 64 × 64 unless the config says otherwise
    images: Tensor  # (N, 3, H, W), 256 × 256; of a one-stage model, its own pictures again
    settings: list[dict]

    def sketch_pictures(self) -> list[Image.Image]:
        return to_pictures(self.sketches)

    def pictures(self) -> list[Image.Image]:
        return to_pictures(self.images)


class Pipeline:
    """A trained StackGAN ready to draw; see the module's docstring."""

    def __init__(
        self,
        model: StackGAN,
        encoder: Callable[[Sequence[str]], Tensor] | None = None,
        *,
        device: torch.device | str | None = None,
        engine: str = "auto",
        name: str = "",
    ):
        """`encoder`: list of captions → (N, E); the one that the config names unless given.

        `device`: "cpu", "cuda", …; CUDA's where there is one unless given. `engine`: see
        stackgan.runtime. `name`: what the settings of a picture call this checkpoint.
        """
        self.config = model.config
        self.name = name
        self._companions = model.companions
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.encoder = encoder or load_encoder(self.config.encoder, self.config.embedding_dim)
        self._embedding_norm = model.embedding_norm
        self._readers = [
            stage.conditioning
            for stage in (model.stage1, model.stage2)
            if stage is not None and stage.conditioning is not None
        ]
        self.engine = load_engine(model, engine, self.device)

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path = "flowers",
        *,
        encoder: Callable[[Sequence[str]], Tensor] | None = None,
        device: torch.device | str | None = None,
        engine: str = "auto",
        **hub,
    ) -> Pipeline:
        """Load a bundled checkpoint, a folder or a Hub repository (see StackGAN.from_pretrained)."""
        model = StackGAN.from_pretrained(checkpoint, **hub)
        name = checkpoint_name(checkpoint)
        return cls(model, encoder, device=device, engine=engine, name=name)

    @cached_property
    def known(self) -> KnownCaptions | None:
        """What the checkpoint was trained on; None where it brings no such file, or a damaged one."""
        if KNOWN not in self._companions:
            return None
        try:
            known = KnownCaptions.load(self._companions[KNOWN])
            if known.embedding_dim != self.config.embedding_dim:
                raise ValueError(
                    f"{self._companions[KNOWN]} holds embeddings of {known.embedding_dim} numbers, "
                    f"the checkpoint reads {self.config.embedding_dim}"
                )
        except ValueError as error:
            log.warning("going on without known captions: %s", error)
            return None
        return known

    @property
    def can_rank(self) -> bool:
        """Whether `score` works: the checkpoint brings a scorer, and its network is installed."""
        return self._scorer is not None and lite_is_installed(self._scorer.about["features"])

    def score(self, images: Tensor, inputs: Inputs) -> Tensor:
        """How good pictures (N, 3, H, W) in [−1, 1] of N inputs are: (N,), higher is better.

        Like photographs and fitting their captions, see stackgan.ranking: comparable between pictures
        of one caption, and between captions only roughly. Raises ValueError where the checkpoint
        brings no sound scorer, or N differ.
        """
        if not self.can_rank:
            raise ValueError(
                f"pictures of {self.name or 'this checkpoint'} cannot be ranked: it brings no "
                "usable scorer, or EfficientNet-Lite0 is not installed"
            )
        if len(images) != len(inputs):
            raise ValueError(f"{len(images)} pictures do not pair off with {len(inputs)} captions")
        return _in_batches(
            len(inputs), lambda rows: self._ranker(images[rows], inputs.embeddings[rows]), None
        )

    @cached_property
    def _scorer(self) -> Scorer | None:
        if SCORER not in self._companions:
            return None
        path = self._companions[SCORER]
        try:
            scorer = Scorer.load(path)
            scorer.check_encoder(self.config.encoder, self.config.embedding_dim, path)
            if scorer.about["features"] not in INPUT_SIZE:
                raise ValueError(
                    f"{path} reads features of {scorer.about['features']!r}, unknown here"
                )
        except ValueError as error:
            log.warning("going on without a scorer: %s", error)
            return None
        return scorer

    @cached_property
    def _ranker(self) -> Ranker:
        return Ranker(self._scorer, _feature_network(self._scorer.about["features"], self.device))

    def warm(self) -> None:
        """Load what is otherwise loaded at the first sentence and at the first ranking."""
        if isinstance(self.encoder, SentenceEncoder):
            self.encoder.warm()  # in the background
        if self.can_rank:
            self._ranker  # noqa: B018

    def prepare(
        self,
        captions: str | Sequence[str],
        seeds: int | Sequence[int] | None = None,
        *,
        epsilon_seeds: int | Sequence[int | None] | None = None,
        truncation: float = 1.0,
        emphasis: float = EMPHASIS,
    ) -> Inputs:
        """Captions and seeds → inputs of N pictures.

        One caption goes with any number of seeds and one seed with any number of captions;
        otherwise they pair off. `seeds=None` draws a fresh one for each caption. `epsilon_seeds`
        redraw ε of Conditioning Augmentation; None, or a None among them, holds it at 0: ĉ = μ.
        `truncation` scales z, 0 to 1.5, and `emphasis` what sets a caption apart from the mean one,
        0 to 2 (see latents.emphasise). Raises ValueError in words for the person who typed.
        """
        captions = [captions] if isinstance(captions, str | None) else list(captions)
        captions = [clean_caption(caption) for caption in captions]
        if not captions:
            raise ValueError("there is no caption: describe the picture in a sentence")
        if seeds is None:
            seeds = [random.randrange(latents.MAX_SEED + 1) for _ in captions]
        seeds = _checked(seeds)
        epsilon_seeds = [None] if epsilon_seeds is None else _checked(epsilon_seeds)
        count = max(len(captions), len(seeds), len(epsilon_seeds))
        captions, seeds, epsilon_seeds = (
            _broadcast(values, count, what)
            for values, what in (
                (captions, "captions"),
                (seeds, "seeds"),
                (epsilon_seeds, "epsilon_seeds"),
            )
        )
        settings = [
            self._settings(
                caption=c, seed=s, epsilon_seed=e, truncation=truncation, emphasis=emphasis
            )
            for c, s, e in zip(captions, seeds, epsilon_seeds, strict=True)
        ]
        noise = self._noise(seeds, epsilon_seeds, truncation)
        latents.check_emphasis(emphasis)
        return Inputs(self.encoder(captions), noise, captions, settings, emphasis)

    def prepare_path(
        self,
        captions: Sequence[str],
        frames: int = 9,
        *,
        seed: int | Sequence[int] | None = None,
        epsilon_seed: int | None = None,
        truncation: float = 1.0,
        emphasis: float = EMPHASIS,
        spherical: bool = False,
        at: Sequence[float] | None = None,
    ) -> Inputs:
        """Inputs along the way through two to five sentences' embeddings, each of them included.

        `seed=None` is z = 0, as in the paper's Fig. 8; one seed holds its z; several lie evenly on
        the way, as the sentences do, and z travels from one to the next along the arc. The
        sentences' way is straight, as in the paper, or `spherical`. `at`: positions from 0 to 1
        along the whole way instead of `frames` of them. Raises ValueError in words.
        """
        captions = _clean_path(captions)
        if at is None:
            if frames != int(frames) or not len(captions) <= frames <= MAX_FRAMES:
                raise ValueError(
                    f"frames through {len(captions)} sentences are from {len(captions)} to "
                    f"{MAX_FRAMES}, not {frames}"
                )
            at = positions(frames, len(captions))
        if not len(at) or any(not 0 <= t <= 1 for t in at):
            raise ValueError(f"positions are numbers from 0 to 1, not {list(at)}")
        latents.check_emphasis(emphasis)
        seeds = [0] if seed is None else _checked(seed)
        if not seeds:
            raise ValueError("there is no seed: give one, several, or None for z = 0")
        if epsilon_seed is not None:
            epsilon_seed = latents.check_seed(epsilon_seed)
        stops = self._noise(seeds, [epsilon_seed] * len(seeds), truncation)
        z = torch.zeros_like(stops.z) if seed is None else stops.z
        noise = Noise(
            along(z, at, spherical=True),
            *(
                None if epsilon is None else epsilon[:1].expand(len(at), -1)
                for epsilon in (stops.epsilon1, stops.epsilon2)
            ),
        )
        settings = [
            self._settings(
                captions=captions,
                position=round(t, 6),
                spherical=spherical,
                seed=None if seed is None else seeds if len(seeds) > 1 else seeds[0],
                epsilon_seed=epsilon_seed,
                truncation=truncation,
                emphasis=emphasis,
            )
            for t in at
        ]
        embeddings = along(self.encoder(captions), at, spherical)
        return Inputs(embeddings, noise, captions, settings, emphasis)

    def sketch(self, inputs: Inputs, progress: Progress | None = None) -> Tensor:
        """Stage-I: N inputs → sketches (N, 3, H₀, W₀) in [−1, 1], on the CPU."""
        embeddings = self._emphasised(inputs)
        return _in_batches(
            len(inputs),
            lambda rows: self.engine.sketch(
                embeddings[rows], inputs.noise[rows].z, inputs.noise[rows].epsilon1
            ),
            progress,
        )

    def refine(self, sketches: Tensor, inputs: Inputs, progress: Progress | None = None) -> Tensor:
        """Stage-II: sketches (N, 3, H₀, W₀) and their inputs → pictures (N, 3, H, W).

        A model of one stage has nothing to refine: its sketches are its pictures.
        """
        if self.config.stages == 1:
            return sketches
        embeddings = self._emphasised(inputs)
        return _in_batches(
            len(inputs),
            lambda rows: self.engine.refine(
                sketches[rows], embeddings[rows], inputs.noise[rows].epsilon2
            ),
            progress,
        )

    @torch.inference_mode()
    def conditioning(self, inputs: Inputs) -> list[tuple[Tensor, Tensor]]:
        """μ and σ, (N, N_g) each, that Stage-I and, where it reads text, Stage-II make of N inputs."""
        embeddings = self._emphasised(inputs).to(self._embedding_norm.mean.device)
        embeddings = self._embedding_norm(embeddings)
        read = [reader.statistics(embeddings) for reader in self._readers]
        return [(mu.cpu(), torch.exp(0.5 * log_variance).cpu()) for mu, log_variance in read]

    def without_words(self, inputs: Inputs) -> Inputs:
        """The same noise with the mean of all training captions in place of each sentence."""
        return replace(inputs, emphasis=0.0)

    def generate(
        self,
        captions: str | Sequence[str],
        seeds: int | Sequence[int] | None = None,
        *,
        epsilon_seeds: int | Sequence[int | None] | None = None,
        truncation: float = 1.0,
        emphasis: float = EMPHASIS,
        progress: Progress | None = None,
    ) -> StackGANOutput:
        """Pictures of captions; the parameters are those of `prepare`."""
        inputs = self.prepare(
            captions,
            seeds,
            epsilon_seeds=epsilon_seeds,
            truncation=truncation,
            emphasis=emphasis,
        )
        return self._draw(inputs, progress)

    def interpolate(
        self,
        first: str | Sequence[str],
        second: str | None = None,
        frames: int = 9,
        *,
        progress: Progress | None = None,
        **settings,
    ) -> StackGANOutput:
        """Pictures on the way from one sentence to another, or through a list of up to five.

        interpolate("a red flower", "a blue one", 17), or interpolate([a, b, c], frames=17);
        settings are those of `prepare_path`.
        """
        captions = [first] if isinstance(first, str) else list(first)
        captions += [] if second is None else [second]
        return self._draw(self.prepare_path(captions, frames, **settings), progress)

    def _draw(self, inputs: Inputs, progress: Progress | None) -> StackGANOutput:
        sketches = self.sketch(inputs, progress if self.config.stages == 1 else None)
        return StackGANOutput(sketches, self.refine(sketches, inputs, progress), inputs.settings)

    def _emphasised(self, inputs: Inputs) -> Tensor:
        """As the generators are to read them, (N, E)."""
        mean = self._embedding_norm.mean.to(inputs.embeddings.device)
        return latents.emphasise(inputs.embeddings, mean, inputs.emphasis)

    def _noise(self, seeds: list[int], epsilon_seeds: list[int | None], truncation: float) -> Noise:
        z = latents.truncate(latents.noise(seeds, self.config.noise_dim), truncation)
        if all(seed is None for seed in epsilon_seeds):
            return Noise(z)
        epsilons = []
        for stream in ("epsilon1", "epsilon2"):
            rows = latents.noise([s or 0 for s in epsilon_seeds], self.config.condition_dim, stream)
            held = torch.tensor([s is None for s in epsilon_seeds])
            epsilons.append(rows.masked_fill(held[:, None], 0.0))
        return Noise(z, *epsilons)

    def _settings(self, **settings) -> dict:
        return {**settings, "checkpoint": self.name}


@cache
def _feature_network(name: str, device: torch.device) -> FeatureNetwork:
    """Frozen, so checkpoints share it."""
    return load_lite(name, device)


def _in_batches(count: int, draw: Callable[[slice], Tensor], progress: Progress | None) -> Tensor:
    parts = []
    for start in range(0, count, BATCH):
        parts.append(draw(slice(start, start + BATCH)))
        if progress:
            progress(min(start + BATCH, count), count)
    return torch.cat(parts)


def _clean_path(captions: Sequence[str]) -> list[str]:
    if isinstance(captions, str) or not 2 <= len(captions) <= MAX_SENTENCES:
        raise ValueError(f"a path goes through 2 to {MAX_SENTENCES} sentences")
    cleaned = []
    for i, caption in enumerate(captions, 1):
        try:
            cleaned.append(clean_caption(caption))
        except ValueError as error:
            raise ValueError(f"sentence {i}: {error}") from error
    return cleaned


def _checked(seeds: int | Sequence[int | None]) -> list[int | None]:
    """One seed or several → a list of them; None, which is ε = 0, stays."""
    several = [seeds] if isinstance(seeds, numbers.Number) else seeds
    return [None if seed is None else latents.check_seed(seed) for seed in several]


def _broadcast(values: list, count: int, what: str) -> list:
    if len(values) not in (1, count):
        wanted = "1" if count == 1 else f"1 or {count}"
        raise ValueError(
            f"{len(values)} {what} do not pair off with {count} picture(s): give {wanted}"
        )
    return values * count if len(values) == 1 else values
