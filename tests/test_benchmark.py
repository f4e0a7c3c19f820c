"""The benchmark runs, its JSON is whole, and it refuses nonsense in one line."""

from __future__ import annotations

import json

import pytest
from conftest import fake_encoder

from stackgan import benchmark
from stackgan.runtime import available_engines


@pytest.fixture
def checkpoint(tiny_model, tmp_path, monkeypatch):
    tiny_model.save_pretrained(tmp_path / "tiny")
    for module in ("stackgan.benchmark", "stackgan.pipeline"):
        monkeypatch.setattr(f"{module}.load_encoder", lambda name, dim: fake_encoder)
    return str(tmp_path / "tiny")


def test_the_last_line_is_the_whole_result(checkpoint, capsys):
    argv = ["--checkpoint", checkpoint, "--quick", "--json", "--batches", "2"]
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
        (["--colour"], "--colour"),
    ],
)
def test_wrong_arguments_are_one_line(argv, message, capsys):
    assert benchmark.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert captured.out == ""
