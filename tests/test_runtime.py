"""Every engine draws the plain network's pictures, and each rewriting alone is exact."""

from __future__ import annotations

import functools
import importlib.util
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from conftest import TINY, lively
from torch import nn
from torch.nn import functional as F

from stackgan import Pipeline, StackGAN, onednn, runtime
from stackgan.conditioning import ConditioningAugmentation, EmbeddingNorm
from stackgan.layers import UpBlock
from stackgan.model import bundled
from stackgan.runtime import available_engines, has_native_bf16, load_engine
from stackgan.runtime.folded import Condition, GatheredUp, TextMap, fold_up, pack
from stackgan.runtime.plain import PlainEngine
from stackgan.runtime.torch_engine import TorchEngine

GREY_LEVEL = 2 / 255
# Wide enough that no block has a single channel, whose rounding errors nothing averages out.
SMALL = replace(TINY, stage1_width=8, stage2_width=16, condition_dim=24)
CONFIGS = {
    "two stages": SMALL,
    "128": replace(SMALL, resolution=128),
    "one stage": replace(SMALL, stages=1, resolution=64),
    "one stage, 256": replace(SMALL, stages=1, stage1_width=16),
    "no augmentation": replace(SMALL, conditioning_augmentation=False),
    "text once": replace(SMALL, text_in_stage2=False),
}
native_bf16 = pytest.mark.skipif(not has_native_bf16("cpu"), reason="no bf16 in this CPU")
openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)


def openvino_engine(model: StackGAN, dtype: torch.dtype):
    from stackgan.runtime.openvino_engine import OpenVINOEngine

    return OpenVINOEngine(model, dtype)


def torch_engine(model: StackGAN, dtype: torch.dtype):
    return TorchEngine(model, dtype=dtype)


ENGINES = [
    pytest.param(torch_engine, torch.float32, id="torch-fp32"),
    pytest.param(torch_engine, torch.bfloat16, id="torch-bf16", marks=native_bf16),
    pytest.param(openvino_engine, torch.float32, id="openvino-fp32", marks=openvino),
    pytest.param(
        openvino_engine, torch.bfloat16, id="openvino-bf16", marks=[openvino, native_bf16]
    ),
]


@functools.cache
def trained_like(config) -> StackGAN:
    """Random weights with a trained network's balance: BatchNorm's statistics are near
    its inputs', embeddings have statistics of their own, and pictures use the range without clipping.
    """
    model = lively(StackGAN(config))
    generator = torch.Generator().manual_seed(1)
    mean = 0.05 * torch.randn(config.embedding_dim, generator=generator)
    model.embedding_norm.set_statistics(mean, 0.04)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 0.5
    embeddings, z, epsilon = draw_inputs(model, 6, True)
    embeddings = model.embedding_norm(embeddings)
    with torch.no_grad():
        model.train()
        pictures = model.stage1(embeddings, z, epsilon).pictures
        balance(model.stage1, pictures)
        if model.stage2 is not None:
            pictures = model.stage1(embeddings, z, epsilon).pictures
            balance(model.stage2, model.stage2(pictures, embeddings, epsilon).pictures)
    return model.eval()


def balance(stage: nn.Module, pictures: torch.Tensor) -> None:
    """Scale the last convolution so that the pictures' standard deviation is about 0.25."""
    stage.to_rgb[0].weight *= 0.25 / torch.atanh(pictures.clamp(-0.9999, 0.9999)).std()


def draw_inputs(model: StackGAN, count: int, augmented: bool):
    """Embeddings spread as the training set's, z, and ε where it is wanted."""
    generator = torch.Generator().manual_seed(2)
    config, norm = model.config, model.embedding_norm
    embeddings = norm.mean + norm.scale * torch.randn(
        count, config.embedding_dim, generator=generator
    )
    z = torch.randn(count, config.noise_dim, generator=generator)
    epsilon = torch.randn(count, config.condition_dim, generator=generator)
    return embeddings, z, epsilon if augmented else None


def pictures(engine, model: StackGAN, count: int, augmented: bool = True) -> list[torch.Tensor]:
    """What each stage draws, Stage-II from the plain network's sketches."""
    embeddings, z, epsilon = draw_inputs(model, count, augmented)
    found = [engine.sketch(embeddings, z, epsilon)]
    if model.config.stages == 2:
        sketches = PlainEngine(model).sketch(embeddings, z, epsilon)
        found.append(engine.refine(sketches, embeddings, epsilon))
    return found


