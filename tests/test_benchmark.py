"""The benchmark runs, its JSON is whole, and it refuses nonsense in one line."""

from __future__ import annotations

import json

import pytest
from conftest import fake_encoder, lively
from PIL import Image

from stackgan import SIZES, StackGAN
from stackgan.benchmark import __main__ as benchmark
from stackgan.benchmark import processes, report
from stackgan.runtime import available_engines, has_native_bf16


@pytest.fixture
def checkpoint(tiny_model, tmp_path, monkeypatch):
    tiny_model.save_pretrained(tmp_path / "tiny")
    for module in ("stackgan.benchmark.measure", "stackgan.pipeline"):
        monkeypatch.setattr(f"{module}.load_encoder", lambda name, dim: fake_encoder)
    return str(tmp_path / "tiny")


def test_the_last_line_is_the_whole_result(checkpoint, capsys, tmp_path):
    argv = ["--checkpoint", checkpoint, "--quick", "--json", "--batches", "2", "--markdown"]
    argv += ["--plot", str(tmp_path / "speed.png")]
    assert benchmark.main(argv) == 0
    *table, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    runs = {(run["engine"], run["batch"]): run for run in result["runs"]}
    assert {name for name, _ in runs} >= set(available_engines())
    assert {batch for _, batch in runs} == {1, 2}
    for run in result["runs"]:
        assert 0 < run["p10_ms"] <= run["median_ms"] <= run["p90_ms"]
    plain, default = runs["plain", 1], runs[result["default"], 1]
    assert result["speedup"] == pytest.approx(plain["median_ms"] / default["median_ms"])
    assert result["gflop_per_picture"] > 0.01
    assert result["peaks"]["convolution_float32"] > 1
    assert result["strip"]["frames"] == 33
    assert result["peak_memory_mib"] > 100
    assert any("× plain" in line for line in table)
    rows = [line for line in table if line.startswith("|")]
    assert rows[0] == "| engine | batch 1 | batch 2 |"
    assert len(rows) == 2 + len(result["engines"])
    assert Image.open(tmp_path / "speed.png").width > 600


def made_up(rates: dict[str, float]) -> dict:
    """A result with those pictures per second at batch 1."""
    return {
        "machine": {"cpu": "a CPU", "threads": 2},
        "engines": dict.fromkeys(rates, "float32"),
        "runs": [
            {
                "engine": name,
                "batch": 1,
                "pictures_per_s": rate,
                "p10_ms": 900 / rate,
                "p90_ms": 1100 / rate,
                "speedup": rate,
            }
            for name, rate in rates.items()
        ],
    }


def test_bars_are_as_long_as_the_engines_are_fast(tmp_path):
    report.plot(made_up({"plain": 10.0, "torch": 30.0}), tmp_path / "speed.png")
    picture = Image.open(tmp_path / "speed.png").convert("RGB")
    colours = [tuple(bytes.fromhex(colour[1:])) for colour in report.COLOURS[:2]]
    below = picture.crop((0, report.TOP, picture.width, picture.height))  # without the legend
    columns = [
        max(
            sum(below.getpixel((x, y)) == colour for y in range(below.height))
            for x in range(below.width)
        )
        for colour in colours
    ]
    assert columns[1] == pytest.approx(3 * columns[0], rel=0.1)


@pytest.mark.parametrize("largest", [0.7, 4.0, 38.2, 110.0, 999.0, 1e4])
def test_a_plot_has_a_few_lines(largest):
    assert 4 <= largest / report._step(largest) <= 10


def test_single_precision_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("STACKGAN_PRECISION", "float32")
    assert not has_native_bf16("cpu")
    monkeypatch.setenv("STACKGAN_PRECISION", "fp16")
    with pytest.raises(ValueError, match="STACKGAN_PRECISION is float32 or unset, not 'fp16'"):
        has_native_bf16("cpu")


def test_the_page_is_asked_as_a_visitor_would(tmp_path):
    lively(StackGAN(SIZES["tiny"])).save_pretrained(tmp_path / "tiny")
    found = processes.page(str(tmp_path / "tiny"), 0.1)
    assert 0 < found["answers_s"] < found["first_picture_s"]
    assert 0 < found["p10_ms"] <= found["median_ms"] <= found["p90_ms"]


def test_a_page_that_does_not_start_is_told_in_its_own_words(tmp_path):
    with pytest.raises(ValueError, match=r"does not answer: .*no checkpoint"):
        processes.page(str(tmp_path / "nowhere"), 0.1)


def test_a_cold_start_is_told_in_parts(checkpoint, capsys):
    assert benchmark.main(["--checkpoint", checkpoint, "--cold", "torch"]) == 0
    cold = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(cold) == {"model_s", "encoder_s", "first_picture_s", "peak_memory_mib"}
    assert all(value > 0 for value in cold.values())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--batches", "1,x"], "--batches is whole numbers from 1 to 256"),
        (["--batches", "0"], "not '0'"),
        (["--checkpoint", "no-such-flowers"], "no checkpoint 'no-such-flowers'"),
        (["--random", "huge"], "--random"),
        (["--random", "tiny", "--checkpoint", "flowers"], "exclude each other"),
        (["--random", "tiny", "--page"], "--page needs a checkpoint"),
        (["--plot", "speed.txt"], "--plot is a .png"),
        (["--plot", "nowhere/speed.png"], "not 'nowhere/speed.png'"),
        (["--colour"], "--colour"),
    ],
)
def test_wrong_arguments_are_one_line(argv, message, capsys):
    assert benchmark.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""
