"""What the tabs share, the page put together, and its API through gradio_client; no browser."""

import errno
import os
import time
import urllib.request

import pytest
import torch
from conftest import fake_encoder
from PIL import Image

gr = pytest.importorskip("gradio")

from stackgan import CheckpointError  # noqa: E402
from stackgan.images import read_settings  # noqa: E402
from stackgan.latents import seeds_from  # noqa: E402
from stackgan.ui import checks, controls, examples, files, page  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.generate import Generate  # noqa: E402
from stackgan.ui.theme import THEME  # noqa: E402

CAPTION = "this flower has yellow petals"


def test_a_checkpoint_of_one_stage_gives_sketches_alone(checkpoint_folder):
    checkpoints = Checkpoints(str(checkpoint_folder / "sketches"), encoder=fake_encoder)
    (only,) = Generate(checkpoints).draw(CAPTION, 7, True, 1, 1.0, True, 0, None)
    assert (len(only.drawn.sketches), only.drawn.pictures) == (1, ())


def test_flowers_are_the_default_of_the_bundled_checkpoints(checkpoint_folder, monkeypatch):
    monkeypatch.setattr("stackgan.model.CHECKPOINTS", checkpoint_folder)
    monkeypatch.setattr("stackgan.ui.checkpoints.CHECKPOINTS", checkpoint_folder)
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
    assert examples.replaced(flowers[3], "birds", birds[0]) == birds[0]
    assert examples.replaced(flowers[3], "flowers", flowers[0]) == flowers[3]
    assert examples.replaced("my own words", "birds", birds[0]) == "my own words"
    assert examples.replaced(flowers[3], "cats", "") == flowers[3]
    # What came with a link may be an example of another control.
    assert examples.replaced(examples.pairs("birds")[0][1], "birds", birds[0]) == "a blue bird"


def test_only_the_visitor_s_own_choice_of_a_checkpoint_touches_captions():
    with gr.Blocks() as blocks:
        chooser, boxes = gr.Dropdown(["flowers", "birds"]), [gr.Textbox(), gr.Textbox()]
        controls.exchange_examples(chooser, boxes, lambda name: examples.captions(name)[:2])
    [event] = blocks.fns.values()
    assert [name for _, name in event.targets] == ["input"]
    answer = event.fn("birds", "my own words", examples.captions("flowers")[0])
    assert answer == {boxes[0]: gr.skip(), boxes[1]: examples.captions("birds")[1]}


def test_a_change_that_comes_while_something_is_drawn_is_drawn_next(checkpoints):
    blocks = page.build(checkpoints)
    draw = (".draw", ".arrive", ".explain")
    modes = {
        event.trigger_mode
        for event in blocks.fns.values()
        if getattr(event.fn, "__qualname__", "").endswith(draw)
    }
    assert modes == {"always_last"}


def test_enter_in_any_box_of_a_seed_draws(checkpoints):
    blocks = page.build(checkpoints)
    named = {b._id: getattr(b, "elem_id", None) or "" for b in blocks.blocks.values()}
    seeds = {name for name in named.values() if name.endswith("seed")}
    drawn = {
        named[i]
        for event in blocks.fns.values()
        if getattr(event.fn, "__qualname__", "").endswith((".draw", ".explain"))
        for i, trigger in event.targets
        if trigger == "submit"
    }
    assert len(seeds) == 9
    assert seeds <= drawn


def test_every_report_is_read_out(checkpoints):
    blocks = page.build(checkpoints).blocks.values()
    reports = [b for b in blocks if "report" in (getattr(b, "elem_classes", None) or [])]
    assert len(reports) == 6
    assert all("status" in report.js_on_load for report in reports)