def assert_same(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert found.shape == expected.shape
    difference = (found - expected).abs()
    if dtype == torch.float32:
        assert difference.max() < 1e-4
    else:
        assert difference.mean() < GREY_LEVEL
        assert difference.max() < 16 * GREY_LEVEL


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("make", "dtype"), ENGINES)
def test_engines_draw_what_the_plain_network_draws(make, dtype, config):
    model = trained_like(config)
    plain, engine = PlainEngine(model), make(model, dtype)
    for augmented in (False, True):
        expected = pictures(plain, model, 2, augmented)
        assert all(0.05 < stage.std() < 0.7 for stage in expected), "that would prove nothing"
        for found, right in zip(pictures(engine, model, 2, augmented), expected, strict=True):
            assert_same(found, right, dtype)


@pytest.mark.parametrize("name", bundled())
@pytest.mark.parametrize(("make", "dtype"), ENGINES)
def test_engines_draw_what_the_bundled_checkpoints_draw(make, dtype, name):
    model = StackGAN.from_pretrained(name).eval()
    expected = pictures(PlainEngine(model), model, 2)
    for found, right in zip(pictures(make(model, dtype), model, 2), expected, strict=True):
        assert_same(found, right, dtype)


@pytest.mark.parametrize(("make", "dtype"), ENGINES)
def test_a_batch_is_its_pictures_one_by_one(make, dtype):
    model = trained_like(SMALL)
    engine = make(model, dtype)
    embeddings, z, epsilon = draw_inputs(model, 3, True)
    together = engine.sketch(embeddings, z, epsilon)
    refined = engine.refine(together, embeddings, epsilon)
    for i in range(3):
        row = slice(i, i + 1)
        alone = engine.sketch(embeddings[row], z[row], epsilon[row])
        assert_same(alone, together[row], dtype)
        assert_same(
            engine.refine(together[row], embeddings[row], epsilon[row]), refined[row], dtype
        )


@pytest.mark.parametrize(("make", "dtype"), ENGINES)
def test_what_is_kept_of_a_sentence_is_that_sentence_s(make, dtype):
    """One, another, the first again, alone and in batches: always the plain network's pictures."""
    model = trained_like(SMALL)
    plain, engine = PlainEngine(model), make(model, dtype)
    sentences, z, _ = draw_inputs(model, 4, False)
    for rows in ([0], [1], [0], [0], [0, 0, 0], [0, 1], [1, 0], [1, 1], [0, 1]):
        inputs = sentences[rows], z[: len(rows)], None
        sketches = plain.sketch(*inputs)
        assert_same(engine.sketch(*inputs), sketches, dtype)
        inputs = sketches, sentences[rows], None
        assert_same(engine.refine(*inputs), plain.refine(*inputs), dtype)


def test_a_sentence_changed_in_place_is_another_one():
    model = trained_like(SMALL)
    engine = TorchEngine(model, dtype=torch.float32)
    sentences, z, _ = draw_inputs(model, 2, False)
    first = engine.sketch(sentences[:1], z[:1], None)
    other = engine.sketch(sentences[1:], z[:1], None)
    held = sentences[:1].clone()
    engine.sketch(held, z[:1], None)
    held.copy_(sentences[1:])
    assert_same(engine.sketch(held, z[:1], None), other, torch.float32)
    assert (first - other).abs().max() > 0.01


@pytest.mark.parametrize(("make", "dtype"), ENGINES)
def test_two_callers_at_once_get_their_own_pictures(make, dtype):
    model = trained_like(SMALL)
    engine = make(model, dtype)
    embeddings, z, _ = draw_inputs(model, 6, False)
    rows = [slice(i, i + 1) for i in range(6)]

    def sketch(row: slice) -> torch.Tensor:
        return engine.sketch(embeddings[row], z[row], None)

    expected = [sketch(row) for row in rows]
    with ThreadPoolExecutor(3) as pool:
        for found, right in zip(pool.map(sketch, rows), expected, strict=True):
            assert_same(found, right, dtype)


@pytest.mark.parametrize(("make", "dtype"), ENGINES)
def test_the_model_stays_as_it_was(make, dtype):
    model = trained_like(SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    needs_gradient = [p.requires_grad for p in model.parameters()]
    pictures(make(model, dtype), model, 1)
    after = model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [p.requires_grad for p in model.parameters()] == needs_gradient


def randomised_block(channels: int, out_channels: int) -> UpBlock:
    block = lively(UpBlock(channels, out_channels))
    nn.init.normal_(block[1].weight, std=0.2)
    return block.eval()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [1, 4, 5, 8, 16])  # the first two are gathered
