import numpy as np
import pytest
import torch
from conftest import TINY, fake_encoder, lively

from stackgan import Pipeline, StackGAN, latents
from stackgan.latents import EMPHASIS


@pytest.fixture
def pipeline(tiny_model):
    return Pipeline(tiny_model, fake_encoder, device="cpu", engine="plain", name="tiny")


def test_shapes_ranges_and_settings(pipeline):
    output = pipeline.generate("a red flower", seeds=[1, 2, 3], truncation=0.8)
    assert output.sketches.shape == (3, 3, 64, 64)
    assert output.images.shape == (3, 3, 256, 256)
    assert output.images.abs().max() <= 1
    assert output.settings[1] == {
        "caption": "a red flower",
        "seed": 2,
        "epsilon_seed": None,
        "truncation": 0.8,
        "emphasis": EMPHASIS,
        "checkpoint": "tiny",
    }
    assert output.pictures()[0].size == (256, 256)


def test_a_batch_equals_its_singles(pipeline):
    seeds = list(range(11))  # more than one inner batch
    together = pipeline.generate("a red flower", seeds=seeds, epsilon_seeds=seeds)
    alone = pipeline.generate("a red flower", seeds=[9], epsilon_seeds=[9])
    torch.testing.assert_close(together.images[9:10], alone.images, rtol=0, atol=1e-4)


def test_seeds_reproduce_and_differ(pipeline):
    first = pipeline.generate("a red flower", seeds=4).images
    torch.testing.assert_close(pipeline.generate("a red flower", seeds=4).images, first)
    assert not torch.allclose(pipeline.generate("a red flower", seeds=5).images, first)
    assert not torch.allclose(pipeline.generate("a blue flower", seeds=4).images, first)


def test_epsilon_is_separate_from_z(pipeline):
    held = pipeline.prepare("a red flower", seeds=4)
    drawn = pipeline.prepare("a red flower", seeds=4, epsilon_seeds=1)
    torch.testing.assert_close(held.noise.z, drawn.noise.z)
    assert held.noise.epsilon1 is None
    assert not torch.equal(drawn.noise.epsilon1, drawn.noise.epsilon2)
    assert not torch.allclose(pipeline.sketch(held), pipeline.sketch(drawn))


def test_emphasis_moves_pictures_from_the_mean_caption_s_to_beyond_the_words(pipeline, tiny_model):
    captions = ["a red flower", "a blue flower"]
    with torch.no_grad():
        tiny_model.embedding_norm.mean.copy_(fake_encoder(captions).mean(0) + 0.1)
    plain = pipeline.prepare(captions, 4, emphasis=1)
    drawn = tiny_model.stage1(tiny_model.embedding_norm(plain.embeddings), plain.noise.z).pictures
    torch.testing.assert_close(pipeline.sketch(plain), drawn.detach(), rtol=0, atol=1e-4)
    none, more = (pipeline.generate(captions, 4, emphasis=e) for e in (0, 2))
    # Rows of one batch may differ by their rounding.
    torch.testing.assert_close(none.images[0], none.images[1], rtol=0, atol=1e-4)
    apart = [(x[0] - x[1]).abs().mean() for x in (pipeline.sketch(plain), more.sketches)]
    assert 1e-4 < apart[0] < apart[1]
    # What is known of a caption, and what its pictures are ranked by, are its own words still.
    assert torch.equal(pipeline.prepare(captions, 4, emphasis=2).embeddings, plain.embeddings)


def test_emphasis_reaches_every_picture_of_a_path(pipeline):
    way = "a red flower", "a blue flower", 3
    frames, ends = (pipeline.interpolate(*way, emphasis=e, seed=1) for e in (1.6, 1.0))
    alone = pipeline.generate("a blue flower", 1, emphasis=1.6)
    torch.testing.assert_close(frames.images[2:], alone.images, rtol=0, atol=1e-4)
    assert not torch.allclose(frames.images, ends.images, atol=1e-3)
    assert [settings["emphasis"] for settings in frames.settings] == [1.6] * 3


def test_seeds_of_numpy_are_plain_numbers_in_the_settings(pipeline):
    inputs = pipeline.prepare("a red flower", np.int64(4), epsilon_seeds=np.arange(2))
    assert [(type(r["seed"]), type(r["epsilon_seed"])) for r in inputs.settings] == [(int, int)] * 2
    torch.testing.assert_close(inputs.noise.z[1], pipeline.prepare("red", 4).noise.z[0])
    for seeds in (1.5, [None], ["seven"], float("inf"), True, -1):
        with pytest.raises(ValueError, match="whole number"):
            latents.noise([seeds] if not isinstance(seeds, list) else seeds, 3)


def test_fresh_seeds_are_reported(pipeline):
    output = pipeline.generate("a red flower")
    again = pipeline.generate("a red flower", seeds=output.settings[0]["seed"])
    torch.testing.assert_close(again.images, output.images)


