"""The scorer of R-precision: it learns which caption belongs, and its file says what it is."""

import warnings

import pytest
import torch
from safetensors.torch import save_file
from test_evaluate import fake_network
from torch import nn

from stackgan.ranking import Scorer
from train import scorer as module
from train.metrics import ranks_first
from train.scorer import typical_photographs
from train.towers import train_scorer


def pairs(photos: int, seed: int, captions: int = 3):
    """Features and embeddings that share six hidden numbers, seen through fixed mixings."""
    mixing = torch.Generator().manual_seed(0)
    to_features, to_embeddings = (torch.randn(6, n, generator=mixing) for n in (20, 16))
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(photos, 6, generator=draw)
    noise = 0.1 * torch.randn(photos, captions, 16, generator=draw)
    return hidden @ to_features, (hidden @ to_embeddings)[:, None] + noise


def learned(fresh: Scorer, features, embeddings, classes, epochs: int):
    def draw_texts(rows, draw):
        caption = torch.randint(embeddings.shape[1], (len(rows),), generator=draw)
        return embeddings[rows, caption]

    return train_scorer(fresh, features, embeddings[:, 0], classes, draw_texts, epochs=epochs)


def rate(scorer: Scorer, features, embeddings, among: int = 100) -> float:
    groups = torch.arange(len(features))
    texts = scorer.texts(embeddings[:, 0])
    pictures = scorer.pictures(features)
    return float(ranks_first(pictures, texts, groups, texts, groups, among=among).mean())


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    features, embeddings = pairs(600, seed=1)
    fresh = Scorer(20, 16, "fake", "fake-encoder")
    return learned(fresh, features, embeddings, torch.arange(600) % 20, epochs=25)


def test_scorer_learns_and_holds_for_new_photos(trained):
    scorer, held_out = trained
    features, embeddings = pairs(200, seed=2)
    assert rate(scorer, features, embeddings) > 0.6
    assert held_out > 0.6
    torch.manual_seed(0)
    untrained = Scorer(20, 16, "fake", "fake-encoder").eval()
    assert rate(untrained, features, embeddings) < 0.1


def test_views_of_a_photo_are_drawn_in_turn():
    """One view says nothing of the photo, another does: what is learned holds for the latter."""
    features, embeddings = pairs(600, seed=1)
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(5))
    views = torch.stack([features, features, noise], dim=1)
    torch.manual_seed(0)
    fresh = Scorer(20, 16, "fake", "fake-encoder")
    scorer, held_out = learned(fresh, views, embeddings, torch.arange(600) % 20, epochs=25)
    assert held_out > 0.4  # read off the first view
    assert rate(scorer, *pairs(200, seed=2)) > 0.4


def test_typical_photographs_stand_for_groups_of_like_ones():
    draw = torch.Generator().manual_seed(0)
    centres = torch.eye(4, 8).repeat_interleave(25, 0)
    photos = 7 * (centres + 0.05 * torch.randn(100, 8, generator=draw))
    typical = typical_photographs(photos, 12, seed=1)
    assert typical.shape == (12, 8)
    torch.testing.assert_close(typical.norm(dim=1), torch.ones(12))
    assert (torch.eye(4, 8) @ typical.T).max(1).values.min() > 0.99
    torch.testing.assert_close(typical_photographs(photos, 12, seed=1), typical)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        equal = typical_photographs(photos[:1].expand(5, -1), 12)
    torch.testing.assert_close(equal, nn.functional.normalize(photos[:1], dim=1).expand(5, -1))


def test_training_is_a_function_of_the_seed():
    features, embeddings = pairs(60, seed=1)
    classes = torch.zeros(60, dtype=torch.long)
    weights = []
    for noise in (1, 2):
        torch.manual_seed(0)
        fresh = Scorer(20, 16, "fake", "fake-encoder")
        torch.manual_seed(noise)  # what others drew from the global generator is no matter
        scorer, _ = learned(fresh, features, embeddings, classes, epochs=2)
        weights.append(scorer.state_dict())
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=0, atol=0)


def test_saved_scorer_scores_the_same(trained, tmp_path):
    scorer, _ = trained
    scorer.save(tmp_path / "scorer.safetensors")
    again = Scorer.load(tmp_path / "scorer.safetensors")
    features, embeddings = pairs(5, seed=3)
    torch.testing.assert_close(again.pictures(features), scorer.pictures(features))
    torch.testing.assert_close(again.texts(embeddings[:, 0]), scorer.texts(embeddings[:, 0]))
    assert again.about["encoder"] == "fake-encoder"


def test_other_files_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name in ("other", "text", "missing"):
        with pytest.raises(ValueError, match=f"{name}.safetensors is no file of train.scorer"):
            Scorer.load(tmp_path / f"{name}.safetensors")


def test_command_trains_on_the_training_split_and_keeps_features(
    arrays, tmp_path, monkeypatch, capsys
):
    seen = []
    monkeypatch.setattr(module, "load_network", lambda name: fake_network(seen))
    out = tmp_path / "scorer.safetensors"
    command = ["--data", str(arrays), "--out", str(out), "--epochs", "2"]
    assert module.main(command) == 0
    assert Scorer.load(out).about["embedding_dim"] == 16
    assert "8 photographs" in capsys.readouterr().out
    looked_at = sum(seen)
    assert module.main(command) == 0
    assert sum(seen) == looked_at  # the second time they come from the cache


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nowhere", "--out", "{tmp}/s.safetensors"], "nowhere"),
        (["--data", "{data}", "--out", "{tmp}/none/s.safetensors"], "no such folder"),
        (["--data", "{data}", "--out", "{tmp}/s.safetensors", "--epochs", "0"], "--epochs"),
    ],
)
def test_bad_commands_are_one_line(arguments, words, arrays, tmp_path, capsys):
    try:
        code = module.main([a.format(data=arrays, tmp=tmp_path) for a in arguments])
    except SystemExit as error:
        code = error.code
    assert code == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
