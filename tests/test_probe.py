"""What a frozen network sees of a checkpoint's flaws: areas that are known, and the command."""

import json

import pytest
import torch
from conftest import fake_encoder, write_imagefolder
from trainers import TinyFeatures

from train import probe, spread
from train.prepare import prepare


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """96 drawn flowers, 64 of them to train on."""
    folder = tmp_path_factory.mktemp("many")
    photos = write_imagefolder(folder / "photos", 96)
    prepare(photos, folder / "arrays", validation=0.34, encode=fake_encoder, embedding_dim=16)
    return folder / "arrays"


def gaussian(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 20, generator=torch.Generator().manual_seed(seed))


def test_the_area_is_a_half_for_sets_alike_and_one_for_sets_apart():
    real, drawn = gaussian(800, 1), gaussian(800, 2)
    assert probe._auc(real, drawn) == pytest.approx(0.5, abs=0.1)
    drawn[:, 3] += 4
    assert probe._auc(real, drawn) > 0.99
    drawn[:, 3] -= 3  # now by one deviation
    assert 0.65 < probe._auc(real, drawn) < 0.85  # Φ(1 / √2) = 0.76


def test_the_command_probes_both_stages_at_every_view(many, checkpoint_folder, monkeypatch, capsys):
    monkeypatch.setattr("train.probe.EfficientNetLite", lambda _: TinyFeatures())
    flowers = ["--checkpoint", str(checkpoint_folder / "flowers"), "--data", str(many)]
    assert probe.main([*flowers, "--views", "64", "128", "--json"]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert list(found) == ["stage1", "stage2"]
    for views in found.values():
        assert list(views) == ["64", "128"]
        for areas in views.values():
            assert list(areas) == ["4", "8", "16", "32"]
            # Random networks do not draw discs on green.
            assert min(areas.values()) > 0.9
    assert any(row.startswith("stage2, view 128") for row in table)

    one = probe.probe(checkpoint_folder / "sketches", many, views=(64,), pyramid=TinyFeatures())
    assert list(one) == ["stage1"]
    again = probe.probe(checkpoint_folder / "sketches", many, views=(64,), pyramid=TinyFeatures())
    assert one == again


def test_every_picture_has_a_noise_of_its_own(many, checkpoint_folder, monkeypatch):
    drawn = []

    def drawing(pipeline, embeddings, noise):
        drawn.append(torch.cat([noise.z, noise.epsilon1, noise.epsilon2], dim=1))
        return spread.draw(pipeline, embeddings, noise)

    monkeypatch.setattr("train.probe.draw", drawing)
    probe.probe(checkpoint_folder / "sketches", many, views=(64,), pyramid=TinyFeatures())
    rows = torch.cat(drawn)
    assert len(rows.unique(dim=0)) == len(rows) == 64


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--views", "100"], "multiples of 32"),
        (["--samples", "8"], "64 photographs are the least"),
        (["--data", "{short}"], "holds all-MiniLM-L6-v2's of 8"),
        (["--data", "nowhere"], "nowhere"),
        (["--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_probed_is_one_line(
    options, named, many, checkpoint_folder, tmp_path, capsys
):
    flowers = ["--checkpoint", str(checkpoint_folder / "flowers"), "--data", str(many)]
    short = tmp_path / "short"
    if "{short}" in options:
        prepare(
            many.parent / "photos",
            short,
            encode=lambda captions: fake_encoder(captions)[:, :8],
            embedding_dim=8,
        )
    assert probe.main([*flowers, *(option.format(short=short) for option in options)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert named in err
    assert err.count("\n") == 1
