"""What tests of training share: a run in hand, and a network to stand in for EfficientNet."""

import itertools
from dataclasses import replace

import torch
from conftest import fake_encoder
from torch import nn

from stackgan import StackGAN
from train import export, stage1, stage2
from train.command import built_upon
from train.loop import Trainer
from train.recipes import RECIPES


def commands_of(run, folder, monkeypatch) -> list[str]:
    """What the card of a run says how to do the same."""
    monkeypatch.setattr("train.known.load_encoder", lambda *_: fake_encoder)
    assert export.main(["--run", str(run), "--out", str(folder), "--name", "flowers"]) == 0
    lines = (folder / "README.md").read_text().splitlines()
    return [line for line in lines if line.startswith("python -m")]


class TinyFeatures(nn.Module):
    """Stands in for EfficientNet: four frozen convolutions at strides 4 to 32."""

    channels = (4, 4, 8, 8)

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        widths = [3, *self.channels]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)
        )
        for layer in self.layers:
            layer.weight.data.normal_(0, 0.3, generator=generator)
        self.requires_grad_(False)

    def maps(self, images):
        x, maps = nn.functional.avg_pool2d(images, 2), []
        for layer in self.layers:
            x = layer(nn.functional.avg_pool2d(x, 2)).relu()
            maps.append(x)
        return maps

    def pooled(self, deepest):
        return deepest.mean(dim=(2, 3))


def make_trainer(
    arrays,
    stage1_run,
    out,
    stage: int,
    width: int = 4,
    text: bool = True,
    recipe: str = "base",
    features: nn.Module | None = None,
    **values,
) -> Trainer:
    """A run of a recipe, but for these of its values; `width`: of the stage that learns; `text`: in
    Stage-II."""
    # Cross-entropy, because the hinge's gradients cancel exactly in the last bias while all logits
    # are within the margin.
    values = {"batch": 4, "warm_up": 0, "loss": "cross-entropy"} | values
    settings = replace(RECIPES[recipe, stage], **values)
    model = StackGAN.from_pretrained(stage1_run / "model").train()
    if stage == 2:
        model = built_upon(str(stage1_run), seed=0, stage2_width=width, text_in_stage2=text)
    elif width != 4:
        model = StackGAN(replace(model.config, stage1_width=width))
    kind = {1: stage1.Stage1, 2: stage2.Stage2}[stage]
    stage_ = kind(settings, model.config)
    return Trainer(
        stage_, model, settings, arrays, out, precision="fp32", features=features or TinyFeatures()
    )
