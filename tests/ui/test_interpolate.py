"""The Interpolate tab's handlers and endpoints as plain functions; no browser."""

from pathlib import Path

import pytest
from conftest import fake_encoder, pixels
from PIL import Image, ImageChops, ImageStat

gr = pytest.importorskip("gradio")

from stackgan.images import can_write_mp4, read_settings  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.interpolate import Interpolate, _first_path, _split, _used_sentences  # noqa: E402
from stackgan.ui.interpolate_api import Endpoints  # noqa: E402
from stackgan.ui.travel import FILM_FRAMES, film_endings  # noqa: E402

SETTINGS = {
    "first": "a red flower",
    "second": "a blue flower",
    "third": "",
    "fourth": "",
    "fifth": "",
    "sentences": 2,
    "frames": 3,
    "noise": "zero",
    "seed": 0,
    "end_seed": 1,
    "spherical": False,
    "truncation": 1.0,
    "position": 0,
    "checkpoint": None,
    "emphasis": 1.5,
}
THREE = {"third": "a yellow flower", "sentences": 3}


@pytest.fixture
def tab(checkpoints):
    return Interpolate(checkpoints)


@pytest.fixture
def interpolate(tab):
    """Press Interpolate; returns every yield."""
    return lambda **settings: list(tab.draw(**SETTINGS | settings))


def paths(frames) -> list[str]:
    return [path for path, _ in frames]


def close(a, b) -> bool:
    """Alike but for what a batch rounds otherwise than a single picture."""
    difference = ImageChops.difference(Image.open(a).convert("RGB"), Image.open(b).convert("RGB"))
    return max(ImageStat.Stat(difference).mean) < 2


def test_interpolation_yields_sketches_then_pictures_then_the_strip(interpolate):
    steps = first, _, last = interpolate()
    assert [len(step.sketch_frames) for step in steps] == [3, 3, 3]
    assert [len(step.picture_frames) for step in steps] == [0, 3, 3]
    assert [step.strip is None for step in steps] == [True, True, False]
    assert [position for _, position in last.sketch_frames] == ["0.0", "0.5", "1.0"]
    assert Image.open(last.strip).size == (3 * 258 + 2, 2 * 258 + 2)
    assert first.exact == []
    assert not isinstance(last.exact, list)  # one that came meanwhile stays


def test_a_checkpoint_of_one_stage_gives_sketches_alone(checkpoint_folder):
    folder = str(checkpoint_folder / "sketches")
    tab = Interpolate(Checkpoints(folder, encoder=fake_encoder))
    *_, last = tab.draw(**SETTINGS)
    assert last.picture_frames == []
    assert Image.open(last.strip).size == (3 * 66 + 2, 68)
    assert len(tab.between(0.3, last.travel)) == 1
    film = tab.film("webp", 2, True, 3, last.travel)
    assert Image.open(film).n_frames == 4
    assert film.endswith("-stage1.webp")


def test_frames_and_strip_carry_their_settings(interpolate):
    *_, last = interpolate(noise="held", seed=3, spherical=True, truncation=0.5)
    common = {
        "captions": ["a red flower", "a blue flower"],
        "frames": 3,
        "spherical": True,
        "seed": 3,
        "epsilon_seed": None,
        "truncation": 0.5,
        "checkpoint": "flowers",
        "emphasis": 1.5,
    }
    frame = last.picture_frames[1][0]
    assert read_settings(frame) == {**common, "position": 0.5, "stage": 2}
    assert read_settings(last.strip) == common


@pytest.mark.parametrize(
    "settings",
    [
        {"position": 0.5},
        {**THREE, "noise": "held", "seed": 3, "spherical": True, "frames": 5},
        {"noise": "travelling", "seed": 3, "end_seed": 8, "truncation": 0.5},
    ],
)
def test_a_frame_and_the_strip_bring_the_whole_path_back(tab, interpolate, settings):
    *_, drawn = interpolate(**settings)
    for png in (drawn.picture_frames[1][0], drawn.sketch_frames[1][0], drawn.strip):
        values = tab.values(read_settings(png))
        assert values.keys() == SETTINGS.keys()
        *_, again = tab.draw(**values)
        assert pixels(again.strip) == pixels(drawn.strip)
    assert tab.values(read_settings(drawn.sketch_frames[1][0]))["position"] == float(
        drawn.sketch_frames[1][1]
    )


