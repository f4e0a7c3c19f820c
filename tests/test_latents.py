import math

import pytest
import torch

from stackgan.latents import (
    MAX_SEED,
    Noise,
    Step,
    check_emphasis,
    directions,
    emphasise,
    lerp,
    noise,
    slerp,
    truncate,
    walk,
)


def test_a_seed_gives_the_same_noise_alone_and_in_a_batch():
    torch.testing.assert_close(noise([5], 100), noise([1, 5, 9], 100)[1:2], rtol=0, atol=0)
    assert not torch.equal(noise([5], 100), noise([6], 100))


def test_streams_are_independent():
    assert not torch.equal(noise([5], 100, "z"), noise([5], 100, "epsilon1"))
    assert not torch.equal(noise([5], 100, "epsilon1"), noise([5], 100, "epsilon2"))


def test_golden_noise():
    """Pictures shared by seed must not change between versions."""
    expected = {
        "z": [-0.14680, 0.78614, 0.94682],
        "epsilon1": [-0.74743, 1.86045, -1.09480],
        "epsilon2": [-1.12575, -0.46568, -1.61957],
        "directions": [-0.15882, 0.42758, -0.17517],
    }
    for stream, values in expected.items():
        found = noise([7], 3, stream)[0]
        torch.testing.assert_close(found, torch.tensor(values), rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 0.5, True])
def test_impossible_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="seed"):
        noise([seed], 3)


def test_truncation_scales():
    z = noise([1], 10)
    torch.testing.assert_close(truncate(z, 0.5), z * 0.5)
    with pytest.raises(ValueError, match="truncation"):
        truncate(z, 2.0)


def test_emphasis_goes_along_the_line_from_the_mean_through_the_caption():
    mean, captions = torch.randn(4), torch.randn(3, 4)
    assert torch.equal(emphasise(captions, mean, 1.0), captions)
    torch.testing.assert_close(emphasise(captions, mean, 0.0), mean.expand(3, -1))
    torch.testing.assert_close(emphasise(captions, mean, 2.0), 2 * captions - mean)


@pytest.mark.parametrize("emphasis", [-0.1, 2.1, float("nan")])
def test_emphasis_beyond_its_range_is_refused(emphasis):
    with pytest.raises(ValueError, match="emphasis is from 0 to 2"):
        check_emphasis(emphasis)


@pytest.mark.parametrize("way", [lerp, slerp])
def test_both_ways_are_exact_at_the_ends(way):
    a, b = torch.randn(2, 8), 3 * torch.randn(2, 8)
    torch.testing.assert_close(way(a, b, 0.0), a)
    torch.testing.assert_close(way(a, b, 1.0), b)


def test_slerp_keeps_the_length_and_halves_the_angle():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    torch.testing.assert_close(slerp(a, b, 0.5), torch.tensor([0.5, 0.5]) * 2**0.5)
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 4.0])
    assert abs(slerp(a, b, 0.5).norm() - 3) < 1e-5


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]),
        ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        ([1.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]),
        ([1.0, 0.0, 0.0], [-1.0, 1e-6, 0.0]),
    ],
)
def test_slerp_of_degenerate_pairs_is_finite_and_smooth(a, b):
    a, b = torch.tensor(a), torch.tensor(b)
    path = torch.stack([slerp(a, b, t) for t in torch.linspace(0, 1, 33)])
    assert path.isfinite().all()
    steps = (path[1:] - path[:-1]).norm(dim=1)
    assert steps.max() < 0.2 * max(a.norm(), b.norm())


def test_noise_is_cut_by_rows():
    held = Noise(torch.randn(4, 3), None, torch.randn(4, 2))[1:3]
    assert held.z.shape == (2, 3)
    assert held.epsilon1 is None
    assert held.epsilon2.shape == (2, 2)


STEPS = [Step(1, 0.5, -0.25, 40), Step(2, -1, 1, 90), Step(3, 0.1, 0, 5)]


@pytest.mark.parametrize("seed", [0, 7, MAX_SEED])
def test_directions_are_units_at_right_angles_to_each_other_and_to_z(seed):
    [z] = noise([seed], 100).double()
    frame = torch.stack([z / z.norm(), *directions(z, seed)])
    torch.testing.assert_close(frame @ frame.T, torch.eye(3, dtype=torch.float64))
    assert not torch.allclose(directions(z, seed), directions(z, 1))
    torch.testing.assert_close(directions(0.3 * z, seed), directions(z, seed))


def test_directions_need_three_dimensions():
    with pytest.raises(ValueError, match="need 3"):
        directions(torch.ones(2), 0)


def test_a_walk_keeps_the_length_and_turns_by_its_radius():
    [z] = noise([5], 100)
    assert walk(z, STEPS).norm() == pytest.approx(z.norm().item(), rel=1e-6)
    for step in (Step(4, 1, 0, 30), Step(4, 0, -1, 30), Step(4, 0.6, 0.8, 30)):
        cosine = torch.cosine_similarity(z, walk(z, [step]), dim=0)
        assert math.degrees(math.acos(cosine)) == pytest.approx(30, abs=0.05)
    torch.testing.assert_close(walk(z, [Step(4, 0, 0, 30)]), z, rtol=0, atol=0)


def test_a_walk_of_many_steps_is_replayed_exactly_and_its_order_matters():
    [z] = noise([5], 100)
    assert torch.equal(walk(z, STEPS), walk(z, STEPS))
    centre = walk(z.double(), STEPS[:2])
    assert torch.equal(walk(centre, STEPS[2:]).float(), walk(z, STEPS))
    assert not torch.allclose(walk(z, STEPS[::-1]), walk(z, STEPS))


def test_a_walk_goes_with_truncation_and_stays_where_z_is_zero():
    [z] = noise([5], 100)
    torch.testing.assert_close(walk(truncate(z, 0.4), STEPS), truncate(walk(z, STEPS), 0.4))
    assert not walk(torch.zeros(100), STEPS).any()
