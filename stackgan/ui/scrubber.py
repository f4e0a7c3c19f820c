"""The slider along a path and the two pictures at its place.

All drawn frames lie in the browser, in two galleries that are not shown, and moving the slider shows
the nearest of them without asking the server. When it is released between two frames, `asked` takes
its place, and whoever fills `exact` with the frame drawn there has it shown, for as long as the
slider stays. What is seen is a function of the slider and the galleries alone, so that an exact
frame which comes late never disturbs a slider that has moved on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from stackgan.ui.controls import stage_image
from stackgan.ui.events import LAST_COUNTS

STEP = 0.01

# Frames are a gallery's items; the caption of each is its position.
_NEAREST = """(position, frames) => frames.reduce((best, frame) =>
    Math.abs(frame.caption - position) < Math.abs(best.caption - position) ? frame : best)"""
_IS_THERE = "(position, exact) => exact?.length > 0 && Number(exact[0].caption) === position"
SHOW = f"""(position, sketches, pictures, exact) => {{
    const there = ({_IS_THERE})(position, exact);
    return [sketches, pictures].map((frames, stage) =>
        there ? exact[stage]?.image ?? null
        : frames?.length ? ({_NEAREST})(position, frames).image : null);
}}"""
# The same when frames arrive, which the browser then fetches once and keeps.
KEEP_AND_SHOW = f"""(position, sketches, pictures, exact) => {{
    window.stackganFrames = [...(sketches ?? []), ...(pictures ?? [])].map((frame) =>
        Object.assign(new Image(), {{ src: frame.image.url }}));
    return ({SHOW})(position, sketches, pictures, exact);
}}"""
# Undefined, which leaves the output as it is, where a frame is near enough or drawn already.
ASK = f"""(position, sketches, pictures, exact) => {{
    if (!sketches?.length || ({_IS_THERE})(position, exact)) return undefined;
    const frame = ({_NEAREST})(position, sketches);
    return Math.abs(frame.caption - position) < {STEP / 2} ? undefined : position;
}}"""


@dataclass(frozen=True)
class Scrubber:
    """Its components; see the module's docstring."""

    position: gr.Slider
    sketch: gr.Image
    picture: gr.Image
    sketch_frames: gr.Gallery  # all frames of a path, each under its position
    picture_frames: gr.Gallery
    exact: gr.Gallery  # sketch and picture of one position between the frames, or nothing
    asked: gr.Number  # the position that the visitor wants an exact frame of

    @property
    def sources(self) -> list[gr.components.Component]:
        return [self.position, self.sketch_frames, self.picture_frames, self.exact]

    def connect(self) -> None:
        targets = [self.sketch, self.picture]
        self.position.input(None, self.sources, targets, js=SHOW, trigger_mode=LAST_COUNTS)
        for frames in (self.sketch_frames, self.picture_frames):
            frames.change(None, self.sources, targets, js=KEEP_AND_SHOW)
        for event in (self.exact.change, self.position.change):
            event(None, self.sources, targets, js=SHOW)
        self.position.release(None, self.sources, self.asked, js=ASK)

    def ask_after(self, event: gr.events.Dependency) -> None:
        """Once `event` has brought a path, ask for the exact frame where the slider stands."""
        event.then(None, self.sources, self.asked, js=ASK)


def lay_out() -> Scrubber:
    with gr.Row(equal_height=True, elem_classes="stages"):
        images = [
            stage_image(stage, f"{stage}-frame", f"{name} at the slider's place on the path")
            for stage, name in (("sketch", "Stage-I sketch"), ("picture", "Stage-II picture"))
        ]
    position = gr.Slider(
        0,
        1,
        0,
        step=STEP,
        label="Place on the path: first sentence 0, last sentence 1",
        elem_id="position",
    )
    # In the page, since the slider reads them there, but not shown: the two images show them.
    galleries = [
        gr.Gallery(visible="hidden", interactive=False, format="png", type="filepath")
        for _ in range(3)
    ]
    return Scrubber(position, *images, *galleries, gr.Number(visible="hidden"))


def frames(paths: Sequence[str], positions: Sequence[float]) -> list[tuple[str, str]]:
    """What fills a gallery of the scrubber: paths of PNGs, each with its position."""
    return [(path, repr(at)) for path, at in zip(paths, positions, strict=False)]
