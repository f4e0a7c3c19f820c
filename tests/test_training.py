"""Both stages trained for a few steps on drawn flowers: every parameter learns, resume is exact."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import FAST, fake_encoder, lively, run1, run2
from safetensors import SafetensorError
from torch import nn

from stackgan import SIZES, Pipeline, StackGAN
from stackgan.discriminators import FeatureDiscriminator
from stackgan.model import CheckpointError
from train import export, profile, stage1, stage2
from train.begin import begin_with
from train.command import built_upon, resumed
from train.data import PhotoData
from train.files import save_model, write_atomically
from train.history import history
from train.loop import Trainer, ema_update
from train.recipes import RECIPES, Recipe


def test_a_run_writes_what_it_promises(stage1_run, stage2_run):
    for run, name in ((stage1_run, "stage1"), (stage2_run, "stage2")):
        config = json.loads((run / "config.json").read_text())
        assert config["stage"] == name
        assert config["recipe"]["batch"] == 4
        lines = [json.loads(line) for line in (run / "stats.jsonl").open()]
        assert [line["images"] for line in lines] == [4, 8]
        assert {"kimg", "images_per_second", "d_loss", "g_loss", "kl"} <= set(lines[0])
        assert (run / "state.pt").is_file()
        assert len(list(run.glob("grid-*.png"))) == 1
        assert not list(run.glob("*.partial"))


def test_pictures_come_out_of_a_trained_run(stage2_run):
    pipeline = Pipeline.from_pretrained(stage2_run / "model", encoder=fake_encoder)
    output = pipeline.generate("a red flower", seeds=[1, 2])
    assert output.images.shape == (2, 3, 256, 256)
    assert output.images.isfinite().all()


def test_stage1_is_fixed_in_stage2(stage1_run, stage2_run):
    before = StackGAN.from_pretrained(stage1_run / "model")
    after = StackGAN.from_pretrained(stage2_run / "model")
    for key, value in before.stage1.state_dict().items():
        torch.testing.assert_close(after.stage1.state_dict()[key], value, rtol=0, atol=0)
    torch.testing.assert_close(after.embedding_norm.mean, before.embedding_norm.mean)


@pytest.mark.parametrize("stage", [1, 2])
def test_resume_equals_the_unbroken_run(arrays, stage1_run, tmp_path, stage):
    def run(out, *extra):
        recipe = ["--recipe", "paper", "--ema-half-life", "8", "--augment", "true"]
        if stage == 1:
            return run1(arrays, out, *recipe, *extra)
        return run2(arrays, stage1_run, out, *recipe, "--pair-share", "0.5", *extra)

    resume = stage1.main if stage == 1 else stage2.main
    assert run(tmp_path / "unbroken", "--images", "16") == 0
    assert run(tmp_path / "broken", "--images", "8") == 0
    tick = ["--tick", "4"]
    assert resume(["--out", str(tmp_path / "broken"), "--resume", "--images", "16", *tick]) == 0
    one, two = (
        torch.load(tmp_path / name / "state.pt", weights_only=True)
        for name in ("unbroken", "broken")
    )
    for part in ("model", "average", "discriminator"):
        for key, value in one[part].items():
            torch.testing.assert_close(two[part][key], value, rtol=0, atol=0, msg=f"{part}.{key}")
    for part in ("step", "images"):
        assert one[part] == two[part]
    losses = [
        [
            {k: v for k, v in json.loads(line).items() if "second" not in k}
            for line in (tmp_path / name / "stats.jsonl").open()
        ]
        for name in ("unbroken", "broken")
    ]
    assert losses[0] == losses[1]


def commands_of(run, folder, monkeypatch) -> list[str]:
    """What the card of a run says how to do the same."""
    monkeypatch.setattr("train.known.load_encoder", lambda *_: fake_encoder)
    assert export.main(["--run", str(run), "--out", str(folder), "--name", "flowers"]) == 0
    lines = (folder / "README.md").read_text().splitlines()
    return [line for line in lines if line.startswith("python -m")]


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
    assert "12 images, which was its aim" in capsys.readouterr().out
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


def test_what_was_learned_is_kept_when_the_grid_fails(arrays, stage1_run, tmp_path, monkeypatch):
    trainer = make_trainer(arrays, stage1_run, tmp_path / "run", 1)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(trainer, "samples", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.snapshot()
    assert (tmp_path / "run" / "state.pt").is_file()
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


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


def make_trainer(arrays, stage1_run, out, stage: int, width: int = 4, text=True) -> Trainer:
    """A run of the base recipe; `width`: of the stage that learns; `text`: in Stage-II."""
    # Cross-entropy, because the hinge's gradients cancel exactly in the last bias while all logits
    # are within the margin.
    recipe = replace(RECIPES["base", stage], batch=4, warm_up=0, loss="cross-entropy")
    model = StackGAN.from_pretrained(stage1_run / "model").train()
    if stage == 2:
        model = built_upon(str(stage1_run), seed=0, stage2_width=width, text_in_stage2=text)
    elif width != 4:
        model = StackGAN(replace(model.config, stage1_width=width))
    kind = {1: stage1.Stage1, 2: stage2.Stage2}[stage]
    stage_ = kind(recipe, model.config)
    return Trainer(stage_, model, recipe, arrays, out, precision="fp32", features=TinyFeatures())


@pytest.mark.parametrize("stage", [1, 2])
def test_every_parameter_learns_under_frozen_features(arrays, stage1_run, tmp_path, stage):
    trainer = make_trainer(arrays, stage1_run, tmp_path, stage)
    networks = {"G": trainer.generator, "D": trainer.discriminator}
    before = {(n, k): p.clone() for n, net in networks.items() for k, p in net.named_parameters()}
    for _ in range(2):
        trainer.train_step()
    for name, network in networks.items():
        for key, p in network.named_parameters():
            changed = not torch.equal(p, before[name, key])
            assert changed == p.requires_grad, f"{name}.{key}"


def test_feature_discriminator_reads_text_in_whole_pictures_only(arrays):
    from conftest import TINY

    d = FeatureDiscriminator(TINY, 256, TinyFeatures())
    images, embeddings = torch.rand(3, 3, 256, 256) * 2 - 1, torch.randn(3, 16)
    features = d.encode(images, torch.Generator().manual_seed(0))
    d.eval()
    right, wrong = d.score_both(features, embeddings, embeddings.flip(0))
    assert [len(right), len(wrong)] == [8, 4]
    for a, b in zip(right[:4], wrong, strict=True):
        assert not torch.allclose(a, b)
    again = d.score(features, embeddings.flip(0))
    torch.testing.assert_close(again[4:], right[4:])
    d.calibrate(images)
    assert (d.map_scale > 0).all()


def test_heads_are_convolutions_of_maps_beside_a_replicated_text():
    from conftest import TINY

    d = FeatureDiscriminator(TINY, 64, TinyFeatures()).eval()
    images, embeddings = torch.rand(3, 3, 64, 64) * 2 - 1, torch.randn(3, 16)
    features = d.encode(F.interpolate(images, size=128, mode="bilinear"))
    expected = []
    for head, maps in zip(d.heads, features, strict=True):
        text = F.leaky_relu(head.text(embeddings), 0.2)[:, :, None, None].expand(-1, -1, 4, 4)
        joined = head.join(torch.cat([head.down(maps), text], dim=1))
        expected.append(head.decide(F.leaky_relu(joined, 0.2)).flatten())
    torch.testing.assert_close(d.score(features, embeddings), expected)
    torch.testing.assert_close(d(images, embeddings), expected)


def test_stage1_stays_in_eval_mode_during_stage2(arrays, stage1_run, tmp_path):
    trainer = make_trainer(arrays, stage1_run, tmp_path, 2)
    before = {k: v.clone() for k, v in trainer.model.stage1.state_dict().items()}
    trainer.train_step()
    for key, value in trainer.model.stage1.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_resumed_stage2_can_take_a_newer_stage1(
    arrays, stage1_run, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "stage2"
    assert run2(arrays, stage1_run, out, "--recipe", "paper", "--images", "4") == 0
    # The width of a Stage-II that Stage-I never sees does not matter.
    recipe = ["--recipe", "paper", "--stage2-width", "8"]
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
        assert not (recipe.r1_weight)
        assert not (recipe.pair_share)
    assert Recipe().rate(99.9) == 2e-4
    assert Recipe().rate(250) == 5e-5


def test_ema_halves_at_its_half_life():
    average, model = nn.Linear(2, 2), nn.Linear(2, 2)
    start = average.weight.clone()
    for _ in range(10):
        ema_update(average, model, 0.5 ** (1 / 10))
    torch.testing.assert_close(average.weight, (start + model.weight) / 2)


@pytest.mark.parametrize("stage", [1, 2])
def test_the_average_has_batchnorm_statistics_of_its_own(arrays, stage1_run, tmp_path, stage):
    """Those of other weights would show: with its own, BatchNorm takes back a layer's scale."""
    trainer = make_trainer(arrays, stage1_run, tmp_path, stage)
    trainer.train_step()
    other = {k: v.clone() for k, v in trainer.model.named_buffers() if "running" in k}
    trainer.measure_statistics()
    before = np.asarray(trainer.samples(8), dtype=float)
    layer = {1: "stage1.seed_map.0.weight", 2: "stage2.join.0.weight"}[stage]
    trainer.average.get_parameter(layer).mul_(3)
    assert abs(np.asarray(trainer.samples(8)) - before).max() > 8  # of 255: not yet its own
    trainer.measure_statistics()
    assert abs(np.asarray(trainer.samples(8)) - before).max() <= 1
    assert not any(module.training for module in trainer.average.modules())
    for name, buffer in trainer.model.named_buffers():  # the learning generator keeps its own
        assert name not in other or torch.equal(buffer, other[name])


