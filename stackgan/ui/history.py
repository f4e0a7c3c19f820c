"""The bar under the tabs: results kept in the visitor's own browser, links, dropped PNGs, the zip.

It knows the tabs through stackgan.ui.tab alone. Results live in the browser (gr.BrowserState), so
the server keeps nothing between visits; where two windows are open, the one that drew last decides
what is kept. The zip holds the files of this visit as they were drawn, which costs no drawing.
"""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping, Sequence

import gradio as gr

from stackgan.text import echoed
from stackgan.ui import checks
from stackgan.ui.events import AT_ONCE, PRIVATE, SAVE_FILE
from stackgan.ui.files import zip_results
from stackgan.ui.sharing import (
    MAX_RECORDS,
    fitted,
    link_query,
    png_settings,
    read_link,
    sound_records,
    with_record,
)
from stackgan.ui.tab import Tab

MAX_FILES = 400  # of a visit, for its zip: some 40 MB

# Gradio's default is a fresh key at every start, with which nobody could read what they kept. This
# one hides nothing: it is the visitor's own history in the visitor's own browser.
STORAGE = {"storage_key": "stackgan-history", "secret": "stackgan-history"}

ABOUT_HISTORY = """
Your results are kept here, in this browser alone; a click draws one again. A PNG made here, dropped
anywhere onto the page, does the same.
"""

# What the page's address asks for; most visits come without, and then nothing is drawn.
QUERY = "() => new URLSearchParams(location.search).has('tab') ? location.search : ''"
# The server knows what a link ends in; the browser knows where the page is.
WHOLE_LINK = "(link) => link.startsWith('?') ? location.origin + location.pathname + link : link"
# Without the clipboard (an http page of another machine has none) the link is marked, for Ctrl+C.
COPY_LINK = """async (link) => {
    if (!link) return 'Nothing drawn yet';
    try {
        await navigator.clipboard.writeText(link);
        return 'Copied';
    } catch {
        document.querySelector('#link input, #link textarea').select();
        return 'Press Ctrl+C';
    }
}"""
# The link of a tab's result follows a slider that leads through it.
FOLLOW = """(link, place) => link.includes('?tab=%s&')
    ? link.replace(/(?<=&%s=)[^&]*/, place) : link"""
# A file dropped anywhere goes to the upload button, instead of replacing the page in the browser;
# text that is dragged goes where it is dropped.
DROP_ANYWHERE = """() => {
    const brings = (event) => event.dataTransfer?.types.includes('Files');
    document.addEventListener('dragover', (event) => brings(event) && event.preventDefault());
    document.addEventListener('drop', (event) => {
        if (!brings(event)) return;
        event.preventDefault();
        const input = document.querySelector('#sharing input[type=file]');
        input.files = event.dataTransfer.files;
        input.dispatchEvent(new Event('change', { bubbles: true }));
    });
}"""


