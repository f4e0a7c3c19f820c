"""One GAN loop for both stages: steps, moving average, snapshots, resume.

A stage (train.stage1, train.stage2) says what is drawn from a batch; a Recipe says how it is
judged and optimised; the loop does the rest. Everything random in step k comes from generators
seeded with (run's seed, k), so a run resumed at step k goes on as the unbroken one would have (on a
GPU to rounding).
"""

from __future__ import annotations

import copy
import json
import math
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrize
from tqdm import tqdm

from stackgan.conditioning import kl_divergence
from stackgan.config import StackGANConfig
from stackgan.devices import to_device
from stackgan.discriminators import FeatureDiscriminator, MatchingDiscriminator
from stackgan.features import EfficientNetLite
from stackgan.model import StackGAN
from stackgan.ranking import Scorer
from train.augment import augment, draw_changes, draw_warps
from train.capture import CapturedStep
from train.data import PhotoData, draw_noise, random_stream
from train.ema import ema_update, measure_statistics
from train.files import save_model, write_atomically
from train.losses import AdversarialLoss
from train.machine import choose_precision, hardware
from train.matching import learn_matcher, matcher_of, matching_loss
from train.recipes import Recipe
from train.state import STATE_FORMAT, load_state
from train.stats import Stats
from train.stitch import draw_stitches, stitch
from train.towers import AMONG

WELL_NORMALISED = 8  # photos of a process, of which BatchNorm takes mean and deviation
# Told of each step.
TERMS = ("d_loss", "g_loss", "kl", "distance", "matching", "real", "mismatched", "fake", "stitched")


class Inputs(NamedTuple):
    """What differs from step to step: photos and captions, and what else is drawn by chance."""

    photos: Tensor  # (N, 3, S, S) in [−1, 1], channels last
    embeddings: Tensor  # (N, E), as the encoder gave them
    mismatched: Tensor  # (N, E), those of other photos
    noise: Tensor  # (N, sum of the stage's noise_dims) ~ N(0, I)
    changes: Tensor  # (2N, 5): how the drawn pictures, and then the photos, are augmented
    corners: Tensor  # (2N, 2): where D takes its crops of them
    warps: Tensor  # (2N, 2, 3): how they are zoomed and turned before
    stitches: Tensor  # (N // 2, 13): how photographs are put together wrongly
    weight: Tensor  # scalar, of the adversarial term: another at each step of a ramp


class Drawn(NamedTuple):
    """What a stage made of a batch."""

    pictures: Tensor  # (N, 3, S, S) in [−1, 1]
    embeddings: Tensor  # (N, E), standardised: what each was drawn from
    mu: Tensor  # (N, N_g)
    log_variance: Tensor  # (N, N_g)
    other_terms: Tensor  # scalar: further terms of G's loss, already weighted


class Stage(Protocol):
    """What differs between Stage-I and Stage-II."""

    name: str
    recipe: Recipe
    resolution: int
    noise_dims: tuple[int, ...]  # of the vectors ~ N(0, I) that a picture is drawn from

    def trainee(self, model: StackGAN) -> nn.Module:
        """The generator that learns."""

    def draw(self, model: StackGAN, embeddings: Tensor, photos: Tensor, noise: Tensor) -> Drawn:
        """Pictures for standardised embeddings (N, E), from noise (N, sum of noise_dims)."""

    def samples(self, model: StackGAN, embeddings: Tensor, seeds: list[int]) -> Image.Image:
        """A sample grid for standardised embeddings, drawn in eval mode."""


