import json
from pathlib import Path

import pytest
import torch

from stackgan import CheckpointError, Pipeline, StackGAN
from stackgan.model import bundled, checkpoint_name, find_checkpoint


def test_save_and_load_is_identical(tiny_model, tmp_path):
    tiny_model.embedding_norm.set_statistics(torch.randn(16), 0.3)
    tiny_model.save_pretrained(tmp_path / "a")
    loaded = StackGAN.from_pretrained(tmp_path / "a")
    assert loaded.config == tiny_model.config
    assert not loaded.training
    before, after = tiny_model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for key in before:
        torch.testing.assert_close(after[key], before[key], rtol=0, atol=0)


def test_half_precision_weights_load_into_single(tiny_model, tmp_path):
    tiny_model.half().save_pretrained(tmp_path / "a")
    loaded = StackGAN.from_pretrained(tmp_path / "a")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def damage(folder, how):
    weights = folder / "model.safetensors"
    if how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "not safetensors":
        weights.write_bytes(b"these are no weights")
    elif how == "no weights":
        weights.unlink()
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "foreign config":
        (folder / "config.json").write_text('{"model_type": "bert"}')
    elif how == "config not JSON":
        (folder / "config.json").write_text("{")
    else:
        config = json.loads((folder / "config.json").read_text())
        change = {"other width": {"stage1_width": 8}, "more stages": {"stages": 1}}[how]
        (folder / "config.json").write_text(json.dumps({**config, **change}))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "metadata"),
        ("not safetensors", "header too large"),
        ("no weights", "model.safetensors is missing"),
        ("no config", "config.json is missing"),
        ("foreign config", "unknown settings"),
        ("config not JSON", "not a StackGAN config"),
        ("other width", "size mismatch"),
        ("more stages", "Missing key"),
    ],
)
def test_damaged_checkpoints_are_explained(tiny_model, tmp_path, how, words):
    folder = tmp_path / "mine"
    tiny_model.save_pretrained(folder)
    damage(folder, how)
    with pytest.raises(CheckpointError, match=words):
        StackGAN.from_pretrained(folder)


@pytest.mark.parametrize("name", ["no-such-name", "./no/such/folder", "a/b/c"])
def test_missing_checkpoints_are_explained_without_asking_the_hub(name, monkeypatch):
    def asked(repo, file, **_):
        pytest.fail("the Hub was asked")

    monkeypatch.setattr("stackgan.model.hf_hub_download", asked)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        StackGAN.from_pretrained(name)


def test_a_mistyped_argument_is_not_swallowed(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "a")
    with pytest.raises(TypeError, match="no argument revsion"):
        Pipeline.from_pretrained(tmp_path / "a", revsion="v1")


@pytest.mark.parametrize("name", bundled() or [None])
def test_bundled_checkpoints_load_and_fit_the_repository(name):
    if name is None:
        pytest.skip("no checkpoint is bundled")
    from stackgan.model import CHECKPOINTS

    model = StackGAN.from_pretrained(name)
    assert all(p.isfinite().all() for p in model.parameters())
    assert (CHECKPOINTS / name / "model.safetensors").stat().st_size <= 40 * 2**20
    for file in ("README.md", "samples.png"):
        assert (CHECKPOINTS / name / file).is_file()


def test_a_folder_of_photographs_does_not_hide_a_bundled_checkpoint(
    tiny_model, tmp_path, monkeypatch
):
    bundle = tmp_path / "bundled"
    tiny_model.save_pretrained(bundle / "flowers")
    (tmp_path / "here" / "flowers").mkdir(parents=True)
    monkeypatch.setattr("stackgan.model.CHECKPOINTS", bundle)
    monkeypatch.chdir(tmp_path / "here")
    assert find_checkpoint("flowers") == bundle / "flowers"
    tiny_model.save_pretrained("flowers")
    assert find_checkpoint("flowers") == Path("flowers")


def test_a_checkpoint_is_called_by_its_folder(tiny_model, tmp_path, monkeypatch):
    """As the page calls it, and without where it lies: pictures carry it."""
    tiny_model.save_pretrained(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    for source in (tmp_path / "mine", ".", "../mine"):
        assert Pipeline.from_pretrained(source, encoder=list).name == "mine"
    assert checkpoint_name("someone/their-flowers") == "someone/their-flowers"
