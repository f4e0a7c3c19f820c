"""Generators, conditioning and the paper's discriminator: shapes, gradients, equations."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY
from trainers import TinyFeatures

from stackgan import SIZES, StackGAN, enlarging, layers, norms
from stackgan.conditioning import ConditioningAugmentation, EmbeddingNorm, kl_divergence
from stackgan.discriminators import FeatureDiscriminator, MatchingDiscriminator

VARIANTS = {
    "256": TINY,
    "128": replace(TINY, resolution=128),
    "no CA": replace(TINY, conditioning_augmentation=False),
    "no text in Stage-II": replace(TINY, text_in_stage2=False),
    "Stage-I alone at 64": replace(TINY, stages=1, resolution=64),
    "Stage-I alone at 256": replace(TINY, stages=1, resolution=256),
}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_variant_draws_and_learns(config):
    model = StackGAN(config)
    embeddings, z = torch.randn(3, 16), torch.randn(3, config.noise_dim)
    epsilon = torch.randn(3, config.condition_dim)
    drawing = model.stage1(embeddings, z, epsilon)
    side = config.sketch_resolution
    assert drawing.pictures.shape == (3, 3, side, side)
    loss = drawing.pictures.square().mean()
    if config.stages == 2:
        drawing2 = model.stage2(drawing.pictures, embeddings, epsilon)
        assert drawing2.pictures.shape == (3, 3, config.resolution, config.resolution)
        assert drawing2.pictures.abs().max() <= 1
        loss = loss + drawing2.pictures.square().mean()
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (2, 3)])
@pytest.mark.parametrize(("transposed", "gathered"), [(6, False), (0, True)])
def test_an_up_block_learns_the_same_in_every_form(transposed, gathered, size, monkeypatch):
    block, x = layers.UpBlock(6, 4), torch.randn(2, 6, *size)
    results = []
    for forms in (0, False), (transposed, gathered):  # the enlarged one first
        monkeypatch.setattr(enlarging, "TRANSPOSED_UP_TO", forms[0])
        monkeypatch.setattr(enlarging, "suits_gathering", lambda *_, suits=forms[1]: suits)
        one, seen = copy.deepcopy(block), x.clone().requires_grad_(True)
        y = one(seen)
        y.square().mul(torch.arange(y.numel()).view_as(y)).mean().backward()
        results.append([y, seen.grad, *(p.grad for p in one.parameters())])
        results[-1] += [buffer.float() for buffer in one.buffers()]
    for enlarged, other in zip(*results, strict=True):
        torch.testing.assert_close(other, enlarged, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_batch_norm_in_another_precision_is_torchs_own(dtype):
    norm = norms.NarrowBatchNorm2d(8).to(dtype)
    x = torch.randn(3, 8, 4, 16, dtype=dtype).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(norm(x), torch.nn.BatchNorm2d(8).to(dtype)(x))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_batch_norm_of_few_channels_is_torchs(dtype, close):
    results = []
    for norm in (norms.NarrowBatchNorm2d(8), torch.nn.BatchNorm2d(8)):
        generator = torch.Generator().manual_seed(3)
        x, wanted = (torch.randn(3, 8, 4, 16, generator=generator).to(dtype) for _ in range(2))
        x = (2 * x + 5).contiguous(memory_format=torch.channels_last).requires_grad_()
        with torch.no_grad():
            norm.weight.copy_(torch.rand(8, generator=generator))
            norm.bias.copy_(torch.randn(8, generator=generator))
        assert norms.NarrowBatchNorm2d._can_widen(norm, x)
        for _ in range(2):
            y = norm(x)
        y.backward(wanted)
        learned = [norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var]
        results.append([y, x.grad, norm.num_batches_tracked, *learned])
    for widened, plain in zip(*results, strict=True):
        torch.testing.assert_close(widened, plain, rtol=close, atol=close)


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
def test_spectral_norm_is_torchs(last):
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(5, 3, 2, 4, generator=generator)
    x, wanted = (torch.randn(*shape, generator=generator) for shape in [(2, 3, 6, 8), (2, 5, 5, 5)])
    results = []
    for wrap in (norms.spectral_norm, torch.nn.utils.parametrizations.spectral_norm):
        conv = torch.nn.Conv2d(3, 5, (2, 4), bias=False)
        conv.weight = torch.nn.Parameter(weight.clone())
        conv = wrap(conv.to(memory_format=torch.channels_last) if last else conv)
        for _ in range(500):  # until both have the singular vectors
            conv(x)
        conv(x).backward(wanted)
        of_weight = conv.parametrizations.weight.original.grad
        results.append([conv.weight, of_weight, conv.eval().weight])
    for ours, torchs in zip(*results, strict=True):
        torch.testing.assert_close(ours, torchs)
    largest = torch.linalg.matrix_norm(results[0][0].flatten(1), 2)
    torch.testing.assert_close(largest, torch.ones(()))


def test_spectral_norm_iterates_while_its_weight_learns():
    linear = norms.spectral_norm(torch.nn.Linear(6, 4))
    [of_weight] = linear.parametrizations.weight
    linear.parametrizations.weight.original.data.copy_(torch.randn(4, 6))
    before = of_weight.u.clone()
    linear.eval()(torch.zeros(1, 6))
    linear.train().requires_grad_(False)(torch.zeros(1, 6))
    assert torch.equal(of_weight.u, before)
    linear.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear.weight.dtype == torch.bfloat16
    assert not torch.equal(of_weight.u, before)


def test_sizes_count_their_parameters():
    """Golden figures: any change of the architecture changes them."""

    def count(network):
        return sum(p.numel() for p in network.parameters())

    with torch.device("meta"):
        paper, base = StackGAN(SIZES["paper"]), StackGAN(SIZES["base"])
    assert (count(paper.stage1), count(paper.stage2)) == (19_856_992, 26_126_240)
    assert (count(base.stage1), count(base.stage2)) == (3_551_264, 6_756_944)
    assert 2 * count(base) <= 40 * 2**20, "a base checkpoint is at most 40 MiB in half precision"


def test_condition_has_no_activation_and_bounded_variance():
    layer = ConditioningAugmentation(4, 3)
    mu, log_variance = layer.statistics(torch.randn(200, 4) * 100)
    assert (mu < 0).any(), "a ReLU over μ would forbid this"
    assert (log_variance < 0).any(), "a ReLU over log σ² would forbid this"
    assert log_variance.abs().max() <= 8


def test_condition_is_mu_plus_sigma_epsilon():
    layer = ConditioningAugmentation(4, 3)
    embeddings, epsilon = torch.randn(2, 4), torch.randn(2, 3)
    condition, mu, log_variance = layer(embeddings, epsilon)
    torch.testing.assert_close(condition, mu + (0.5 * log_variance).exp() * epsilon)
    torch.testing.assert_close(layer(embeddings, None)[0], mu)


def test_without_augmentation_epsilon_changes_nothing():
    layer = ConditioningAugmentation(4, 3, augment=False)
    embeddings = torch.randn(2, 4)
    torch.testing.assert_close(layer(embeddings, torch.randn(2, 3))[0], layer(embeddings)[0])


def test_kl_divergence_agrees_with_torch():
    mu, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    ours = kl_divergence(mu, log_variance)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (0.5 * log_variance).exp()),
        torch.distributions.Normal(torch.zeros(5, 7), torch.ones(5, 7)),
    ).mean()
    torch.testing.assert_close(ours, theirs)


def test_embedding_norm_standardises():
    norm = EmbeddingNorm(6)
    x = torch.randn(500, 6) * 0.05 + 3
    norm.set_statistics(x.mean(0), (x - x.mean(0)).std())
    y = norm(x)
    assert y.mean().abs() < 1e-4
    assert abs(y.std() - 1) < 1e-2


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_paper_discriminator_reads_picture_and_text(resolution):
    d = MatchingDiscriminator(TINY, resolution)
    images = torch.randn(4, 3, resolution, resolution, requires_grad=True)
    embeddings = torch.randn(4, 16)
    assert [x.shape for x in d.encode(images)] == [(4, 8 * TINY.discriminator_width, 4, 4)]
    [logits] = d(images, embeddings)
    assert logits.shape == (4,)
    [others] = d(images, torch.randn(4, 16))
    assert not torch.allclose(logits, others)
    logits.sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is not None for p in d.parameters())
    d.eval()
    [right], [wrong] = d.score_both(d.encode(images), embeddings, embeddings.flip(0))
    torch.testing.assert_close(right, d(images, embeddings)[0])
    torch.testing.assert_close(wrong, d(images, embeddings.flip(0))[0])


def test_feature_discriminator_reads_text_in_whole_pictures_only():
    d = FeatureDiscriminator(TINY, 256, TinyFeatures())
    images, embeddings = torch.rand(3, 3, 256, 256) * 2 - 1, torch.randn(3, 16)
    features = d.encode(images, d.draw_corners(3, torch.Generator().manual_seed(0)))
    d.eval()
    right, wrong = d.score_both(features, embeddings, embeddings.flip(0))
    assert [len(right), len(wrong)] == [8, 4]
    for a, b in zip(right[:4], wrong, strict=True):
        assert not torch.allclose(a, b)
    again = d.score(features, embeddings.flip(0))
    torch.testing.assert_close(again[4:], right[4:])
    d.calibrate(images)
    assert (d.map_scale > 0).all()


@pytest.mark.parametrize(
    ("resolution", "view", "sides"),
    [
        (64, 128, [32, 16, 8, 4]),  # a cell of stride 4 is two pixels of the picture
        (64, 192, [24, 12, 6]),
        (64, 256, [32, 16, 8]),
        (256, 256, [64, 32, 16, 8]),  # and no crops
        (16, 256, [8]),
    ],
)
def test_maps_finer_than_the_picture_are_left_out(resolution, view, sides):
    d = FeatureDiscriminator(TINY, resolution, TinyFeatures(), view)
    images = (torch.rand(2, 3, resolution, resolution) * 2 - 1).requires_grad_()
    assert [m.shape[-1] for m in d.encode(images)] == sides
    logits = d(images, torch.randn(2, 16))
    assert [x.shape for x in logits] == [(2,)] * len(sides)
    sum(x.sum() for x in logits).backward()
    assert images.grad.abs().sum() > 0
    d.calibrate(images.detach())
    assert len(d.map_scale) == len(sides)


def test_heads_are_convolutions_of_maps_beside_a_replicated_text():
    d = FeatureDiscriminator(TINY, 64, TinyFeatures()).eval()
    images, embeddings = torch.rand(3, 3, 64, 64) * 2 - 1, torch.randn(3, 16)
    features = d.encode(F.interpolate(images, size=128, mode="bilinear"))
    expected = []
    for head, maps in zip(d.heads, features, strict=True):
        text = F.leaky_relu(head.text(embeddings), 0.2)[:, :, None, None].expand(-1, -1, 4, 4)
        joined = head.join(torch.cat([head.down(maps), text], dim=1))
        expected.append(head.decide(F.leaky_relu(joined, 0.2)).flatten())
    torch.testing.assert_close(d.score(features, embeddings), expected)
    torch.testing.assert_close(d(images, embeddings), expected)


def test_deeper_maps_are_mixed_to_more_channels():
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    for growth, widths in ((1, [64, 64, 64, 64]), (2, [64, 128, 256, 512])):
        d = FeatureDiscriminator(TINY, 64, TinyFeatures(), growth=growth)
        assert [m.shape[1] for m in d.encode(images)] == widths
        assert all(logits.shape == (2,) for logits in d(images, torch.randn(2, 16)))
