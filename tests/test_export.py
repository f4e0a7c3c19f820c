"""A run exported: weights in half precision, what lies beside them, and the card with its scores."""

import json
import shutil

import pytest
from conftest import TINY, fake_encoder, run1, run2
from trainers import commands_of

from stackgan import Pipeline
from stackgan.known import KnownCaptions
from stackgan.model import KNOWN, SCORER, CheckpointError
from stackgan.ranking import Scorer
from train import export, stage2
from train.card import read_metrics, scores_section
from train.data import DataError, PhotoData
from train.export import write_companions
from train.history import history
from train.known import known_captions
from train.metrics import Score, missing
from train.prepare import prepare
from train.report import ROWS, entry


def test_known_captions_are_the_training_split_s_and_spread(arrays):
    data = PhotoData(arrays, 64)
    rows = [json.loads(line) for line in (arrays / "captions.jsonl").open()]
    training = [rows[p] for p in data.train.tolist()]
    known = known_captions(data, "flowers", fake_encoder, count=6)
    assert known.subject == "flowers"
    assert known.names == sorted({row["class_name"] for row in training})
    assert len(set(known.captions)) == 6
    owners = [row["file_name"] for c in known.captions for row in training if c in row["captions"]]
    assert len(set(owners)) >= 6, "each photograph once before any comes twice"
    classes = [
        row["class_name"] for c in known.captions for row in training if c in row["captions"]
    ]
    assert max(map(classes.count, classes)) - min(map(classes.count, classes)) <= 1
    assert known_captions(data, "flowers", fake_encoder, count=6).captions == known.captions
    everything = known_captions(data, "flowers", fake_encoder)
    assert len(everything.captions) == len({c for row in training for c in row["captions"]})


def test_threshold_lets_the_validation_split_pass(arrays):
    data = PhotoData(arrays, 64)
    known = known_captions(data, "flowers", fake_encoder)
    unseen = data.embeddings[data.validation].flatten(0, 1).float()
    assert not any(known.is_far(unseen))
    assert known.is_far(-known.closeness(unseen).mean() * unseen[:1]) == [True]


def test_companions_are_written_and_fit(arrays, tmp_path):
    data = PhotoData(arrays, 64)
    write_companions(data, tmp_path, "flowers", encode=fake_encoder)
    assert sorted(path.name for path in tmp_path.iterdir()) == [KNOWN]
    assert KnownCaptions.load(tmp_path / KNOWN).embedding_dim == 16
    scorer = Scorer(12, 16, "lite0", TINY.encoder)
    write_companions(data, tmp_path, "flowers", scorer=scorer, encode=fake_encoder)
    assert Scorer.load(tmp_path / SCORER).about == scorer.about
    other = Scorer(12, 8, "lite0", TINY.encoder)
    with pytest.raises(ValueError, match="train one on the same data"):
        write_companions(data, tmp_path, "flowers", scorer=other, encode=fake_encoder)


@pytest.fixture
def metrics() -> dict:
    """A metrics.json of two stages without R-precision."""
    columns = ("pictures", "stage1", "real", "shrunk")
    scores = {
        c: Score(0.1 * i, (0.1 * i - 0.02, 0.1 * i + 0.02), 300) for i, c in enumerate(columns)
    }
    found = {name: entry(scores) for name in ROWS}
    found["r_precision"] = entry({"pictures": missing("no --scorer")})
    found["named_class"] = entry({"pictures": missing("no names")})
    for name, first, closer in (
        ("memorisation", 0.1, 0.012),
        ("memorisation_discriminator", 0.15, 0.034),
    ):
        shares = {"0.01": first, "0.05": 0.2, "0.50": 0.3, "0.95": 0.4}
        found[name]["quantiles"] = dict.fromkeys(("pictures", "real", "training"), shares)
        found[name]["closer_than_real"] = {"pictures": closer}
    about = {
        "captions": "validation split",
        "samples": 300,
        "stages": 2,
        "features": "EfficientNet-Lite0",
    }
    return {"about": about, **found}


