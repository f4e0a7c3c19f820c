"""How the Generate tab is laid out: every component, none of what it does."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from stackgan.ranking import BEST_OF, MAX_BEST_OF
from stackgan.ui import examples
from stackgan.ui.controls import (
    caption_box,
    examples_box,
    fine_controls,
    report_html,
    seed_and_dice,
    stage_image,
)
from stackgan.ui.generate_report import WAITING
from stackgan.ui.tab import record_component

MAX_SAMPLES = 16

SIDE_BY_SIDE, BEFORE_AFTER = VIEWS = ("Side by side", "Before and after")
RANKS = "Draws this many for each sample and keeps those that look most like photographs and fit the words."
CANNOT_RANK = "Off: this checkpoint brings no scorer to rank pictures by."


@dataclass(frozen=True)
class Layout:
    """The tab's components; made inside the tab by `lay_out`."""

    caption: gr.Textbox
    generate: gr.Button
    view: gr.Radio
    stages: gr.Row  # the two images, side by side
    sketch: gr.Image
    picture: gr.Image
    slider_view: gr.Column
    before_after: gr.ImageSlider
    divide: gr.Slider
    grid: gr.Gallery
    save_sketch: gr.DownloadButton
    save_picture: gr.DownloadButton
    report: gr.HTML
    seed: gr.Number
    dice: gr.Button
    hold: gr.Checkbox
    samples: gr.Slider
    best_of: gr.Slider
    resample_z: gr.Button
    resample_epsilon: gr.Button
    truncation: gr.Slider
    emphasis: gr.Slider
    mean: gr.Checkbox
    epsilon_seed: gr.Number
    examples: gr.Dataset
    drawn: gr.State  # the Drawing that is shown
    record: gr.JSON


def lay_out(offered: list[str]) -> Layout:
    """The components, in their places; `offered` are the examples, the first one typed in."""
    parts = {"drawn": gr.State(), "record": record_component()}
    with gr.Row(equal_height=True):
        parts["caption"] = caption_box(examples.first(offered), "caption")
        parts["generate"] = gr.Button(
            "Generate", variant="primary", scale=1, min_width=150, elem_id="generate"
        )
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=320):
            parts |= _results()
        with gr.Column(scale=4, min_width=290):
            parts |= _controls()
    parts["examples"] = examples_box(
        offered, "examples", samples_per_page=len(examples.CAPTIONS["flowers"])
    )
    return Layout(**parts)


def _results() -> dict:
    parts = {}
    parts["view"] = gr.Radio(
        list(VIEWS), value=SIDE_BY_SIDE, show_label=False, label="View", elem_id="view"
    )
    with gr.Row(equal_height=True, elem_classes="stages") as parts["stages"]:
        parts["sketch"] = stage_image("sketch", "sketch", "The sketch, once it is drawn")
        parts["picture"] = stage_image("picture", "picture", "The picture, once it is drawn")
    with gr.Column(visible=False, elem_classes="slider-view") as parts["slider_view"]:
        parts["before_after"] = gr.ImageSlider(
            label="Sketch left, picture right",
            format="png",
            type="filepath",
            interactive=False,
            buttons=["download", "fullscreen"],
            elem_id="before-after",
            elem_classes="stage",
        )
        parts["divide"] = gr.Slider(
            0,
            100,
            50,
            step=1,
            label="Place of the line",
            buttons=[],
            elem_id="divide",
        )
    parts["grid"] = gr.Gallery(
        label="Click a picture to hold its noise",
        format="png",
        columns=4,
        fit_columns=False,
        object_fit="contain",
        height="auto",
        allow_preview=False,
        interactive=False,
        buttons=[],
        visible="hidden",
        elem_id="noises",
    )
    with gr.Row(elem_classes="downloads"):
        parts["save_sketch"] = gr.DownloadButton(
            "Download sketch", interactive=False, min_width=140, elem_id="save-sketch"
        )
        parts["save_picture"] = gr.DownloadButton(
            "Download picture", interactive=False, min_width=140, elem_id="save-picture"
        )
    parts["report"] = report_html(WAITING, "report")
    return parts


def _controls() -> dict:
    parts = {}
    parts["seed"], parts["dice"] = seed_and_dice("Seed of z", "seed")
    parts["hold"] = gr.Checkbox(
        label="Hold the noise",
        info="The same seed at every press, so that only the words change. "
        "Of several samples, click one to hold its noise.",
        elem_id="hold",
    )
    parts["samples"] = gr.Slider(1, MAX_SAMPLES, 1, step=1, label="Samples", elem_id="samples")
    parts["best_of"] = gr.Slider(
        1, MAX_BEST_OF, BEST_OF, step=1, label="Best of", info=RANKS, elem_id="best-of"
    )
    with gr.Row():
        parts["resample_z"] = gr.Button("Resample z", min_width=110, elem_id="resample-z")
        parts["resample_epsilon"] = gr.Button(
            "Resample ε", min_width=110, elem_id="resample-epsilon"
        )
    parts |= fine_controls("generate")._asdict()
    return parts
