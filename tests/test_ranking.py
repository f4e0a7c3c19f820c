"""Pictures ranked: by the scorer's towers and typical photographs, and through the pipeline."""

import json

import pytest
import torch
from conftest import TINY, fake_encoder
from safetensors.torch import save_file
from torch import nn

from stackgan import Pipeline
from stackgan.features import FeatureNetwork, lite_is_installed
from stackgan.model import SCORER
from stackgan.ranking import Ranker, Scorer


class Colours(nn.Module):
    """Mean red, green and blue of a picture."""

    def forward(self, images):
        return images.mean(dim=(2, 3))


def colour_scorer(encoder: str = TINY.encoder) -> Scorer:
    """Knows red from blue, in pictures as in `fake_encoder`'s sentences."""
    scorer = Scorer(3, 16, "lite0", encoder)
    for tower, (red, blue) in ((scorer.picture_tower, (0, 2)), (scorer.text_tower, (0, 2))):
        first, last = tower[2], tower[5]
        for layer in (first, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            first.weight[0, red] = first.weight[1, blue] = 1
            last.weight[0, 0] = last.weight[1, 1] = 1
            last.bias[2] = 0.01
    return scorer.eval()


@pytest.fixture
def pipeline(tiny_model, tmp_path, monkeypatch):
    """A checkpoint that brings the scorer, its feature network replaced by mean colours."""
    tiny_model.save_pretrained(tmp_path / "flowers")
    colour_scorer().save(tmp_path / "flowers" / SCORER)
    monkeypatch.setattr(
        "stackgan.pipeline._feature_network",
        lambda name, device: FeatureNetwork(name, Colours(), 3, 32, device),
    )
    monkeypatch.setattr("stackgan.pipeline.lite_is_installed", lambda name: True)
    return Pipeline.from_pretrained(tmp_path / "flowers", encoder=fake_encoder, engine="plain")


def painted(*colours: tuple[float, float, float], side: int = 256) -> torch.Tensor:
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, side, side)


RED, BLUE = (0.9, -1.0, -1.0), (-1.0, -1.0, 0.9)


@pytest.mark.parametrize("side", [64, 256])
def test_pictures_of_what_was_asked_for_fit_better(pipeline, side):
    assert pipeline.can_rank
    images = painted(*[RED, BLUE] * 5, side=side)  # more than one inner batch
    inputs = pipeline.prepare(["a red flower", "a red flower"] * 5, seeds=1)
    fits = pipeline.score(images, inputs)
    assert fits.shape == (10,)
    assert fits.abs().max() <= 1 + 1e-6
    assert (fits[::2] > fits[1::2] + 0.5).all()
    torch.testing.assert_close(fits[8:], fits[:2], msg="a batch equals its singles")


def test_what_looks_like_photographs_goes_before_what_fits(pipeline):
    """Of two red pictures the one of the photographs' own red, though the other fits better."""
    dull = (0.9, 0.1, 0.1)
    images, inputs = painted(RED, dull, BLUE), pipeline.prepare(["a red flower"] * 3, seeds=1)
    pipeline._ranker.scorer.typical = nn.functional.normalize(torch.tensor([RED]), dim=1)
    assert pipeline.score(images, inputs).argsort(descending=True).tolist() == [0, 1, 2]


def test_likeness_is_the_nearest_typical_photographs_cosine():
    scorer = Scorer(2, 16, "fake", "fake", typical=4)
    scorer.typical = torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8], [-1, 0]])
    torch.testing.assert_close(
        scorer.likeness(torch.tensor([[5.0, 0], [0, 2]])),
        torch.tensor([(1 + 0.6 + 0) / 3, (1 + 0.8 + 0) / 3]),
    )


def test_a_file_of_before_there_were_typical_photographs_ranks_by_fit_alone(pipeline, tmp_path):
    scorer, path = colour_scorer(), tmp_path / "old.safetensors"
    weights = {k: v for k, v in scorer.state_dict().items() if k != "typical"}
    save_file(weights, path, {"scorer": json.dumps(scorer.about)})
    old = Scorer.load(path)
    assert old.typical.shape == (0, 3)
    inputs = pipeline.prepare("a red flower", seeds=[1, 2])
    scores = Ranker(old, pipeline._ranker.network)(painted(RED, BLUE), inputs.embeddings)
    assert scores[0] > scores[1] + 0.5


def test_without_a_scorer_the_reason_is_told(tiny_model):
    pipeline = Pipeline(tiny_model, fake_encoder, engine="plain", name="mine")
    assert not pipeline.can_rank
    with pytest.raises(ValueError, match=r"mine cannot be ranked: .* no usable scorer"):
        pipeline.score(painted(RED), pipeline.prepare("a red flower", seeds=1))


def test_without_the_network_nothing_is_compared(pipeline, monkeypatch):
    monkeypatch.setattr("stackgan.pipeline.lite_is_installed", lambda name: False)
    assert not pipeline.can_rank
    with pytest.raises(ValueError, match="not installed"):
        pipeline.score(painted(RED), pipeline.prepare("a red flower", seeds=1))


def test_pictures_and_captions_pair_off(pipeline):
    with pytest.raises(ValueError, match="1 pictures do not pair off with 2 captions"):
        pipeline.score(painted(RED), pipeline.prepare("a red flower", seeds=[1, 2]))


def test_a_scorer_of_another_encoder_or_none_is_done_without(tiny_model, tmp_path, caplog):
    tiny_model.save_pretrained(tmp_path)
    path = tmp_path / SCORER

    def complaint() -> str:
        caplog.clear()
        assert not Pipeline.from_pretrained(tmp_path, encoder=fake_encoder).can_rank
        return caplog.text

    colour_scorer("another-encoder").save(path)
    assert "another-encoder embeddings" in complaint()
    save_file({"a": torch.zeros(1)}, path, {"scorer": "[]"})
    assert f"{SCORER} is no file of train.scorer" in complaint()
    path.write_text("damaged")
    assert f"{SCORER} is no file of train.scorer" in complaint()


def test_installed_networks_are_known_without_importing_them():
    assert lite_is_installed("lite0")
    assert not lite_is_installed("lite9")