def test_card_has_each_score_beside_its_anchors(metrics):
    section = scores_section(metrics, "kept-out classes")
    [kid] = [line for line in section.splitlines() if line.startswith("| KID ×10³ |")]
    assert [c.split()[0] for c in kid.strip("|").split("|")[1:]] == [
        "0.0",
        "100.0",
        "200.0",
        "300.0",
        "300",
    ]
    assert "[-20.0, 20.0]" in kid
    assert "| R-precision" not in section
    assert "| pictures | 0.100 | 0.200 | 0.300 | 0.400 |" in section
    assert "1.2 % of the pictures" in section
    assert "| pictures | 0.150 | 0.200 | 0.300 | 0.400 |" in section
    assert "3.4 % of the pictures" in section
    assert "EfficientNet-Lite0" in section
    metrics["memorisation_discriminator"] = entry({"pictures": missing("no --discriminator")})
    assert "discriminator" not in scores_section(metrics, "kept-out classes")
    assert "Asked by name" not in scores_section(metrics, "kept-out classes")
    metrics["named_class"] = entry({"pictures": Score(0.6, (0.5, 0.7), 300)}, chance=0.0135)
    assert "(chance 0.013)" in scores_section(metrics, "kept-out classes")
    metrics["r_precision"] = entry(
        {"pictures": Score(0.4, (0.3, 0.5), 300)}, among=100, chance=0.01
    )
    assert "first among 100 (chance 0.01)" in scores_section(metrics, "kept-out classes")


def test_other_files_are_no_metrics(metrics, tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(metrics))
    assert read_metrics(path)["about"]["samples"] == 300
    for content in ("{", "[]", '{"about": {}}'):
        path.write_text(content)
        with pytest.raises(DataError, match="is no metrics"):
            read_metrics(path)
    with pytest.raises(DataError, match="nowhere"):
        read_metrics(tmp_path / "nowhere.json")


def test_a_run_is_exported_as_a_checkpoint_in_half_precision(stage2_run, tmp_path, monkeypatch):
    monkeypatch.setattr("train.known.load_encoder", lambda *_: fake_encoder)
    out = tmp_path / "checkpoint"
    assert export.main(["--run", str(stage2_run), "--out", str(out), "--name", "flowers"]) == 0
    assert {f.name for f in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        "known.safetensors",
        "samples.png",
        "training.json",
        "README.md",
    }
    full, half = (stage2_run / "model" / "model.safetensors", out / "model.safetensors")
    assert half.stat().st_size < 0.6 * full.stat().st_size
    card = (out / "README.md").read_text()
    assert "| Stage-I | 8 |" in card
    assert "| Stage-II | 8 |" in card
    assert "--batch 4" in card
    pipeline = Pipeline.from_pretrained(out, encoder=fake_encoder)
    assert pipeline.generate("a red flower").images.any()
    assert pipeline.known.subject == "flowers"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "is no folder of train.stage1, train.stage2 or train.average"),
        ("empty", "is no StackGAN checkpoint"),
        ("untold", "does not tell how it was trained"),
    ],
)
def test_exporting_what_is_no_run_is_explained(tiny_model, tmp_path, capsys, source, words):
    (tmp_path / "empty").mkdir()
    tiny_model.save_pretrained(tmp_path / "untold")
    out = tmp_path / "out"
    assert export.main(["--run", str(tmp_path / source), "--out", str(out), "--name", "x"]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_run_is_not_exported_onto_itself(stage2_run, capsys):
    before = {path: path.read_bytes() for path in stage2_run.glob("*.*")}
    assert export.main(["--run", str(stage2_run), "--out", str(stage2_run), "--name", "x"]) == 2
    assert "would destroy" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in stage2_run.glob("*.*")} == before


def test_photographs_that_moved_are_named_anew(arrays, stage1_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("train.known.load_encoder", lambda *_: fake_encoder)
    run, moved = tmp_path / "run", tmp_path / "moved"
    shutil.copytree(stage1_run, run)
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "data": str(tmp_path / "gone")}))
    shutil.copytree(arrays, moved)
    command = ["--run", str(run), "--out", str(tmp_path / "out"), "--name", "flowers"]
    assert export.main(command) == 2
    assert "gone" in capsys.readouterr().err
    assert export.main([*command, "--data", str(moved)]) == 0


