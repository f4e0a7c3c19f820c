"""How it works: its handlers as plain functions; no browser."""

import re
from dataclasses import replace

import pytest
import torch
from conftest import TINY, fake_encoder, lively
from PIL import Image

gr = pytest.importorskip("gradio")

from stackgan import Pipeline, StackGAN  # noqa: E402
from stackgan.config import StackGANConfig  # noqa: E402
from stackgan.images import from_pictures, read_settings  # noqa: E402
from stackgan.ui.about import About  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.plots import difference, gaussian_svg, grey_levels  # noqa: E402

RED, BLUE = "a red flower", "a <b>blue</b> flower"


class Known:
    """Stands for the captions that a checkpoint was trained on."""

    subject = "flowers & more"

    def nearest(self, embeddings, count):
        return [[("a <i>tulip</i>", 0.91), ("a rose", 0.5)]] * len(embeddings)

    def is_far(self, embeddings):
        return [True] * len(embeddings)


@pytest.fixture
def about(checkpoints) -> About:
    return About(checkpoints)


def tensor(path) -> torch.Tensor:
    return from_pictures([Image.open(path)])


def test_stage_one_is_there_before_stage_two(about):
    first, second = about.explain(RED, BLUE, 7, None)
    nearest, gaussians, sketch, picture = first[:4]
    assert "comes without the captions" in nearest
    assert gaussians.count("<svg") == 2
    assert Image.open(sketch).size == (64, 64)
    assert picture is None
    assert second[:3] == first[:3]
    assert Image.open(second[3]).size == Image.open(second[4]).size == (256, 256)
    assert second[6] == second[3]
    settings = {**read_settings(sketch), "stage": 2}
    assert read_settings(second[3]) == settings
    assert settings["caption"] == RED
    for shown in (second[4], second[7], second[8]):  # no tab draws these
        assert read_settings(shown) is None


def test_the_difference_says_what_stage_two_changed(about):
    *_, last = about.explain(RED, BLUE, 7, None)
    change = difference(tensor(last[2]), tensor(last[3]))
    shown = tensor(last[4])
    assert torch.allclose(shown, (3 * change).clamp(-1, 1), atol=0.04)
    [levels] = re.findall(r"by ([\d.]+) of 255", last[5])
    assert float(levels) == pytest.approx(grey_levels(change), abs=0.5)


def test_other_words_change_what_stage_two_draws_from_one_sketch(about, checkpoints):
    pipeline = checkpoints.pipeline()
    *_, last = about.explain(RED, BLUE, 7, None)
    sketch = pipeline.sketch(pipeline.prepare([RED], 7))
    expected = pipeline.refine(sketch, pipeline.prepare([BLUE], 7))
    assert torch.allclose(tensor(last[8]), expected, atol=0.01)
    own, without, instead = (tensor(path) for path in last[6:9])
    assert not torch.equal(own, without)
    assert not torch.equal(own, instead)
    assert "&lt;b&gt;blue" in last[9]
    *_, same = about.explain(RED, RED, 7, None)
    assert torch.allclose(tensor(same[8]), tensor(same[6]), atol=0.01)


@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_nothing_need_be_read_instead(about, nothing):
    *_, last = about.explain(RED, nothing, 7, None)
    assert Image.open(last[7]).size == (256, 256)
    assert last[8] is None
    assert "Without words a pixel differs" in last[9]


def test_without_words_is_the_mean_of_the_training_captions():
    model = lively(StackGAN(TINY))
    model.embedding_norm.set_statistics(torch.arange(16.0), 2.0)
    pipeline = Pipeline(model, fake_encoder)
    inputs = pipeline.prepare([RED, BLUE], 3)
    wordless = pipeline.without_words(inputs)
    means = replace(inputs, embeddings=torch.arange(16.0).expand(2, -1))
    torch.testing.assert_close(pipeline.sketch(wordless), pipeline.sketch(means), rtol=0, atol=1e-4)
    assert not torch.equal(pipeline.sketch(wordless), pipeline.sketch(inputs))
    assert torch.equal(wordless.noise.z, inputs.noise.z)


