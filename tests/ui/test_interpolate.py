"""The Interpolate tab's handlers as plain functions; no browser."""

from pathlib import Path

import pytest
from conftest import pixels
from PIL import Image

gr = pytest.importorskip("gradio")

from stackgan.images import read_settings  # noqa: E402
from stackgan.ui.interpolate import MAX_FRAMES, Interpolate  # noqa: E402


@pytest.fixture
def interpolate(checkpoints):
    """Press Interpolate; returns every yield."""
    tab = Interpolate(checkpoints)

    def press(**settings):
        values = {
            "first": "a red flower",
            "second": "a blue flower",
            "frames": 3,
            "zero": True,
            "seed": None,
            "spherical": False,
            "checkpoint": None,
        } | settings
        return list(tab.draw(**values))

    return press


def test_interpolation_yields_sketches_then_pictures_then_files(interpolate):
    first, second, last = interpolate()
    assert [len(step[0]) for step in (first, second, last)] == [3, 3, 3]
    assert [len(step[1]) for step in (first, second, last)] == [0, 3, 3]
    assert [step[2] is None for step in (first, second, last)] == [True, True, False]
    assert Image.open(last[2]).size == (3 * 258 + 2, 2 * 258 + 2)
    gif, webp = (Image.open(Path(last[2]).with_suffix(end)) for end in (".gif", ".webp"))
    assert gif.n_frames == 4  # there and back
    assert webp.format == "WEBP"


def test_frames_and_strip_carry_their_settings(interpolate):
    *_, last = interpolate(zero=False, seed=3, spherical=True)
    common = {
        "captions": ["a red flower", "a blue flower"],
        "spherical": True,
        "seed": 3,
        "epsilon_seed": None,
        "truncation": 1.0,
        "checkpoint": "flowers",
    }
    assert read_settings(last[1][1]) == {**common, "position": 0.5, "stage": 2}
    assert read_settings(last[2]) == {**common, "frames": 3}


def test_the_ends_of_an_interpolation_differ_and_a_seed_changes_it(interpolate):
    *_, zero = interpolate()
    *_, seeded = interpolate(zero=False, seed=3)
    assert pixels(zero[1][0]) != pixels(zero[1][-1])
    assert pixels(zero[1][0]) != pixels(seeded[1][0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"first": ""}, "caption is empty"),
        ({"second": "x" * 501}, "500 are the limit"),
        ({"frames": 1}, "number of frames is a whole number from 2 to 60"),
        ({"frames": MAX_FRAMES + 1}, "number of frames"),
        ({"frames": 2.5}, "number of frames"),
        ({"zero": False, "seed": None}, "seed must not be empty"),
        ({"zero": False, "seed": -3}, "seed is a whole number"),
        ({"spherical": "very"}, "spherical is true or false"),
    ],
)
def test_bad_settings_of_interpolate_are_told_in_words(interpolate, settings, words):
    with pytest.raises(gr.Error) as error:
        interpolate(**settings)
    assert words.lower() in error.value.message.lower()
