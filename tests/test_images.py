import pytest
import torch
from PIL import Image

from stackgan import images


def test_tensor_to_picture_and_back_rounds():
    levels = torch.arange(256).float() / 127.5 - 1
    tensor = levels.view(1, 1, 16, 16).expand(1, 3, 16, 16)
    [picture] = images.to_pictures(tensor + 0.4 / 127.5)  # under half a grey level
    torch.testing.assert_close(images.from_pictures([picture]), tensor)


def test_values_out_of_range_are_clamped_not_wrapped():
    assert images.to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


def test_png_carries_its_settings(tmp_path):
    settings = {"caption": "a “red” flower, ünïcode", "seed": 7}
    images.save_png(Image.new("RGB", (4, 4)), tmp_path / "a.png", settings)
    assert images.read_settings(tmp_path / "a.png") == settings
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    assert images.read_settings(tmp_path / "b.png") is None


def test_stages_grid_puts_sketches_over_pictures():
    sketches, pictures = -torch.ones(3, 3, 64, 64), torch.ones(3, 3, 256, 256)
    picture = images.stages_grid(sketches, pictures, columns=2)
    assert picture.size == (2 * 258 + 2, 4 * 258 + 2)
    assert picture.getpixel((100, 100)) == (0, 0, 0)
    assert picture.getpixel((100, 300)) == (255, 255, 255)


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animation_goes_there_and_back_for_ever(tmp_path, ending):
    frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(5)]
    images.save_animation(frames, tmp_path / f"a{ending}", seconds=1.0)
    with Image.open(tmp_path / f"a{ending}") as animation:
        assert animation.n_frames == 8
        assert animation.info["loop"] == 0


def test_other_animations_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.gif"):
        images.save_animation([Image.new("RGB", (8, 8))], tmp_path / "a.avi")