@pytest.mark.parametrize("scheme", ["", "_dark"])
def test_words_stand_out_from_what_they_stand_on(scheme):
    def luminance(name: str) -> float:
        value = getattr(THEME, name + scheme, None) or getattr(THEME, name)
        while value.startswith("*"):
            value = getattr(THEME, value[1:] + scheme, None) or getattr(THEME, value[1:])
        if value == "white":
            value = "#ffffff"
        parts = [int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    for words, ground in (
        ("link_text_color", "body_background_fill"),  # a selected tab's too
        ("link_text_color_visited", "body_background_fill"),
        ("input_placeholder_color", "input_background_fill"),
        ("block_info_text_color", "block_background_fill"),
    ):
        dark, light = sorted((luminance(words), luminance(ground)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, words


def test_what_the_server_lacks_is_told_without_its_paths():
    with pytest.raises(gr.Error) as error, checks.errors_in_words():
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")
    assert "No space left on device. Try again later" in error.value.message
    assert "secret" not in error.value.message
    assert error.value.print_exception  # whoever runs the page reads more in its log
    reason = "could not finish this: out of memory"
    with pytest.raises(gr.Error, match=reason), checks.errors_in_words():
        raise torch.OutOfMemoryError("out of memory\nand much more")


def test_seeds_of_samples_begin_again_after_the_last():
    assert seeds_from(2**32 - 1, 3) == [2**32 - 1, 0, 1]


def aged(folder, seconds: float):
    when = time.time() - seconds
    os.utime(folder, (when, when))
    return folder


def test_old_folders_are_removed_when_new_ones_are_made(upload_folder, monkeypatch):
    monkeypatch.setattr(files, "ROUND_SECONDS", 0)
    young, old = (aged(files.new_folder(), hours * 3600) for hours in (2, 3))
    assert files.new_folder() not in (young, old)
    assert young.is_dir(), "Gradio removes its files first"
    assert not old.exists()


def test_only_answers_are_cleared_away(upload_folder, monkeypatch):
    """Whoever sets GRADIO_TEMP_DIR may have files of their own there."""
    monkeypatch.setattr(files, "ROUND_SECONDS", 0)
    own = upload_folder / "stackgan-runs"
    own.mkdir()
    aged(own, 9 * 3600)
    (upload_folder / "stackgan-notes.txt").write_text("mine")
    (files.new_folder().parent / "stray.txt").write_text("no folder")
    assert files.new_folder().is_dir()
    assert own.is_dir()


def test_the_oldest_folders_give_way_when_their_files_are_too_large(upload_folder, monkeypatch):
    monkeypatch.setattr(files, "ROUND_SECONDS", 0)
    monkeypatch.setattr(files, "MAX_BYTES", 2500)
    made = []
    for age in range(5, 0, -1):
        made.append(files.new_folder())
        (made[-1] / "picture.png").write_bytes(bytes(1000))
        aged(made[-1], age)
    files.new_folder()
    assert [folder.exists() for folder in made] == [False, False, False, True, True]


def test_files_are_not_counted_at_every_step_of_a_slider(upload_folder, monkeypatch):
    looks = []
    monkeypatch.setattr(files, "_last_round", 0.0)
    monkeypatch.setattr(files, "_remove_old_folders", looks.append)
    assert files.new_folder() != files.new_folder()
    assert len(looks) == 1


def test_file_names_are_plain():
    assert files.file_name("A <red>/../flower!", 7, 2) == "a-red-flower-seed7-stage2.png"
    assert files.file_name("花", 7, 1) == "picture-seed7-stage1.png"


def test_the_api_is_a_documented_endpoint_for_each_tab(checkpoints):
    gradio_client = pytest.importorskip("gradio_client")
    blocks = page.build(checkpoints)
    blocks.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        client = gradio_client.Client(blocks.local_url, verbose=False)
        info = client.view_api(return_format="dict")["named_endpoints"]
        assert set(info) >= {"/generate", "/interpolate", "/animate"}
        names = [p["parameter_name"] for p in info["/generate"]["parameters"]]
        assert names == [
            *("caption", "seed", "samples", "truncation", "epsilon_seed", "checkpoint"),
            *("best_of", "emphasis"),
        ]
        assert "Draw pictures of a caption" in info["/generate"]["description"]

        sketches, pictures, settings = client.predict(CAPTION, seed=7, api_name="/generate")
        assert read_settings(pictures[0]) == {**settings[0], "stage": 2}
        assert read_settings(sketches[0]) == {**settings[0], "stage": 1}

        frames, pictures, strip, gif, webp, settings = client.predict(
            "red", "blue", frames=3, api_name="/interpolate"
        )
        assert len(frames) == len(pictures) == len(settings) == 3
        assert [Image.open(path).format for path in (strip, gif, webp)] == ["PNG", "GIF", "WEBP"]

        plain = gradio_client.Client(blocks.local_url, verbose=False, download_files=False)
        files = plain.predict([CAPTION, "blue"], api_name="/words")[0]
        files += [plain.predict(CAPTION, api_name="/noise")[0]]
        for file in files:
            with urllib.request.urlopen(file["url"], timeout=60) as picture:
                assert Image.open(picture).size == (64, 64)

        answer = client.predict(CAPTION, api_name="/explain")
        assert len(answer["conditioning"]) == 2

        for bad in ({"caption": ""}, {"caption": CAPTION, "seed": "seven"}):
            with pytest.raises(gradio_client.exceptions.AppError, match=r"caption is|seed is"):
                client.predict(**bad, api_name="/generate")
    finally:
        blocks.close()
