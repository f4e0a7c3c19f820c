import json
import os
import shutil

import numpy as np
import pytest
import torch
from conftest import COLOURS, fake_encoder

from train.data import DataError, PhotoData
from train.prepare import NAMED


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_batches_have_the_right_shape_and_range(arrays, resolution):
    batch = PhotoData(arrays, resolution).batch(0, 4)
    assert batch.photos.shape == (4, 3, resolution, resolution)
    assert -1 <= batch.photos.min() < batch.photos.max() <= 1
    assert batch.embeddings.shape == batch.mismatched.shape == (4, 16)


def test_a_batch_is_a_function_of_seed_and_step(arrays):
    data, again = PhotoData(arrays, 64), PhotoData(arrays, 64)
    torch.testing.assert_close(data.batch(5, 4, seed=1), again.batch(5, 4, seed=1))
    assert not torch.equal(data.batch(5, 4, seed=1).photos, data.batch(6, 4, seed=1).photos)
    assert not torch.equal(data.batch(5, 4, seed=1).photos, data.batch(5, 4, seed=2).photos)


def test_processes_share_one_batch(arrays):
    data = PhotoData(arrays, 64)
    whole = data.batch(3, 4)
    parts = [data.batch(3, 4, rank=r, processes=2) for r in range(2)]
    for one, two in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(one, torch.cat(two))


def test_the_same_photographs_are_known_again_on_another_machine(arrays, tmp_path):
    """Where the encoder rounds otherwise; and no longer once somebody has written another caption."""
    there = tmp_path / "there"
    shutil.copytree(arrays, there)
    meta = json.loads((there / "meta.json").read_text())
    meta["embedding_mean"][0] += 1e-7
    (there / "meta.json").write_text(json.dumps(meta))
    here = PhotoData(arrays, 64)
    settings = {"train_photos": len(here.train), "data_fingerprint": here.fingerprint}
    assert PhotoData(there, 64).is_of(settings)
    captions = (there / "captions.jsonl").read_text().replace("flower", "blossom", 1)
    (there / "captions.jsonl").write_text(captions)
    assert not PhotoData(there, 64).is_of(settings)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system offers no such advice")
def test_the_system_is_told_which_photos_come_next(arrays, monkeypatch):
    data, told = PhotoData(arrays, 256), []
    monkeypatch.setattr(os, "posix_fadvise", lambda *advice: told.append(advice))
    data.expect(8, 4, seed=1, rank=1, processes=2)
    file = (arrays / "photos.npy").read_bytes()
    photos = data.photos[data.epoch_order(8, 4, seed=1)[2:]]
    for (_, offset, length, advice), photo in zip(told, photos, strict=True):
        assert file[offset : offset + length] == photo.numpy().tobytes()
        assert advice == os.POSIX_FADV_WILLNEED


def test_an_epoch_shows_every_training_photo_once(arrays):
    data = PhotoData(arrays, 64)
    seen = torch.cat([data.epoch_order(start, 4, seed=0) for start in range(0, len(data.train), 4)])
    assert sorted(seen.tolist()) == data.train.tolist()
    assert not set(data.validation.tolist()) & set(seen.tolist())


def test_a_batch_of_another_size_goes_on_where_the_last_ended(arrays):
    data = PhotoData(arrays, 64)
    batch = data.batch(1, 4, start=2)
    for embedding, photo in zip(batch.embeddings, data.epoch_order(2, 4, seed=0), strict=True):
        assert (embedding == data.embeddings[photo].float()).all(1).any()


ALIKE, DISTINCT = [5] * 12, list(range(12))


@pytest.mark.parametrize(
    ("classes", "said", "kinds"),
    [
        ([0] * 11 + [1], DISTINCT, [0] * 11 + [1]),
        ([0, 1, 2] * 4, ALIKE, [0, 1, 2] * 4),
        (ALIKE, [0, 1, 2] * 4, [0, 1, 2] * 4),
        (ALIKE, ALIKE, DISTINCT),
    ],
)
def test_mismatched_captions_are_of_any_other_class(arrays, tmp_path, classes, said, kinds):
    """Even where one class is nearly all; photos of one class are told apart by what they are said
    to show, and where that is the same too, each by itself."""
    folder = shutil.copytree(arrays, tmp_path / "arrays")
    meta = json.loads((folder / "meta.json").read_text())
    meta |= {"class_ids": classes, "validation": []}
    (folder / "meta.json").write_text(json.dumps(meta))
    embeddings = np.load(folder / "embeddings.npy")
    embeddings[:, 0] = np.array(said)[:, None]
    np.save(folder / "embeddings.npy", embeddings)
    data = PhotoData(folder, 64)
    chosen, draw = torch.arange(12).repeat(100), torch.Generator().manual_seed(0)
    pairs = set(zip(chosen.tolist(), data._mismatched(chosen, draw).tolist(), strict=True))
    assert pairs == {(i, j) for i in range(12) for j in range(12) if kinds[i] != kinds[j]}


