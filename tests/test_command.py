"""What is typed to train: recipes, runs resumed with other settings, and mistakes told in a line."""

import json
import shutil

import pytest
import torch
from conftest import run1, run2
from trainers import commands_of

from stackgan import StackGAN
from train import stage1, stage2
from train.command import resumed
from train.data import PhotoData
from train.machine import hardware
from train.recipes import RECIPES, Recipe


def test_a_resumed_run_takes_other_values_of_the_recipe(arrays, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    assert run1(arrays, out, "--recipe", "paper", "--images", "4") == 0
    resume = ["--out", str(out), "--resume", "--tick", "4"]
    values = ["--batch", "3", "--learning-rate", "1e-5", "--beta2", "0.9"]
    assert stage1.main([*resume, "--images", "10", *values]) == 0
    last = json.loads((out / "stats.jsonl").read_text().splitlines()[-1])
    assert (last["images"], last["learning_rate"]) == (10, 1e-5)
    recipe = json.loads((out / "config.json").read_text())["recipe"]
    assert (recipe["batch"], recipe["learning_rate"], recipe["kl_weight"]) == (3, 1e-5, 1.0)
    # The optimizers' own record of what they were built with does not stand against it.
    assert resumed(1, stage1.Stage1, out).d_optimizer.param_groups[0]["betas"] == (0.5, 0.9)
    # And keeps them when it is resumed without.
    assert stage1.main([*resume, "--images", "13"]) == 0
    assert json.loads((out / "config.json").read_text())["recipe"] == recipe
    [start, rest] = commands_of(out, tmp_path / "checkpoint", monkeypatch)
    assert start.endswith("--batch 4 --images 4")
    assert "--learning-rate" not in start
    values = "--batch 3 --learning-rate 1e-05 --beta2 0.9"
    assert rest.endswith(f"{out} --resume {values} --images 13")
    pytest.importorskip("efficientnet_lite_pytorch")
    assert stage1.main([*resume, "--images", "16", "--discriminator", "features"]) == 2
    assert "holds other networks" in capsys.readouterr().err


def test_a_resumed_run_remembers_its_aim_and_takes_moved_photographs(arrays, tmp_path, capsys):
    out, moved = tmp_path / "run", tmp_path / "moved"
    assert run1(arrays, out, "--recipe", "paper", "--images", "12", "--minutes", "1e-6") == 0
    shutil.copytree(arrays, moved)
    resume = ["--out", str(out), "--resume", "--tick", "4"]
    assert stage1.main([*resume, "--data", str(moved), "--precision", "fp32"]) == 0
    assert json.loads((out / "stats.jsonl").read_text().splitlines()[-1])["images"] == 12
    config = json.loads((out / "config.json").read_text())
    assert (config["data"], config["precision"]) == (str(moved), "fp32")
    capsys.readouterr()
    assert stage1.main(resume) == 0
    assert "has seen 12 images, as many as it was to see" in capsys.readouterr().out
    # On another machine, and twice: each is told once.
    config["hardware"] = "a GPU"
    (out / "config.json").write_text(json.dumps(config))
    here = hardware(torch.device("cpu"))
    for images, machines in ((12, ["a GPU"]), (16, ["a GPU", here]), (20, ["a GPU", here])):
        assert stage1.main([*resume, "--images", str(images)]) == 0
        found = json.loads((out / "config.json").read_text())["hardware"]
        assert found.split(", then ") == machines
    # As many, but one that was to be unseen is among them.
    meta = json.loads((moved / "meta.json").read_text())
    meta["validation"] = [int(PhotoData(moved, 64).train[0]), *meta["validation"][1:]]
    (moved / "meta.json").write_text(json.dumps(meta))
    assert stage1.main(resume) == 2
    assert "other photographs" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04 cut"])
def test_a_damaged_state_is_told_in_one_line(arrays, stage1_run, tmp_path, capsys, content):
    run = tmp_path / "run"
    shutil.copytree(stage1_run, run)
    (run / "state.pt").write_bytes(content)
    assert stage1.main(["--out", str(run), "--resume"]) == 2
    assert "state.pt is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["recipe", "config"])
def test_a_run_of_another_version_is_told_in_one_line(arrays, stage1_run, tmp_path, capsys, part):
    run = tmp_path / "run"
    shutil.copytree(stage1_run, run)
    settings = json.loads((run / "config.json").read_text())
    settings["recipe"]["real_label"] = 1.0  # older runs had it, and it did nothing
    (run / "config.json").write_text(json.dumps(settings))
    resume = ["--out", str(run), "--resume"]
    assert stage1.main(resume) == 0
    settings[part]["later"] = 1
    (run / "config.json").write_text(json.dumps(settings))
    assert stage1.main(resume) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "of another version" in line
    assert "later" in line


def test_what_learned_from_photographs_that_are_now_kept_out_is_named(arrays, tmp_path, capsys):
    data, before = tmp_path / "data", tmp_path / "before"
    shutil.copytree(arrays, data)
    assert run1(data, before, "--recipe", "paper", "--images", "4") == 0
    begin = ["--recipe", "paper", "--images", "4", "--begin-with", str(before)]
    assert run1(data, tmp_path / "same", *begin) == 0
    assert "anew" not in capsys.readouterr().err
    meta = json.loads((data / "meta.json").read_text())
    meta["validation"] = [int(PhotoData(data, 64).train[0]), *meta["validation"][1:]]
    (data / "meta.json").write_text(json.dumps(meta))
    assert run1(data, tmp_path / "other", *begin) == 0
    assert f"{data} was prepared anew since {before}" in capsys.readouterr().err


def test_a_resumed_stage2_can_take_a_newer_stage1(
    arrays, stage1_run, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "stage2"
    assert run2(arrays, stage1_run, out, "--recipe", "paper", "--images", "4") == 0
    recipe = ["--recipe", "paper"]
    assert run1(arrays, tmp_path / "newer", *recipe, "--images", "12") == 0
    command = ["--out", str(out), "--resume", "--stage1", str(tmp_path / "newer"), "--images", "8"]
    assert stage2.main(command) == 0
    newer = StackGAN.from_pretrained(tmp_path / "newer" / "model").stage1.state_dict()
    for key, value in StackGAN.from_pretrained(out / "model").stage1.state_dict().items():
        torch.testing.assert_close(value, newer[key], rtol=0, atol=0)
    config = json.loads((out / "config.json").read_text())
    assert config["stage1"] == str(tmp_path / "newer")
    assert config["changes"] == [
        {
            "images": 4,
            "from": {"stage1": str(stage1_run)},
            "to": {"stage1": str(tmp_path / "newer")},
        }
    ]
    *_, start, rest = commands_of(out, tmp_path / "checkpoint", monkeypatch)
    assert f"--stage1 {stage1_run} --out" in start
    assert rest.endswith(f"{out} --resume --stage1 {tmp_path / 'newer'} --images 8")
    # Stage-I goes on meanwhile; the card tells what it was when it was taken.
    assert stage1.main(["--out", str(tmp_path / "newer"), "--resume", "--images", "16"]) == 0
    [first, *_] = commands_of(out, tmp_path / "checkpoint", monkeypatch)
    assert first.endswith("--images 12")
    assert run1(arrays, tmp_path / "wider", *recipe, "--stage1-width", "8", "--images", "4") == 0
    command[command.index("--stage1") + 1] = str(tmp_path / "wider")
    assert stage2.main(command) == 2
    assert "another size" in capsys.readouterr().err


def test_warm_start_begins_without_the_adversary():
    recipe = RECIPES["base", 2]
    assert recipe.adversarial_weight(0) == 0
    assert recipe.adversarial_weight(recipe.warm_up + recipe.ramp // 2) == 0.5
    assert recipe.adversarial_weight(10**6) == 1
    assert Recipe().adversarial_weight(0) == 1


def test_paper_recipe_is_the_paper():
    for stage in (1, 2):
        recipe = RECIPES["paper", stage]
        assert (recipe.batch, recipe.epochs, recipe.halve_every) == (64, 600, 100)
        assert (recipe.learning_rate, recipe.beta1, recipe.kl_weight) == (2e-4, 0.5, 1.0)
        assert not (recipe.augment)
        assert not (recipe.pair_share)
    assert Recipe().rate(99.9) == 2e-4
    assert Recipe().rate(250) == 5e-5


def test_base_keeps_its_rate_however_short_epochs_are():
    for stage in (1, 2):
        recipe = RECIPES["base", stage]
        assert recipe.rate(5000) == recipe.learning_rate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "{new}"], "--data"),
        (["--out", "{new}", "--data", "nowhere"], "nowhere"),
        (["--out", "{new}", "--resume"], "nothing to resume"),
        (["--out", "{run}", "--data", "{data}"], "--resume"),
        (
            ["--out", "{run}", "--resume", "--stage1-width", "8", "--seed", "0"],
            "--seed, --stage1-width",
        ),
        (["--out", "{run}", "--resume", "--data", "nowhere"], "nowhere"),
        (["--out", "{new}", "--data", "{data}", "--resolution", "128"], "--alone"),
        (["--out", "{new}", "--data", "{data}", "--images", "0"], "--images"),
        (["--out", "{new}", "--data", "{data}", "--images", "8", "--epochs", "1"], "one of them"),
        (["--out", "{new}", "--data", "{data}", "--stage2-width", "8"], "--stage2-width"),
        (["--out", "{run}/model", "--data", "{data}"], "holds a checkpoint"),
        (["--out", "{new}", "--data", "{data}", "--seed", "-1"], "--seed"),
        (["--out", "{new}", "--data", "{data}", "--batch", "1"], "--batch 1: BatchNorm"),
        (["--out", "{new}", "--data", "{data}", "--channel-growth", "0"], "--channel-growth"),
        (["--out", "{new}", "--data", "{data}", "--stage1-width", "5"], "width"),
        (["--out", "{new}", "--data", "{data}", "--discriminator", "Paper"], "--discriminator"),
        (["--out", "{new}", "--data", "{data}", "--halve-every", "-1"], "--halve-every"),
        (["--out", "{new}", "--data", "{data}", "--view", "64"], "--view"),
        (["--out", "{new}", "--data", "{data}", "--view", "144"], "--view"),
        (["--out", "{new}", "--data", "{data}", "--ema-ramp", "0"], "--ema-ramp"),
        (["--out", "{new}", "--data", "{data}", "--pair-share", "0.5"], "Stage-II's"),
        (["--out", "{new}", "--data", "{data}", "--discriminator-width", "8"], "the paper's"),
        (["--out", "{new}", "--data", "{data}", "--recipe", "paper", "--view", "256"], "--view"),
        (["--out", "{run}", "--resume", "--ramp", "8"], "Stage-II's"),
        (["--out", "{run}", "--resume", "--warm-up", "8"], "Stage-II's"),
        (["--out", "{data}/meta.json", "--data", "{data}", "--recipe", "paper"], "meta.json"),
        (["--out", "{run}/model", "--resume"], "nothing to resume"),
    ],
)
def test_bad_commands_end_in_a_line_that_says_why(
    arguments, words, arrays, stage1_run, tmp_path, capsys
):
    places = {"new": str(tmp_path / "new"), "run": str(stage1_run), "data": str(arrays)}
    try:
        code = stage1.main([a.format(**places) for a in arguments])
    except SystemExit as error:
        code = error.code
    assert code == 2
    err = capsys.readouterr().err
    assert words in err.splitlines()[-1]  # before it, argparse prints the usage, with every option
    assert "Traceback" not in err


def test_stage2_refuses_what_is_no_stage1(arrays, tmp_path, capsys):
    assert run2(arrays, tmp_path, tmp_path / "out") == 2
    assert "config.json" in capsys.readouterr().err


def test_non_finite_losses_stop_the_run(arrays, tmp_path, capsys):
    assert run1(arrays, tmp_path / "run", "--recipe", "paper", "--learning-rate", "1e30") == 2
    assert "no longer finite" in capsys.readouterr().err