@torch.no_grad()
def test_an_up_block_is_one_operation(size, packed):
    block = randomised_block(16, 5)
    folded = fold_up(block, size)
    assert isinstance(folded, GatheredUp) == (size <= 4)
    if packed:
        if not onednn.is_available():
            pytest.skip("this build of torch has no fused convolutions")
        pack(folded)
    x = torch.randn(2, 16, size, size)
    torch.testing.assert_close(folded(x), block(x), atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [2, 3, 16])
@torch.no_grad()
def test_replicated_text_is_one_matrix_product(size):
    weight, condition = torch.randn(6, 4, 3, 3), torch.randn(2, 4)
    expected = F.conv2d(condition[:, :, None, None].expand(-1, -1, size, size), weight, padding=1)
    torch.testing.assert_close(TextMap(weight, size)(condition), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("augment", [True, False])
@torch.no_grad()
def test_the_embeddings_statistics_go_into_the_linear_layer(augment):
    norm, conditioning = EmbeddingNorm(12), ConditioningAugmentation(12, 5, augment)
    norm.set_statistics(torch.randn(12), 0.3)
    folded, embeddings = Condition(norm, conditioning), torch.randn(4, 12)
    for epsilon in (torch.randn(4, 5), None):
        expected = conditioning(norm(embeddings), epsilon)[0]
        torch.testing.assert_close(folded(embeddings, epsilon), expected, atol=1e-5, rtol=1e-5)


def test_the_environment_chooses_unless_the_caller_does(tiny_model, monkeypatch, caplog):
    monkeypatch.setenv("STACKGAN_ENGINE", "plain")
    with caplog.at_level(logging.INFO, "stackgan.runtime"):
        assert load_engine(tiny_model).name == "plain"
    assert [record.getMessage() for record in caplog.records] == ["engine plain, float32, on cpu"]
    assert load_engine(tiny_model, "torch").name == "torch"
    monkeypatch.setenv("STACKGAN_ENGINE", "warp")
    with pytest.raises(ValueError, match=r"unknown engine 'warp'.*plain, torch, openvino"):
        load_engine(tiny_model)


@pytest.mark.parametrize("bf16", [pytest.param(True, marks=native_bf16), False])
def test_auto_takes_the_fastest_and_the_pipeline_never_asks(monkeypatch, bf16):
    monkeypatch.delenv("STACKGAN_ENGINE", raising=False)
    monkeypatch.setattr(runtime, "has_native_bf16", lambda device: bf16)
    pipeline = Pipeline(
        trained_like(SMALL), lambda captions: torch.zeros(len(captions), 16), device="cpu"
    )
    assert pipeline.engine.name == "torch"
    assert pipeline.engine.dtype == (torch.bfloat16 if bf16 else torch.float32)
    assert pipeline.generate("a flower", seeds=[1, 2]).images.shape == (2, 3, 256, 256)


def test_without_openvino_torch_draws_and_the_log_says_why(tiny_model, monkeypatch, caplog):
    def broken(model, device):
        raise RuntimeError("no such plugin")

    monkeypatch.setattr(runtime, "_openvino", broken)
    assert load_engine(tiny_model, "openvino").name == "torch"
    assert "RuntimeError: no such plugin" in caplog.text


@pytest.mark.parametrize("engine", runtime.ENGINES)
def test_a_precision_that_there_is_not_is_refused(tiny_model, monkeypatch, engine):
    monkeypatch.setenv("STACKGAN_PRECISION", "bf16")
    with pytest.raises(ValueError, match="is float32 or unset, not 'bf16'"):
        load_engine(tiny_model, engine)


def test_openvino_is_not_for_accelerators(tiny_model):
    with pytest.raises(ValueError, match="runs on the CPU, not on cuda"):
        runtime._openvino(tiny_model, "cuda")
    assert available_engines("cuda") == ["plain", "torch"]


@pytest.mark.parametrize("wrong", [float("nan"), 0.5])
def test_auto_passes_over_engines_that_draw_something_else(tiny_model, monkeypatch, caplog, wrong):
    right = TorchEngine.sketch
    monkeypatch.setattr(TorchEngine, "sketch", lambda *inputs: right(*inputs) + wrong)
    monkeypatch.setattr(runtime, "available_engines", lambda device: ["plain", "torch"])
    assert load_engine(tiny_model, "auto").name == "plain"
    assert "Stage-I" in caplog.text


def test_importing_the_package_imports_no_engine():
    code = "import sys, stackgan; print([m for m in sys.modules if m.startswith('openvino')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
