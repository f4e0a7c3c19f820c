"""The page's handlers as plain functions, and its API through gradio_client; no browser."""

import math
import zipfile
from pathlib import Path

import pytest
from conftest import TINY, fake_encoder, lively
from PIL import Image, ImageChops, ImageStat

gr = pytest.importorskip("gradio")

from stackgan import CheckpointError, StackGAN  # noqa: E402
from stackgan.images import read_settings  # noqa: E402
from stackgan.ui import checks, examples, files, page  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.generate import MAX_SAMPLES, Generate  # noqa: E402
from stackgan.ui.interpolate import MAX_FRAMES, Interpolate  # noqa: E402

CAPTION = "this flower has yellow petals"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    lively(StackGAN(TINY)).save_pretrained(folder / "flowers")
    lively(StackGAN(TINY.stage1_alone())).save_pretrained(folder / "sketches")
    return folder


@pytest.fixture(scope="module")
def checkpoints(folder):
    return Checkpoints(str(folder / "flowers"), encoder=fake_encoder)


@pytest.fixture(autouse=True)
def upload_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


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


def pixels(path):
    return Image.open(path).tobytes()


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
        "end_seed": None,
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


def test_a_checkpoint_of_one_stage_gives_sketches_alone(folder):
    checkpoints = Checkpoints(str(folder / "sketches"), encoder=fake_encoder)
    (only,) = Generate(checkpoints).draw(CAPTION, 7, True, 1, 1.0, True, 0, None)
    assert len(only[3]) == 1
    assert only[4] == []
    *_, last = Interpolate(checkpoints).draw("red", "blue", 3, True, None, False, None)
    assert last[1] == []
    assert Image.open(last[2]).size == (3 * 66 + 2, 68)


def test_flowers_are_the_default_of_the_bundled_checkpoints(folder, monkeypatch):
    monkeypatch.setattr("stackgan.model.CHECKPOINTS", folder)
    checkpoints = Checkpoints(encoder=fake_encoder)
    assert checkpoints.names == ["flowers", "sketches"]
    assert checkpoints.pipeline() is checkpoints.pipeline("flowers")
    assert checkpoints.pipeline("sketches").config.stages == 1


def test_a_checkpoint_that_cannot_be_is_refused_at_once(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoints(str(tmp_path / "nowhere"))


def test_without_a_checkpoint_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("stackgan.model.CHECKPOINTS", tmp_path)
    blocks = page.build(Checkpoints())
    texts = [getattr(block, "value", "") for block in blocks.blocks.values()]
    assert any("No trained checkpoint" in str(text) for text in texts)
    assert not blocks.fns


def test_each_subject_has_a_dozen_examples_that_fit_their_buttons():
    for subject in ("flowers", "birds"):
        offered = examples.captions(f"someone/stackgan-{subject}")
        assert len(set(offered)) == 12
        assert max(map(len, offered)) <= 60
        assert examples.pairs(subject)
    assert examples.captions("cats") == []


def test_another_checkpoint_exchanges_examples_but_not_what_was_typed():
    birds, flowers = examples.captions("birds"), examples.captions("flowers")
    assert examples.replaced(flowers[3], birds) == birds[0]
    assert examples.replaced("my own words", birds) == "my own words"
    assert examples.replaced(flowers[3], []) == flowers[3]


def test_seeds_of_samples_begin_again_after_the_last():
    assert checks.seeds_from(2**32 - 1, 3) == [2**32 - 1, 0, 1]


def test_old_folders_are_removed_when_new_ones_are_made(upload_folder, monkeypatch):
    old = files.new_folder()
    assert files.new_folder() != old
    assert old.is_dir()
    monkeypatch.setattr(files, "KEEP_SECONDS", -1)
    files.new_folder()
    assert not old.exists()


def test_file_names_are_plain():
    assert files.file_name("A <red>/../flower!", 7, 2) == "a-red-flower-seed7-stage2.png"
    assert files.file_name("花", 7, 1) == "picture-seed7-stage1.png"


def test_the_api_is_two_documented_endpoints(checkpoints):
    gradio_client = pytest.importorskip("gradio_client")
    blocks = page.build(checkpoints)
    blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        client = gradio_client.Client(blocks.local_url, verbose=False)
        info = client.view_api(return_format="dict")["named_endpoints"]
        assert set(info) == {"/generate", "/interpolate"}
        names = [p["parameter_name"] for p in info["/generate"]["parameters"]]
        assert names == ["caption", "seed", "samples", "truncation", "epsilon_seed", "checkpoint"]
        assert "Draw pictures of a caption" in info["/generate"]["description"]

        sketches, pictures, settings = client.predict(CAPTION, seed=7, api_name="/generate")
        assert read_settings(pictures[0]) == {**settings[0], "stage": 2}
        assert read_settings(sketches[0]) == {**settings[0], "stage": 1}

        frames, pictures, strip, gif, webp, settings = client.predict(
            "red", "blue", frames=3, api_name="/interpolate"
        )
        assert len(frames) == len(pictures) == len(settings) == 3
        assert [Image.open(path).format for path in (strip, gif, webp)] == ["PNG", "GIF", "WEBP"]

        for bad in ({"caption": ""}, {"caption": CAPTION, "seed": "seven"}):
            with pytest.raises(gradio_client.exceptions.AppError, match=r"caption is|seed is"):
                client.predict(**bad, api_name="/generate")
    finally:
        blocks.close()
