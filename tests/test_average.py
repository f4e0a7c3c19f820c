"""The mean of two trainings' weights, with statistics of its own, shipped like a run."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY, fake_encoder, run1, run2
from trainers import commands_of

from stackgan import Pipeline, StackGAN
from train import average
from train.data import PhotoData
from train.ema import measure_statistics
from train.history import history, settings_of
from train.prepare import prepare
from train.recipes import Recipe
from train.stage2 import Stage2
from train.state import model_of, run_settings

ELSEWHERE = ["--recipe", "paper", "--images", "8", "--learning-rate", "1e-2"]


@pytest.fixture(scope="module")
def later1(arrays, stage1_run, tmp_path_factory):
    """A run of Stage-I begun with `stage1_run`, at a rate that takes it elsewhere."""
    out = tmp_path_factory.mktemp("later") / "stage1"
    assert run1(arrays, out, *ELSEWHERE, "--begin-with", str(stage1_run)) == 0
    return out


@pytest.fixture(scope="module")
def later2(arrays, later1, stage2_run, tmp_path_factory):
    """A run of Stage-II begun with `stage2_run`, upon the later Stage-I."""
    out = tmp_path_factory.mktemp("later") / "stage2"
    assert run2(arrays, later1, out, *ELSEWHERE, "--begin-with", str(stage2_run)) == 0
    return out


def averaged(run, other, out, *options) -> StackGAN:
    command = ["--run", str(run), "--with", str(other), "--out", str(out), *options]
    assert average.main(command) == 0
    return StackGAN.from_pretrained(out)


def test_either_end_is_one_of_both(stage1_run, later1, tmp_path):
    """Statistics too, for they are measured on the batches that the runs measured theirs on."""
    for share, end in (("0", later1), ("1", stage1_run)):
        found = averaged(later1, stage1_run, tmp_path / share, "--share", share).state_dict()
        for name, value in model_of(end).state_dict().items():
            torch.testing.assert_close(found[name], value, msg=f"{name}, share {share}")


def test_between_weights_are_averaged_and_statistics_measured(arrays, stage2_run, later2, tmp_path):
    found = averaged(later2, stage2_run, tmp_path / "mean", "--share", "0.25")
    run, other = model_of(later2).state_dict(), model_of(stage2_run).state_dict()
    for name, value in found.named_parameters():
        torch.testing.assert_close(value, torch.lerp(run[name], other[name], 0.25), msg=name)
        if name.endswith("0.weight"):
            assert not torch.equal(run[name], other[name])  # of Stage-I as well as of Stage-II
    held = {n: v.clone() for n, v in found.named_buffers() if "running" in n}
    for stage in ("stage1", "stage2"):
        names = [n for n in held if n.startswith(stage) and n.endswith("var")]
        means = [torch.lerp(run[n], other[n], 0.25) for n in names]
        assert not any(map(torch.allclose, (held[n] for n in names), means))
    # Stage-II's are of the sketches that it is shipped with: measured again they stay.
    recipe = Recipe(**run_settings(later2)["recipe"])
    measure_statistics(found, Stage2(recipe, found.config), PhotoData(arrays, 256))
    for name, value in found.named_buffers():
        if "running" in name:
            torch.testing.assert_close(value, held[name], msg=name)


def test_a_mean_is_shipped_like_a_run(stage2_run, later2, tmp_path, monkeypatch):
    mean = tmp_path / "mean"
    averaged(later2, stage2_run, mean)
    *_, last = commands_of(mean, tmp_path / "shipped", monkeypatch)
    assert last == (
        f"python -m train.average --run {later2} --with {stage2_run} --share 0.5 --out {mean}"
    )
    # Both stages were averaged, and what begins with either is to tell of it; a card does once.
    assert [runs[-1]["commands"][-1] for runs in history(mean).values()] == [last, last]
    assert (tmp_path / "shipped" / "README.md").read_text().count("train.average") == 1
    pipeline = Pipeline.from_pretrained(tmp_path / "shipped", encoder=fake_encoder)
    assert pipeline.generate("a red flower").images.any()
    # What was shipped tells how to measure it: either half of a mean may be a checkpoint.
    settings, told = run_settings(later2), settings_of(tmp_path / "shipped")
    assert told["recipe"] == settings["recipe"]
    alone = averaged(tmp_path / "shipped", stage2_run, tmp_path / "alone", "--share", "0")
    # The shipped one's card and samples are of its own weights.
    assert not (tmp_path / "alone" / "samples.png").exists()
    cards = [(tmp_path / name / "README.md").read_text() for name in ("shipped", "alone")]
    assert "Captions of the grid" in cards[0]
    assert "Captions of the grid" not in cards[1]
    for name, value in StackGAN.from_pretrained(tmp_path / "shipped").named_buffers():
        held = alone.get_buffer(name)
        assert held.float().sub(value).norm() <= 0.1 * value.float().norm() + 1e-6, name
    # And once more, out of what was shipped, onto itself: with other scores, say.
    shipped = commands_of(tmp_path / "shipped", tmp_path / "shipped", monkeypatch)
    assert shipped[-1] == last


def test_a_run_of_stage1_takes_that_of_two_stages(stage1_run, stage2_run, later1, tmp_path):
    """And the other way round there is nothing to take."""
    found = averaged(later1, stage2_run / "model", tmp_path / "mean", "--share", "1")
    ours = dict(found.named_parameters())
    for name, value in model_of(stage1_run).named_parameters():
        torch.testing.assert_close(ours[name], value, msg=name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--run": "{checkpoint}"}, "does not tell how it was trained"),
        ({"--run": "{nowhere}"}, "no checkpoint"),
        ({"--with": "{sketches}"}, "not there"),
        ({"--with": "{wide}"}, "there"),
        ({"--share": "1.5"}, "--share 1.5"),
        ({"--share": "nan"}, "--share nan"),
        ({"--out": "{run}"}, "holds state.pt already"),
        ({"--out": "{wide}"}, "holds model.safetensors already"),
        ({"--data": "{nowhere}"}, "was not written by train.prepare"),
        ({"--data": "{others}"}, "holds other photographs"),
    ],
)
def test_what_cannot_be_averaged_is_one_line(
    stage2_run, photo_folder, tmp_path, capsys, change, words
):
    places = {n: tmp_path / n for n in ("wide", "sketches", "nowhere")}
    StackGAN(replace(TINY, stage1_width=8)).save_pretrained(places["wide"])
    StackGAN(TINY.stage1_alone()).save_pretrained(places["sketches"])
    places["others"] = tmp_path / "others"
    if "others" in "".join(change.values()):
        prepare(
            photo_folder, places["others"], split="random", encode=fake_encoder, embedding_dim=16
        )
    places |= {"run": stage2_run, "checkpoint": stage2_run / "model"}
    command = {"--run": "{run}", "--with": "{checkpoint}", "--out": str(tmp_path / "out")} | change
    assert average.main([part.format(**places) for pair in command.items() for part in pair]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not (tmp_path / "out").exists()