class History:
    """Handlers of the bar, plain functions of what the browser sends, and its layout (`build`)."""

    def __init__(self, tabs: Sequence[Tab]):
        """`tabs`: already built, so that their controls are known."""
        self.tabs = {tab.name.lower(): tab for tab in tabs}

    def keep(self, record: object, stored: object, files: list[dict], *pictures: object) -> tuple:
        """A tab finished `record`, whose PNGs its components hold: → (stored, files, strip, link).

        `files` lists this visit's results, newest first: {"record": …, "paths": […]}.
        """
        if not sound_records([record]):
            return (gr.skip(),) * 4
        records = with_record(sound_records(stored), record)
        entry = {"record": record, "paths": _paths(pictures)}
        rest = [old for old in files if old["record"]["values"] != record["values"]]
        link = link_query(record["tab"], record["values"])
        return records, _bounded([entry, *rest]), self.strip(records), link

    def restore(self, index: int | None, stored: object) -> dict:
        """A click on the strip's `index`: the updates that show and draw that result again."""
        with checks.errors_in_words():
            records = sound_records(stored)
            if index is None or not 0 <= index < len(records):
                raise ValueError("this result is no longer in the history")
            return self.opened(records[index]["tab"], records[index]["values"])

    def open_link(self, query: str) -> dict:
        """The page was opened by a link that ends in `query`: the updates that draw its result."""
        with checks.errors_in_words():
            try:
                tab, values = read_link(query)
                # Whoever names a seed wants its picture, with or without the page's own "hold".
                return self.opened(tab, {"hold": True, **values} if "seed" in values else values)
            except ValueError as error:
                raise ValueError(f"this link cannot be drawn here: {error}") from error

    def open_png(self, path: str | None) -> dict:
        """A dropped PNG: the updates that show its settings and draw it again."""
        with checks.errors_in_words():
            if path is None:
                raise ValueError("no file has arrived: drop the picture once more")
            settings = png_settings(path)
            for tab in self.tabs.values():
                values = _values(tab, settings)
                if values is not None:
                    return self.opened(tab.name, values)
            raise ValueError("this picture was made here, but its settings fit none of these tabs")

    def opened(self, name: str, values: Mapping) -> dict:
        """Updates that select a tab, set its controls and have it draw: component → value.

        Raises ValueError in words for a tab or a value that this page does not have.
        """
        tab = self.tabs.get(str(name).lower())
        if tab is None:
            raise ValueError(f"there is no tab {echoed(name)}; there are {', '.join(self.tabs)}")
        values = fitted(tab.controls, values)
        return {
            self.selected: gr.Tabs(selected=tab.name.lower()),
            **{tab.controls[name]: value for name, value in values.items()},
            self.link: link_query(tab.name, values),
            self.starts[tab.name.lower()]: uuid.uuid4().hex,
        }

    def show(self, stored: object) -> gr.Dataset:
        """The page is loaded: what this browser has kept, whatever form it has."""
        return self.strip(sound_records(stored))

    def zip(self, files: list[dict]) -> str | None:
        """All of this visit's pictures in one file; None, with a word about it, when there are none."""
        path = zip_results(files)
        if path is None:
            gr.Info("Nothing was drawn in this visit yet, or its files are no longer kept.")
        return path

    def clear(self) -> tuple:
        """Forget everything: → (stored, files, strip, link)."""
        return [], [], self.strip([]), ""

    def strip(self, records: list[dict]) -> gr.Dataset:
        return gr.Dataset(samples=[[_card(r)] for r in records], visible=bool(records))

    def build(self, page: gr.Blocks, tabs: gr.Tabs) -> None:
        """Lay out the bar and connect it to the tabs, which `tabs` contains by their names."""
        self.selected = tabs
        self.starts = {name: gr.Textbox(visible="hidden") for name in self.tabs}
        files = gr.State([])
        stored = gr.BrowserState([], **STORAGE)
        with gr.Group(elem_id="sharing"), gr.Row(equal_height=True):
            self.link = gr.Textbox(
                label="Link to this result",
                placeholder="Draw something: its link comes here",
                interactive=False,
                max_lines=1,
                scale=5,
                min_width=240,
                elem_id="link",
            )
            copy = gr.Button("Copy link", min_width=110, elem_id="copy-link")
            upload = gr.UploadButton(
                "Open a PNG", file_types=[".png"], min_width=110, elem_id="open-png"
            )
        with gr.Accordion("History", elem_id="history-bar"):
            gr.Markdown(ABOUT_HISTORY, elem_id="about-history")
            strip = gr.Dataset(
                show_label=False,
                components=[gr.HTML(visible=False)],
                samples=[],
                type="index",
                samples_per_page=MAX_RECORDS,
                visible=False,
                elem_id="history",
            )
            with gr.Row():
                save = gr.Button("Download this visit's pictures (zip)", size="sm", elem_id="zip")
                clear = gr.Button("Clear the history", size="sm", elem_id="clear-history")
        archive = gr.File(visible=False)
        query = gr.Textbox(visible="hidden")

        kept = [stored, files, strip, self.link]
        whole = {"fn": None, "inputs": self.link, "outputs": self.link, "js": WHOLE_LINK}
        for name, tab in self.tabs.items():
            sources = [tab.record, stored, files, *tab.pictures]
            tab.record.change(self.keep, sources, kept, **AT_ONCE).then(**whole)
            tab.draw_after(self.starts[name].change(lambda: None, **AT_ONCE))
            for place in tab.places:
                slider, follow = tab.controls[place], FOLLOW % (name, place)
                slider.release(None, [self.link, slider], self.link, js=follow)
        controls = {c for tab in self.tabs.values() for c in tab.controls.values()}
        shown = {tabs, self.link, *controls, *self.starts.values()}
        strip.click(self.restore, [strip, stored], shown, **PRIVATE).then(**whole)
        upload.upload(self.open_png, upload, shown, **PRIVATE).then(**whole)
        copy.click(None, self.link, copy, js=COPY_LINK)
        self.link.change(None, None, copy, js="() => 'Copy link'")
        saved = save.click(self.zip, files, archive, **PRIVATE)
        saved.success(None, archive, None, js=SAVE_FILE)
        clear.click(self.clear, None, kept, **AT_ONCE)
        page.load(None, None, None, js=DROP_ANYWHERE)
        page.load(self.show, stored, strip, **AT_ONCE)
        page.load(None, None, query, js=QUERY)
        # Through the queue, because only there an error's words reach the page.
        query.change(self.open_link, query, shown, **PRIVATE).then(**whole)


def _values(tab: Tab, settings: dict) -> dict | None:
    """The tab's reading of settings that anybody may have edited."""
    try:
        return tab.values(settings)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _paths(pictures: Sequence[object]) -> list[str]:
    """Paths of the files that galleries and images hand to a handler."""
    found = []
    for value in pictures:
        items = value if isinstance(value, list) else [value]
        found += [item[0] if isinstance(item, tuple) else item for item in items if item]
    return found


def _bounded(files: list[dict]) -> list[dict]:
    kept, count = [], 0
    for entry in files[:MAX_RECORDS]:
        count += len(entry["paths"])
        if count > MAX_FILES:
            break
        kept.append(entry)
    return kept


def _card(record: dict) -> str:
    title = html.escape(record["title"][:200])
    tab = html.escape(record["tab"][:20])
    return (
        f'<img src="{record["thumbnail"]}" alt="{tab}: {title}" title="{title}" '
        f'width="64" height="64"><span>{tab}</span>'
    )
