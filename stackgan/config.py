"""The one argument of every network here, saved beside the weights as `config.json`."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StackGANConfig:
    """Dimensions and switches of a StackGAN; symbols in brackets are those of Zhang et al. 2017.

    Two stages draw `resolution` from a 64×64 sketch. With `stages=1` Stage-I stands alone and draws
    `resolution` itself, as in the first rows of the paper's Table 2.
    """

    encoder: str = "all-MiniLM-L6-v2"  # sentence encoder, see stackgan.text.load_encoder
    embedding_dim: int = 384  # length E of one sentence embedding φ_t
    condition_dim: int = 128  # [N_g] length of ĉ
    noise_dim: int = 100  # [N_z] length of z
    stage1_width: int = 64  # g: Stage-I starts from 8g channels
    stage2_width: int = 64  # g: Stage-II's residual blocks have 4g channels
    resolution: int = 256  # [W = H] of the finished picture
    stages: int = 2
    conditioning_augmentation: bool = True  # off: ĉ = μ, no σ, no ε, no KL term
    text_in_stage2: bool = True  # off: the "no text twice" row of Table 2
    discriminator_width: int = 64  # d: channels after the first down-sampling block
    discriminator_text_dim: int = 128  # [N_d] length of the text compressed for D

    def __post_init__(self):
        allowed = {1: (64, 128, 256), 2: (128, 256)}
        if self.stages not in allowed:
            raise ValueError(f"stages must be 1 or 2, not {self.stages!r}")
        if self.resolution not in allowed[self.stages]:
            raise ValueError(
                f"a {self.stages}-stage StackGAN draws {allowed[self.stages]} pixels, "
                f"not resolution={self.resolution!r}"
            )
        if not isinstance(self.encoder, str):
            raise ValueError(f"encoder must be a name, not {self.encoder!r}")
        for name in ("conditioning_augmentation", "text_in_stage2"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        for name in (
            "embedding_dim",
            "condition_dim",
            "noise_dim",
            "stage1_width",
            "stage2_width",
            "discriminator_width",
            "discriminator_text_dim",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive whole number, not {value!r}")
        for name in ("stage1_width", "stage2_width"):
            if getattr(self, name) % 4:
                raise ValueError(
                    f"{name} must be a multiple of 4, because the last blocks have a quarter of it, "
                    f"not {getattr(self, name)}"
                )

    @property
    def sketch_resolution(self) -> int:
        """[W₀ = H₀] side of what Stage-I draws, in pixels."""
        return 64 if self.stages == 2 else self.resolution

    @property
    def residual_blocks(self) -> int:
        """Residual blocks in Stage-II: four for 256×256, two for 128×128."""
        return {128: 2, 256: 4}[self.resolution]

    def stage1_alone(self) -> StackGANConfig:
        """The same Stage-I, at the side that it has, with nothing after it: what `train.stage1` trains."""
        return replace(self, stages=1, resolution=self.sketch_resolution)


SIZES: dict[str, StackGANConfig] = {
    # Small enough for a test to train, large enough to have every part.
    "tiny": StackGANConfig(
        condition_dim=8,
        noise_dim=10,
        stage1_width=4,
        stage2_width=4,
        discriminator_width=4,
        discriminator_text_dim=8,
    ),
    # About 10 M parameters, 20 MiB in half precision. The bundled checkpoints have a stage1_width of
    # 128 and a stage2_width of 32: 12 M, 24 MB.
    "base": StackGANConfig(),
    # The reference code's widths for CUB.
    "paper": StackGANConfig(stage1_width=192, stage2_width=128, discriminator_width=96),
}
