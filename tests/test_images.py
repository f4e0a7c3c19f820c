import pytest
import torch
from PIL import Image, ImageChops, ImageStat

from stackgan import images


def test_tensor_to_picture_and_back_rounds():
    levels = torch.arange(256).float() / 127.5 - 1
    tensor = levels.view(1, 1, 16, 16).expand(1, 3, 16, 16)
    [picture] = images.to_pictures(tensor + 0.4 / 127.5)  # under half a grey level
    torch.testing.assert_close(images.from_pictures([picture]), tensor)


def test_values_out_of_range_are_clamped_not_wrapped():
    assert images.to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("was", "side"), [(256, 128), (64, 16), (12, 3), (32, 1), (8, 8)])
def test_shrunk_is_the_box_average_and_so_is_its_gradient(was, side, layout):
    x = torch.randn(2, 3, was, was).to(memory_format=layout).requires_grad_()
    small, expected = images.shrink(x, side), torch.nn.functional.avg_pool2d(x, was // side)
    torch.testing.assert_close(small, expected)
    wanted = torch.randn(2, 3, side, side)
    gradients = [torch.autograd.grad(y, x, wanted)[0] for y in (small, expected)]
    torch.testing.assert_close(*gradients)
    with torch.autocast("cpu", torch.bfloat16):
        assert images.shrink(x, side).dtype == torch.float32


def test_png_carries_its_settings(tmp_path):
    settings = {"caption": "a “red” flower, ünïcode", "seed": 7}
    images.save_png(Image.new("RGB", (4, 4)), tmp_path / "a.png", settings)
    assert images.read_settings(tmp_path / "a.png") == settings
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    assert images.read_settings(tmp_path / "b.png") is None


def test_png_is_exact_and_no_larger_than_pillows(tmp_path):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 3, 32, 32, generator=generator)
    fine = 0.05 * torch.randn(1, 3, 256, 256, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (256, 256), mode="bicubic")
    [picture] = images.to_pictures(0.4 * smooth + fine)
    images.save_png(picture, tmp_path / "a.png", {})
    picture.save(tmp_path / "thorough.png")
    assert Image.open(tmp_path / "a.png").tobytes() == picture.tobytes()
    thorough = (tmp_path / "thorough.png").stat().st_size
    assert (tmp_path / "a.png").stat().st_size < 1.03 * thorough


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


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animation_goes_one_way_in_the_time_asked_for(tmp_path, ending):
    frames = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(5)]
    images.save_animation(frames, tmp_path / f"a{ending}", seconds=2.0, bounce=False)
    with Image.open(tmp_path / f"a{ending}") as animation:
        assert animation.n_frames == 5
        animation.seek(4)
        assert animation.convert("RGB").getpixel((4, 4))[0] == pytest.approx(160, abs=8)
        assert animation.info["duration"] == 500


def test_colours_of_a_gif_stay_close_along_a_path_of_many():
    ramp = torch.linspace(-1, 1, 32)
    rows = torch.stack([ramp[:, None].expand(32, 32), ramp.expand(32, 32)])
    frames = [
        images.to_pictures(torch.cat([rows, torch.full((1, 32, 32), blue)])[None])[0]
        for blue in (-1.0, 0.0, 1.0)
    ]
    reduced = [frame.convert("RGB") for frame in images._with_one_palette(frames)]
    for before, after in zip(frames, reduced, strict=True):
        assert max(ImageStat.Stat(ImageChops.difference(before, after)).mean) < 24


@pytest.mark.parametrize(("bounce", "count"), [(True, 9), (False, 5)])
def test_mp4_plays_in_browsers(tmp_path, bounce, count):
    av = pytest.importorskip("av")
    frames = [Image.new("RGB", (64, 64), (50 * i, 200 - 50 * i, 0)) for i in range(5)]
    images.save_animation(frames, tmp_path / "a.mp4", seconds=2.0, bounce=bounce)
    with av.open(str(tmp_path / "a.mp4")) as file:
        [video] = file.streams.video
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        shown = [frame.to_image() for frame in file.decode(video)]
        assert float(video.duration * video.time_base) == pytest.approx(count * 0.5, abs=0.01)
    assert len(shown) == count
    for i, frame in enumerate(shown):
        red = frame.getpixel((32, 32))[0]
        assert red == pytest.approx(50 * (i if i < 5 else 8 - i), abs=12)


def test_without_its_encoder_an_mp4_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "can_write_mp4", lambda: False)
    with pytest.raises(ValueError, match="pip install av"):
        images.save_animation([Image.new("RGB", (8, 8))], tmp_path / "a.mp4")


def test_other_animations_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.gif"):
        images.save_animation([Image.new("RGB", (8, 8))], tmp_path / "a.avi")
