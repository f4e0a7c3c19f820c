"""The Noise tab's handlers as plain functions; no browser."""

from pathlib import Path

import pytest
from conftest import fake_encoder, pixels
from PIL import Image

gr = pytest.importorskip("gradio")

from stackgan.images import read_settings  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.generate import Generate  # noqa: E402
from stackgan.ui.noise import Noise  # noqa: E402
from stackgan.ui.noise_layout import EPSILONS, MAP  # noqa: E402

CAPTION = "a yellow flower"
SKETCH, PICTURE, MAP_OUT, ROW, REPORT, BEGUN, RECORD = range(7)


@pytest.fixture
def tab(checkpoints):
    return Noise(checkpoints)


def controls(**changes):
    """The handlers' parameters in their order."""
    values = {
        "caption": CAPTION,
        "seed": 7,
        "locked": "[]",
        "directions": 3,
        "x": 0.0,
        "y": 0.0,
        "radius": 45,
        "truncation": 1.0,
        "mean": True,
        "epsilon_seed": 0,
        "checkpoint": None,
        "emphasis": 1.5,
    }
    assert not changes.keys() - values.keys()
    return list((values | changes).values())


def test_sketch_and_map_then_picture_then_the_row_of_epsilon(tab):
    first, second, third = tab.draw(*controls(x=0.5))
    assert Image.open(first[SKETCH]).size == (64, 64)
    assert len(first[MAP_OUT]) == 25
    assert first[PICTURE] is first[ROW] is None
    assert first[RECORD] == gr.skip()
    assert Image.open(second[PICTURE]).size == (256, 256)
    assert [text for _, text in third[ROW]] == ["ε = 0"] + [f"ε seed {i}" for i in range(8)]
    assert third[RECORD]["tab"] == "Noise"
    for gallery in (first[MAP_OUT], third[ROW]):
        assert len({pixels(path) for path, _ in gallery}) == len(gallery)


def test_the_centre_of_the_map_is_the_picture_of_the_seed(tab, checkpoints):
    *_, last = tab.draw(*controls(truncation=0.5, mean=False, epsilon_seed=2))
    _, pictures, _ = Generate(checkpoints).api(CAPTION, 7, 1, 0.5, 2, emphasis=1.5)
    assert pixels(last[PICTURE]) == pixels(pictures[0]["path"])


def test_an_answer_is_one_folder_and_a_slider_s_way_none(tab, tmp_path, monkeypatch):
    """One folder an answer: its files grow old together."""
    monkeypatch.setattr("stackgan.ui.files.get_upload_folder", lambda: str(tmp_path))
    *_, last = tab.draw(*controls())
    for x in (0.1, 0.2, 0.3):
        tab.move(*controls(x=x))
    [answers] = tmp_path.iterdir()
    [folder] = answers.iterdir()
    assert len(list(folder.iterdir())) == 2 + len(MAP) + len(EPSILONS)
    assert {Path(path).parent for path, _ in last[ROW]} == {folder}


def test_a_picture_of_the_map_is_the_sketch_of_its_place(tab):
    first, *_ = tab.draw(*controls())
    for i in (0, 8, 12):
        x, y = MAP[i]
        path, text = first[MAP_OUT][i]
        assert text == f"Sketch at {x:g}, {y:g}"
        assert read_settings(path)["steps"] == [[3, x, y, 45.0]]
        alone = tab.move(*controls(x=x, y=y))
        # A fast engine may round a batch otherwise than a single picture.
        pairs = zip(pixels(path), alone.tobytes(), strict=True)
        assert max(abs(a - b) for a, b in pairs) < 8
    assert MAP[0] == (-1, 1)
    assert MAP[12] == (0, 0)
    assert MAP[24] == (1, -1)


def test_arriving_keeps_the_map_and_the_old_pictures_until_new_ones_are_there(tab):
    *_, drawn = tab.draw(*controls())
    first, _, last = tab.arrive(*controls(y=-0.5), drawn[BEGUN])
    for output in (PICTURE, MAP_OUT, ROW):
        assert first[output] == gr.skip()
    assert last[MAP_OUT] == gr.skip()
    assert pixels(last[PICTURE]) != pixels([*tab.draw(*controls())][-1][PICTURE])


def test_arriving_with_another_caption_or_on_no_map_draws_the_map_too(tab):
    *_, drawn = tab.draw(*controls())
    retyped = controls(y=-0.5, caption="a red flower")
    for begun in (drawn[BEGUN], None):
        first, *_ = tab.arrive(*retyped, begun)
        assert {read_settings(file)["caption"] for file, _ in first[MAP_OUT]} == {"a red flower"}


def test_arriving_where_one_is_draws_nothing(tab):
    *_, drawn = tab.draw(*controls())
    [only] = tab.arrive(*controls(), drawn[BEGUN])
    assert only == (gr.skip(),) * len(drawn)
    assert len([*tab.arrive(*controls(radius=30), drawn[BEGUN])]) > 1


def test_the_next_arrival_knows_what_the_last_one_began(tab):
    """Before that one's pictures, and so its record, have reached the page."""
    *_, drawn = tab.draw(*controls())
    begun = next(tab.arrive(*controls(x=0.5), drawn[BEGUN]))[BEGUN]
    assert len([*tab.arrive(*controls(), begun)]) > 1  # back to the centre, which the record shows


def test_a_slider_s_box_may_be_empty_while_somebody_types(tab):
    assert tab.move(*controls(x=None)) == gr.skip()


