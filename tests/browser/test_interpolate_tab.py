"""The Interpolate tab in a real browser."""

from __future__ import annotations

import re

import pytest
from browsing import expect, field
from PIL import Image

from stackgan.images import can_write_mp4

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(page):
    page.get_by_role("tab", name="Interpolate").click()
    field(page, "frames").fill("5")
    return page


def drawn(page, frames: int) -> None:
    """Wait until a path is there and the browser has fetched all of its frames."""
    expect(page.locator("#strip img")).to_be_visible()
    page.wait_for_function(
        "(count) => window.stackganFrames.length === count"
        " && window.stackganFrames.every(frame => frame.complete)",
        arg=2 * frames,
    )


def shows(page, name: str) -> None:
    """Wait until both images show a file of this name."""
    for stage, kind, side in ((1, "sketch", 64), (2, "picture", 256)):
        image = page.locator(f"#{kind}-frame img")
        expect(image).to_have_attribute("src", re.compile(f"{name}-stage{stage}"))
        expect(image).to_have_js_property("naturalWidth", side)


def test_the_slider_moves_through_frames_without_the_server(tab):
    tab.locator("#interpolate").click()
    drawn(tab, 5)
    events = []
    tab.on("request", lambda r: events.append(r.url) if "/queue/" in r.url else None)
    tab.context.set_offline(True)
    slider = tab.locator("#position input[type=range]")
    slider.focus()
    for key, frame in (("End", 4), ("Home", 0), ("End", 4)):
        slider.press(key)
        shows(tab, f"frame-0{frame}")
    box = slider.bounding_box()
    tab.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2, steps=5)
    shows(tab, "frame-02")
    assert events == []
    tab.context.set_offline(False)

    tab.mouse.up()  # between two frames: now the server draws what is exactly there
    shows(tab, "between")
    slider.press("Home")
    shows(tab, "frame-00")
    slider.fill("0.3")
    shows(tab, "frame-01")
    slider.press("ArrowRight")  # by keyboard as well
    shows(tab, "between")
    expect(field(tab, "link")).to_have_value(re.compile("^http.*&position=0.31&"))


def test_a_path_of_more_sentences_and_films_of_it(tab, tmp_path):
    example = tab.locator("#pairs button").filter(has_text=re.compile("→.*→")).first
    example.click()
    sentences = example.inner_text().strip().split(" → ")
    expect(field(tab, "third")).to_have_value(sentences[2])
    drawn(tab, 5)
    expect(tab.locator("#strip-legend")).to_have_text(re.compile(r"1\s*2\s*3"))
    expect(tab.locator("#travel-report")).to_contain_text(sentences[2])

    tab.locator("#films > button").click()
    first, last = (re.sub("[^a-z0-9]+", "-", sentences[i])[:40].strip("-") for i in (0, -1))
    endings = ["GIF", "MP4"] if can_write_mp4() else ["GIF"]
    for ending in endings:
        tab.get_by_label(ending).check()
        with tab.expect_download() as download:
            tab.locator("#save-film").click()
        assert download.value.suggested_filename == f"{first}-to-{last}-stage2.{ending.lower()}"
        download.value.save_as(tmp_path / ending)
        assert (tmp_path / ending).stat().st_size > 1000
    with Image.open(tmp_path / "GIF") as film:
        assert film.n_frames == 8

    tab.locator("#add-sentence").click()
    expect(field(tab, "fourth")).to_be_visible()
    for name in ("fourth", "third"):
        tab.locator("#remove-sentence").click()
        expect(tab.locator(f"#{name}")).to_be_hidden()
    expect(tab.locator("#remove-sentence")).to_be_hidden()
    tab.locator("#interpolate").click()
    expect(tab.locator("#travel-report")).not_to_contain_text(sentences[2])
    expect(tab.locator("#travel-report")).to_contain_text(sentences[1])
