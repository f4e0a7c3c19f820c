import pytest
import torch

from train.data import DataError, PhotoData


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


def test_an_epoch_shows_every_training_photo_once(arrays):
    data = PhotoData(arrays, 64)
    seen = torch.cat(
        [data._epoch_order(start, 4, seed=0) for start in range(0, len(data.train), 4)]
    )
    assert sorted(seen.tolist()) == data.train.tolist()
    assert not set(data.validation.tolist()) & set(seen.tolist())


def test_mismatched_captions_are_of_another_class(arrays):
    """The fake encoder gives each colour, that is each class, a dimension of its own."""
    data = PhotoData(arrays, 64)
    for step in range(20):
        batch = data.batch(step, 8)
        colour, other = batch.embeddings[:, :3].argmax(1), batch.mismatched[:, :3].argmax(1)
        assert (colour != other).all()


def test_photos_are_cropped_and_flipped(arrays):
    data = PhotoData(arrays, 64)
    batches = torch.cat([data.batch(step, 8).photos for step in range(4)])
    assert len(torch.unique(batches.flatten(1), dim=0)) > 8


def test_a_foreign_folder_is_explained(tmp_path):
    with pytest.raises(DataError, match=r"train\.prepare"):
        PhotoData(tmp_path, 64)