def test_mu_and_sigma_are_those_of_both_stages_networks():
    model = lively(StackGAN(TINY))
    pipeline = Pipeline(model, fake_encoder)
    inputs = pipeline.prepare([RED, BLUE], 3)
    with torch.no_grad():
        embeddings = model.embedding_norm(inputs.embeddings)
        drawings = [
            model.stage1(embeddings, inputs.noise.z),
            model.stage2(pipeline.sketch(inputs), embeddings),
        ]
    for (mu, sigma), drawing in zip(pipeline.conditioning(inputs), drawings, strict=True):
        assert torch.allclose(mu, drawing.mu, atol=1e-5)
        assert torch.allclose(sigma, torch.exp(0.5 * drawing.log_variance), atol=1e-5)


def test_nearest_captions_are_escaped_and_far_ones_said_to_be(about, checkpoints, monkeypatch):
    monkeypatch.setitem(vars(checkpoints.pipeline()), "known", Known())
    nearest, *_ = next(about.explain(RED, BLUE, 7, None))
    assert "a &lt;i&gt;tulip&lt;/i&gt; <small>0.91" in nearest
    assert nearest.count("<li>") == 2
    assert "flowers &amp; more" in nearest
    assert about.api(RED)["nearest"][1] == ("a rose", 0.5)


def test_a_checkpoint_of_one_stage_shows_what_it_has(checkpoint_folder):
    about = About(Checkpoints(str(checkpoint_folder / "sketches"), encoder=fake_encoder))
    (only,) = about.explain(RED, "", 7, None)
    assert Image.open(only[2]).size == (64, 64)
    assert only[3] is None
    assert "one stage" in only[5]
    answer = about.api(RED)
    assert len(answer["conditioning"]) == 1
    assert answer["changed"] is None


def test_a_stage_two_without_text_has_nothing_to_compare(tmp_path):
    config = StackGANConfig(**{**TINY.__dict__, "text_in_stage2": False})
    lively(StackGAN(config)).save_pretrained(tmp_path / "blind")
    about = About(Checkpoints(str(tmp_path / "blind"), encoder=fake_encoder))
    *_, last = about.explain(RED, BLUE, 7, None)
    assert last[3] is not None
    assert last[7] is last[8] is None
    assert "trained without text" in last[9]


def test_the_endpoint_tells_numbers(about):
    answer = about.api(RED, 7)
    for stage in answer["conditioning"]:
        assert len(stage["mu"]) == len(stage["sigma"]) == TINY.condition_dim
        assert min(stage["sigma"]) > 0
    assert answer["changed"] > 0
    assert answer["nearest"] is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"caption": " "}, "caption is empty"),
        ({"other": "x" * 501}, "500 are the limit"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"seed": None}, "seed is a whole number"),
        ({"checkpoint": "cats"}, "no checkpoint 'cats' here"),
    ],
)
def test_bad_input_is_told_in_words(about, settings, words):
    values = {"caption": RED, "other": BLUE, "seed": 7, "checkpoint": None} | settings
    with pytest.raises(gr.Error) as error:
        list(about.explain(**values))
    assert words in error.value.message


def test_a_gaussian_is_drawn_in_the_order_of_its_means_and_told_in_words():
    mu = torch.tensor([0.5, -1.0, 0.0])
    svg = gaussian_svg(mu, torch.tensor([0.1, 0.2, 0.3]), "μ ± σ of Stage-I")
    label = re.search('role="img" aria-label="([^"]+)"', svg)[1]
    assert label == "μ ± σ of Stage-I: 3 numbers, μ from -1.00 to 0.50, σ 0.20 on average"
    heights = [
        float(p.split(",")[1]) for p in re.search('polyline points="([^"]+)', svg)[1].split()
    ]
    assert heights == sorted(heights, reverse=True)
    assert "nan," not in gaussian_svg(mu, torch.zeros(3), "σ = 0")
