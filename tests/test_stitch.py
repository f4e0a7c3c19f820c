"""Photographs put together wrongly: what they look like, and that D learns to tell them."""

import pytest
import torch
from trainers import make_trainer

from train.stitch import OTHER_SHARE, draw_stitches, stitch

SIDE = 32


def photos(n: int, seed: int = 0):
    images = torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return 2 * images - 1


def draw(n: int, seed: int = 0):
    return draw_stitches(n, torch.Generator().manual_seed(seed))


def by_hand(other=0.0, warp=(1, 0, 0, 0, 1, 0), region=(1, 0, 0, 0), half=1.0, sharpness=1e4):
    return torch.tensor([[other, *warp, *region, half, sharpness]])


def test_half_of_another_photograph():
    own, other = photos(1), photos(1, seed=1)
    stitched = stitch(own, other, by_hand(other=1.0))
    assert torch.equal(stitched[..., : SIDE // 2], own[..., : SIDE // 2])
    torch.testing.assert_close(stitched[..., SIDE // 2 :], other[..., SIDE // 2 :])


def test_a_half_can_be_its_own_mirror_image():
    own = photos(1)
    stitched = stitch(own, photos(1, seed=1), by_hand(warp=(-1, 0, 0, 0, 1, 0)))
    assert torch.equal(stitched[..., : SIDE // 2], own[..., : SIDE // 2])
    torch.testing.assert_close(stitched, stitched.flip(3))


def test_an_ellipse_of_another_photograph():
    own, other = photos(1), photos(1, seed=1)
    stitched = stitch(own, other, by_hand(other=1.0, region=(0.5, -0.5, 0.4, 0.3), half=0.0))
    y, x = SIDE // 4, 3 * SIDE // 4  # its centre
    torch.testing.assert_close(stitched[..., y, x], other[..., y, x])
    changed = (stitched != own).any(1)[0]
    assert 0.06 < changed.float().mean() < 0.12  # π · 0.4 · 0.3 of 4
    assert changed[: SIDE // 2, SIDE // 2 :].sum() > 0.9 * changed.sum()


def test_draws_differ_are_reproducible_and_change_much_of_a_photograph():
    stitches = draw(400)
    assert torch.equal(stitches, draw(400))
    assert len(stitches.unique(dim=0)) == 400
    assert stitches[:, 0].mean() == pytest.approx(OTHER_SHARE, abs=0.08)
    own = photos(400)
    stitched = stitch(own, photos(400, seed=1), stitches)
    assert stitched.abs().max() <= 1
    changed = ((stitched - own).abs() > 0.05).any(1).float().mean(dim=(1, 2))
    assert changed.min() > 0.02
    assert 0.2 < changed.mean() < 0.6


def test_mirrored_halves_meet_at_their_edge():
    """On the edge itself a mirror image is what it mirrors, whatever the edge's direction."""
    stitches = draw(400)
    turned = torch.linalg.det(stitches[:, 1:7].view(-1, 2, 3)[:, :, :2])
    off_axis = (stitches[:, 2].abs() > 1e-6) & (stitches[:, 11] > 0)  # no flip has a slanted axis
    mirrors = stitches[off_axis]
    assert len(mirrors) > 30
    torch.testing.assert_close(turned[off_axis], -torch.ones(len(mirrors)))
    normal, offset = mirrors[:, 7:9], mirrors[:, 9:10]
    along = torch.stack([-normal[:, 1], normal[:, 0]], dim=1)
    for t in (-0.7, 0.0, 0.4):
        place = torch.cat([offset * normal + t * along, torch.ones(len(mirrors), 1)], dim=1)
        found = (mirrors[:, 1:7].view(-1, 2, 3) @ place[:, :, None]).squeeze(2)
        torch.testing.assert_close(found, place[:, :2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("stage", [1, 2])
def test_d_learns_to_tell_them(arrays, stage1_run, tmp_path, stage, monkeypatch):
    """Against the same photographs whole, always of one batch."""

    def gap(weight):
        torch.manual_seed(0)
        trainer = make_trainer(
            arrays, stage1_run, tmp_path, stage, stitch_weight=weight, learning_rate=2e-3, batch=8
        )
        inputs = trainer._next_inputs()
        monkeypatch.setattr(trainer, "_next_inputs", lambda: inputs)
        for _ in range(15):
            trainer.train_step()
        embeddings = trainer.model.embedding_norm(inputs.embeddings)
        corners = inputs.corners.chunk(2)[1]
        with torch.no_grad():
            stitched = trainer._score_stitched(inputs, embeddings)
            seen = trainer._seen(
                inputs.photos, inputs.changes.chunk(2)[1], inputs.warps.chunk(2)[1]
            )
            features = trainer.discriminator.encode(seen, corners)
            whole = trainer.discriminator.score(features, embeddings)
        n, heads = len(inputs.stitches), range(len(trainer.discriminator.heads))
        return float(sum((whole[i][:n] - stitched[i]).mean() for i in heads))

    assert gap(1.0) > gap(0.0) + 0.1
