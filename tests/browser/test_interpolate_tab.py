"""The Interpolate tab in a real browser."""

from __future__ import annotations

import re

import pytest
from browsing import expect, field

pytestmark = pytest.mark.browser


def test_the_slider_moves_through_frames_without_the_server(page):
    page.get_by_role("tab", name="Interpolate").click()
    field(page, "frames").fill("5")
    page.locator("#interpolate").click()
    expect(page.locator("#strip img")).to_be_visible()
    page.wait_for_function(
        "() => window.stackganFrames.length === 10 && window.stackganFrames.every(f => f.complete)"
    )
    for name in ("Film strip (PNG)", "Animated GIF", "Animated WebP"):
        expect(page.get_by_role("button", name=name)).to_be_enabled()

    events = []
    page.on("request", lambda r: events.append(r.url) if "/queue/" in r.url else None)
    page.context.set_offline(True)
    slider = page.locator("#position input[type=range]")
    slider.focus()
    for key, frame in (("End", 4), ("Home", 0), ("End", 4)):
        slider.press(key)
        for stage, kind, side in ((1, "sketch", 64), (2, "picture", 256)):
            image = page.locator(f"#{kind}-frame img")
            expect(image).to_have_attribute("src", re.compile(f"frame-0{frame}-stage{stage}"))
            expect(image).to_have_js_property("naturalWidth", side)
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    expect(page.locator("#picture-frame img")).to_have_attribute("src", re.compile("frame-02"))
    assert events == []
    page.context.set_offline(False)
