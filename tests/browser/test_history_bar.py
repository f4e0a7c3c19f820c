"""History and sharing in a real browser: what comes back after a reload, by link, from a PNG."""

from __future__ import annotations

import base64
import io
import re
import zipfile

import pytest
from browsing import content, expect, field, generated, message
from conftest import draw_flower

from stackgan.images import read_settings

pytestmark = pytest.mark.browser

CAPTION = "a red flower & round “petals”"
# Whether nothing has stopped the browser from taking a dragged text to a caption's box.
TEXT_MAY_BE_DROPPED = """() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData('text/plain', 'a flower');
    const options = { dataTransfer, bubbles: true, cancelable: true };
    const box = document.querySelector('#caption textarea');
    return ['dragover', 'drop'].every((name) => box.dispatchEvent(new DragEvent(name, options)));
}"""

# Whether something has told the browser that files dragged over the page may be dropped.
FILES_MAY_BE_DROPPED = """() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([], 'dragged.png'));
    const options = { dataTransfer, bubbles: true, cancelable: true };
    return !document.querySelector('#title').dispatchEvent(new DragEvent('dragover', options));
}"""


def drawn(page, seed: str = "41") -> bytes:
    """Draw the caption with a seed; the picture's file."""
    field(page, "caption").fill(CAPTION)
    field(page, "seed").fill(seed)
    address = generated(page)[1]
    expect(field(page, "link")).to_have_value(re.compile(f"^http.*seed={seed}&"))
    return content(page, address)


def shown(page) -> bytes:
    """The picture that something else than a press has drawn."""
    picture = page.locator("#picture img").first
    expect(picture).to_be_visible()
    expect(field(page, "link")).to_have_value(re.compile("^http.*seed="))
    return content(page, picture.get_attribute("src"))


def drop(page, name: str, data: bytes) -> None:
    """A file dropped somewhere on the page, as soon as the page takes files that are dragged over it.

    A page takes none until its scripts have run, which is later than its buttons are there.
    """
    page.wait_for_function(FILES_MAY_BE_DROPPED)
    files = page.evaluate_handle(
        """([name, data]) => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: 'image/png' }));
            return transfer;
        }""",
        [name, base64.b64encode(data).decode()],
    )
    page.dispatch_event("#title", "drop", {"dataTransfer": files})


def test_results_are_there_after_a_reload_and_a_click_draws_them(page):
    first = drawn(page)
    drawn(page, "42")
    cards = page.locator("#history button img")
    expect(cards).to_have_count(2)
    expect(cards.first).to_have_attribute("alt", re.compile("^Generate: a red flower &"))

    page.reload()
    expect(cards).to_have_count(2)
    expect(page.locator("#picture img")).to_have_count(0)  # nothing is drawn unasked
    page.get_by_role("tab", name="How it works").click()
    page.locator("#history button").nth(1).press("Enter")
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    expect(field(page, "seed")).to_have_value("41")
    assert shown(page) == first
    expect(field(page, "caption")).to_have_value(CAPTION)
    expect(cards).to_have_count(2)  # the same result is not repeated

    page.once("dialog", lambda dialog: dialog.dismiss())
    page.locator("#clear-history").click()
    expect(cards).to_have_count(2)
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#clear-history").click()
    expect(cards).to_have_count(0)
    expect(field(page, "link")).to_have_value(re.compile("seed=41"))  # of what is still seen
    page.reload()
    expect(page.locator("#generate")).to_be_enabled()
    expect(cards).to_have_count(0)


def test_a_link_draws_the_very_picture_for_somebody_else(page, visit):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    first = drawn(page)
    page.locator("#copy-link").click()
    expect(page.locator("#copy-link")).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == field(page, "link").input_value()

    other = visit()
    other.goto(link)
    assert shown(other) == first
    expect(field(other, "caption")).to_have_value(CAPTION)
    expect(field(other, "hold")).to_be_checked()

    other.goto(link.replace("seed=41", "seed=many"))
    expect(message(other)).to_contain_text("“seed” is a number")
    expect(other.locator("#generate")).to_be_enabled()


def test_the_link_is_of_what_is_seen(page, visit):
    drawn(page)
    page.get_by_role("tab", name="Words").click()
    expect(field(page, "link")).to_have_value("")
    page.locator("#compare").click()
    expect(field(page, "link")).to_have_value(re.compile("tab=words&"))
    page.get_by_role("tab", name="Generate").click()
    expect(field(page, "link")).to_have_value(re.compile("tab=generate&.*seed=41&"))
    # A picture that is picked out of many is what is seen.
    field(page, "samples").fill("3")
    generated(page)
    page.get_by_role("button", name="seed 43", exact=True).click()
    expect(field(page, "link")).to_have_value(re.compile("seed=43&.*samples=1&"))
    picture = page.locator("#picture img").first
    expect(picture).to_have_attribute("alt", re.compile("seed 43"))

    other = visit()
    other.goto(field(page, "link").input_value())
    # The same but for the rounding of a fast engine, which differs between one picture and three.
    assert read_settings(io.BytesIO(shown(other))) == read_settings(
        io.BytesIO(content(page, picture.get_attribute("src")))
    )
    page.get_by_role("tab", name="How it works").click()
    expect(field(page, "link")).to_have_value("")


def test_a_link_is_copied_where_there_is_no_clipboard(page):
    drawn(page)
    page.evaluate("""() => {
        Object.defineProperty(navigator, 'clipboard', { value: undefined });
        document.execCommand = (command) => {
            window.copied = [command, document.activeElement.value];
            return true;
        };
    }""")
    page.locator("#copy-link").click()
    expect(page.locator("#copy-link")).to_have_text("Copied")
    assert page.evaluate("window.copied") == ["copy", field(page, "link").input_value()]


def test_a_dropped_png_brings_its_settings_and_any_other_a_message(page, visit, tmp_path):
    first = drawn(page)
    other = visit()
    foreign = tmp_path / "foreign.png"
    draw_flower("red").save(foreign)
    drop(other, "foreign.png", foreign.read_bytes())
    expect(message(other)).to_contain_text("no picture made here")
    assert other.evaluate(TEXT_MAY_BE_DROPPED)
    drop(other, "mine.png", first)
    assert shown(other) == first
    expect(field(other, "caption")).to_have_value(CAPTION)


def test_all_pictures_of_a_visit_come_in_one_zip(page, tmp_path):
    drawn(page)
    drawn(page, "42")
    with page.expect_download() as download:
        page.locator("#zip").click()
    assert download.value.suggested_filename == "stackgan-pictures.zip"
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path)
        names = archive.namelist()
    assert "records.json" in names
    pictures = [read_settings(tmp_path / name) for name in names if name.endswith("stage2.png")]
    assert [(record["seed"], record["stage"]) for record in pictures] == [(41, 2), (42, 2)]
