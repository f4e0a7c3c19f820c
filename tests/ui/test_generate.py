"""The Generate tab's handlers as plain functions; no browser."""

import math
import zipfile

import pytest
from conftest import pixels
from PIL import Image, ImageChops, ImageStat

gr = pytest.importorskip("gradio")

from stackgan.images import read_settings  # noqa: E402
from stackgan.ui.generate import MAX_SAMPLES, Generate  # noqa: E402

CAPTION = "this flower has yellow petals"


@pytest.fixture
def generate(checkpoints):
    """Press Generate; returns every yield. Keyword arguments replace the settings."""
    tab = Generate(checkpoints)

    def press(handler="draw", **settings):
        values = {
            "caption": CAPTION,
            "seed": 7,
            "hold": True,
            "samples": 1,
            "truncation": 1.0,
            "mean": True,
            "epsilon_seed": 0,
            "checkpoint": None,
        } | settings
        return list(getattr(tab, handler)(**values))

    return press


def test_the_sketch_is_shown_before_the_picture(generate):
    first, second = generate()
    assert [len(step[3]) for step in (first, second)] == [1, 1]
    assert [len(step[4]) for step in (first, second)] == [0, 1]
    assert first[3] == second[3]
    assert Image.open(second[3][0][0]).size == (64, 64)
    assert Image.open(second[4][0][0]).size == (256, 256)


def test_pictures_are_pngs_that_carry_their_settings_and_a_text(generate):
    *_, last = generate(samples=2, mean=False, epsilon_seed=3, truncation=0.5)
    for stage, gallery in ((1, last[3]), (2, last[4])):
        for i, (path, text) in enumerate(gallery):
            assert Image.open(path).format == "PNG"
            assert read_settings(path) == {
                "caption": CAPTION,
                "seed": 7 + i,
                "epsilon_seed": 3 + i,
                "truncation": 0.5,
                "checkpoint": "flowers",
                "stage": stage,
            }
            assert CAPTION in text
            assert f"seed {7 + i}" in text


def test_sample_i_is_the_picture_of_seed_plus_i(generate):
    *_, batch = generate(samples=3)
    *_, alone = generate(seed=9)
    batch, alone = batch[4][2][0], alone[4][0][0]
    assert read_settings(batch) == read_settings(alone)
    # A fast engine may round a batch otherwise than a single picture.
    difference = ImageChops.difference(Image.open(batch), Image.open(alone))
    assert max(ImageStat.Stat(difference).mean) < 2


def test_held_noise_stays_and_free_noise_is_fresh_and_shown(generate):
    assert generate(hold=True)[-1][0] == 7
    seeds = {generate(hold=False)[-1][0] for _ in range(4)}
    assert len(seeds | {7}) > 2
    *_, free = generate(hold=False, seed=None)
    assert read_settings(free[4][0][0])["seed"] == free[0]
    assert f"seed {free[0]}" in free[-1]


def test_resample_z_keeps_epsilon_and_resample_epsilon_keeps_z(generate):
    *_, z = generate("resample_z", mean=False, epsilon_seed=5)
    assert z[0] != 7
    assert z[1:3] == (False, 5)
    *_, epsilon = generate("resample_epsilon", hold=False)
    assert epsilon[0] == 7
    assert epsilon[1] is False
    assert pixels(epsilon[4][0][0]) != pixels(generate()[-1][4][0][0])


def test_one_picture_downloads_as_itself_and_several_as_a_zip(generate):
    *_, one = generate()
    assert read_settings(one[6].value["path"])["stage"] == 2
    assert one[6].interactive
    *_, many = generate(samples=3)
    assert many[6].label == "Download 3 pictures"
    with zipfile.ZipFile(many[6].value["path"]) as archive:
        assert len(archive.namelist()) == 3


def test_captions_are_escaped_where_they_are_shown_as_html(generate):
    *_, last = generate(caption="a <b>red</b> flower")
    assert "&lt;b&gt;red" in last[-1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"caption": ""}, "caption is empty"),
        ({"caption": " ?! "}, "caption is empty"),
        ({"caption": None}, "a caption is a sentence"),
        ({"caption": "flower " * 200}, "500 are the limit"),
        ({"seed": 1e30}, "seed is a whole number from 0 to 4294967295"),
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"seed": math.nan}, "seed is a whole number"),
        ({"seed": "seven"}, "seed is a whole number"),
        ({"seed": None}, "not nothing"),
        ({"samples": MAX_SAMPLES + 1}, "number of samples is a whole number from 1 to 8"),
        ({"samples": True}, "number of samples"),
        ({"truncation": math.inf}, "Truncation is a number from 0 to 1.5"),
        ({"truncation": "a" * 1000}, "Truncation is a number"),
        ({"mean": False, "epsilon_seed": None}, "ε seed must not be empty"),
        ({"mean": False, "epsilon_seed": 2**40}, "ε seed is a whole number"),
        ({"checkpoint": "/etc"}, "no checkpoint '/etc' here"),
    ],
)
def test_bad_settings_of_generate_are_told_in_words(generate, settings, words):
    with pytest.raises(gr.Error) as error:
        generate(**settings)
    assert words.lower() in error.value.message.lower()
    assert len(error.value.message) < 300
    assert error.value.print_exception is False