@pytest.mark.parametrize(
    "change",
    [{"epsilon_seed": 3}, {"seed": [1, 2, 3]}, {"captions": ["one"]}],
)
def test_what_the_tab_cannot_draw_is_not_its_own(tab, interpolate, change):
    settings = read_settings(interpolate()[-1].strip)
    assert tab.values(settings | change) is None
    assert tab.values({"caption": "a flower", "seed": 3}) is None


def test_the_record_draws_the_result_again(tab, interpolate):
    first, _, last = interpolate(**THREE, position=0.25)
    assert not isinstance(first.record.get("tab"), str)
    assert last.record["tab"] == "Interpolate"
    assert last.record["title"] == "a red flower → a blue flower → a yellow flower"
    values = last.record["values"]
    assert values == SETTINGS | THREE | {"position": 0.25, "checkpoint": "flowers"}
    *_, again = tab.draw(**values)
    assert pixels(again.strip) == pixels(last.strip)


def test_sentences_that_are_not_shown_do_not_count(interpolate):
    *_, two = interpolate(third="a yellow flower", sentences=2)
    assert len(two.travel.route.captions) == 2
    assert two.record["values"]["third"] == ""


def test_the_strip_shows_every_sentence_and_says_where(interpolate):
    captions = {"third": "a yellow flower", "fourth": "a white flower", "sentences": 4}
    *_, last = interpolate(**captions, frames=10)
    assert Image.open(last.strip).size[0] == 7 * 258 + 2
    for column, number in zip((1, 3, 5, 7), "1234", strict=True):
        assert f'grid-column: {column}">{number}<' in last.legend.value
    *_, two = interpolate()
    assert (two.legend.value, two.legend.visible) == ("", False)  # no empty band


def test_noise_is_nought_held_or_travelling(interpolate):
    zero = interpolate()[-1].sketch_frames
    held = interpolate(noise="held", seed=3)[-1].sketch_frames
    travelling = interpolate(noise="travelling", seed=3, end_seed=8)[-1]
    assert pixels(zero[0][0]) != pixels(held[0][0])
    assert close(held[0][0], travelling.sketch_frames[0][0])
    assert not close(held[2][0], travelling.sketch_frames[2][0])
    assert "seeds 3 → 8" in travelling.report


def test_the_exact_frame_between_two_drawn_ones(tab, interpolate):
    travel = interpolate(frames=3, **THREE)[-1].travel
    (sketch, at), (picture, _) = tab.between(0.25, travel)
    assert float(at) == 0.25
    assert read_settings(picture)["position"] == 0.25
    finer = interpolate(frames=5, **THREE)[-1]
    assert close(picture, finer.picture_frames[1][0])
    assert close(sketch, finer.sketch_frames[1][0])
    # On a drawn frame it is that frame, and without a path there is nothing to draw.
    assert close(tab.between(0.5, travel)[1][0], finer.picture_frames[2][0])
    with pytest.raises(gr.Error, match="no longer kept here"):
        tab.between(0.3, None)
    assert not isinstance(tab.between(None, travel), list)


@pytest.mark.parametrize("ending", film_endings())
def test_films_of_both_stages(tab, interpolate, ending):
    travel = interpolate(frames=4)[-1].travel
    sketches, pictures = (Path(tab.film(ending, stage, True, 2, travel)) for stage in (1, 2))
    assert sketches != pictures
    for path in (sketches, pictures):
        assert path.suffix == f".{ending}"
        assert path.stat().st_size > 100
    if ending != "mp4":
        films = [Image.open(path) for path in (sketches, pictures)]
        assert [(film.size, film.n_frames) for film in films] == [((256, 256), 6)] * 2
        assert pixels(sketches) != pixels(pictures)
    assert can_write_mp4() == ("mp4" in film_endings())


def test_a_film_that_plays_one_way(tab, interpolate):
    travel = interpolate(frames=4)[-1].travel
    with Image.open(tab.film("gif", 2, False, 6, travel)) as film:
        film.seek(1)
        assert (film.n_frames, film.info["duration"]) == (4, 2000)


def test_films_that_cannot_be_are_told_in_words(tab, interpolate):
    travel = interpolate()[-1].travel
    for settings, words in (
        (("avi", 2, True, 3, travel), "gif, webp"),
        (("gif", 3, True, 3, travel), "stage"),
        (("gif", 2, True, 0, travel), "seconds"),
        (("gif", 2, True, 3, None), "press Interpolate"),
    ):
        with pytest.raises(gr.Error, match=words):
            tab.film(*settings)
    Path(travel.pictures[1]).unlink()
    with pytest.raises(gr.Error, match="no longer kept"):
        tab.film("gif", 2, True, 3, travel)


