"""How the Noise tab is laid out: every component, none of what it does."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from stackgan.ui.controls import (
    caption_box,
    fine_controls,
    report_html,
    seed_and_dice,
    stage_image,
)
from stackgan.ui.places import MAX_RADIUS, UNLOCKED
from stackgan.ui.tab import record_component

SIDE = 5  # pictures a side of the map
# Where each of them lies on it, row by row from the top left: (x, y) from −1 to 1.
MAP = [
    (2 * column / (SIDE - 1) - 1, 1 - 2 * row / (SIDE - 1))
    for row in range(SIDE)
    for column in range(SIDE)
]
EPSILONS = [None, *range(8)]  # seeds of ε in the row, as the paper's Fig. 7; None is ε = 0


@dataclass(frozen=True)
class Layout:
    """The tab's components; made inside the tab by `lay_out`."""

    caption: gr.Textbox
    go: gr.Button
    sketch: gr.Image
    picture: gr.Image
    report: gr.HTML
    map: gr.Gallery
    x: gr.Slider
    y: gr.Slider
    radius: gr.Slider
    lock: gr.Button
    back: gr.Button
    seed: gr.Number
    seed_dice: gr.Button
    directions: gr.Number
    directions_dice: gr.Button
    truncation: gr.Slider
    emphasis: gr.Slider
    mean: gr.Checkbox
    epsilon_seed: gr.Number
    epsilons: gr.Gallery
    locked: gr.Textbox  # steps as places.to_text writes them; not shown
    begun: gr.State  # values of the controls that the last drawing began with
    record: gr.JSON


def lay_out(caption: str) -> Layout:
    """The components, in their places; `caption` is typed in."""
    parts = {"begun": gr.State(), "record": record_component()}
    parts["locked"] = gr.Textbox(UNLOCKED, label="Locked steps", visible="hidden")
    with gr.Row(equal_height=True):
        parts["caption"] = caption_box(caption, "noise-caption")
        parts["go"] = gr.Button(
            "Draw the map", variant="primary", scale=1, min_width=150, elem_id="draw-map"
        )
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=320):
            parts |= _results()
            parts |= _walk()
        with gr.Column(scale=4, min_width=290):
            parts |= _around()
    parts["epsilons"] = _pictures(
        "ε alone, z the same: click one to keep its ε", len(EPSILONS), "epsilons"
    )
    return Layout(**parts)


def _results() -> dict:
    with gr.Row(equal_height=True, elem_classes="stages"):
        parts = {
            stage: stage_image(stage, f"noise-{stage}", f"{text} at the place on the map")
            for stage, text in (("sketch", "Stage-I sketch"), ("picture", "Stage-II picture"))
        }
    parts["report"] = report_html(
        "<p>The caption stays, the noise moves: walk on the map around the z of a seed.</p>",
        "noise-report",
    )
    return parts


def _walk() -> dict:
    parts = {}
    with gr.Row():
        for axis, way in (("x", "Across"), ("y", "Up")):
            parts[axis] = gr.Slider(
                -1,
                1,
                0,
                step=0.01,
                label=f"{way} the map",
                min_width=200,
                elem_id=f"noise-{axis}",
            )
    parts["radius"] = gr.Slider(
        0,
        MAX_RADIUS,
        45,
        step=5,
        label="Radius, in degrees",
        info="How far the map reaches: z turns, its length stays. At 90 it is another z altogether.",
        elem_id="noise-radius",
    )
    with gr.Row():
        parts["lock"] = gr.Button("Lock here", min_width=110, elem_id="lock")
        parts["back"] = gr.Button("Go back", interactive=False, min_width=110, elem_id="go-back")
    return parts


def _around() -> dict:
    parts = {"map": _pictures("Map of z: click to go there", SIDE, "noise-map")}
    parts["seed"], parts["seed_dice"] = seed_and_dice("Seed of z", "noise-seed")
    parts["directions"], parts["directions_dice"] = seed_and_dice(
        "Seed of the directions", "directions"
    )
    parts |= fine_controls("noise")._asdict()
    return parts


def _pictures(label: str, columns: int, elem_id: str) -> gr.Gallery:
    return gr.Gallery(
        label=label,
        format="png",
        columns=columns,
        fit_columns=False,
        object_fit="contain",
        height="auto",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id=elem_id,
        elem_classes="places",
    )
