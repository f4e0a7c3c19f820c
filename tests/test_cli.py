import io
from dataclasses import replace

import pytest
import torch
from conftest import TINY, fake_encoder, lively
from PIL import Image, ImageChops

from stackgan import Pipeline, StackGAN, images
from stackgan.__main__ import main
from stackgan.text import ENCODERS


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A tiny checkpoint whose encoder is the fake one."""

    class Encoder:
        def encode(self, captions, **_):
            return fake_encoder(captions)

    monkeypatch.setitem(ENCODERS, "fake", lambda device: Encoder())
    lively(StackGAN(replace(TINY, encoder="fake"))).save_pretrained(tmp_path / "checkpoint")
    return str(tmp_path / "checkpoint")


def test_writes_picture_and_sketch_with_settings(checkpoint, tmp_path, capsys):
    out, sketch = tmp_path / "a.png", tmp_path / "s.png"
    command = ["a red flower", "--checkpoint", checkpoint, "--seed", "7"]
    assert main([*command, "--out", str(out), "--sketch", str(sketch)]) == 0
    assert Image.open(out).size == (256, 256)
    assert Image.open(sketch).size == (64, 64)
    settings = images.read_settings(out)
    assert (settings["caption"], settings["seed"]) == ("a red flower", 7)
    assert settings["checkpoint"] == "checkpoint"  # its folder, wherever that lies
    assert str(out) in capsys.readouterr().out


def test_several_pictures_are_numbered_and_reproducible(checkpoint, tmp_path):
    command = ["a red flower", "--checkpoint", checkpoint, "--out", str(tmp_path / "a.png")]
    assert main([*command, "-n", "3", "--seed", "7"]) == 0
    together = Image.open(tmp_path / "a-3.png").convert("RGB")
    assert main([*command, "--seed", "9"]) == 0
    alone = Image.open(tmp_path / "a.png").convert("RGB")
    # The noise is the same to the bit; the arithmetic may round differently by batch size.
    assert max(high for _, high in ImageChops.difference(alone, together).getextrema()) <= 4
    first = Image.open(tmp_path / "a-1.png").convert("RGB")
    assert max(high for _, high in ImageChops.difference(alone, first).getextrema()) > 40


def test_the_best_of_several_are_kept_with_their_sketches(
    checkpoint, tmp_path, capsys, monkeypatch
):
    """By a score that likes every seed's last digit to be 4; picture i is chosen among its own."""
    scored = lambda self, images, inputs: torch.tensor(  # noqa: E731
        [-abs(record["seed"] % 10 - 4) / 10 for record in inputs.settings]
    )
    monkeypatch.setattr(Pipeline, "score", scored)
    out, sketch = tmp_path / "a.png", tmp_path / "s.png"
    command = ["a red flower", "--checkpoint", checkpoint, "--seed", "10", "-n", "2"]
    command += ["--best-of", "9", "--out", str(out), "--sketch", str(sketch)]
    assert main(command) == 0
    assert "a-1.png  seed 14  score 0.00" in capsys.readouterr().out
    for number, seed in ((1, 14), (2, 24)):
        settings = images.read_settings(tmp_path / f"a-{number}.png")
        assert (settings["seed"], settings["score"]) == (seed, 0)
        assert images.read_settings(tmp_path / f"s-{number}.png")["seed"] == seed


