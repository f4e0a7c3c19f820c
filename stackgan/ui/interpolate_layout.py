"""How the Interpolate tab looks."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from stackgan.paths import MAX_SENTENCES
from stackgan.ui import scrubber
from stackgan.ui.controls import emphasis_slider, examples_box, report_html, truncation_slider
from stackgan.ui.examples import on_lines
from stackgan.ui.tab import record_component
from stackgan.ui.travel import FILM_FRAMES, MAX_SECONDS, film_endings

NUMERALS = ("first", "second", "third", "fourth", "fifth")
NOISES = {
    "zero": "z = 0, as in the paper",
    "held": "Held: the z of one seed",
    "travelling": "Travelling: from seed to seed",
}


@dataclass(frozen=True)
class Layout:
    """Components of the tab."""

    sentences: list[gr.Textbox]
    count: gr.Number  # of the sentences that are used; the rest are not shown
    add: gr.Button
    remove: gr.Button
    interpolate: gr.Button
    scrubber: scrubber.Scrubber
    strip: gr.Image
    legend: gr.HTML  # where the sentences lie on the strip
    frames: gr.Slider
    noise: gr.Radio
    seed: gr.Number
    end_seed: gr.Number
    spherical: gr.Radio
    truncation: gr.Slider
    emphasis: gr.Slider
    save_strip: gr.DownloadButton
    film_ending: gr.Radio
    film_stage: gr.Radio
    film_bounce: gr.Radio
    film_seconds: gr.Slider
    save_film: gr.Button
    film: gr.File  # not shown: the browser downloads it when it is filled
    report: gr.HTML
    examples: gr.Dataset
    record: gr.JSON


def lay_out(offered: list[tuple[str, ...]]) -> Layout:
    """Place all components, the first of the example paths filled in."""
    start = offered[0] if offered else ()
    with gr.Row(equal_height=True):
        sentences = [
            gr.Textbox(
                label=f"Sentence {i + 1}",
                value=start[i] if i < len(start) else "",
                placeholder="Describe the picture in a sentence",
                max_lines=4,
                min_width=280,
                visible=i < max(2, len(start)),
                elem_id=name,
            )
            for i, name in enumerate(NUMERALS[:MAX_SENTENCES])
        ]
    with gr.Row(elem_id="path-buttons"):
        add = gr.Button("+ Add a sentence", min_width=130, elem_id="add-sentence")
        remove = gr.Button(
            "− Remove the last", min_width=130, visible=False, elem_id="remove-sentence"
        )
        interpolate = gr.Button(
            "Interpolate", variant="primary", scale=2, min_width=150, elem_id="interpolate"
        )
    count = gr.Number(
        max(2, len(start)),
        minimum=2,
        maximum=MAX_SENTENCES,
        precision=0,
        visible="hidden",
    )
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=320):
            scrub = scrubber.lay_out()
            strip = gr.Image(
                label="Film strip",
                format="png",
                type="filepath",
                interactive=False,
                buttons=["download", "fullscreen"],
                alt_text="Frames along the path, side by side",
                elem_id="strip",
            )
            legend = gr.HTML(padding=False, visible=False, elem_id="strip-legend")
            report = report_html(
                "<p>Once drawn, the frames are in your browser: move the slider.</p>",
                "travel-report",
            )
        with gr.Column(scale=4, min_width=290):
            frames = gr.Slider(2, FILM_FRAMES, 17, step=1, label="Frames", elem_id="frames")
            with gr.Accordion("Noise, way and emphasis", open=False):
                noise = gr.Radio(
                    [(text, value) for value, text in NOISES.items()],
                    value="zero",
                    label="Noise z",
                    elem_id="path-noise",
                )
                with gr.Row():
                    seed = gr.Number(
                        0, label="Seed of z", min_width=110, visible=False, elem_id="path-seed"
                    )
                    end_seed = gr.Number(
                        1, label="Seed at the end", min_width=110, visible=False, elem_id="end-seed"
                    )
                truncation = truncation_slider("path-truncation", visible=False)
                spherical = gr.Radio(
                    [("Straight line, as in the paper", False), ("Arc (spherical)", True)],
                    value=False,
                    label="Way between the sentence embeddings",
                    elem_id="way",
                )
                emphasis = emphasis_slider("path-emphasis")
            with gr.Accordion("Download", open=False, elem_id="films"):
                film_ending = gr.Radio(
                    [(end.upper().replace("WEBP", "WebP"), end) for end in film_endings()],
                    value="gif",
                    label="Film",
                    elem_id="film-ending",
                )
                film_stage = gr.Radio(
                    [("Stage-I", 1), ("Stage-II", 2)],
                    value=2,
                    label="Pictures",
                    elem_id="film-stage",
                )
                film_bounce = gr.Radio(
                    [("There and back", True), ("Start again", False)],
                    value=True,
                    label="At the end",
                    elem_id="film-bounce",
                )
                film_seconds = gr.Slider(
                    1, MAX_SECONDS, 3, step=0.5, label="Seconds one way", elem_id="film-seconds"
                )
                save_film = gr.Button("Download film", interactive=False, elem_id="save-film")
                save_strip = gr.DownloadButton(
                    "Download film strip (PNG)", interactive=False, elem_id="save-strip"
                )
    examples = examples_box(on_lines(offered), "pairs")
    return Layout(
        sentences=sentences,
        count=count,
        add=add,
        remove=remove,
        interpolate=interpolate,
        scrubber=scrub,
        strip=strip,
        legend=legend,
        frames=frames,
        noise=noise,
        seed=seed,
        end_seed=end_seed,
        spherical=spherical,
        truncation=truncation,
        emphasis=emphasis,
        save_strip=save_strip,
        film_ending=film_ending,
        film_stage=film_stage,
        film_bounce=film_bounce,
        film_seconds=film_seconds,
        save_film=save_film,
        film=gr.File(visible="hidden"),
        report=report,
        examples=examples,
        record=record_component(),
    )