def test_locking_and_going_back_change_the_map_but_not_the_picture(tab):
    *_, before = tab.draw(*controls(x=0.5, y=-0.25))
    locked, x, y = tab.lock(*controls(x=0.5, y=-0.25))
    assert (x, y) == (0, 0)
    first, *_, after = tab.draw(*controls(locked=locked, directions=9))
    assert pixels(after[PICTURE]) == pixels(before[PICTURE])
    assert "1 step locked" in after[REPORT]
    assert tab.go_back(locked) == ("[]", 3, 0.5, -0.25, 45)
    corner = first[MAP_OUT][0][0]
    assert read_settings(corner)["steps"] == [[3, 0.5, -0.25, 45.0], [9, -1.0, 1.0, 45.0]]


def test_settings_and_record_of_a_long_walk_draw_it_again(tab):
    locked = "[]"
    for directions, x in ((1, 1), (2, -0.3), (3, 0.7)):
        locked, *_ = tab.lock(*controls(locked=locked, directions=directions, x=x, y=0.1))
    walked = controls(locked=locked, x=0.2, y=0.9, truncation=0.7, mean=False, epsilon_seed=4)
    *_, last = tab.draw(*walked)
    settings = read_settings(last[PICTURE])
    assert len(settings["steps"]) == 4
    for values in (tab.values(settings), last[RECORD]["values"]):
        assert list(values) == list(tab.CONTROLS)
        *_, again = tab.draw(*values.values())
        assert pixels(again[PICTURE]) == pixels(last[PICTURE])
    assert tab.values({"caption": CAPTION, "seed": 7, "checkpoint": "flowers"}) is None


def test_the_picture_under_an_epsilon_of_the_row_is_drawn_again_from_its_settings(tab):
    *_, last = tab.draw(*controls(x=0.5))
    path, _ = last[ROW][EPSILONS.index(5)]
    values = tab.values(read_settings(path))
    assert (values["mean"], values["epsilon_seed"]) == (False, 5)
    assert tab.values(read_settings(last[ROW][0][0]))["mean"] is True


def test_a_checkpoint_of_one_stage_walks_too(checkpoint_folder):
    tab = Noise(Checkpoints(str(checkpoint_folder / "sketches"), encoder=fake_encoder))
    *_, last = tab.draw(*controls())
    assert last[PICTURE] is None
    assert Image.open(last[ROW][0][0]).size == (64, 64)
    assert last[RECORD]["thumbnail"]
    assert tab.api(CAPTION, seed=7)[1] is None


def test_the_endpoint_draws_what_the_page_draws(tab):
    locked, *_ = tab.lock(*controls(x=0.5))
    *_, last = tab.draw(*controls(locked=locked, y=1))
    sketch, picture, settings = tab.api(
        CAPTION, 7, 3, y=1, radius=45, locked=[[3, 0.5, 0, 45]], emphasis=1.5
    )
    assert pixels(picture["path"]) == pixels(last[PICTURE])
    assert pixels(sketch["path"]) == pixels(last[SKETCH])
    assert read_settings(picture["path"]) == {**settings, "stage": 2}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"caption": " "}, "caption is empty"),
        ({"seed": None}, "seed is a whole number"),
        ({"directions": -1}, "seed of the directions is a whole number"),
        ({"x": 1.01}, "x is a number from -1 to 1"),
        ({"y": "up"}, "y is a number"),
        ({"radius": 91}, "radius is a number from 0 to 90"),
        ({"locked": "["}, "locked steps are a list"),
        ({"locked": None}, "locked steps are a list"),
        ({"locked": "[[1, 2]]"}, "locked steps are a list"),
        ({"locked": "[" * 100_000}, "locked steps are a list"),
        ({"locked": "[[0, 5, 0, 45]]"}, "x is a number from -1 to 1"),
        ({"locked": str([[0, 0.5, 0, 45]] * 17)}, "16 locked steps are the limit"),
        ({"truncation": 2}, "truncation is a number"),
        ({"emphasis": 2.5}, "emphasis is a number from 0 to 2"),
        ({"mean": False, "epsilon_seed": None}, "ε seed must not be empty"),
        ({"checkpoint": "/etc"}, "no checkpoint '/etc' here"),
    ],
)
def test_bad_settings_of_noise_are_told_in_words(tab, settings, words):
    for handler in (lambda *c: list(tab.draw(*c)), tab.move):
        with pytest.raises(gr.Error, match=f"(?i){words}") as error:
            handler(*controls(**settings))
        assert error.value.print_exception is False


def test_too_many_locked_steps_are_refused_before_they_are_looked_at(tab):
    with pytest.raises(gr.Error, match="16 locked steps are the limit"):
        tab.api(CAPTION, locked=[["no step"]] * 17)
    *_, last = tab.arrive(*controls(locked=str([[0, 0.5, 0, 45]] * 16)), None)  # the most there are
    assert tab.values(read_settings(last[SKETCH]))["locked"].count("0.5") == 16


def test_what_a_slider_has_drawn_last_is_downloaded_with_its_settings(tab):
    place = {"caption": "a “yellow” flower", "x": 0.5, "mean": False, "epsilon_seed": 3}
    sketch = gr.Image(format="png").postprocess(tab.move(*controls(**place)))
    *_, last = tab.arrive(*controls(**place), None)
    assert read_settings(sketch.path) == read_settings(last[SKETCH])


def test_locking_the_centre_and_going_back_from_the_start_are_told_in_words(tab):
    with pytest.raises(gr.Error, match="centre already"):
        tab.lock(*controls())
    with pytest.raises(gr.Error, match="Nothing is locked"):
        tab.go_back("[]")
    with pytest.raises(gr.Error, match="16 locked steps are the limit"):
        tab.lock(*controls(locked=str([[0, 0.5, 0, 45]] * 16), x=1))
