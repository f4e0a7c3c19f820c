"""Every layout train.prepare reads, and what it says of bad files."""

import io
import json
import zipfile

import numpy as np
import pytest
from conftest import draw_flower, write_imagefolder
from PIL import Image

from train.sources import SourceError, crop_to_object, open_source


def listed(folder):
    skipped = []
    layout, photos = open_source(folder, skipped.append)
    return layout, photos, skipped


def test_imagefolder_with_captions(tmp_path):
    layout, photos, skipped = listed(write_imagefolder(tmp_path / "f", 3))
    assert (layout, len(photos), skipped) == ("imagefolder", 3, [])
    assert photos[1].captions == ("a yellow flower number 1", "this flower is yellow")
    assert photos[1].class_name == "yellow"
    assert photos[1].read().mode == "RGB"


def test_imagefolder_with_text_and_broken_lines(tmp_path):
    draw_flower("red").save(tmp_path / "a.png")
    lines = [
        '{"file_name": "a.png", "text": "a red flower"}',
        "{broken",
        '{"file_name": "missing.png", "text": "a flower"}',
        '{"file_name": "a.png"}',
        "[1, 2]",
        '{"file_name": "../../etc/passwd", "text": "not a picture"}',
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    _, photos, skipped = listed(tmp_path)
    assert [p.name for p in photos] == ["a.png"]
    assert [s.split(":")[0] for s in skipped] == [f"metadata.jsonl line {n}" for n in range(2, 7)]


def test_imagefolder_csv(tmp_path):
    draw_flower("red").save(tmp_path / "a.png")
    table = 'file_name,text\na.png,"red, round"\nb.png,gone\n'
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8-sig")  # as spreadsheets do
    _, photos, skipped = listed(tmp_path)
    assert [p.captions for p in photos] == [("red, round",)]
    assert "metadata.csv line 3" in skipped[0]


def test_metadata_with_a_byte_order_mark_or_empty_captions(tmp_path):
    draw_flower("red").save(tmp_path / "a.png")
    line = {"file_name": "a.png", "captions": None, "text": "a red flower"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line), encoding="utf-8-sig")
    _, [photo], skipped = listed(tmp_path)
    assert photo.captions == ("a red flower",)
    assert skipped == []


def test_photographs_of_any_kind_show_what_they_show(tmp_path):
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    glass = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    glass.putpixel((0, 0), (0, 0, 255, 255))
    glass.save(tmp_path / "glass.png")
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "float.tiff")
    names = ("deep.png", "glass.png", "float.tiff")
    lines = [json.dumps({"file_name": name, "text": "a flower"}) for name in names]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    _, (deep, clear, unknown), _ = listed(tmp_path)
    assert np.array_equal(np.asarray(deep.read())[..., 0], ramp // 256)
    assert clear.read().getpixel((0, 0)) == (0, 0, 255)
    assert clear.read().getpixel((4, 4)) == (255, 255, 255)
    with pytest.raises(ValueError, match="no grey levels"):
        unknown.read()


def test_packs(tmp_path):
    buffer = io.BytesIO()
    draw_flower("blue").save(buffer, "WEBP")
    with zipfile.ZipFile(tmp_path / "images-0.zip", "w") as pack:
        pack.writestr("x.webp", buffer.getvalue())
    rows = [
        {"file_name": "x.webp", "pack": 0, "class_name": "c", "captions": ["a blue flower"]},
        {"file_name": "y.webp", "pack": 7, "captions": ["its pack is missing"]},
        {"file_name": "z.webp", "pack": 8, "captions": ["its pack is broken"]},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "images-8.zip").write_bytes(b"no zip")
    layout, photos, skipped = listed(tmp_path)
    assert (layout, [p.name for p in photos]) == ("packs", ["x.webp"])
    assert "images-8.zip" in skipped[1]
    assert photos[0].read().size == (96, 96)
    assert "images-7.zip" in skipped[0]


def test_oxford_as_published_with_reeds_captions(tmp_path):
    (tmp_path / "jpg").mkdir()
    captions = tmp_path / "text_c10" / "class_00077"
    captions.mkdir(parents=True)
    draw_flower("red").save(tmp_path / "jpg" / "image_00001.jpg")
    (captions / "image_00001.txt").write_text("a red flower\n\nwith a round shape\n")
    (captions / "image_00002.txt").write_text("its picture is gone\n")
    layout, photos, skipped = listed(tmp_path)
    assert layout == "oxford"
    assert photos[0].captions == ("a red flower", "with a round shape")
    assert photos[0].class_name == "class_00077"
    assert "image_00002.jpg" in skipped[0]


def test_cub_as_published_is_cropped_to_the_bird(tmp_path):
    root = tmp_path / "CUB_200_2011"
    (root / "images" / "001.Red_Bird").mkdir(parents=True)
    picture = Image.new("RGB", (400, 300), (0, 0, 255))
    picture.paste((255, 0, 0), (100, 100, 180, 160))
    picture.save(root / "images" / "001.Red_Bird" / "a.jpg", quality=100)
    (root / "images.txt").write_text("1 001.Red_Bird/a.jpg\n")
    (root / "bounding_boxes.txt").write_text("1 100.0 100.0 80.0 60.0\n")
    captions = tmp_path / "text_c10" / "001.Red_Bird"
    captions.mkdir(parents=True)
    (captions / "a.txt").write_text("a red bird\n")
    layout, [photo], _ = listed(tmp_path)
    assert (layout, photo.class_name) == ("cub", "Red Bird")
    bird = photo.read()
    assert bird.size == (288, 288)
    assert bird.getpixel((144, 144))[0] > 200, "the bird is in the middle"
    assert bird.getpixel((5, 5))[2] > 200


def test_cub_without_its_captions_says_what_is_missing(tmp_path):
    """The text files that CUB-200-2011 itself brings are none."""
    root = tmp_path / "CUB_200_2011"
    (root / "images" / "001.Red_Bird").mkdir(parents=True)
    (root / "parts").mkdir()
    for file in ("images.txt", "bounding_boxes.txt", "parts/parts.txt"):
        (root / file).write_text("")
    for folder in (tmp_path, root):
        with pytest.raises(SourceError, match="unpack Reed's text_c10"):
            open_source(folder, print)


def test_crop_is_half_as_large_again_and_stays_inside():
    picture = Image.new("RGB", (400, 300))
    assert crop_to_object(picture, (100, 100, 80, 60)).size == (120, 120)
    assert crop_to_object(picture, (0, 0, 400, 300)).size == (400, 300)


@pytest.mark.parametrize("make", ["missing", "empty", "pictures only"])
def test_unknown_layouts_are_explained(tmp_path, make):
    folder = tmp_path / "data"
    if make != "missing":
        folder.mkdir()
    if make == "pictures only":
        (folder / "jpg").mkdir()
        draw_flower("red").save(folder / "jpg" / "image_00001.jpg")
    with pytest.raises(SourceError, match="data"):
        listed(folder)
