"""Make docs/page-*.png from the running app: python tests/screenshots.py [--checkpoint C]."""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from running_app import PATIENCE, QUIET, ROOT, find_browser, running_app

expect.set_options(timeout=PATIENCE)

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


def show_generate(page: Page) -> None:
    seed = page.locator("#seed input")
    seed.fill("7")
    page.locator("#generate").click()
    expect(page.locator("#save-picture")).to_be_enabled()
    _loaded(page)


def show_interpolate(page: Page) -> None:
    page.get_by_role("tab", name="Interpolate").click()
    page.locator("#interpolate").click()
    expect(page.locator("#strip img")).to_be_visible()
    page.locator("#position input[type=range]").fill("0.5")
    _loaded(page)


def show_words(page: Page) -> None:
    page.get_by_role("tab", name="Words").click()
    page.locator("#compare").click()
    expect(page.locator("#words-save")).to_be_enabled()
    _loaded(page)


def show_noise(page: Page) -> None:
    page.get_by_role("tab", name="Noise").click()
    page.locator("#draw-map").click()
    expect(page.locator("#epsilons img").last).to_be_visible()
    _loaded(page)


def show_about(page: Page) -> None:
    page.get_by_role("tab", name="How it works").click()
    page.locator("#explain").click()
    expect(page.locator("#about-instead img")).to_be_visible()
    _loaded(page)


def show_history(page: Page) -> None:
    show_generate(page)
    for example in (1, 2, 5):
        picture = page.locator("#picture img").get_attribute("src")
        page.locator("#examples button").nth(example).click()
        expect(page.locator("#picture img")).not_to_have_attribute("src", picture)
    show_words(page)
    expect(page.locator("#history img")).to_have_count(5)
    page.locator("#history-bar").scroll_into_view_if_needed()


def _loaded(page: Page) -> None:
    # Pictures below the fold load when they are scrolled to, and a long shot shows them as well.
    page.wait_for_function(
        """() => [...document.images].every((image) => {
            image.loading = "eager";
            return image.complete || !image.offsetParent;
        })"""
    )


SHOTS = {
    "page-generate": (DESKTOP, "light", show_generate),
    "page-interpolate": (DESKTOP, "light", show_interpolate),
    "page-generate-dark": (DESKTOP, "dark", show_generate),
    "page-words": (DESKTOP, "light", show_words),
    "page-noise": (DESKTOP, "light", show_noise),
    "page-how-it-works": (DESKTOP, "light", show_about),
    "page-history": (DESKTOP, "light", show_history),
    "page-phone": (PHONE, "light", show_generate),
}


def save_small(png: bytes, path: Path) -> None:
    """Write a screenshot with 256 colours: a third of the bytes, and no difference to the eye."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", help="as for app.py; the bundled ones unless given")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    arguments = ["--checkpoint", args.checkpoint] if args.checkpoint else []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(Path(folder), *arguments) as address,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=find_browser(), args=QUIET)
        for name, (size, scheme, show) in SHOTS.items():
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            show(page)
            path = args.out / f"{name}.png"
            save_small(page.screenshot(full_page=size is DESKTOP), path)
            print(f"{path}: {path.stat().st_size // 1024} KiB")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
