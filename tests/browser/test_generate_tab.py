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
    for stage, kind, side in (("sketches", "sketch", 64), ("pictures", "picture", 256)):
        image = page.locator(f"#{stage} img").first
        expect(image).to_be_visible()
        expect(image).to_have_attribute("alt", re.compile(f"{kind} of “a red flower with round"))
        expect(image).to_have_js_property("naturalWidth", side)
    sizes = [page.locator(f"#{stage} img").bounding_box() for stage in ("sketches", "pictures")]
    assert sizes[0]["width"] == pytest.approx(sizes[1]["width"], abs=1)
    expect(page.locator("#sketches img")).to_have_css("image-rendering", "pixelated")
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


def test_several_samples_fill_both_galleries(page):
    field(page, "samples").fill("3")
    page.locator("#generate").click()
    for stage in ("sketches", "pictures"):
        expect(page.locator(f"#{stage} img")).to_have_count(3)


def test_an_example_is_drawn_at_a_click(page):
    example = page.locator("#examples button", has_text="purple").first
    text = example.inner_text().strip()
    example.click()
    expect(field(page, "caption")).to_have_value(text)
    expect(page.locator("#pictures img")).to_be_visible()
    expect(page.locator("#report")).to_contain_text(text)


def test_an_empty_caption_gives_a_message(page):
    field(page, "caption").fill("  ")
    page.locator("#generate").click()
    expect(message(page)).to_contain_text("caption is empty")
