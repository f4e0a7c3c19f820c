import errno
import json
import os

import numpy as np
import pytest
from conftest import COLOURS, fake_encoder, write_imagefolder

import train.prepare
from train.prepare import _split, main, prepare
from train.sources import SourceError


def make(source, out, **options):
    return prepare(source, out, encode=fake_encoder, embedding_dim=16, **options)


def test_arrays_hold_photos_and_captions(arrays):
    meta = json.loads((arrays / "meta.json").read_text())
    photos = np.load(arrays / "photos.npy", mmap_mode="r")
    small = np.load(arrays / "photos_small.npy", mmap_mode="r")
    embeddings = np.load(arrays / "embeddings.npy")
    assert photos.shape == (12, 288, 288, 3)
    assert small.shape == (12, 72, 72, 3)
    assert embeddings.shape == (12, 2, 16)
    assert meta["photos"] == 12
    np.testing.assert_allclose(photos[0, 144, 144], COLOURS["red"], atol=3)
    boxes = photos[5].reshape(72, 4, 72, 4, 3).mean(axis=(1, 3))
    assert np.abs(boxes - small[5]).max() <= 1, "the small photo is a box average of the large"
    rows = [json.loads(line) for line in (arrays / "captions.jsonl").open()]
    encoded = fake_encoder(rows[3]["captions"])
    np.testing.assert_allclose(embeddings[3], encoded, atol=5e-3)


def test_names_of_classes_are_embedded_where_all_have_one(arrays, tmp_path):
    meta, names = json.loads((arrays / "meta.json").read_text()), np.load(arrays / "names.npy")
    assert names.shape == (3, 2, 16)
    expected = fake_encoder([f"a {name}" for name in meta["classes"]])
    np.testing.assert_allclose(names[:, 1], expected, atol=5e-3)
    for nameless in ("", "class_00077", "77", "?", "🌹", "rose " * 200):
        train.prepare.write_names(tmp_path, ["rose", nameless], fake_encoder)
        assert not list(tmp_path.iterdir())


def test_class_split_is_disjoint(arrays):
    rows = [json.loads(line) for line in (arrays / "captions.jsonl").open()]
    classes = {
        s: {r["class_name"] for r in rows if r["split"] == s} for s in ("train", "validation")
    }
    assert len(classes["validation"]) == 1
    assert not classes["train"] & classes["validation"]


def test_random_split_mixes_classes(photo_folder, tmp_path):
    meta = make(photo_folder, tmp_path / "a", split="random", validation=0.5)
    assert len(meta["validation"]) == 6


def test_some_are_always_left_to_learn_from():
    assert _split(["a", "b"], "class", 0.8, 0).sum() == 1
    assert _split(["a"] * 3, "random", 0.95, 0).sum() == 2
    assert _split(["a"] * 3, "random", 0.01, 0).sum() == 1
    assert _split(["a"] * 3, "random", 0.0, 0).sum() == 0


def test_captions_that_all_say_the_same_are_refused(photo_folder, tmp_path):
    with pytest.raises(SourceError, match="say the same"):
        prepare(photo_folder, tmp_path / "x", encode=lambda texts: np.ones((len(texts), 384)))


def test_statistics_standardise_the_training_captions(arrays):
    meta = json.loads((arrays / "meta.json").read_text())
    train = [i for i in range(12) if i not in meta["validation"]]
    x = np.load(arrays / "embeddings.npy")[train].astype(np.float64).reshape(-1, 16)
    x = (x - meta["embedding_mean"]) / meta["embedding_scale"]
    assert np.abs(x.mean(0)).max() < 1e-2
    assert abs(x.std() - 1) < 1e-2


def test_bad_pictures_are_counted_named_and_skipped(tmp_path, capsys, monkeypatch):
    source = write_imagefolder(tmp_path / "source", 6)
    (source / "002.png").write_bytes(b"this is no picture")
    (source / "004.png").write_bytes((source / "004.png").read_bytes()[:60])
    meta = make(source, tmp_path / "out", validation=0.0)
    assert meta["photos"] == 4
    assert {s.split(":")[0] for s in meta["skipped"]} == {"002.png", "004.png"}
    assert np.load(tmp_path / "out" / "photos.npy").shape[0] == 4
    rows = [json.loads(line)["file_name"] for line in (tmp_path / "out" / "captions.jsonl").open()]
    assert rows == ["000.png", "001.png", "003.png", "005.png"]


def test_without_one_good_picture_the_first_problems_are_told(tmp_path):
    source = write_imagefolder(tmp_path / "source", 2)
    rows = [{"file_name": f"{i:03d}.png", "text": " "} for i in range(2)]
    (source / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SourceError, match=r"no picture with a caption.*line 1"):
        make(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_interruption_leaves_nothing_that_looks_finished(photo_folder, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train.prepare, "_write_embeddings", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(photo_folder, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert make(photo_folder, tmp_path / "out")["photos"] == 12


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="disks are asked only later")
def test_a_full_disk_is_told_in_one_line(photo_folder, tmp_path, monkeypatch, capsys):
    """Which it would not be by a map into a file whose blocks are not there yet."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(train.prepare, "load_encoder", lambda *_: fake_encoder)
    arguments = [str(photo_folder), "--out", str(tmp_path / "out"), "--embedding-dim", "16"]
    assert main(arguments) == 2
    assert "No space left" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_overlong_captions_are_cut_at_a_word(tmp_path):
    source = write_imagefolder(tmp_path / "photos", 4)
    rows = [{"file_name": f"{i:03d}.png", "text": f"{i} " + "a red flower " * 60} for i in range(4)]
    (source / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make(source, tmp_path / "arrays", split="random")
    with (tmp_path / "arrays" / "captions.jsonl").open() as file:
        [caption] = json.loads(file.readline())["captions"]
    assert 480 < len(caption) <= 500
    assert caption.split()[-1] in ("a", "red", "flower")


def test_an_unknown_encoder_is_told_before_the_photographs_are_read(
    photo_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(train.prepare, "_write_photos", None)
    assert main([str(photo_folder), "--out", str(tmp_path / "new"), "--encoder", "parrot"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "parrot" in line
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_never_overwritten(photo_folder, arrays):
    with pytest.raises(FileExistsError, match="remove it"):
        make(photo_folder, arrays)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-folder"], "no-such-folder"),
        ([".", "--validation", "1.5"], "--validation"),
        ([".", "--captions", "0"], "--captions"),
    ],
)
def test_command_line_errors_are_one_line(arguments, words, tmp_path, capsys):
    try:
        code = main([*arguments, "--out", str(tmp_path / "out")])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert words in capsys.readouterr().err