def test_without_its_encoder_mp4_is_not_offered(monkeypatch):
    monkeypatch.setattr("stackgan.ui.travel.can_write_mp4", lambda: False)
    assert film_endings() == ["gif", "webp"]


def test_sentences_are_added_and_removed(checkpoints):
    *boxes, add, remove = _used_sentences(3)
    assert [box.visible for box in boxes] == [True, False, False]
    assert (add.visible, remove.visible) == (True, True)
    assert not _used_sentences(5)[-2].visible
    assert not _used_sentences(2)[-1].visible
    assert _split(["a → b → c"]) == ["a", "b", "c", "", "", 3]


def test_a_checkpoint_has_a_caption_for_every_box():
    captions = _first_path("birds")
    assert all(captions)
    assert len(set(captions[:3])) == 3  # none twice where the path on the page has three
    assert _first_path("cats") == [""] * 5


def test_the_endpoint_keeps_its_form_and_goes_on_through_more(checkpoints):
    sketches, pictures, strip, gif, webp, settings = Endpoints(checkpoints).interpolate(
        "red", "blue", 4, 3, more=["yellow"], end_seed=8, truncation=0.5
    )
    assert len(sketches) == len(pictures) == len(settings) == 4
    assert [Image.open(f["path"]).format for f in (strip, gif, webp)] == ["PNG", "GIF", "WEBP"]
    assert settings[-1]["captions"] == ["red", "blue", "yellow"]
    assert settings[-1]["seed"] == [3, 8]
    assert read_settings(pictures[-1]["path"]) == {**settings[-1], "stage": 2}


@pytest.mark.parametrize(
    "bad", [{"format": "avi"}, {"seconds": 90}, {"stage": 3}, {"back": "false"}]
)
def test_nothing_is_drawn_for_a_film_that_cannot_be(checkpoints, monkeypatch, bad):
    monkeypatch.setattr("stackgan.ui.travel.draw", None)
    with pytest.raises(gr.Error):
        Endpoints(checkpoints).animate(**{"captions": ["red", "blue"], "format": "gif"} | bad)


def test_the_endpoint_that_makes_a_film(checkpoints):
    endpoint = Endpoints(checkpoints).animate
    film = endpoint(["red", "blue", "yellow"], "webp", frames=3, back=False, seed=3)
    assert Image.open(film["path"]).n_frames == 3
    for bad, words in (
        ({"captions": ["red"]}, "2 to 5 sentences"),
        ({"captions": ["red"] * 10, "frames": 9}, "2 to 5 sentences"),
        ({"captions": "red"}, "list of captions"),
        ({"captions": ["red", "blue"], "format": "avi"}, "a film is one of"),
        ({"captions": ["red", "blue"], "seconds": 90}, "seconds"),
        ({"captions": ["red", "blue"], "end_seed": 3}, "seed to begin with"),
        ({"captions": ["red", "blue"], "back": "false"}, "back is true or false"),
    ):
        with pytest.raises(gr.Error) as error:
            endpoint(**{"frames": 2} | bad)
        assert words.lower() in error.value.message.lower()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"first": ""}, "sentence 1: the caption is empty"),
        ({"sentences": 3}, "sentence 3: the caption is empty"),
        ({"second": "x" * 501}, "500 are the limit"),
        ({"sentences": 6}, "number of sentences is a whole number from 2 to 5"),
        ({"frames": 1}, "number of frames is a whole number from 2 to 60"),
        ({"frames": FILM_FRAMES + 1}, "number of frames"),
        ({"frames": 2.5}, "number of frames"),
        ({**THREE, "frames": 2}, "number of frames is a whole number from 3 to 60"),
        ({"noise": "loud" * 500}, "noise is one of"),
        ({"noise": "held", "seed": None}, "seed must not be empty"),
        ({"noise": "held", "seed": -3}, "seed is a whole number"),
        ({"noise": "travelling", "end_seed": None}, "seed at the end must not be empty"),
        ({"noise": "travelling", "end_seed": -3}, "seed at the end is a whole number"),
        ({"truncation": 7}, "truncation is a number"),
        ({"emphasis": 2.5}, "emphasis is a number from 0 to 2"),
        ({"spherical": "very"}, "spherical is true or false"),
        ({"position": 1.5}, "place on the path"),
    ],
)
def test_bad_settings_of_interpolate_are_told_in_words(interpolate, settings, words):
    with pytest.raises(gr.Error) as error:
        interpolate(**settings)
    assert words.lower() in error.value.message.lower()
    assert len(error.value.message) < 300
