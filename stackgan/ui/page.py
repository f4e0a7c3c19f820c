"""The page put together: header, checkpoint chooser, tabs, and the bar of history and sharing."""

from __future__ import annotations

import gradio as gr

from stackgan.model import CHECKPOINTS
from stackgan.ui.about import About
from stackgan.ui.checkpoints import Checkpoints
from stackgan.ui.controls import (
    KEYS_RELEASE_SLIDERS,
    SLIDERS_KEEP_THEIR_RANGE,
    THUMBNAILS_TELL_THEIR_WORDS,
)
from stackgan.ui.events import MAX_WAITING
from stackgan.ui.files import CHECK_SECONDS, KEEP_SECONDS
from stackgan.ui.generate import Generate
from stackgan.ui.history import History
from stackgan.ui.interpolate import Interpolate
from stackgan.ui.noise import Noise
from stackgan.ui.words import Words

DRAWING_TABS = (Generate, Words, Interpolate, Noise)

HEADER = """
# StackGAN
Describe a picture in a sentence. One network sketches it at 64&nbsp;×&nbsp;64, a second one redraws
the sketch at 256&nbsp;×&nbsp;256. {what}
"""
DRAWS = "They draw only what they were trained on: {}."

NOTHING_TRAINED = f"""
### No trained checkpoint here yet

Put one into `{CHECKPOINTS.name}/NAME/` (`config.json` and `model.safetensors`, as training writes
them), or name a folder or a Hub repository when starting the page:

    python app.py --checkpoint PATH_OR_REPOSITORY
"""


def build(checkpoints: Checkpoints) -> gr.Blocks:
    """The page for these checkpoints; without any, a page that says what to do."""
    with gr.Blocks(title="StackGAN", delete_cache=(CHECK_SECONDS, KEEP_SECONDS)) as page:
        what = DRAWS.format(", ".join(checkpoints.names)) if checkpoints.names else ""
        gr.Markdown(HEADER.format(what=what), elem_id="title")
        if not checkpoints.names:
            gr.Markdown(NOTHING_TRAINED, elem_id="nothing-trained")
            return page
        chooser = gr.Dropdown(
            checkpoints.names,
            value=checkpoints.names[0],
            label="Checkpoint",
            visible=len(checkpoints.names) > 1,
            elem_id="checkpoint",
        )
        drawing, about = [tab(checkpoints) for tab in DRAWING_TABS], About(checkpoints)
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            for tab in (*drawing, about):
                with gr.Tab(tab.name, id=tab.name.lower()):
                    tab.build(chooser)
        History(drawing, about.exchanges).build(page, tabs)
        for listening in (
            KEYS_RELEASE_SLIDERS,
            SLIDERS_KEEP_THEIR_RANGE,
            THUMBNAILS_TELL_THEIR_WORDS,
        ):
            page.load(None, None, None, js=listening)
    # Off Spaces, Gradio would let POST requests past the queue.
    return page.queue(max_size=MAX_WAITING, api_open=False)
