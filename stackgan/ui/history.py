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

from stackgan.messages import echoed
from stackgan.ui import checks
from stackgan.ui.events import AT_ONCE, PRIVATE, SAVE_FILE
from stackgan.ui.files import zip_results
from stackgan.ui.sharing import (
    MAX_RECORDS,
    fitted,
    is_same,
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

ABOUT_HISTORY = f"""
The settings and thumbnails of your results are kept here, in this browser alone. Click one to draw it
again, or drop a PNG that was made here anywhere onto the page. The zip holds the newest {MAX_FILES}
files of this visit at most; the server deletes them after two hours.
"""

# What the page's address asks for; most visits come without, and then nothing is drawn.
QUERY = "() => new URLSearchParams(location.search).has('tab') ? location.search : ''"
# The link that is seen is of the tab that is seen. The server knows what a link ends in; the browser
# knows where the page is.
LINK_SEEN = """(selected, ...ends) => {
    const end = ends[%s.indexOf(selected)];
    return end ? location.origin + location.pathname + end : '';
}"""
# The link of a tab's result follows a slider that leads through it.
FOLLOW = "(end, place) => end.replace(/(?<=&%s=)[^&]*/, place)"
# Without the clipboard (an http page of another machine has none) by the old way, out of a box of its
# own, since the link's cannot be marked; where that fails too, the link's box can.
COPY_LINK = """async (link) => {
    if (!link) return 'Nothing drawn yet';
    try {
        await navigator.clipboard.writeText(link);
        return 'Copied';
    } catch {
        const box = Object.assign(document.createElement('textarea'), { value: link });
        document.body.append(box);
        box.select();
        const copied = document.execCommand('copy');
        box.remove();
        if (copied) return 'Copied';
        const seen = document.querySelector('#link input, #link textarea');
        Object.assign(seen, { disabled: false, readOnly: true }).select();
        return 'Press Ctrl+C';
    }
}"""
SURE = """() => confirm('Forget all results that this browser keeps, and the pictures of this visit?')"""
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

    def __init__(self, tabs: Sequence[Tab], about: dict):
        """`tabs`: already built, so that their controls are known. `about`: the `exchanges` of the tab
        that has no results."""
        self.tabs = {tab.name.lower(): tab for tab in tabs}
        self.about = about

    def keep(self, record: object, stored: object, files: list[dict], *pictures: object) -> tuple:
        """A tab finished `record`, whose PNGs its components hold: → (stored, files, strip, link).

        `files` lists this visit's results, newest first: {"record": …, "paths": […]}; one whose
        files are all there (a picture picked out of a grid) adds none. `link` is what it ends in.
        """
        if not sound_records([record]) or record["tab"].lower() not in self.tabs:
            return (gr.skip(),) * 4
        tab = self.tabs[record["tab"].lower()]
        records = with_record(sound_records(stored), record, tab.sliders)
        paths = tab.paths(*pictures)
        files = [old for old in files if not is_same(old["record"], record)]
        if not set(paths) <= {path for old in files for path in old["paths"]}:
            files = _bounded([{"record": record, "paths": paths}, *files])
        return records, files, self.strip(records), link_query(record["tab"], record["values"])

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
                return self.opened(
                    tab, {"hold": True, "best_of": 1, **values} if "seed" in values else values
                )
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
        values, place = fitted(tab.controls, values), tab.name.lower()
        return {
            self.tabs_shown: gr.Tabs(selected=place),
            self.selected: place,
            **{tab.controls[name]: value for name, value in values.items()},
            self.links[place]: link_query(tab.name, values),
            self.starts[place]: uuid.uuid4().hex,
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

    def clear(self, sure: bool) -> tuple:
        """Forget everything but what is still seen, if the visitor is sure: (stored, files, strip)."""
        return ([], [], self.strip([])) if sure else (gr.skip(),) * 3

    def strip(self, records: list[dict]) -> gr.Dataset:
        return gr.Dataset(samples=[[_card(r)] for r in records], visible=bool(records))

    def build(self, page: gr.Blocks, tabs: gr.Tabs) -> None:
        """Lay out the bar and connect it to the tabs, which `tabs` contains by their names."""
        self.tabs_shown = tabs
        self.selected = gr.Textbox(next(iter(self.tabs)), visible="hidden")  # the tab's name
        self.starts = {name: gr.Textbox(visible="hidden") for name in self.tabs}
        self.links = {name: gr.Textbox(visible="hidden") for name in self.tabs}  # their ends
        files = gr.State([])
        stored = gr.BrowserState([], **STORAGE)
        with gr.Group(elem_id="sharing"), gr.Row(equal_height=True):
            self.link = gr.Textbox(
                label="Link to this result",
                placeholder="The link appears once something is drawn",
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
        sure = gr.Checkbox(visible="hidden")

        kept = [stored, files, strip]
        for name, tab in self.tabs.items():
            sources, link = [tab.record, stored, files, *tab.pictures], self.links[name]
            tab.record.change(self.keep, sources, [*kept, link], **AT_ONCE)
            tab.draw_after(self.starts[name].change(lambda: None, **AT_ONCE))
            for slider_name in tab.sliders:
                slider = tab.controls[slider_name]
                slider.release(None, [link, slider], link, js=FOLLOW % slider_name)
        for tab in tabs.children:
            tab.select(None, None, self.selected, js=f"() => '{tab.id}'")
        links = self.links.values()
        gr.on(
            [self.selected.change, *(link.change for link in links)],
            None,
            [self.selected, *links],
            self.link,
            js=LINK_SEEN % list(self.links),
        )
        # What is opened brings its own captions; the other tabs' are to fit its checkpoint.
        exchanges = [(name, tab.exchanges) for name, tab in self.tabs.items()]
        for name, exchange in (*exchanges, ("", self.about)):
            opened_elsewhere = [start.change for n, start in self.starts.items() if n != name]
            gr.on(opened_elsewhere, **exchange)
        controls = {c for tab in self.tabs.values() for c in tab.controls.values()}
        shown = {tabs, self.selected, *self.links.values(), *controls, *self.starts.values()}
        strip.click(self.restore, [strip, stored], shown, **PRIVATE)
        upload.upload(self.open_png, upload, shown, **PRIVATE)
        copy.click(None, self.link, copy, js=COPY_LINK)
        self.link.change(None, None, copy, js="() => 'Copy link'")
        saved = save.click(self.zip, files, archive, **PRIVATE)
        saved.success(None, archive, None, js=SAVE_FILE)
        clear.click(self.clear, sure, kept, js=SURE, **AT_ONCE)
        page.load(None, None, None, js=DROP_ANYWHERE)
        page.load(self.show, stored, strip, **AT_ONCE)
        page.load(None, None, query, js=QUERY)
        # Through the queue, because only there an error's words reach the page.
        query.change(self.open_link, query, shown, **PRIVATE)


def _values(tab: Tab, settings: dict) -> dict | None:
    """The tab's reading of settings that anybody may have edited."""
    try:
        return tab.values(settings)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _bounded(files: list[dict]) -> list[dict]:
    kept, count = [], 0
    for entry in files:
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
