"""How the Words tab is laid out: every component, none of what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import gradio as gr

from stackgan.ui import examples
from stackgan.ui.controls import (
    examples_box,
    fine_controls,
    report_html,
    seed_and_dice,
    stage_image,
)
from stackgan.ui.tab import record_component

MAX_CAPTIONS = 8


class Cell(NamedTuple):
    """What one caption's pictures lie in."""

    column: gr.Column
    sketch: gr.Image
    picture: gr.Image
    caption: gr.HTML


@dataclass(frozen=True)
class Layout:
    """The tab's components; made inside the tab by `lay_out`."""

    captions: gr.Textbox
    go: gr.Button
    seed: gr.Number
    seed_dice: gr.Button
    hold: gr.Checkbox
    truncation: gr.Slider
    emphasis: gr.Slider
    mean: gr.Checkbox
    epsilon_seed: gr.Number
    report: gr.HTML
    cells: list[Cell]  # MAX_CAPTIONS of them
    save: gr.DownloadButton
    examples: gr.Dataset
    record: gr.JSON


def lay_out(offered: list[str]) -> Layout:
    """The components, in their places; the first of the `offered` patterns is typed in."""
    parts = {"record": record_component()}
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=320):
            parts["captions"] = gr.Textbox(
                label=f"Captions: one per line, up to {MAX_CAPTIONS}",
                info="Or one line with words in braces: a {red, white, blue} flower",
                value=examples.first(offered),
                placeholder="this flower has red petals\nthis flower has white petals",
                lines=4,
                max_lines=MAX_CAPTIONS,
                elem_id="words-captions",
            )
            parts["go"] = gr.Button("Compare", variant="primary", elem_id="compare")
        with gr.Column(scale=4, min_width=290):
            parts |= _noise()
    parts["report"] = report_html(
        "<p>What the pictures share comes from the noise; what differs, from the words.</p>",
        "words-report",
    )
    count = len(list(examples.spelled_out(offered[0]))) if offered else 2
    with gr.Row(elem_id="words-cells"):
        parts["cells"] = [_cell(i, visible=i < count) for i in range(MAX_CAPTIONS)]
    parts["save"] = gr.DownloadButton("Download all", interactive=False, elem_id="words-save")
    parts["examples"] = examples_box(offered, "words-examples")
    return Layout(**parts)


def _noise() -> dict:
    parts = {}
    parts["seed"], parts["seed_dice"] = seed_and_dice("Seed of z", "words-seed")
    parts["hold"] = gr.Checkbox(
        True,
        label="Hold the noise",
        info="The same seed at every press, so that only the words change.",
        elem_id="words-hold",
    )
    parts |= fine_controls("words")._asdict()
    return parts


def _cell(i: int, visible: bool) -> Cell:
    with gr.Column(visible=visible, min_width=120, elem_classes="cell") as column:
        sketch = stage_image("sketch", f"words-sketch-{i}", f"Stage-I sketch of caption {i + 1}")
        picture = stage_image(
            "picture", f"words-picture-{i}", f"Stage-II picture of caption {i + 1}"
        )
        text = gr.HTML(elem_id=f"words-caption-{i}", elem_classes="caption")
    return Cell(column, sketch, picture, text)
