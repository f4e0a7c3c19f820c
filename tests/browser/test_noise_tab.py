"""The Noise tab in a real browser."""

from __future__ import annotations

import io

import pytest
from browsing import content, expect, field
from conftest import pixels

pytestmark = pytest.mark.browser


def test_a_walk_by_map_and_keys_is_locked_and_undone(page):
    page.get_by_role("tab", name="Noise").click()
    page.locator("#draw-map").click()
    expect(page.locator("#noise-map img")).to_have_count(25)
    expect(page.locator("#epsilons img")).to_have_count(9)
    expect(page.locator("#go-back")).to_be_disabled()
    sketch, picture = (page.locator(f"#noise-{stage} img") for stage in ("sketch", "picture"))
    expect(sketch).to_have_js_property("naturalWidth", 64)
    expect(picture).to_have_js_property("naturalWidth", 256)

    def drawn_by(action) -> bytes:
        old = picture.get_attribute("src")
        action()
        expect(picture).not_to_have_attribute("src", old)
        return pixels(io.BytesIO(content(page, picture.get_attribute("src"))))

    at_centre = pixels(io.BytesIO(content(page, picture.get_attribute("src"))))
    in_corner = drawn_by(page.locator("#noise-map .thumbnail-item").last.click)
    assert in_corner != at_centre
    x, y = page.locator("#noise-x input[type=range]"), page.locator("#noise-y input[type=range]")
    expect(x).to_have_value("1")
    expect(y).to_have_value("-1")
    mark = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--noise-x')")
    assert float(mark) == 1

    x.focus()
    moved = drawn_by(lambda: x.press("ArrowLeft"))
    expect(x).to_have_value("0.99")
    assert moved != in_corner

    assert drawn_by(page.locator("#lock").click) == moved
    expect(x).to_have_value("0")
    expect(page.locator("#noise-report")).to_contain_text("1 step locked")
    assert drawn_by(page.locator("#go-back").click) == moved
    expect(x).to_have_value("0.99")
    expect(page.locator("#go-back")).to_be_disabled()

    other = drawn_by(page.locator("#epsilons .thumbnail-item").nth(3).click)
    assert other != moved
    expect(page.locator("#epsilons img")).to_have_count(9)
    map_src = page.locator("#noise-map img").first.get_attribute("src")
    drawn_by(page.locator("#noise-map .thumbnail-item").first.click)
    assert page.locator("#noise-map img").first.get_attribute("src") == map_src
    expect(page.locator("#noise-report")).to_contain_text("ε seed 2")

    # A caption that was typed and not drawn yet is no longer the map's.
    field(page, "noise-caption").fill("a red flower")
    drawn_by(page.locator("#noise-map .thumbnail-item").last.click)
    assert page.locator("#noise-map img").first.get_attribute("src") != map_src


def test_another_seed_is_another_walk(page):
    page.get_by_role("tab", name="Noise").click()
    field(page, "noise-x").fill("0.5")
    expect(page.locator("#noise-sketch img")).to_be_visible()  # drawn while it moves
    for _ in range(2):  # the second while the first is drawn
        page.locator("#noise-seed-dice").click()
    expect(page.locator("#epsilons img")).to_have_count(9)
    expect(page.locator("#noise-x input[type=range]")).to_have_value("0")
    seed = field(page, "noise-seed").input_value()
    expect(page.locator("#noise-report")).to_contain_text(f"seed {seed}")


def test_a_typed_seed_leaves_nothing_to_go_back_to(page):
    page.get_by_role("tab", name="Noise").click()
    page.locator("#draw-map").click()
    expect(page.locator("#epsilons img")).to_have_count(9)
    page.locator("#noise-map .thumbnail-item").last.click()
    expect(page.locator("#noise-report")).to_contain_text("turned by 64°")
    page.locator("#lock").click()
    expect(page.locator("#go-back")).to_be_enabled()
    field(page, "noise-seed").fill("41")
    expect(page.locator("#go-back")).to_be_disabled()


def test_a_number_out_of_range_is_brought_back_into_it_and_drawn_there(page):
    page.get_by_role("tab", name="Noise").click()
    box, slider = field(page, "noise-x"), page.locator("#noise-x input[type=range]")
    box.fill("5")
    box.press("Tab")
    expect(slider).to_have_value("1")
    expect(page.locator("#noise-report")).to_contain_text("turned by 45°")
    expect(page.locator("#epsilons img")).to_have_count(9)
    box.fill("")
    box.press("Tab")
    expect(slider).to_have_value("0")
    expect(page.locator("#noise-report")).to_contain_text("turned by 0°")
