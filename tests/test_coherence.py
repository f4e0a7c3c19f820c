"""Whether a discriminator sees that a picture is of one piece: by one that does, and by the command."""

import json

import pytest
import torch
from conftest import fake_encoder, write_imagefolder
from torch import nn

from train import coherence
from train.prepare import prepare


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """96 drawn flowers, 32 of them kept out of training."""
    folder = tmp_path_factory.mktemp("many")
    photos = write_imagefolder(folder / "photos", 96)
    prepare(photos, folder / "arrays", validation=0.34, encode=fake_encoder, embedding_dim=16)
    return folder / "arrays"


class KnowsThePhotographs(nn.Module):
    """Calls real what it is told are photographs, exactly as they are; `right`: or the opposite."""

    def __init__(self, right: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(right))
        self.shown: list[torch.Tensor] = []

    def draw_corners(self, n, generator=None):
        return torch.zeros(n, 2, dtype=torch.long)

    def encode(self, pictures, corners):
        self.shown.append(pictures)  # whole ones come first, then the same stitched
        return [pictures]

    def score_both(self, features, embeddings, mismatched):
        whole = len(self.shown) % 2
        return [], [self.weight * torch.full((len(embeddings),), float(whole))]


@pytest.mark.parametrize("right", [1.0, -1.0, 0.0])
def test_the_area_is_that_of_whole_over_stitched(many, stage1_run, right, monkeypatch):
    network = KnowsThePhotographs(right)
    monkeypatch.setattr(coherence, "load_discriminator", lambda _: (network, 64))
    found = coherence.coherence(stage1_run, many)
    assert found["photographs"] == 32
    assert found["auc"] == pytest.approx((right + 1) / 2)
    assert (found["whole"], found["stitched"]) == pytest.approx((right, 0.0))
    whole, stitched = network.shown
    assert whole.shape == stitched.shape == (32, 3, 64, 64)
    changed = ((whole - stitched).abs() > 0.02).flatten(1).any(1)
    assert changed.float().mean() > 0.8


def test_the_command_asks_a_run_of_either_stage(many, stage1_run, stage2_run, capsys):
    for run in (stage1_run, stage2_run):
        options = ["--run", str(run), "--data", str(many), "--samples", "16", "--json"]
        assert coherence.main(options) == 0
        told, line = capsys.readouterr().out.splitlines()
        found = json.loads(line)
        assert found["photographs"] == 16
        assert 0 <= found["auc"] <= 1
        assert f"{found['auc']:.3f}" in told
        assert coherence.main(options) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--run", "nowhere"], "nowhere"), (["--data", "nowhere"], "nowhere")],
)
def test_what_cannot_be_asked_is_one_line(options, named, many, stage1_run, capsys):
    assert coherence.main(["--run", str(stage1_run), "--data", str(many), *options]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert named in err
    assert err.count("\n") == 1


def test_few_photographs_are_named(arrays, stage1_run, capsys):
    assert coherence.main(["--run", str(stage1_run), "--data", str(arrays)]) == 2
    assert "8 photographs kept out of training are the least" in capsys.readouterr().err
