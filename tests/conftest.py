"""Synthetic photographs, captions and embeddings for every test: nothing here needs a data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

from stackgan import SIZES, StackGAN
from train.prepare import prepare

# Networks this small lose more time to threads waiting for each other than they gain.
torch.set_num_threads(1)

COLOURS = {"red": (220, 30, 40), "yellow": (240, 210, 40), "blue": (50, 60, 220)}
TINY = replace(SIZES["tiny"], embedding_dim=16)
FAST = ["--size", "tiny", "--precision", "fp32", "--batch", "4", "--tick", "4"]


def fake_encoder(captions) -> torch.Tensor:
    """A sentence encoder that tells colours apart: caption → (16,), deterministic."""
    rows = []
    for caption in captions:
        row = torch.zeros(16)
        for i, colour in enumerate(COLOURS):
            row[i] = 3.0 * (colour in caption)
        generator = torch.Generator().manual_seed(sum(caption.encode()))
        rows.append(row + 0.1 * torch.randn(16, generator=generator))
    return torch.stack(rows)


def draw_flower(colour: str, size: int = 96) -> Image.Image:
    """A disc of a colour on green."""
    picture = Image.new("RGB", (size, size), (40, 110, 50))
    ImageDraw.Draw(picture).ellipse(
        [size // 5, size // 5, size * 4 // 5, size * 4 // 5], COLOURS[colour]
    )
    return picture


def write_imagefolder(folder: Path, photos: int = 12) -> Path:
    """A folder of drawn flowers with a metadata.jsonl, three classes, two captions each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(photos):
        colour = list(COLOURS)[i % 3]
        draw_flower(colour, 80 + 4 * i).save(folder / f"{i:03d}.png")
        captions = [f"a {colour} flower number {i}", f"this flower is {colour}"]
        lines.append({"file_name": f"{i:03d}.png", "captions": captions, "class_name": colour})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory) -> Path:
    return write_imagefolder(tmp_path_factory.mktemp("photos") / "flowers")


@pytest.fixture(scope="session")
def arrays(photo_folder, tmp_path_factory) -> Path:
    """The same, prepared: one class of three held out."""
    out = tmp_path_factory.mktemp("arrays") / "flowers"
    prepare(photo_folder, out, validation=0.34, encode=fake_encoder, embedding_dim=16)
    return out


def run1(arrays, out, *extra) -> int:
    """A tiny Stage-I run by the command → its exit code."""
    from train import stage1

    return stage1.main(["--data", str(arrays), "--out", str(out), *FAST, *extra])


def run2(arrays, base, out, *extra) -> int:
    """A tiny Stage-II run upon `base`."""
    from train import stage2

    command = ["--data", str(arrays), "--stage1", str(base), "--out", str(out), *FAST, *extra]
    return stage2.main(command)


@pytest.fixture(scope="session")
def stage1_run(arrays, tmp_path_factory) -> Path:
    """Two steps of the paper's recipe. Tests read it and leave it as it is."""
    out = tmp_path_factory.mktemp("runs") / "stage1"
    assert run1(arrays, out, "--recipe", "paper", "--images", "8") == 0
    return out


@pytest.fixture(scope="session")
def stage2_run(arrays, stage1_run, tmp_path_factory) -> Path:
    """The same of Stage-II, upon `stage1_run`."""
    out = tmp_path_factory.mktemp("runs") / "stage2"
    assert run2(arrays, stage1_run, out, "--recipe", "paper", "--images", "8") == 0
    return out


def lively(model: StackGAN, seed: int = 0) -> StackGAN:
    """Random weights whose signal does not fade, as a trained network's: different in, different out.

    Every BatchNorm gets statistics of its own, so that leaving them out would show.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                fan_in = layer.weight[0].numel()
                layer.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
            elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.2, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
                layer.weight.uniform_(0.7, 1.3, generator=generator)
                layer.bias.normal_(0, 0.2, generator=generator)
    return model.eval()


def pixels(path: str | Path) -> bytes:
    return Image.open(path).tobytes()


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory) -> Path:
    """Two tiny checkpoints with lively random weights: `flowers`, and `sketches` of one stage."""
    folder = tmp_path_factory.mktemp("checkpoints")
    lively(StackGAN(TINY)).save_pretrained(folder / "flowers")
    lively(StackGAN(TINY.stage1_alone())).save_pretrained(folder / "sketches")
    return folder


@pytest.fixture(scope="session")
def checkpoints(checkpoint_folder):
    """What the page's tabs draw with: the tiny flowers under `fake_encoder`."""
    from stackgan.ui.checkpoints import Checkpoints

    return Checkpoints(str(checkpoint_folder / "flowers"), encoder=fake_encoder)


@pytest.fixture(autouse=True)
def upload_folder(tmp_path, monkeypatch) -> Path:
    """Where Gradio puts the files of the page: a test's own folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def tiny_model() -> StackGAN:
    return lively(StackGAN(TINY))


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The app with tiny random checkpoints, as a visitor's browser sees it."""
    from browsing import app_with_tiny_checkpoints

    yield from app_with_tiny_checkpoints(tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="session")
def browser():
    from browsing import chromium

    yield from chromium()


@pytest.fixture
def visit(browser, address):
    """Open the page; afterwards, check that it logged no error and asked no other host."""
    from browsing import visits

    yield from visits(browser, address)


@pytest.fixture
def page(visit):
    return visit(viewport={"width": 1280, "height": 900})
