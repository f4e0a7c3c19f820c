"""What a drawing tab shows to the rest of the page: its controls by name, and its last result.

History, links and dropped PNGs (stackgan.ui.history) know tabs through this alone.
"""

from __future__ import annotations

import base64
import io
from abc import ABC, abstractmethod

import gradio as gr
from PIL import Image

from stackgan.ui.checkpoints import Checkpoints

THUMBNAIL = 64  # pixels a side: some 2 KiB each, of the 5 MiB that a browser keeps for a site


class Tab(ABC):
    """Handlers of a tab, plain functions of what the visitor set, and its layout (`build`).

    A subclass sets `name` (the tab's title and, in lower case, its name in links), and in `build`:
    `controls`, the inputs that decide a result, by the names they have in records and links;
    `record`, which each finished drawing fills with `result_record(…)`; `pictures`, the components
    whose values tell `paths` a result's PNG files, for the zip of all; `draws`, what every event
    that draws hands to Gradio; and `exchanges`, what `controls.exchange_examples` gave. `sliders`
    names the sliders that lead through one result: its link follows them, and history keeps where
    they stand last.
    """

    name: str
    sliders: tuple[str, ...] = ()

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints
        self.controls: dict[str, gr.components.Component] = {}
        self.record: gr.JSON | None = None
        self.pictures: list[gr.Gallery | gr.Image | gr.State] = []
        self.draws: dict = {}
        self.exchanges: dict = {}

    @abstractmethod
    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""

    def draw_after(self, event: gr.events.Dependency) -> gr.events.Dependency:
        """Draw with the controls as they stand once `event` is done: a restored result, a link."""
        return event.then(**self.draws)

    def paths(self, *pictures: object) -> list[str]:
        """PNG files of the result that is shown, out of the values of `pictures`."""
        found = []
        for value in pictures:
            items = value if isinstance(value, list) else [value]
            found += [item[0] if isinstance(item, tuple) else item for item in items if item]
        return found

    @abstractmethod
    def values(self, settings: dict) -> dict | None:
        """Control values that draw again what a PNG's `settings` describe; None if not this tab's."""


def record_component() -> gr.JSON:
    """Where a tab keeps its last result's record: in the page, not shown."""
    return gr.JSON(visible="hidden")


def result_record(tab: str, title: str, values: dict, picture: Image.Image) -> dict:
    """A result as the visitor's browser keeps it: JSON, a few KiB.

    `values`: what the tab's controls held, by name, with every seed as it was used; `checkpoint`
    among them. `picture` becomes the thumbnail.
    """
    small = picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=80)
    thumbnail = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return {"tab": tab, "title": title, "values": values, "thumbnail": thumbnail}
