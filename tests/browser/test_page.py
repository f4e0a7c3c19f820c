"""The page in a real browser: the app as its own process, Chromium driven by playwright."""

from __future__ import annotations

import re

import pytest
from browsing import expect, field, generated

pytestmark = pytest.mark.browser

READABLE = {"light": "rgb(15, 118, 110)", "dark": "rgb(45, 212, 191)"}  # teal 700 and 400
TABS = ("Generate", "Words", "Interpolate", "Noise", "How it works")


def test_another_checkpoint_brings_its_examples(page):
    page.locator("#checkpoint input").click()
    page.get_by_role("option", name="birds").click()
    expect(page.locator("#examples")).to_contain_text("bird")
    expect(field(page, "caption")).to_have_value(re.compile("bird"))
    generated(page)
    expect(page.locator("#report")).to_contain_text("birds")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(visit, scheme):
    page = visit(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    generated(page)
    expect(page.locator("#history img")).to_be_visible()
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tab", name=tab)).to_have_css("color", READABLE[scheme])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab


def test_a_caption_is_followed_through_the_networks(page):
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#about .katex").first).to_be_visible()
    field(page, "about-caption").fill("a red flower")
    field(page, "about-caption").press("Enter")
    for stage in ("Stage-I", "Stage-II"):
        expect(page.get_by_role("img", name=f"μ ± σ of {stage}:")).to_be_visible()
    expect(page.locator("#about-sketch img")).to_have_js_property("naturalWidth", 64)
    for name in ("picture", "difference", "with", "without", "instead"):
        image = page.locator(f"#about-{name} img")
        expect(image).to_have_js_property("naturalWidth", 256)
        assert image.get_attribute("alt")
    expect(page.locator("#history img")).to_have_count(0)  # a lesson, not a result
