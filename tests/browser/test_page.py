"""The page in a real browser: the app as its own process, Chromium driven by playwright."""

from __future__ import annotations

import re

import pytest
from browsing import expect, field, generated

pytestmark = pytest.mark.browser


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
    for tab in ("Generate", "Interpolate", "How it works"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
