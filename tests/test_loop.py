"""Both stages trained for a few steps on drawn flowers: every parameter learns, resume is exact."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FAST, fake_encoder, run1, run2
from safetensors import SafetensorError
from torch import nn
from trainers import make_trainer

from stackgan import Pipeline, StackGAN
from stackgan.features import EfficientNetLite
from train import stage1, stage2
from train.ema import ema_update
from train.files import save_model, write_atomically
from train.recipes import Recipe


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
        recipe += ["--warp-share", "0.5", "--stitch-weight", "0.5"]
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


def test_what_was_learned_is_kept_when_the_grid_fails(arrays, stage1_run, tmp_path, monkeypatch):
    trainer = make_trainer(arrays, stage1_run, tmp_path / "run", 1)
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(trainer, "samples", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.snapshot()
    assert (tmp_path / "run" / "state.pt").is_file()
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


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


def test_stage1_stays_in_eval_mode_during_stage2(arrays, stage1_run, tmp_path):
    trainer = make_trainer(arrays, stage1_run, tmp_path, 2)
    before = {k: v.clone() for k, v in trainer.model.stage1.state_dict().items()}
    trainer.train_step()
    for key, value in trainer.model.stage1.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


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
        assert recipe.ema_decay(images) == pytest.approx(0.5 ** (10 / half_life))
    assert Recipe().ema_decay(100) == 0


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


def test_weights_that_are_not_finite_never_replace_sound_ones(arrays, stage1_run, tmp_path):
    trainer = make_trainer(arrays, stage1_run, tmp_path, 1)
    trainer.snapshot()
    sound = (tmp_path / "state.pt").read_bytes()
    with torch.no_grad():
        next(trainer.discriminator.heads.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="sound"):
        trainer.snapshot()
    assert (tmp_path / "state.pt").read_bytes() == sound


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


class Elsewhere:
    """Stands in for Accelerator: a device that is not the CPU, whose tensors have shapes alone."""

    def __init__(self, cpu: bool):
        self.device, self.process_index, self.num_processes = torch.device("meta"), 0, 1


@pytest.mark.parametrize("recipe", ["base", "paper"])
@pytest.mark.parametrize("stage", [1, 2])
def test_a_step_stays_on_its_device(arrays, stage1_run, tmp_path, monkeypatch, stage, recipe):
    """As on a GPU: no way of the CPU's own is taken, and most operations on two devices fail."""
    adam = torch.optim.Adam
    monkeypatch.setattr("train.loop.Accelerator", Elsewhere)
    monkeypatch.setattr(torch.optim, "Adam", lambda p, fused, **rest: adam(p, **rest))
    # There is neither autocast nor a fused Adam for this device.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    features = EfficientNetLite("lite1")
    trainer = make_trainer(arrays, stage1_run, tmp_path, stage, recipe=recipe, features=features)
    trainer.images = trainer.recipe.head_start
    trainer.train_step()
    for network in (trainer.generator, trainer.discriminator):
        learning = [p for p in network.parameters() if p.requires_grad]
        assert {p.grad.device.type for p in learning} == {"meta"}