def test_names_of_one_class_are_refused(arrays, tmp_path):
    """They would be the right text of every photo, and every fourth mismatched one."""
    folder = shutil.copytree(arrays, tmp_path / "arrays")
    meta = json.loads((folder / "meta.json").read_text())
    meta["class_ids"] = [0] * 12
    (folder / "meta.json").write_text(json.dumps(meta))
    PhotoData(folder, 64)
    with pytest.raises(DataError, match="all photos are of one"):
        PhotoData(folder, 64, name_share=0.25)


def test_names_stand_in_for_a_share_of_the_captions(arrays):
    classes = json.loads((arrays / "meta.json").read_text())["classes"]
    said = {c: fake_encoder([phrase.format(c) for phrase in NAMED]) for c in classes}
    captions, half, names = (PhotoData(arrays, 64, name_share=share) for share in (0, 0.5, 1))
    swapped = torch.zeros(0, dtype=torch.bool)
    for step in range(8):
        plain, some, named = (data.batch(step, 8) for data in (captions, half, names))
        torch.testing.assert_close(plain.photos, named.photos)
        chosen = names.epoch_order(step * 8, 8, 0)
        for row, photo in enumerate(chosen.tolist()):
            phrases = said[classes[int(names.class_ids[photo])]]
            distance = (phrases - named.embeddings[row]).abs().amax(dim=1)
            assert distance.min() < 5e-3
        for texts in ("embeddings", "mismatched"):
            mixed, caption, name = (getattr(batch, texts) for batch in (some, plain, named))
            as_caption, as_name = ((mixed == other).all(dim=1) for other in (caption, name))
            assert (as_caption | as_name).all()
            swapped = torch.cat([swapped, as_name & ~as_caption])
    assert 0.3 < swapped.float().mean() < 0.7


def test_names_that_are_not_there_are_asked_for(arrays, tmp_path):
    shutil.copytree(arrays, tmp_path / "nameless")
    (tmp_path / "nameless" / "names.npy").write_bytes(b"")
    with pytest.raises(DataError, match="damaged"):
        PhotoData(tmp_path / "nameless", 64, name_share=0.1)
    (tmp_path / "nameless" / "names.npy").unlink()
    PhotoData(tmp_path / "nameless", 64)
    with pytest.raises(DataError, match="class_name for every photo"):
        PhotoData(tmp_path / "nameless", 64, name_share=0.1)


def test_photos_are_cropped_and_flipped(arrays):
    data = PhotoData(arrays, 64)
    batches = torch.cat([data.batch(step, 8).photos for step in range(4)])
    assert len(torch.unique(batches.flatten(1), dim=0)) > 8
    photo, top, left = torch.tensor([3, 3]), torch.tensor([2, 2]), torch.tensor([5, 5])
    flips = torch.tensor([False, True])
    straight, flipped = data._crops(photo, top, left, flips)
    torch.testing.assert_close(
        data._crops_at_once(photo, top, left, flips), data._crops(photo, top, left, flips)
    )
    whole = data.photos[3].permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(straight, whole[:, 2:66, 5:69])
    torch.testing.assert_close(flipped, straight.flip(2))
    assert not torch.equal(flipped, straight)


def test_photos_come_with_their_own_words_and_those_of_another_class(arrays):
    """The drawn flowers' colours, which the first dimensions of their embeddings name."""
    data = PhotoData(arrays, 64)
    named = torch.tensor(list(COLOURS.values())).float()
    for step in range(4):
        batch = data.batch(step, 8)
        centre = (batch.photos[:, :, 32, 32] + 1) * 127.5
        colour = torch.cdist(centre, named).argmin(1)
        assert torch.equal(batch.embeddings[:, :3].argmax(1), colour)
        assert not (batch.mismatched[:, :3].argmax(1) == colour).any()


def test_a_foreign_folder_is_explained(tmp_path):
    with pytest.raises(DataError, match=r"train\.prepare"):
        PhotoData(tmp_path, 64)
