"""The page in a real browser: what conftest's fixtures are made of, and what the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import lively
from running_app import PATIENCE, QUIET, find_browser, running_app

from stackgan import SIZES, StackGAN
from stackgan.known import KnownCaptions
from stackgan.model import KNOWN

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
expect.set_options(timeout=PATIENCE)


def app_with_tiny_checkpoints(folder: Path) -> Iterator[str]:
    """The address of the app, `flowers` and `birds` being tiny random networks.

    The birds know of two captions that every sentence is far from.
    """
    for seed, name in enumerate(("flowers", "birds")):
        lively(StackGAN(SIZES["tiny"]), seed).save_pretrained(folder / "checkpoints" / name)
    embeddings = torch.eye(2, SIZES["tiny"].embedding_dim)
    known = KnownCaptions("birds", ["a red wren", "a blue jay"], embeddings, threshold=0.99)
    known.save(folder / "checkpoints" / "birds" / KNOWN)
    with running_app(folder, STACKGAN_CHECKPOINTS=str(folder / "checkpoints")) as address:
        yield address


def chromium() -> Iterator:
    if find_browser() is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(), args=QUIET)
        yield browser
        browser.close()


def visits(browser, address: str) -> Iterator[Callable]:
    """A function that opens the page; afterwards, no error was logged and no other host asked."""
    contexts, errors, strangers = [], [], []

    def watched(request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            strangers.append(request.url)

    def open_page(**options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", watched)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(address)
        expect(page.locator("#generate")).to_be_enabled()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert strangers == []
    assert errors == []


def generated(page, press="#generate"):
    """Press a button, wait for both stages and return the two picture's addresses."""
    old = page.locator("#picture img").first
    before = old.get_attribute("src") if old.count() else None
    page.locator(press).click()
    picture = page.locator("#picture img").first
    expect(picture).not_to_have_attribute("src", before or "")
    return page.locator("#sketch img").first.get_attribute("src"), picture.get_attribute("src")


def content(page, address: str) -> bytes:
    return page.request.get(address).body()


def message(page):
    return page.get_by_test_id("toast-body")


def field(page, name: str):
    return page.locator(f"#{name} textarea, #{name} input").first
