import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from stackgan.devices import shifted
from stackgan.discriminators import _Windows
from train.augment import _moved, _moved_at_once, augment, draw_changes, draw_warps
from train.losses import AdversarialLoss, mode_seeking


def test_cross_entropy_is_equations_3_and_4():
    real, wrong, fake = torch.randn(3, 50)
    loss = AdversarialLoss("cross-entropy")
    expected = -logsigmoid(real).mean() - 0.5 * (
        logsigmoid(-wrong).mean() + logsigmoid(-fake).mean()
    )
    torch.testing.assert_close(loss.discriminator([real], [wrong], [fake]), expected)
    torch.testing.assert_close(loss.generator([fake]), -logsigmoid(fake).mean())


def test_undecided_discriminator_pays_2_log_2():
    nought = [torch.zeros(4)]
    assert AdversarialLoss().discriminator(nought, nought, nought) == pytest.approx(2 * math.log(2))


def test_hinge_stops_paying_beyond_the_margin():
    loss = AdversarialLoss("hinge")
    far = torch.full((4,), 5.0)
    assert loss.discriminator([far], [-far], [-far]) == 0
    assert loss.generator([far]) == -5


def test_heads_without_text_count_their_fakes_in_full():
    loss = AdversarialLoss("hinge")
    zero, bad = torch.zeros(4), torch.full((4,), 3.0)
    reading, not_reading = 1 + 0.5 * (1 + 4), 1 + 4
    both = loss.discriminator([zero, zero], [zero], [bad, bad])
    assert both == pytest.approx((reading + not_reading) / 2)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="wasserstein"):
        AdversarialLoss("wasserstein")


def test_augmentation_moves_and_cuts_but_keeps_colours():
    images = torch.rand(8, 3, 64, 64) * 0.5 + 0.25
    seen = augment(images, draw_changes(8, 64, torch.Generator().manual_seed(0)))
    assert seen.shape == images.shape
    middle = seen[:, :, 8:-8, 8:-8]  # further in than a translation reaches
    blank = (middle == 0).all(dim=1).float().mean(dim=(1, 2))
    assert 1 <= (blank > 0).sum() <= 7, "some are cut, some are whole"
    assert (blank < 0.7).all()
    palette = set(images[0].flatten(1).T.reshape(-1).tolist())
    assert set(seen[0][seen[0] != 0].tolist()) <= palette
    moved = [not torch.equal(a[a != 0], b[a != 0]) for a, b in zip(seen, images, strict=True)]
    assert sum(moved) >= 6


def test_augmentation_is_reproducible_and_differentiable():
    images = torch.rand(4, 3, 64, 64, requires_grad=True)
    a = augment(images, draw_changes(4, 64, torch.Generator().manual_seed(3)))
    b = augment(images, draw_changes(4, 64, torch.Generator().manual_seed(3)))
    torch.testing.assert_close(a, b)
    # What is seen of a pixel is what its gradient counts, in its place.
    weights = torch.rand_like(a)
    (a * weights).sum().backward()
    torch.testing.assert_close((images.grad * images).sum(), (a * weights).sum())
    small = torch.rand(3, 1, 8, 8, dtype=torch.double, requires_grad=True)
    changes = draw_changes(3, 8, torch.Generator().manual_seed(1))
    torch.autograd.gradcheck(lambda x: augment(x, changes), small)


def test_a_share_of_pictures_is_zoomed_and_turned_and_the_rest_is_left_alone():
    still = torch.zeros(400, 5, dtype=torch.long)
    warps = draw_warps(400, 0.25, torch.Generator().manual_seed(0))
    identity = (warps == torch.eye(3)[:2]).all(dim=(1, 2))
    assert 0.65 < identity.float().mean() < 0.85
    images = torch.rand(400, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    seen = augment(images, still, warps)
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert seen.dtype == images.dtype
    torch.testing.assert_close(seen[identity], images[identity], atol=1e-4, rtol=0)
    assert ((seen - images)[~identity].abs().mean(dim=(1, 2, 3)) > 0.01).all()
    # Areas, which the determinants give, spread to both sides of what they were; so do angles.
    areas = torch.linalg.det(warps[~identity][:, :, :2])
    angles = torch.atan2(warps[~identity][:, 1, 0], warps[~identity][:, 0, 0])
    for spread, expected in ((areas.log2(), 0.4), (angles, 0.15)):
        assert spread.std() == pytest.approx(expected, rel=0.3)
        assert abs(spread.mean()) < expected / 3
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(images, still, warps), seen)
    # What each pixel of the picture counts in its gradient is what is seen of it.
    images.requires_grad_()
    weights = torch.rand_like(images)
    (augment(images, still, warps) * weights).sum().backward()
    expected = (augment(images, still, warps) * weights).sum()
    torch.testing.assert_close((images.grad * images).sum(), expected)


def test_crops_are_slices_and_so_are_their_gradients():
    images = torch.rand(3, 2, 12, 12, dtype=torch.double, requires_grad=True)
    corners = torch.tensor([(0, 5), (3, 1), (7, 0)])
    windows = _Windows.apply(images, corners, 5)
    slices = [
        x[:, y : y + 5, z : z + 5] for x, (y, z) in zip(images, corners.tolist(), strict=True)
    ]
    torch.testing.assert_close(windows, torch.stack(slices))
    torch.autograd.gradcheck(lambda x: _Windows.apply(x, corners, 5), images)


def test_what_a_gpu_does_at_once_is_what_a_cpu_does_by_turns():
    stream = torch.Generator().manual_seed(0)
    images = torch.randn(9, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    changes = draw_changes(9, 32, stream)
    at_once = _moved_at_once(images, changes)
    torch.testing.assert_close(at_once, _moved(images, changes))
    assert at_once.is_contiguous(memory_format=torch.channels_last)
    # A window, and a window's gradient back in its place.
    corners = torch.tensor([(7, 0), (0, 12), (16, 16)])
    windows = shifted(images, corners, 16, which=torch.tensor([4, 0, 8]))
    for window, image, (top, left) in zip(windows, (4, 0, 8), corners.tolist(), strict=True):
        torch.testing.assert_close(window, images[image, :, top : top + 16, left : left + 16])
    whole = shifted(windows, -corners, 32)
    torch.testing.assert_close(whole[1, :, :16, 12:28], windows[1])
    assert whole.count_nonzero() == windows.count_nonzero()


def test_mode_seeking_pays_for_pictures_that_ignore_z():
    z1, z2 = torch.randn(2, 4, 10)
    x = torch.rand(4, 3, 8, 8)
    near, far = mode_seeking(x, x + 0.01, z1, z2), mode_seeking(x, x + 0.5, z1, z2)
    assert near > 10 * far > 0
    y = x.clone().requires_grad_()
    mode_seeking(x - 0.1, y, z1, z2).backward()
    assert (y.grad < 0).all(), "moving away from its twin makes it cheaper"