def test_captions_and_seeds_pair_off(pipeline):
    assert len(pipeline.prepare(["a red flower", "a blue flower"], seeds=3)) == 2
    with pytest.raises(ValueError, match="pair off"):
        pipeline.prepare(["a red flower", "a blue flower"], seeds=[1, 2, 3])


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_starts_and_ends_at_the_sentences(pipeline, spherical):
    output = pipeline.interpolate(
        "a red flower", "a blue flower", frames=5, seed=2, spherical=spherical
    )
    ends = pipeline.generate(["a red flower", "a blue flower"], seeds=2)
    torch.testing.assert_close(output.images[[0, 4]], ends.images, rtol=0, atol=1e-4)
    steps = (output.images[1:] - output.images[:-1]).abs().mean(dim=(1, 2, 3))
    assert (steps > 0).all()


def test_interpolation_without_a_seed_has_z_nought(pipeline):
    inputs = pipeline.prepare_path(["a red flower", "a blue flower"], 3)
    assert not inputs.noise.z.any()
    middle = pipeline.prepare_path(["a red flower", "a blue flower"], at=[0.5])
    torch.testing.assert_close(middle.embeddings, inputs.embeddings[1:2])


@pytest.mark.parametrize("spherical", [False, True])
def test_a_path_passes_each_of_its_sentences_on_a_frame(pipeline, spherical):
    captions = ["a red flower", "a blue flower", "a yellow flower", "a white flower"]
    inputs = pipeline.prepare_path(captions, 9, seed=3, spherical=spherical)
    at = [settings["position"] for settings in inputs.settings]
    stops = [at.index(position) for position in (0, 0.333333, 0.666667, 1)]
    torch.testing.assert_close(inputs.embeddings[stops], pipeline.encoder(captions))
    output = pipeline.interpolate(captions, frames=4, seed=3, spherical=spherical)
    alone = pipeline.generate(captions, seeds=3)
    torch.testing.assert_close(output.images, alone.images, rtol=0, atol=1e-4)


def test_one_seed_is_held_and_several_are_travelled(pipeline):
    ends = ["a red flower", "a blue flower"]
    held = pipeline.prepare_path(ends, 5, seed=2)
    assert (held.noise.z == held.noise.z[0]).all()
    inputs = pipeline.prepare_path(ends, 5, seed=[2, 9, 5])
    stops = pipeline.prepare("a red flower", seeds=[2, 9, 5]).noise.z
    torch.testing.assert_close(inputs.noise.z[[0, 2, 4]], stops)
    assert inputs.noise.z[1].norm() > 0.9 * stops.norm(dim=1).mean(), "an arc, not a short cut"
    assert inputs.settings[0]["seed"] == [2, 9, 5]
    assert held.settings[0]["seed"] == 2


def test_epsilon_is_held_along_a_path(pipeline):
    inputs = pipeline.prepare_path(["a red flower", "a blue flower"], 3, seed=2, epsilon_seed=4)
    alone = pipeline.prepare("a red flower", seeds=2, epsilon_seeds=4)
    torch.testing.assert_close(inputs.noise.epsilon2, alone.noise.epsilon2.expand(3, -1))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"captions": ["a red flower"]}, "2 to 5 sentences"),
        ({"captions": ["a red flower"] * 6}, "2 to 5 sentences"),
        ({"captions": "a red flower"}, "2 to 5 sentences"),
        ({"captions": ["a red flower", " "]}, "sentence 2: the caption is empty"),
        ({"captions": ["a", "b", "c"], "frames": 2}, "3 sentences are from 3"),
        ({"captions": ["a", "b"], "at": [1.2]}, "positions"),
        ({"captions": ["a", "b"], "at": []}, "positions"),
        ({"captions": ["a", "b"], "frames": 4.5}, "not 4.5"),
        ({"captions": ["a", "b"], "seed": [1, -1]}, "seed"),
        ({"captions": ["a", "b"], "seed": []}, "no seed"),
    ],
)
def test_a_path_that_cannot_be_is_explained(pipeline, arguments, words):
    with pytest.raises(ValueError, match=words):
        pipeline.prepare_path(**arguments)


def test_progress_counts_every_picture(pipeline):
    seen = []
    pipeline.generate("a red flower", seeds=range(10), progress=lambda *p: seen.append(p))
    assert seen == [(8, 10), (10, 10)]


def test_progress_counts_sketches_where_they_are_the_pictures():
    seen = []
    pipeline = Pipeline(lively(StackGAN(TINY.stage1_alone())), fake_encoder)
    pipeline.generate("a red flower", seeds=range(10), progress=lambda *p: seen.append(p))
    assert seen == [(8, 10), (10, 10)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"captions": ""}, "empty"),
        ({"captions": []}, "no caption"),
        ({"captions": "a flower", "seeds": -1}, "seed"),
        (
            {"captions": "a flower", "seeds": []},
            r"0 seeds do not pair off with 1 picture\(s\): give 1$",
        ),
        ({"captions": "a flower", "truncation": 9}, "truncation"),
        ({"captions": "a flower", "emphasis": 3}, "emphasis is from 0 to 2, not 3"),
    ],
)
def test_bad_input_is_explained(pipeline, arguments, words):
    with pytest.raises(ValueError, match=words):
        pipeline.prepare(**arguments)