def test_without_a_seed_the_best_of_four_is_kept(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(Pipeline, "can_rank", True)
    ranked = []

    def scored(self, images, inputs):
        ranked.append(len(images))
        return images[:, 0, 0, 0]

    monkeypatch.setattr(Pipeline, "score", scored)
    command = ["a red flower", "--checkpoint", checkpoint, "--out", str(tmp_path / "a.png")]
    assert main([*command, "--seed", "7"]) == 0
    assert ranked == []
    assert main(command) == 0
    assert ranked == [4]
    winner = (tmp_path / "a.png").read_bytes()
    record = images.read_settings(tmp_path / "a.png")
    assert main([*command, "--seed", str(record["seed"])]) == 0
    again = Image.open(tmp_path / "a.png")
    assert again.tobytes() == Image.open(io.BytesIO(winner)).tobytes(), "to the pixel"
    monkeypatch.setattr(Pipeline, "can_rank", False)
    assert main(command) == 0
    assert ranked == [4]


def test_nothing_is_ranked_without_a_scorer(checkpoint, tmp_path, capsys):
    command = ["a red flower", "--checkpoint", checkpoint, "--out", str(tmp_path / "a.png")]
    assert main([*command, "--best-of", "2"]) == 2
    assert "cannot be ranked: it brings no usable scorer" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--best-of", "17"])
    assert "--best-of is from 1 to 16" in capsys.readouterr().err


def test_interpolation_through_more_sentences_with_travelling_noise(checkpoint, tmp_path):
    out = tmp_path / "a.png"
    command = ["interpolate", "red", "blue", "--frames", "5", "yellow", "--checkpoint", checkpoint]
    command += ["--seed", "3", "--end-seed", "8", "--stage", "1", "--out", str(out)]
    assert main(command) == 0
    assert Image.open(out).size == (5 * 66 + 2, 68)
    settings = images.read_settings(out)
    assert settings["captions"] == ["red", "blue", "yellow"]
    assert (settings["seed"], settings["frames"], settings["stage"]) == ([3, 8], 5, 1)


def test_interpolation_one_way(checkpoint, tmp_path):
    out = tmp_path / "a.webp"
    command = ["interpolate", "a red flower", "a blue flower", "--frames", "4", "--one-way"]
    assert main([*command, "--checkpoint", checkpoint, "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.n_frames == 4


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_interpolation(checkpoint, tmp_path, ending):
    out = tmp_path / f"a.{ending}"
    command = ["interpolate", "a red flower", "a blue flower", "--frames", "4"]
    assert main([*command, "--checkpoint", checkpoint, "--out", str(out)]) == 0
    with Image.open(out) as picture:
        if ending == "png":
            assert picture.size == (4 * 258 + 2, 260)
        else:
            assert picture.n_frames == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["   "], "empty"),
        (["a flower", "--out", "a.jpg"], ".png"),
        (["a flower", "--out", "no/such/folder/a.png"], "no folder"),
        (["a flower", "--seed", "-3"], "--seed"),
        (["a flower", "-n", "0"], "-n"),
        (["a flower", "--truncation", "7"], "truncation"),
        (["a flower", "--emphasis", "7"], "emphasis is from 0 to 2"),
        (["a flower", "--checkpoint", "missing"], "missing"),
        (["a flower", "--device", "toaster"], "--device toaster"),
        (["a flower", "--out", "a.png", "--sketch", "a.png"], "same file"),
        (["interpolate", "a", "b", "--frames", "1"], "--frames"),
        (["interpolate", "a", "b", "--seconds", "301"], "--seconds"),
        (["interpolate", "a", "b", "--out", "a.mp3"], ".gif"),
        (["interpolate", "a"], "2 to 5 sentences"),
        (["interpolate", *"abcdef"], "2 to 5 sentences"),
        (["interpolate", *"abc", "--frames", "2"], "--frames is from 3"),
        (["interpolate", "a", "b", "--end-seed", "3"], "--end-seed needs a --seed"),
    ],
)
def test_bad_input_is_one_line_without_traceback(
    arguments, words, checkpoint, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if "--checkpoint" not in arguments:
        arguments = [*arguments, "--checkpoint", checkpoint]
    try:
        code = main(arguments)
    except SystemExit as error:  # argparse's way
        code = error.code
    assert code == 2
    err = capsys.readouterr().err
    assert words in err.splitlines()[-1]  # before it, argparse prints the usage with every option
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.png"))
