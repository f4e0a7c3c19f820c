"""Runs that begin with other runs or checkpoints, as wide or wider."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import lively, run1, run2
from trainers import commands_of, make_trainer

from stackgan import SIZES, StackGAN
from train import stage1
from train.begin import begin_with


def test_stage1_is_widened_whatever_stage2_reads(arrays, stage1_run, tmp_path):
    config = StackGAN.from_pretrained(stage1_run / "model").config
    StackGAN(replace(config, stages=2, resolution=256, text_in_stage2=False)).save_pretrained(
        tmp_path / "narrow"
    )
    wide = make_trainer(arrays, stage1_run, tmp_path / "wide", 1, width=12)
    begin_with(wide, tmp_path / "narrow")
    narrow = StackGAN.from_pretrained(tmp_path / "narrow").stage1.to_rgb[0].weight
    torch.testing.assert_close(wide.model.stage1.to_rgb[0].weight[:, : narrow.shape[1]], narrow)
    other = replace(config, stages=1, resolution=128)
    StackGAN(other).save_pretrained(tmp_path / "alone")
    trainer = make_trainer(arrays, stage1_run, tmp_path / "run", 1)
    with pytest.raises(ValueError, match="resolution 128 there, 64 here"):
        begin_with(trainer, tmp_path / "alone")


@pytest.mark.parametrize(("asked", "width"), [([], 8), (["--stage1-width", "12"], 12)])
def test_a_run_is_as_wide_as_what_it_begins_with(arrays, tmp_path, asked, width):
    narrow = StackGAN(replace(SIZES["base"], embedding_dim=16, stage1_width=8).stage1_alone())
    narrow.save_pretrained(tmp_path / "narrow")
    command = ["--data", str(arrays), "--out", str(tmp_path / "run"), "--recipe", "paper"]
    command += ["--begin-with", str(tmp_path / "narrow"), "--images", "4", "--batch", "4"]
    assert stage1.main([*command, "--discriminator-width", "4", *asked]) == 0
    begun = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert begun["stage1_width"] == width


@pytest.mark.parametrize("source", ["run", "checkpoint"])
def test_a_run_can_begin_with_another_runs_networks(
    arrays, stage1_run, tmp_path, source, monkeypatch, capsys
):
    trained = stage1_run if source == "run" else stage1_run / "model"
    out = tmp_path / "begun"
    settings = ["--recipe", "paper", "--begin-with", str(trained), "--images", "4"]
    # At a rate of nearly nothing the networks stay what they began with.
    assert run1(arrays, out, *settings, "--learning-rate", "1e-12") == 0
    assert ("--head-start" in capsys.readouterr().err) == (source == "checkpoint")
    begun, old = (torch.load(r / "state.pt", weights_only=True) for r in (out, stage1_run))
    assert begun["images"] == 4
    origin = old["model" if source == "run" else "average"]
    for key, value in begun["model"].items():
        if key.startswith("stage1.") and key.endswith("weight"):
            torch.testing.assert_close(value, origin[key])
    own = [
        torch.allclose(value, old["discriminator"][key])
        for key, value in begun["discriminator"].items()
        if key.endswith("conv.weight") or key.endswith("0.weight")
    ]
    assert own
    assert all(own) == (source == "run")
    config = json.loads((out / "config.json").read_text())
    assert config["begin_with"] == str(trained)
    # The card tells of the run before, too.
    *earlier, start = commands_of(out, tmp_path / "card", monkeypatch)
    assert f"--begin-with {trained}" in start
    assert [line.split()[-1] for line in earlier] == (["8"] if source == "run" else [])


@pytest.mark.parametrize(("stage", "text"), [(1, True), (2, True), (2, False)])
@pytest.mark.parametrize("learning", [False, True])
def test_a_narrower_generator_can_be_begun_with(
    arrays, stage1_run, stage2_run, tmp_path, stage, text, learning
):
    """The wide one draws the same, whatever its new channels do, and then learns with all of them."""
    source = stage1_run if stage == 1 else stage2_run
    config = StackGAN.from_pretrained(source / "model").config
    narrow = StackGAN(replace(config, text_in_stage2=text))
    lively(narrow).save_pretrained(tmp_path / "narrow")
    narrow = StackGAN.from_pretrained(tmp_path / "narrow")
    trainer = make_trainer(arrays, stage1_run, tmp_path / "wide", stage, width=12, text=text)
    begin_with(trainer, tmp_path / "narrow")
    wide = trainer.average
    given = torch.randn(4, config.embedding_dim), torch.randn(4, config.condition_dim)
    first = torch.randn(4, config.noise_dim) if stage == 1 else torch.randn(4, 3, 64, 64)

    def drawn(model: StackGAN) -> torch.Tensor:
        network = (model.stage1 if stage == 1 else model.stage2).train(learning)
        with torch.no_grad():
            if stage == 1:
                return network(given[0], first, given[1]).pictures
            return network(first, *given).pictures

    torch.testing.assert_close(drawn(wide), drawn(narrow), atol=1e-3, rtol=0)
    before = [p.clone() for p in trainer.generator.parameters()]
    for _ in range(2):
        trainer.train_step()
    for old, p in zip(before, trainer.generator.parameters(), strict=True):
        assert not torch.equal(old.flatten()[-1], p.flatten()[-1])  # of a new channel


def test_networks_of_another_size_cannot_be_begun_with(arrays, stage1_run, tmp_path, capsys):
    wide = ["--recipe", "paper", "--stage1-width", "16", "--begin-with", str(stage1_run)]
    assert run1(arrays, tmp_path / "wide", *wide, "--images", "4") == 0
    narrow = ["--recipe", "paper", "--begin-with", str(tmp_path / "wide")]
    capsys.readouterr()
    assert run1(arrays, tmp_path / "narrow", *narrow) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "cannot begin with" in line
    assert line.endswith("stage1_width 16 there, 4 here")


def test_stage2_cannot_begin_with_a_checkpoint_of_one_stage(arrays, stage1_run, tmp_path, capsys):
    alone = ["--recipe", "paper", "--alone", "--resolution", "256", "--images", "4"]
    assert run1(arrays, tmp_path / "alone", *alone) == 0
    for width in ("4", "8"):
        begin = ["--begin-with", str(tmp_path / "alone"), "--stage2-width", width]
        capsys.readouterr()
        assert run2(arrays, stage1_run, tmp_path / "run", "--recipe", "paper", *begin) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.endswith("has no Stage-II")


def test_a_discriminator_built_otherwise_is_left_behind(arrays, stage1_run, tmp_path):
    """G is taken all the same, and the new D starts as it would in any run."""
    out = tmp_path / "begun"
    trainer = make_trainer(arrays, stage1_run, out, 1)
    fresh = {k: v.clone() for k, v in trainer.discriminator.state_dict().items()}
    begin_with(trainer, stage1_run)  # whose D is the paper's
    for key, value in trainer.discriminator.state_dict().items():
        torch.testing.assert_close(value, fresh[key])
    old = torch.load(stage1_run / "state.pt", weights_only=True)["model"]
    for key, value in trainer.model.state_dict().items():
        if key.startswith("stage1."):
            torch.testing.assert_close(value, old[key])