class Trainer:
    """A run: its networks, its optimizers and its folder `out`."""

    def __init__(
        self,
        stage: Stage,
        model: StackGAN,
        recipe: Recipe,
        data_folder: str | Path,
        out: str | Path,
        *,
        seed: int = 0,
        precision: str = "auto",
        features: nn.Module | None = None,
        settings: dict | None = None,
    ):
        """`features`: the frozen network under the discriminator, loaded here unless given.

        `settings`: what else config.json should say of this run.
        """
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.device = self.accelerator.device
        if self.device.type == "cuda":
            # The fastest kernel for each shape, tried once: all shapes stay the same.
            torch.backends.cudnn.benchmark = True
        self.rank, self.processes = self.accelerator.process_index, self.accelerator.num_processes
        if recipe.batch % self.processes:
            raise ValueError(
                f"batch {recipe.batch} does not divide among {self.processes} processes"
            )
        if recipe.batch // self.processes < 2:
            raise ValueError(
                f"--batch {recipe.batch}: BatchNorm needs two photos or more in each of "
                f"{self.processes} process(es)"
            )
        share = recipe.batch // self.processes
        if self.rank == 0 and self.processes > 1 and share < WELL_NORMALISED:
            print(
                f"BatchNorm sees the {share} photos of a process at a time: more are steadier, give "
                f"--batch {WELL_NORMALISED * self.processes}"
            )
        self.stage, self.recipe, self.seed = stage, recipe, seed
        self.out = Path(out)
        self.precision = choose_precision(self.device) if precision == "auto" else precision
        self.data = PhotoData(data_folder, stage.resolution, self.device, recipe.name_share)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.generator = stage.trainee(self.model)
        self.discriminator = self._make_discriminator(model.config, features)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.loss = AdversarialLoss(recipe.loss)
        self.matcher: Scorer | None = None  # learned at the first step that needs it
        self.g_optimizer = self._adam(self.generator)
        self.d_optimizer = self._adam(self.discriminator)
        self.step, self.images, self.seconds = 0, 0, 0.0
        self.settings = settings or {}
        self.stats = Stats(self.out)
        # Of several processes no step can be captured: they talk to each other amid it.
        alone_on_a_gpu = self.device.type == "cuda" and self.processes == 1
        self.captured = CapturedStep() if alone_on_a_gpu else None
        self._stop = False

    # ── one step ────────────────────────────────────────────────────────────────────────────────

    def train_step(self) -> None:
        """Equations 3–6 once: D learns from a batch, then G from what the new D thinks.

        During the recipe's `head_start` only D learns.
        """
        recipe = self.recipe
        self._learn_matcher()
        inputs = self._next_inputs()
        rate = recipe.rate(self.images / len(self.data.train))
        learns = self.images >= recipe.head_start
        if self.captured:
            terms = self.captured(self._learn_from, inputs, rate, learns)
        else:
            terms = self._learn_from(inputs, rate, learns)
        self.step += 1
        self.images += recipe.batch
        if learns:
            ema_update(self.average, self.model, recipe.ema_decay(self.images))
        self.stats.note(TERMS, terms)

    def _next_inputs(self) -> Inputs:
        """This process's part of the step's batch, and all else that is drawn by chance."""
        recipe, share = self.recipe, self.recipe.batch // self.processes
        part = recipe.batch, self.seed, self.rank, self.processes
        batch = self.data.batch(self.step, *part, start=self.images)
        self.data.expect(self.images + recipe.batch, *part)
        noise = draw_noise(recipe.batch, self.stage.noise_dims, self.seed, self.step)
        local = random_stream(self.seed, self.step, "augment", self.rank)
        changes = draw_changes(2 * share, self.stage.resolution, local)
        corners = self.discriminator.draw_corners(2 * share, local)
        warps = draw_warps(2 * share, recipe.warp_share, local)
        stitches = draw_stitches(share // 2, local)
        return Inputs(
            batch.photos.contiguous(memory_format=torch.channels_last),
            batch.embeddings,
            batch.mismatched,
            to_device(noise[self.rank * share : (self.rank + 1) * share], self.device),
            to_device(changes, self.device),
            to_device(corners, self.device),
            to_device(warps, self.device),
            to_device(stitches, self.device),
            to_device(torch.tensor(recipe.adversarial_weight(self.images)), self.device),
        )

    def _learn_from(self, inputs: Inputs, rate: float, learns: bool) -> Tensor:
        """The step itself, which leaves the host out of it: TERMS, (K,).

        rate: the learning rate. learns: whether G does.
        """
        recipe, photos = self.recipe, inputs.photos
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = rate
        norm = self.model.embedding_norm
        embeddings, mismatched = norm(inputs.embeddings), norm(inputs.mismatched)
        changes, corners = inputs.changes.chunk(2), inputs.corners.chunk(2)
        warps = inputs.warps.chunk(2)

        # D's weights are normalised once for real, mismatched and fake.
        with self._autocast(), parametrize.cached():
            with torch.set_grad_enabled(learns):
                drawn = self.stage.draw(self.model, embeddings, photos, inputs.noise)
                fakes = self._seen(drawn.pictures, changes[0], warps[0])
                # Frozen features stay true after D's step, so D and G share one pass through them.
                frozen_encoder = self.discriminator.encoder_is_frozen
                if self.matcher:
                    fake_features, summary = self.discriminator.encode_with_summary(
                        fakes, corners[0]
                    )
                elif frozen_encoder:
                    fake_features = self.discriminator.encode(fakes, corners[0])
            if frozen_encoder:
                seen_by_d = [f.detach() for f in fake_features]
            else:
                seen_by_d = self.discriminator.encode(fakes.detach(), corners[0])
            # A photo's features are computed once, for its own words and for another's.
            seen_photos = self._seen(photos, changes[1], warps[1])
            real_features = self.discriminator.encode(seen_photos, corners[1])
            real, wrong = self.discriminator.score_both(real_features, embeddings, mismatched)
            fake = self.discriminator.score(seen_by_d, drawn.embeddings)
            d_loss = self.loss.discriminator(real, wrong, fake)
            if recipe.stitch_weight:
                # Heads of crops read no text, and see what may be of one piece.
                stitched = self._score_stitched(inputs, embeddings)[: len(wrong)]
                d_loss = d_loss + recipe.stitch_weight * self.loss.drawn(stitched)
        self._learn(self.discriminator, self.d_optimizer, d_loss)

        with frozen(self.discriminator), self._autocast(), torch.set_grad_enabled(learns):
            if not frozen_encoder:
                fake_features = self.discriminator.encode(fakes, corners[0])
            logits = self.discriminator.score(fake_features, drawn.embeddings)
            adversarial = self.loss.generator(logits)
            kl = (
                kl_divergence(drawn.mu, drawn.log_variance)
                if self.model.config.conditioning_augmentation
                else adversarial.new_zeros(())
            )
            matching = adversarial.new_zeros(())
            if self.matcher:
                matching = matching_loss(self.matcher, summary, drawn.embeddings, mismatched)
            g_loss = (
                inputs.weight * adversarial
                + recipe.kl_weight * kl
                + recipe.matching_weight * matching
                + drawn.other_terms
            )
        # Outside of autocast, which would round to bf16 the gradients of terms that are in float32.
        if learns:
            self._learn(self.generator, self.g_optimizer, g_loss)
        logits = (_mean_logit(part) for part in (real, wrong, fake))
        of_stitched = _mean_logit(stitched) if recipe.stitch_weight else d_loss.new_zeros(())
        terms = (d_loss, adversarial, kl, drawn.other_terms, matching, *logits, of_stitched)
        return torch.stack([term.detach().float() for term in terms])

    def _learn(self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.processes > 1:
            # One flat message instead of a wrapper around each network: G and D are called in
            # parts here (encode, score), which the wrappers' hooks do not follow.
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            flat = torch.cat([g.flatten() for g in gradients])
            flat = self.accelerator.reduce(flat, reduction="mean")
            for gradient, part in zip(
                gradients, flat.split([g.numel() for g in gradients]), strict=True
            ):
                gradient.copy_(part.view_as(gradient))
        optimizer.step()

    def _score_stitched(self, inputs: Inputs, embeddings: Tensor) -> list[Tensor]:
        """D's logits of every second photograph, put together wrongly with the help of the rest."""
        n = len(inputs.stitches)
        pictures = stitch(inputs.photos[:n], inputs.photos[-n:], inputs.stitches)
        changes, warps, corners = (
            drawn.chunk(2)[1][:n] for drawn in (inputs.changes, inputs.warps, inputs.corners)
        )
        features = self.discriminator.encode(self._seen(pictures, changes, warps), corners)
        return self.discriminator.score(features, embeddings[:n])

    def _seen(self, images: Tensor, changes: Tensor, warps: Tensor) -> Tensor:
        """Pictures as D is shown them."""
        if not self.recipe.augment:
            return images
        return augment(images, changes, warps if self.recipe.warp_share else None)

    def _learn_matcher(self) -> None:
        """Give the matching term its towers, where it counts and has none yet."""
        if self.matcher or not self.recipe.matching_weight:
            return
        seen_by = self.discriminator, self.data, self.model.embedding_norm, self.recipe
        self.matcher, rate = learn_matcher(*seen_by, self._autocast(), seed=self.seed)
        if self.rank == 0:
            tqdm.write(
                "matching term: of photographs kept aside, a photograph's own caption ranks first "
                f"among at most {AMONG} in {rate:.3f}"
            )

    def _autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _make_discriminator(self, config: StackGANConfig, features: nn.Module | None) -> nn.Module:
        resolution = self.stage.resolution
        d = make_discriminator(self.recipe, config, resolution, self.device, features)
        if isinstance(d, FeatureDiscriminator):
            d.calibrate(self.data.batch(0, min(64, len(self.data.train)), self.seed).photos)
        return d

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(
            [p for p in network.parameters() if p.requires_grad],
            lr=self.recipe.learning_rate,
            betas=(self.recipe.beta1, self.recipe.beta2),
            fused=True,
            capturable=self.device.type == "cuda",
        )

    # ── the run ─────────────────────────────────────────────────────────────────────────────────

    def run(
        self,
        *,
        images: int | None = None,
        minutes: float | None = None,
        tick: int = 2_048,
        snapshot_minutes: float = 5.0,
        tensorboard: bool = False,
    ) -> None:
        """Train until `images` have been seen in all (the recipe's epochs unless given).

        `minutes` ends this call sooner. A line of stats every `tick` images; a snapshot (grid,
        weights, state) every `snapshot_minutes`, at the end, and when interrupted.
        """
        total = images or self.recipe.epochs * len(self.data.train)
        if self.images >= total and self.rank == 0:
            print(
                f"{self.out} has seen {self.images} images, as many as it was to see; --images N goes on"
            )
        if tensorboard and self.rank == 0:
            self.stats.open_tensorboard()
        if self.images < total:
            self._note_hardware()
        bar = tqdm(
            total=total,
            initial=self.images,
            unit="img",
            unit_scale=True,
            disable=None if self.rank == 0 else True,
            smoothing=0.05,
        )
        started = time.monotonic()
        tick_images = self.images
        self._write_config()
        if self.rank == 0:
            self.stats.drop_after(self.images)
        if self.images < total:
            self._learn_matcher()  # takes minutes: Ctrl-C ends them at once, for nothing is lost
        last_tick = last_snapshot = time.monotonic()
        self.seconds += last_tick - started
        with self._interruptible():
            while self.images < total:
                self.train_step()
                bar.update(self.recipe.batch)
                now = time.monotonic()
                stop = self._stop or bool(minutes and now - started > 60 * minutes)
                stop, due = self._agree(stop, now - last_snapshot > 60 * snapshot_minutes)
                done = stop or self.images >= total
                if self.images - tick_images >= tick or done:
                    terms = self.stats.take()  # waits for a GPU, whose time counts
                    now = time.monotonic()
                    self.seconds += now - last_tick
                    speed = (self.images - tick_images) / max(now - last_tick, 1e-9)
                    self._tick(terms, speed, total)
                    last_tick, tick_images = time.monotonic(), self.images
                if done or due:
                    self.snapshot()
                    last_snapshot = time.monotonic()
                if done:
                    break
        bar.close()
        self.stats.close()

    def snapshot(self) -> None:
        """Write the sample grid, the averaged weights and the resumable state, each atomically.

        Raises FloatingPointError, and keeps what was written before, when a weight is not finite.
        """
        for network in (self.model, self.average, self.discriminator):
            if not all(p.isfinite().all() for p in network.parameters()):
                raise FloatingPointError(self._not_finite("weights"))
        if self.rank == 0:
            self.measure_statistics()
            # The grid last: whatever it fails at, what was learned is kept.
            save_model(self.average, self.out / "model")
            write_atomically(self.out / "state.pt", lambda path: torch.save(self._state(), path))
            grid = self.samples()
            path = self.out / f"grid-{self.images // 1000:06d}k.png"
            write_atomically(path, lambda path: grid.save(path, format="PNG"))
        self.accelerator.wait_for_everyone()

    def measure_statistics(self) -> None:
        """Give the averaged generator BatchNorm statistics of its own, see train.ema."""
        measure_statistics(
            self.average,
            self.stage,
            self.data,
            seed=self.seed,
            precision=self.precision,
            processes=self.processes,
        )

    def samples(self, count: int = 32):
        """The fixed grid: unseen captions, noise of seeds 0 … count − 1, averaged weights."""
        picks = self.data.grid_captions(count)
        photos = torch.tensor([pick["photo"] for pick in picks])
        embeddings = self.average.embedding_norm(
            self.data.embeddings[photos, 0].float().to(self.device)
        )
        captions = "".join(f"{p['caption']}\n" for p in picks)
        write_atomically(
            self.out / "grid.txt", lambda path: path.write_text(captions, encoding="utf-8")
        )
        with torch.inference_mode():
            return self.stage.samples(self.average, embeddings, list(range(count)))

    def resume(self) -> None:
        """Continue from `out`/state.pt. Raises FileNotFoundError or ValueError with the reason."""
        path = self.out / "state.pt"
        if not path.exists():
            raise FileNotFoundError(f"nothing to resume: {path} does not exist")
        state = load_state(path, self.device)
        try:
            for network in ("model", "average", "discriminator"):
                getattr(self, network).load_state_dict(state[network])
        except RuntimeError as error:
            # torch's text has a line for every tensor; the first says enough.
            first = str(error).splitlines()[:2][-1].strip()
            raise ValueError(f"{path} holds other networks than asked for: {first}") from error
        self.g_optimizer.load_state_dict(state["g_optimizer"])
        self.d_optimizer.load_state_dict(state["d_optimizer"])
        for optimizer in (self.g_optimizer, self.d_optimizer):
            for group in optimizer.param_groups:  # the state brings those that it was saved with
                group["betas"] = (self.recipe.beta1, self.recipe.beta2)
                group["capturable"] = self.device.type == "cuda"
        if self.captured:
            self.captured.forget()  # the optimizers' state is in other memory now
        self.step, self.images, self.seconds = state["step"], state["images"], state["seconds"]
        if self.recipe.matching_weight and state.get("matcher"):  # runs of before have none
            self.matcher = matcher_of(state["matcher"], self.data)

    def _state(self) -> dict:
        return {
            "format": STATE_FORMAT,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "g_optimizer": self.g_optimizer.state_dict(),
            "d_optimizer": self.d_optimizer.state_dict(),
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "matcher": self.matcher.state_dict() if self.matcher else None,
        }

    def _tick(self, terms: dict[str, float], speed: float, total: int) -> None:
        if not all(map(math.isfinite, terms.values())):
            raise FloatingPointError(self._not_finite(f"losses {terms}"))
        if self.rank:
            return
        line = {
            "images": self.images,
            "kimg": round(self.images / 1000, 3),
            "epoch": round(self.images / len(self.data.train), 3),
            "seconds": round(self.seconds, 1),
            "images_per_second": round(speed, 2),
            "learning_rate": self.g_optimizer.param_groups[0]["lr"],
            **{name: round(value, 5) for name, value in terms.items()},
        }
        self.stats.write(line)
        eta = (total - self.images) / max(speed, 1e-9)
        tqdm.write(
            f"{line['kimg']:.1f} kimg  {speed:.1f} img/s  ETA {eta / 3600:.1f} h  "
            + "  ".join(f"{k} {v:.3f}" for k, v in terms.items()),
            file=sys.stdout,
        )
        sys.stdout.flush()

    def _not_finite(self, what: str) -> str:
        sound = (
            f"The last snapshot in {self.out} is sound; resume"
            if (self.out / "state.pt").exists()
            else "Nothing was saved yet; begin again"
        )
        return f"no longer finite at {self.images} images: {what}. {sound} with a lower --learning-rate"

    def _note_hardware(self) -> None:
        """What the run is computed on from here on, after what it was computed on before."""
        here, before = hardware(self.device), self.settings.get("hardware")
        if not before:
            self.settings["hardware"] = here
        elif before.split(", then ")[-1] != here:
            self.settings["hardware"] = f"{before}, then {here}"

    def _write_config(self) -> None:
        if self.rank:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        content = {
            "stage": self.stage.name,
            "config": asdict(self.model.config),
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "data": str(self.data.folder),
            "train_photos": len(self.data.train),
            "data_fingerprint": self.data.fingerprint,
            "precision": self.precision,
            "processes": self.processes,
            "torch": torch.__version__,
            **self.settings,
        }
        write_atomically(
            self.out / "config.json", lambda path: path.write_text(json.dumps(content, indent=2))
        )

    def _agree(self, *wishes: bool) -> list[bool]:
        """What one process wishes, all do: each has a clock and signals of its own.

        Several ask each other in every eighth step, because the answer waits for the device.
        """
        if self.processes == 1:
            return list(wishes)
        if self.step % 8:
            return [False] * len(wishes)
        flags = torch.tensor(wishes, dtype=torch.float32, device=self.device)
        return (self.accelerator.reduce(flags, reduction="sum") > 0).tolist()

    @contextmanager
    def _interruptible(self):
        """Ctrl-C and SIGTERM finish the step, write a snapshot and end the run."""

        def stop(*_):
            self._stop = True

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_discriminator(
    recipe: Recipe,
    config: StackGANConfig,
    resolution: int,
    device: torch.device | str,
    features: nn.Module | None = None,
) -> MatchingDiscriminator | FeatureDiscriminator:
    """The recipe's discriminator for pictures of `resolution` pixels, untrained.

    `features`: the frozen network under it, loaded here unless given. Raises ModuleNotFoundError
    when its weights are not installed.
    """
    if recipe.discriminator == "paper":
        d = MatchingDiscriminator(config, resolution)
    else:
        if features is None:
            features = EfficientNetLite("lite1")
        features = features.to(device, memory_format=torch.channels_last)
        d = FeatureDiscriminator(
            config, resolution, features, recipe.view, growth=recipe.channel_growth
        )
    return d.to(device, memory_format=torch.channels_last)


@contextmanager
def frozen(network: nn.Module):
    """No gradients for the network's parameters inside; they still flow through it."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)


def _mean_logit(logits: list[Tensor]) -> Tensor:
    return torch.stack([x.detach().float().mean() for x in logits]).mean()
