"""The Words tab's handlers as plain functions; no browser."""

import zipfile

import pytest
from conftest import fake_encoder, pixels
from PIL import Image

gr = pytest.importorskip("gradio")

from stackgan.images import read_settings  # noqa: E402
from stackgan.ui import examples  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.generate import Generate  # noqa: E402
from stackgan.ui.words import Words, caption_lines, with_differences  # noqa: E402
from stackgan.ui.words_layout import MAX_CAPTIONS  # noqa: E402

CAPTIONS = "a red flower\n\n a yellow  flower\na blue flower"


@pytest.fixture
def press(checkpoints):
    """Press Compare; returns every yield. Keyword arguments replace the settings."""

    def draw(tab=None, **settings):
        values = {
            "captions": CAPTIONS,
            "seed": 7,
            "hold": True,
            "truncation": 1.0,
            "mean": True,
            "epsilon_seed": 0,
            "checkpoint": None,
            "emphasis": 1.5,
        } | settings
        return list((tab or Words(checkpoints)).draw(**values))

    return draw


def cells(step):
    """(shown, sketch, picture, caption) of each cell of a yield."""
    rest = step[4:]
    rows = [rest[i : i + 4] for i in range(0, len(rest), 4)]
    assert len(rows) == MAX_CAPTIONS
    path = lambda image: getattr(image, "value", None) and image.value["path"]  # noqa: E731
    return [(row[0].visible, path(row[1]), path(row[2]), row[3]) for row in rows]


def test_sketches_of_all_captions_come_before_their_pictures(press):
    first, second = press()
    for step in (first, second):
        assert [cell[0] for cell in cells(step)] == [True] * 3 + [False] * 5
    assert [bool(cell[2]) for cell in cells(first)[:3]] == [False] * 3
    for _, sketch, picture, _ in cells(second)[:3]:
        assert Image.open(sketch).size == (64, 64)
        assert Image.open(picture).size == (256, 256)
    assert len({pixels(cell[2]) for cell in cells(second)[:3]}) == 3


def test_each_picture_is_the_one_that_generate_draws_of_its_caption_and_seed(press, checkpoints):
    *_, last = press(captions="a yellow flower", mean=False, epsilon_seed=3, truncation=0.5)
    [path] = [cell[2] for cell in cells(last) if cell[2]]
    _, pictures, _ = Generate(checkpoints).api("a yellow flower", 7, 1, 0.5, 3, emphasis=1.5)
    assert pixels(path) == pixels(pictures[0]["path"])


def test_a_picture_carries_what_draws_the_whole_comparison_again(press, checkpoints):
    tab = Words(checkpoints)
    *_, last = press(tab, mean=False, epsilon_seed=3, truncation=0.5)
    settings = read_settings(cells(last)[1][2])
    assert settings["caption"] == "a yellow flower"
    assert settings["words"] == ["a red flower", "a yellow flower", "a blue flower"]
    values = tab.values(settings)
    *_, again = tab.draw(**values)
    assert [pixels(c[2]) for c in cells(again)[:3]] == [pixels(c[2]) for c in cells(last)[:3]]
    assert tab.values({"caption": "a red flower", "seed": 7}) is None


def test_the_record_redraws_what_a_fresh_seed_drew(press, checkpoints):
    first, last = press(hold=False, seed=None)
    assert first[1] == gr.skip()
    assert last[0] == gr.skip()  # while it drew, the visitor may have changed the seed
    record = last[1]
    assert record["tab"] == "Words"
    assert record["title"] == "a red flower (and 2 more)"
    assert record["values"]["hold"] is True
    assert record["values"]["seed"] == first[0]
    assert record["values"]["checkpoint"] == "flowers"
    *_, again = Words(checkpoints).draw(**record["values"])
    assert [pixels(c[2]) for c in cells(again)[:3]] == [pixels(c[2]) for c in cells(last)[:3]]


def test_all_files_download_as_one(press):
    *_, last = press()
    with zipfile.ZipFile(last[2].value["path"]) as archive:
        assert len(archive.namelist()) == 6


def test_a_checkpoint_of_one_stage_gives_sketches_alone(press, checkpoint_folder):
    tab = Words(Checkpoints(str(checkpoint_folder / "sketches"), encoder=fake_encoder))
    (only,) = press(tab)
    assert [bool(cell[2]) for cell in cells(only)] == [False] * MAX_CAPTIONS
    assert only[1]["thumbnail"]


def test_words_that_the_first_caption_lacks_are_bold_and_escaped():
    first = "this flower has red petals"
    assert with_differences(first, first) == f"<p>{first}</p>"
    assert (
        with_differences("This flower has <b>blue</b> round petals", first)
        == "<p>This flower has <strong>&lt;b&gt;blue&lt;/b&gt; round</strong> petals</p>"
    )
    assert with_differences("this flower has petals", first) == "<p>this flower has petals</p>"


def test_braces_are_spelled_out_line_by_line():
    assert caption_lines("a {red, blue} flower\n\na {small,large} {red, blue} bird") == [
        "a red flower",
        "a blue flower",
        "a small red bird",
        "a small blue bird",
        "a large red bird",
        "a large blue bird",
    ]


@pytest.mark.parametrize("subject", ["flowers", "birds"])
def test_examples_compare_several_captions(subject):
    for pattern in examples.words(subject):
        assert 2 <= len(caption_lines(pattern)) <= MAX_CAPTIONS


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"captions": " \n"}, "there is no caption"),
        ({"captions": None}, "captions are text"),
        ({"captions": "a flower\n?!"}, "caption is empty"),
        ({"captions": "a flower\n" * 9}, "more than 8 captions"),
        ({"captions": "{a,b}" * 200}, "more than 8 captions|500 are the limit"),
        ({"captions": "flower " * 200}, "500 are the limit"),
        ({"seed": None}, "seed is a whole number"),
        ({"truncation": 2}, "truncation is a number"),
        ({"emphasis": 2.5}, "emphasis is a number from 0 to 2"),
        ({"mean": False, "epsilon_seed": None}, "ε seed must not be empty"),
        ({"checkpoint": "/etc"}, "no checkpoint '/etc' here"),
    ],
)
def test_bad_settings_of_words_are_told_in_words(press, settings, words):
    with pytest.raises(gr.Error, match=f"(?i){words}") as error:
        press(**settings)
    assert error.value.print_exception is False


def test_the_endpoint_takes_a_list(checkpoints):
    sketches, pictures, settings = Words(checkpoints).api(["a red flower", "a blue flower"], seed=7)
    assert [len(sketches), len(pictures)] == [2, 2]
    assert read_settings(pictures[1]["path"]) == {**settings[1], "stage": 2}
    # As the page's box: a picture's settings hold no braces, so what they name is what was drawn.
    spelled = Words(checkpoints).api(["a {red, blue} flower"], seed=7)[2]
    assert [record["caption"] for record in spelled] == ["a red flower", "a blue flower"]
    for bad, words in (
        ([], "no caption"),
        (["red"] * 9, "more than 8"),
        ([7], "list of sentences"),
    ):
        with pytest.raises(gr.Error, match=words):
            Words(checkpoints).api(bad)
