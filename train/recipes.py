"""How to train: the numbers behind `--recipe`, one frozen dataclass, saved with every run.

`paper` is the paper's own method at both stages. `base` keeps its generators and its schedule and
exchanges what judges them; the bundled checkpoints were trained with it, and their cards tell which
of its values were changed on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _value(default, meaning: str):
    """A field of Recipe; `meaning` is what `--help` says of its option."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Recipe:
    """Numbers of one stage's training; unless given, the paper's."""

    discriminator: str = _value(
        "paper", "paper, or features: over a frozen pretrained network, see stackgan.discriminators"
    )
    loss: str = _value("cross-entropy", "cross-entropy or hinge")
    batch: int = _value(64, "photos per step, all processes together")
    epochs: int = _value(600, "passes over the photos, unless --images says when to stop")
    halve_every: int = _value(100, "epochs after which the learning rate is halved; 0: never")
    learning_rate: float = _value(2e-4, "of both networks")
    beta1: float = _value(0.5, "Adam's")
    beta2: float = _value(0.999, "Adam's")
    kl_weight: float = _value(1.0, "weight λ of the KL term, in nats per dimension")
    name_share: float = _value(0.0, "share of captions replaced by the name of the photo's class")
    ema_half_life: int = _value(
        0, "images after which old weights count half in the average; 0: no average"
    )
    ema_ramp: float = _value(0.1, "that half-life is at most this share of the images seen so far")
    # Stabilisers.
    augment: bool = _value(False, "translation and cutout of all that D sees: true or false")
    warp_share: float = _value(0.0, "share of what D sees that is zoomed and turned as well")
    view: int = _value(
        128, "side in pixels at which the frozen network sees pictures: a multiple of 32 from 128"
    )
    channel_growth: int = _value(
        1, "a deeper frozen map is mixed to so many times its neighbour's channels"
    )
    head_start: int = _value(0, "images that D learns from alone before G begins to learn")
    diversity_weight: float = _value(
        0.0, "Stage-I: weight of the mode-seeking term, against pictures that ignore z"
    )
    matching_weight: float = _value(
        0.0, "weight of the matching term: a picture is to fit its own sentence best of a batch's"
    )
    stitch_weight: float = _value(
        0.0, "weight of photographs put together wrongly, which D is to call drawn"
    )
    # Stage-II's warm start on real pairs: a photo shrunk to 64×64 in, the photo itself out.
    pair_share: float = _value(0.0, "Stage-II: share of a batch that is photos shrunk to 64x64")
    pair_weight: float = _value(0.0, "Stage-II: weight of the L1 distance to those photos")
    consistency_weight: float = _value(
        0.0, "Stage-II: weight of |picture - sketch|, both shrunk to 16x16"
    )
    warm_up: int = _value(0, "Stage-II: images before the adversarial term begins")
    ramp: int = _value(0, "Stage-II: images over which it then grows to its full weight")

    def __post_init__(self):
        """Raises ValueError naming the first value that cannot be trained with."""
        checks = {
            "batch": (self.batch >= 1, "is a whole number from 1"),
            "epochs": (self.epochs >= 1, "is a whole number from 1"),
            "halve_every": (self.halve_every >= 0, "is a whole number of epochs from 0"),
            "learning_rate": (self.learning_rate > 0, "is more than 0"),
            "ema_half_life": (self.ema_half_life >= 0, "is a number of images from 0"),
            "ema_ramp": (self.ema_ramp > 0, "is a share of the images seen, more than 0"),
            "channel_growth": (self.channel_growth >= 1, "is a whole number from 1"),
            "matching_weight": (self.matching_weight >= 0, "is a weight from 0"),
            "stitch_weight": (self.stitch_weight >= 0, "is a weight from 0"),
            "name_share": (0 <= self.name_share <= 1, "is a share from 0 to 1"),
            "warp_share": (0 <= self.warp_share <= 1, "is a share from 0 to 1"),
            "pair_share": (0 <= self.pair_share <= 1, "is a share from 0 to 1"),
            "discriminator": (self.discriminator in ("paper", "features"), "is paper or features"),
            "loss": (self.loss in ("cross-entropy", "hinge"), "is cross-entropy or hinge"),
            # So that every map of the frozen network has whole cells.
            "view": (self.view >= 128 and self.view % 32 == 0, "is a multiple of 32 from 128"),
        }
        for name, (fits, wanted) in checks.items():
            if not fits:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} {wanted}, not {getattr(self, name)}")

    def unread(self, stage: int) -> dict[str, str]:
        """Values that have no effect at this stage beside the others, and why."""
        paper = self.discriminator == "paper"
        reasons = {
            "is read by discriminators over frozen features alone": paper
            and ("view", "channel_growth", "matching_weight"),
            "is read by the paper's discriminator alone": not paper and ("discriminator_width",),
            "follows a warm start, and --warm-up is 0": not self.warm_up and ("ramp",),
            "is part of augmentation, and --augment is false": not self.augment and ("warp_share",),
            "slows an average, and --ema-half-life is 0": not self.ema_half_life and ("ema_ramp",),
            "weighs pairs, and --pair-share is 0": not self.pair_share and ("pair_weight",),
            "is Stage-I's": stage != 1 and ("diversity_weight",),
            "is Stage-II's": stage != 2
            and ("pair_share", "pair_weight", "consistency_weight", "warm_up", "ramp"),
        }
        return {name: why for why, names in reasons.items() for name in names or ()}

    def adversarial_weight(self, images: int) -> float:
        """From 0 to 1 over the warm start."""
        return (
            min(1.0, max(0.0, (images - self.warm_up) / max(self.ramp, 1))) if self.warm_up else 1.0
        )

    def ema_decay(self, images: int) -> float:
        """What a step leaves of the averaged weights, after so many images; 0 without an average."""
        if not self.ema_half_life:
            return 0.0
        # Early on the average must not remember the random start.
        half_life = min(self.ema_half_life, self.ema_ramp * images)
        return 0.5 ** (self.batch / half_life)

    def rate(self, epoch: float) -> float:
        """The learning rate in force at an epoch."""
        halvings = int(epoch / self.halve_every) if self.halve_every else 0
        return self.learning_rate * 0.5**halvings