def test_other_photographs_are_refused_before_anything_is_written(
    photo_folder, stage1_run, tmp_path, monkeypatch, capsys
):
    """Another split, whose grid would be of captions learned from; and vectors of another length."""
    out, other, short = tmp_path / "out", tmp_path / "other", tmp_path / "short"
    commands_of(stage1_run, out, monkeypatch)
    before = {path: path.read_bytes() for path in out.iterdir()}
    prepare(photo_folder, other, split="random", encode=fake_encoder, embedding_dim=16)
    prepare(photo_folder, short, encode=lambda c: fake_encoder(c)[:, :8], embedding_dim=8)
    command = ["--run", str(stage1_run), "--out", str(out), "--name", "flowers", "--data"]
    for folder in (other, short):
        assert export.main([*command, str(folder)]) == 2
        assert "holds other photographs" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_the_card_says_where_scores_are_of_other_numbers(metrics):
    metrics["inception_score"] = entry(
        {"pictures": Score(3.0, (2.9, 3.1), 300), "real": Score(3.5, (3.3, 3.7), 80)}
    )
    assert "the photographs' is of 80 for 300." in scores_section(metrics, "kept-out classes")


def test_a_card_is_written_where_nobody_knows_how_stage1_was_trained(
    arrays, stage1_run, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    assert run2(arrays, stage1_run / "model", out, "--recipe", "paper", "--images", "4") == 0
    [command] = commands_of(out, tmp_path / "checkpoint", monkeypatch)
    assert "train.stage2" in command


def test_what_is_built_on_a_checkpoint_tells_how_that_was_trained(
    arrays, stage1_run, stage2_run, tmp_path, monkeypatch
):
    """Without the folders of its runs, which were elsewhere or are gone."""
    before = commands_of(stage2_run, tmp_path / "checkpoint", monkeypatch)
    assert len(before) == 2
    checkpoint, out = str(tmp_path / "check point"), tmp_path / "run"
    (tmp_path / "checkpoint").rename(checkpoint)
    settings = ["--recipe", "paper", "--begin-with", checkpoint, "--images", "4"]
    assert run2(arrays, checkpoint, out, *settings) == 0
    *earlier, start = commands_of(out, tmp_path / "next", monkeypatch)
    assert earlier == before
    assert f"--stage1 '{checkpoint}' --begin-with '{checkpoint}'" in start
    card = (tmp_path / "next" / "README.md").read_text()
    assert f"| Stage-II, earlier ({stage2_run}) | 8 |" in card
    assert f"They began with {checkpoint}, whose terms hold here too." in card
    # A Stage-I that was trained further brings its own history.
    resume = ["--out", str(out), "--resume", "--stage1", str(stage1_run), "--images", "8"]
    assert stage2.main(resume) == 0
    assert commands_of(out, tmp_path / "last", monkeypatch)[:2] == before
    (tmp_path / "check point" / "training.json").write_text("[]")
    with pytest.raises(CheckpointError, match="does not tell how"):
        history(checkpoint)


@pytest.mark.parametrize(
    "switches", [["--no-ca", "--seed", "3"], ["--alone", "--resolution", "128"]]
)
def test_the_card_names_what_was_switched(arrays, tmp_path, monkeypatch, switches):
    settings = ["--recipe", "paper", "--images", "4", *switches]
    assert run1(arrays, tmp_path / "run", *settings) == 0
    [command] = commands_of(tmp_path / "run", tmp_path / "card", monkeypatch)
    for word in switches:
        assert f" {word}" in command


def test_a_card_of_one_s_own_photographs_claims_nothing_of_others(
    arrays, stage1_run, tmp_path, monkeypatch
):
    """Even under a bundled set's name."""
    commands_of(stage1_run, tmp_path / "card", monkeypatch)
    card = (tmp_path / "card" / "README.md").read_text()
    assert "Oxford" not in card
    assert "non-commercial" not in card
    assert "Stage-II" not in card
    assert "whose terms" not in card
    assert "classes that were kept out" in card
    assert f'from_pretrained("{tmp_path / "card"}")' in card
