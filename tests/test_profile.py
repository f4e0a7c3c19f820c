"""A training step taken apart."""

import json

import pytest

from train import profile


@pytest.mark.parametrize("stage", [1, 2])
def test_a_step_is_profiled_and_the_run_left_alone(
    stage, stage1_run, stage2_run, monkeypatch, capsys
):
    run = stage1_run if stage == 1 else stage2_run
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.setattr("train.profile.peaks", lambda _: {"convolution_float32": 100.0})
    assert profile.main([str(run), "--steps", "2", "--json"]) == 0
    *told, line = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["stage"] == f"stage{stage}"
    assert found["arithmetic_ms"] > 0
    assert found["step_over_arithmetic"] == found["step_ms"] / found["arithmetic_ms"]
    assert found["images_per_second"] == pytest.approx(4000 / found["step_ms"])
    assert found["share_of_peak"] == pytest.approx(found["gflop_per_second"] / 100)
    assert found["gflop_per_step"] > 0
    assert not [name for name in found["others_ms"] if "convolution" in name]
    assert f"stage{stage}, batch 4" in told[0]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    # As of a run in bf16 where the processor has none.
    monkeypatch.setattr("train.profile.peaks", lambda _: {})
    assert profile.main([str(run), "--steps", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["share_of_peak"] is None


@pytest.mark.parametrize("arguments", [["{none}"], ["{run}", "--steps", "0"]])
def test_what_cannot_be_profiled_is_one_line(arguments, stage1_run, tmp_path, capsys):
    places = {"none": str(tmp_path / "none"), "run": str(stage1_run)}
    assert profile.main([a.format(**places) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