def test_ema_forgets_sooner_in_the_beginning():
    recipe = Recipe(batch=10, ema_half_life=100, ema_ramp=0.5)
    for images, half_life in ((40, 20), (200, 100), (10_000, 100)):
        run = SimpleNamespace(recipe=recipe, images=images)
        assert Trainer._decay(run) == pytest.approx(0.5 ** (10 / half_life))


@pytest.mark.parametrize(
    "error", [RuntimeError("unexpected pos 704"), SafetensorError("I/O error")]
)
def test_a_full_disk_keeps_the_last_file(tmp_path, error):
    """The errors are those of torch.save and of safetensors' save_file where there is no room."""

    def no_room(path):
        path.write_bytes(b"half a file")
        raise error

    (tmp_path / "state.pt").write_text("the last")
    with pytest.raises(OSError, match=r"state\.pt could not be written; is the disk full"):
        write_atomically(tmp_path / "state.pt", no_room)
    assert (tmp_path / "state.pt").read_text() == "the last"
    assert not list(tmp_path.glob("*.partial"))


def test_a_full_disk_keeps_the_last_weights(stage1_run, tmp_path, monkeypatch):
    model = StackGAN.from_pretrained(stage1_run / "model")
    save_model(model, tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()

    def no_room(folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half a file")
        raise SafetensorError("I/O error")

    monkeypatch.setattr(model, "save_pretrained", no_room)
    with pytest.raises(OSError, match="model could not be written"):
        save_model(model, tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


def test_two_processes_train_the_same_network(arrays, tmp_path):
    """Each sees half of every batch; their gradients are averaged, so both end with one network."""
    out, script = tmp_path / "two", tmp_path / "kept.py"
    script.write_text(
        "import sys, torch\n"
        "from train import loop, stage1\n"
        "run = loop.Trainer.run\n"
        "def keep(self, **limits):\n"
        "    run(self, **limits)\n"
        "    networks = {'model': self.model, 'discriminator': self.discriminator}\n"
        "    found = {n: dict(network.named_parameters()) for n, network in networks.items()}\n"
        "    torch.save(found, f'{self.out}-{self.rank}.pt')\n"
        "loop.Trainer.run = keep\n"
        "sys.exit(stage1.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", str(script), "--data", str(arrays), "--out", str(out)]
    command += ["--recipe", "paper", "--images", "16", *FAST]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((out / "config.json").read_text())["processes"] == 2
    lines = [json.loads(line) for line in (out / "stats.jsonl").open()]
    assert [line["images"] for line in lines] == [4, 8, 12, 16]
    first, second = (torch.load(f"{out}-{rank}.pt", weights_only=True) for rank in (0, 1))
    begun = torch.load(out / "state.pt", weights_only=True)["model"]
    for network, weights in first.items():
        for key, value in weights.items():
            assert torch.equal(value, second[network][key]), key
    assert torch.equal(
        begun["stage1.seed_map.0.weight"], first["model"]["stage1.seed_map.0.weight"]
    )


def test_gradients_of_parts_average_to_the_whole(arrays, stage1_run, tmp_path, monkeypatch):
    """What `_learn` does in many processes, in one: reduce is asked once, for all gradients."""
    trainer = make_trainer(arrays, stage1_run, tmp_path, 1)
    asked = []
    monkeypatch.setattr(trainer, "processes", 2)
    monkeypatch.setattr(
        trainer.accelerator, "reduce", lambda x, reduction: asked.append((x, reduction)) or x / 2
    )
    network = nn.Linear(3, 1)
    before = network.weight.clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    trainer._learn(network, optimizer, network(torch.ones(1, 3)).sum())
    assert [(x.numel(), reduction) for x, reduction in asked] == [(4, "mean")]
    torch.testing.assert_close(network.weight, before - 0.5)


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
        (["--out", "{new}", "--data", "{data}", "--seed", "-1"], "--seed"),
        (["--out", "{new}", "--data", "{data}", "--batch", "1"], "--batch 1: BatchNorm"),
        (["--out", "{new}", "--data", "{data}", "--channel-growth", "0"], "--channel-growth"),
        (["--out", "{new}", "--data", "{data}", "--stage1-width", "5"], "width"),
        (["--out", "{new}", "--data", "{data}", "--discriminator", "Paper"], "--discriminator"),
        (["--out", "{new}", "--data", "{data}", "--halve-every", "-1"], "--halve-every"),
        (["--out", "{new}", "--data", "{data}", "--view", "64"], "--view"),
        (["--out", "{new}", "--data", "{data}", "--view", "160"], "--view"),
        (["--out", "{new}", "--data", "{data}", "--r1-weight", "1"], "--r1-weight"),
        (["--out", "{new}", "--data", "{data}", "--ema-ramp", "0"], "--ema-ramp"),
        (["--out", "{new}", "--data", "{data}", "--pair-share", "0.5"], "Stage-II's"),
        (["--out", "{new}", "--data", "{data}", "--discriminator-width", "8"], "the paper's"),
        (["--out", "{new}", "--data", "{data}", "--real-label", "0.9"], "cross-entropy"),
        (["--out", "{new}", "--data", "{data}", "--recipe", "paper", "--view", "256"], "--view"),
        (["--out", "{run}", "--resume", "--ramp", "8"], "--warm-up is 0"),
        (["--out", "{data}/meta.json", "--data", "{data}", "--recipe", "paper"], "meta.json"),
        (["--out", "{run}/model", "--resume"], "nothing to resume"),
    ],
)
def test_bad_commands_are_one_line(arguments, words, arrays, stage1_run, tmp_path, capsys):
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


def test_weights_that_are_not_finite_never_replace_sound_ones(arrays, stage1_run, tmp_path):
    trainer = make_trainer(arrays, stage1_run, tmp_path, 1)
    trainer.snapshot()
    sound = (tmp_path / "state.pt").read_bytes()
    with torch.no_grad():
        next(trainer.discriminator.heads.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="sound"):
        trainer.snapshot()
    assert (tmp_path / "state.pt").read_bytes() == sound


def test_a_run_is_exported_as_a_checkpoint_in_half_precision(stage2_run, tmp_path, monkeypatch):
    monkeypatch.setattr("train.known.load_encoder", lambda *_: fake_encoder)
    out = tmp_path / "checkpoint"
    assert export.main(["--run", str(stage2_run), "--out", str(out), "--name", "flowers"]) == 0
    assert {f.name for f in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        "known.safetensors",
        "samples.png",
        "training.json",
        "README.md",
    }
    full, half = (stage2_run / "model" / "model.safetensors", out / "model.safetensors")
    assert half.stat().st_size < 0.6 * full.stat().st_size
    card = (out / "README.md").read_text()
    assert "| Stage-I | 8 |" in card
    assert "| Stage-II | 8 |" in card
    assert "--batch 4" in card
    pipeline = Pipeline.from_pretrained(out, encoder=fake_encoder)
    assert pipeline.generate("a red flower").images.any()
    assert pipeline.known.subject == "flowers"


def test_exporting_what_is_no_run_is_explained(tmp_path, capsys):
    command = ["--run", str(tmp_path), "--out", str(tmp_path / "out"), "--name", "flowers"]
    assert export.main(command) == 2
    assert "no folder of train.stage1" in capsys.readouterr().err


def test_stage1_is_widened_whatever_stage2_reads(arrays, stage1_run, tmp_path):
    config = StackGAN.from_pretrained(stage1_run / "model").config
    StackGAN(replace(config, stages=2, resolution=256, text_in_stage2=False)).save_pretrained(
        tmp_path / "narrow"
    )
    wide = make_trainer(arrays, stage1_run, tmp_path / "wide", 1, width=12)
    begin_with(wide, tmp_path / "narrow")
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


def test_what_is_built_on_a_checkpoint_tells_how_that_was_trained(
    arrays, stage1_run, stage2_run, tmp_path, monkeypatch
):
    """Without the folders of its runs, which were elsewhere or are gone."""
    before = commands_of(stage2_run, tmp_path / "checkpoint", monkeypatch)
    assert len(before) == 2
    checkpoint, out = str(tmp_path / "checkpoint"), tmp_path / "run"
    settings = ["--recipe", "paper", "--begin-with", checkpoint, "--images", "4"]
    assert run2(arrays, checkpoint, out, *settings) == 0
    *earlier, start = commands_of(out, tmp_path / "next", monkeypatch)
    assert earlier == before
    assert f"--stage1 {checkpoint} --begin-with {checkpoint}" in start
    card = (tmp_path / "next" / "README.md").read_text()
    assert f"| Stage-II, earlier ({stage2_run}) | 8 |" in card
    assert f"They began with {checkpoint}, whose terms hold here too." in card
    # A Stage-I that was trained further brings its own history.
    resume = ["--out", str(out), "--resume", "--stage1", str(stage1_run), "--images", "8"]
    assert stage2.main(resume) == 0
    assert commands_of(out, tmp_path / "last", monkeypatch)[:2] == before
    (tmp_path / "checkpoint" / "training.json").write_text("[]")
    with pytest.raises(CheckpointError, match="does not tell how"):
        history(checkpoint)


@pytest.mark.parametrize(
    "switches", [["--no-ca", "--seed", "3"], ["--alone", "--resolution", "128"]]
)
def test_the_card_names_what_was_switched(arrays, tmp_path, monkeypatch, switches):
    settings = ["--recipe", "paper", "--images", "4", *switches]
    assert run1(arrays, tmp_path / "run", *settings) == 0
    [command] = commands_of(tmp_path / "run", tmp_path / "card", monkeypatch)
    for word in switches:
        assert f" {word}" in command


def test_a_card_of_one_s_own_photographs_claims_nothing_of_others(
    arrays, stage1_run, tmp_path, monkeypatch
):
    """Even under a bundled set's name."""
    commands_of(stage1_run, tmp_path / "card", monkeypatch)
    card = (tmp_path / "card" / "README.md").read_text()
    assert "Oxford" not in card
    assert "non-commercial" not in card
    assert "Stage-II" not in card
    assert "whose terms" not in card
    assert "classes that were kept out" in card
    assert f'from_pretrained("{tmp_path / "card"}")' in card


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
    assert "cannot be begun with" in line
    assert line.endswith("stage1_width 16 there, 4 here")


@pytest.mark.parametrize("stage", [1, 2])
def test_a_step_is_profiled_and_the_run_left_alone(
    stage, stage1_run, stage2_run, monkeypatch, capsys
):
    run = stage1_run if stage == 1 else stage2_run
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr("train.profile.peaks", lambda _: {"convolution_float32": 100.0})
    assert profile.main([str(run), "--steps", "2", "--json"]) == 0
    *told, line = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["stage"] == f"stage{stage}"
    assert found["arithmetic_ms"] > 0
    assert found["step_over_arithmetic"] == found["step_ms"] / found["arithmetic_ms"]
    assert found["images_per_second"] == pytest.approx(4000 / found["step_ms"])
    assert found["share_of_peak"] == pytest.approx(found["gflop_per_second"] / 100)
    assert found["gflop_per_step"] > 0
    assert not [name for name in found["others_ms"] if "convolution" in name]
    assert f"stage{stage}, batch 4" in told[0]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    # As of a run in bf16 where the processor has none.
    monkeypatch.setattr("train.profile.peaks", lambda _: {})
    assert profile.main([str(run), "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["share_of_peak"] is None


@pytest.mark.parametrize("arguments", [["{none}"], ["{run}", "--steps", "0"]])
def test_what_cannot_be_profiled_is_one_line(arguments, stage1_run, tmp_path, capsys):
    places = {"none": str(tmp_path / "none"), "run": str(stage1_run)}
    assert profile.main([a.format(**places) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_deeper_maps_are_mixed_to_more_channels():
    from conftest import TINY

    images = torch.rand(2, 3, 64, 64) * 2 - 1
    for growth, widths in ((1, [64, 64, 64, 64]), (2, [64, 128, 256, 512])):
        d = FeatureDiscriminator(TINY, 64, TinyFeatures(), growth=growth)
        assert [m.shape[1] for m in d.encode(images)] == widths
        assert all(logits.shape == (2,) for logits in d(images, torch.randn(2, 16)))


def test_g_waits_while_d_has_its_head_start(arrays, stage1_run, tmp_path):
    trainer = make_trainer(arrays, stage1_run, tmp_path, 1)
    trainer.recipe = replace(trainer.recipe, head_start=trainer.recipe.batch)
    networks = {"G": trainer.generator, "average": trainer.average, "D": trainer.discriminator}

    def learns() -> set[str]:
        before = {n: [p.clone() for p in net.parameters()] for n, net in networks.items()}
        trainer.train_step()
        return {
            n
            for n, net in networks.items()
            if any(not torch.equal(a, b) for a, b in zip(before[n], net.parameters(), strict=True))
        }

    assert learns() == {"D"}
    assert learns() == {"G", "average", "D"}


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
