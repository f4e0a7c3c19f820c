"""The Generate tab in a real browser."""

from __future__ import annotations

import re

import pytest
from browsing import content, expect, field, generated, message

from stackgan.images import read_settings

pytestmark = pytest.mark.browser


def test_a_typed_caption_becomes_a_sketch_and_a_picture(page, tmp_path):
    field(page, "caption").fill("a red flower with round petals")
    field(page, "caption").press("Enter")
    for kind, side in (("sketch", 64), ("picture", 256)):
        image = page.locator(f"#{kind} img").first
        expect(image).to_be_visible()
        expect(image).to_have_attribute("alt", re.compile(f"{kind} of “a red flower with round"))
        expect(image).to_have_js_property("naturalWidth", side)
    sizes = [page.locator(f"#{kind} img").bounding_box() for kind in ("sketch", "picture")]
    assert sizes[0]["width"] == pytest.approx(sizes[1]["width"], abs=1)
    expect(page.locator("#sketch img")).to_have_css("image-rendering", "pixelated")
    expect(page.locator("#report")).to_contain_text("a red flower with round petals")

    for button, stage in (("save-sketch", 1), ("save-picture", 2)):
        with page.expect_download() as download:
            page.locator(f"#{button}").click()
        assert download.value.suggested_filename.endswith(f"stage{stage}.png")
        download.value.save_as(tmp_path / "picture.png")
        settings = read_settings(tmp_path / "picture.png")
        assert settings["caption"] == "a red flower with round petals"
        assert settings["stage"] == stage
        assert str(settings["seed"]) == field(page, "seed").input_value()


def test_held_noise_repeats_and_resampling_does_not(page):
    field(page, "seed").fill("41")
    expect(field(page, "hold")).to_be_checked()  # a typed seed is meant
    _, first = generated(page)
    assert field(page, "seed").input_value() == "41"
    _, other_z = generated(page, "#resample-z")
    assert field(page, "seed").input_value() != "41"
    assert content(page, first) != content(page, other_z)

    field(page, "seed").fill("41")
    _, again = generated(page)
    assert content(page, again) == content(page, first)

    _, other_epsilon = generated(page, "#resample-epsilon")
    assert field(page, "seed").input_value() == "41"
    assert content(page, other_epsilon) != content(page, first)
    expect(page.locator("#report")).to_contain_text("ε seed")


def test_free_noise_takes_a_fresh_seed_and_shows_it(page):
    expect(field(page, "hold")).not_to_be_checked()
    generated(page)
    first = field(page, "seed").input_value()
    generated(page)
    assert field(page, "seed").input_value() != first
    expect(page.locator("#report")).to_contain_text(field(page, "seed").input_value())


def test_a_picked_picture_is_shown_large_and_its_noise_is_held(page):
    expect(page.locator("#noises")).to_be_hidden()
    field(page, "seed").fill("20")
    field(page, "samples").fill("3")
    generated(page)
    small = page.locator("#noises img")
    expect(small).to_have_count(3)
    expect(page.locator("#noises")).to_contain_text("seed 22")
    expect(page.locator("#save-picture")).to_contain_text("3 pictures")

    page.locator("#noises button").nth(1).focus()
    page.keyboard.press("Enter")
    expect(field(page, "seed")).to_have_value("21")
    expect(field(page, "samples")).to_have_value("1")
    expect(field(page, "hold")).to_be_checked()
    expect(page.locator("#report").get_by_role("status")).to_be_attached()
    expect(page.locator("#report")).to_contain_text("Seed 21 is held")
    large = page.locator("#picture img")
    expect(large).to_have_attribute("alt", re.compile("seed 21"))
    shown, picked = (image.get_attribute("src") for image in (large, small.nth(1)))
    assert content(page, shown) == content(page, picked)

    field(page, "caption").fill("a white flower")
    generated(page)
    expect(page.locator("#report")).to_contain_text("seed 21 ")
    expect(page.locator("#noises")).to_be_hidden()


def test_the_line_between_before_and_after_moves_by_mouse_and_keys(page):
    generated(page)
    page.get_by_label("Before and after").check()
    expect(page.locator("#picture")).to_be_hidden()
    before, after = (page.locator("#before-after img").nth(i) for i in (0, 1))
    for image in (before, after):
        expect(image).to_have_js_property("naturalWidth", 256)
    expect(after).to_have_css("clip-path", re.compile("50%"))

    slider = page.locator("#divide input[type=range]")
    slider.focus()
    slider.press("End")
    expect(after).to_have_css("clip-path", re.compile("100%"))
    slider.press("Home")
    expect(after).to_have_css("clip-path", re.compile(r"\b0%"))

    whole = page.locator("#before-after .content").bounding_box()
    handle = page.locator("#before-after [data-testid=slider]").bounding_box()
    middle = handle["y"] + handle["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(whole["x"] + whole["width"] / 4, middle, steps=4)
    page.mouse.up()
    expect(after).to_have_css("clip-path", re.compile(r"2[45](\.\d+)?%"))


def test_a_held_noise_leaves_nothing_to_choose_from(page):
    best_of = field(page, "best-of")
    expect(best_of).to_have_value("4")
    field(page, "hold").check()
    expect(best_of).to_have_value("1")
    field(page, "hold").uncheck()
    expect(best_of).to_have_value("4")
    field(page, "seed").fill("41")
    expect(best_of).to_have_value("1")


def test_a_checkpoint_without_a_scorer_says_that_it_cannot_rank(page):
    expect(page.locator("#best-of")).to_contain_text("brings no scorer")
    expect(field(page, "best-of")).to_be_disabled()


def test_an_unfamiliar_caption_is_drawn_with_a_gentle_word(page):
    page.locator("#checkpoint input").click()
    page.get_by_role("option", name="birds").click()
    generated(page)
    expect(page.locator("#report")).to_contain_text("has seen only birds")
    expect(page.locator("#report")).to_contain_text(re.compile("a red wren|a blue jay"))
    expect(message(page)).to_have_count(0)


def test_an_example_is_drawn_at_a_click(page):
    example = page.locator("#examples button", has_text="purple").first
    text = example.inner_text().strip()
    example.click()
    expect(field(page, "caption")).to_have_value(text)
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#report")).to_contain_text(text)


def test_an_empty_caption_gives_a_message(page):
    field(page, "caption").fill("  ")
    page.locator("#generate").click()
    expect(message(page)).to_contain_text("caption is empty")
