import pytest
import torch
from conftest import fake_encoder

from stackgan import Pipeline


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
    inputs = pipeline.prepare_path("a red flower", "a blue flower", 3)
    assert not inputs.noise.z.any()
    middle = pipeline.prepare_path("a red flower", "a blue flower", 2, at=[0.5])
    torch.testing.assert_close(middle.embeddings, inputs.embeddings[1:2])


def test_noise_travels_between_two_seeds(pipeline):
    inputs = pipeline.prepare_path("a red flower", "a blue flower", 3, seed=2, end_seed=5)
    ends = pipeline.prepare("a red flower", seeds=[2, 5]).noise.z
    torch.testing.assert_close(inputs.noise.z[[0, 2]], ends)
    assert inputs.noise.z[1].norm() > 0.9 * ends.norm(dim=1).mean(), "an arc, not a short cut"


def test_progress_counts_every_picture(pipeline):
    seen = []
    pipeline.generate("a red flower", seeds=range(10), progress=lambda *p: seen.append(p))
    assert seen[-1] == (10, 10)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"captions": ""}, "empty"),
        ({"captions": []}, "no caption"),
        ({"captions": "a flower", "seeds": -1}, "seed"),
        ({"captions": "a flower", "truncation": 9}, "truncation"),
    ],
)
def test_bad_input_is_explained(pipeline, arguments, words):
    with pytest.raises(ValueError, match=words):
        pipeline.prepare(**arguments)
