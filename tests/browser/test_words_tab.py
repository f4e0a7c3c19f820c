"""The Words tab in a real browser."""

from __future__ import annotations

import re

import pytest
from browsing import expect, field, message

from stackgan.images import read_settings

pytestmark = pytest.mark.browser


def test_captions_are_drawn_side_by_side_and_their_differences_are_bold(page, tmp_path):
    page.get_by_role("tab", name="Words").click()
    field(page, "words-seed").fill("41")
    field(page, "words-captions").fill("a red flower\na round white flower\na red bird")
    page.locator("#compare").click()
    for i in range(3):
        for stage, side in (("sketch", 64), ("picture", 256)):
            image = page.locator(f"#words-{stage}-{i} img")
            expect(image).to_have_js_property("naturalWidth", side)
            expect(image).to_have_attribute("alt", re.compile(f"{stage} of “a "))
    expect(page.locator("#words-picture-3")).to_have_count(0)
    assert page.locator("#words-cells strong").all_inner_texts() == ["round white", "bird"]
    tops = {page.locator(f"#words-picture-{i}").bounding_box()["y"] for i in range(3)}
    assert len(tops) == 1

    with page.expect_download() as download:
        page.locator("#words-picture-1").get_by_label("Download").click()
    download.value.save_as(tmp_path / "picture.png")
    settings = read_settings(tmp_path / "picture.png")
    assert settings["caption"] == "a round white flower"
    assert settings["seed"] == 41
    assert len(settings["words"]) == 3

    field(page, "words-captions").fill("a flower\n" * 9)
    page.locator("#compare").click()
    expect(message(page)).to_contain_text("more than 8 captions")
    expect(page.locator("#words-picture-1 img")).to_be_visible()  # nothing is lost