_FEATURES = {
    "discriminator": "features",
    "loss": "hinge",
    "beta1": 0.0,
    "beta2": 0.99,
    # Epochs of a few photographs are so short that halvings would end a run before it has learned.
    "halve_every": 0,
    "ema_half_life": 50_000,
    "augment": True,
    "channel_growth": 2,
}

RECIPES: dict[tuple[str, int], Recipe] = {
    ("paper", 1): Recipe(),
    ("paper", 2): Recipe(),
    ("base", 1): Recipe(**_FEATURES, diversity_weight=0.1),
    ("base", 2): Recipe(
        **_FEATURES,
        batch=16,
        learning_rate=5e-4,
        kl_weight=0.2,
        pair_share=0.5,
        pair_weight=10.0,
        consistency_weight=10.0,
        warm_up=4_000,
        ramp=4_000,
    ),
}

# What may be changed from the command line: --learning-rate 1e-4, --augment false, …
RECIPE_OPTIONS = {value.name: type(value.default) for value in fields(Recipe)}
RECIPE_HELP = {value.name: value.metadata["help"] for value in fields(Recipe)}
# … and of a size's values: --stage2-width 32, …
SIZE_OPTIONS = ("stage1_width", "stage2_width", "discriminator_width", "resolution")


def size_options(stage: int) -> tuple[str, ...]:
    """Those that a run of Stage-I, 1, or Stage-II, 2, settles: not the other stage's width."""
    return tuple(name for name in SIZE_OPTIONS if name != f"stage{3 - stage}_width")
