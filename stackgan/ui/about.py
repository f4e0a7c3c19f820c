"""The How it works tab and the /explain endpoint: the paper on one page, with a caption run through.

The text lies in about_text, the drawings of numbers in stackgan.ui.plots.
"""

# No `from __future__ import annotations` here: gr.api reads the annotations of `api`.
import html
from collections.abc import Iterator
from dataclasses import dataclass, replace

import gradio as gr
from torch import Tensor

from stackgan.images import save_png, to_pictures
from stackgan.pipeline import Inputs, Pipeline
from stackgan.ui import about_text, checks, examples
from stackgan.ui.checkpoints import Checkpoints
from stackgan.ui.controls import exchange_examples, report_html
from stackgan.ui.events import LAST_COUNTS, PRIVATE, endpoint, uses_model
from stackgan.ui.files import file_name, new_folder, write_pngs
from stackgan.ui.plots import AMPLIFIED, difference, gaussian_svg, grey_levels

NEAREST = 5
EQUATIONS = [{"left": "$$", "right": "$$", "display": True}]


@dataclass(frozen=True)
class Explanation:
    """What exists so far of a caption's way: its numbers and sketch, then its pictures too."""

    nearest: str  # HTML
    gaussians: str  # HTML
    sketch: str  # paths of PNGs
    picture: str | None = None
    difference: str | None = None
    without: str | None = None
    instead: str | None = None
    added: str = ""  # HTML: what Stage-II changed
    compared: str = ""  # HTML: what the words changed in Stage-II


class About:
    """Handlers of the tab, plain functions of what the visitor set, and its layout (`build`)."""

    name = "How it works"

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints
        self.exchanges: dict = {}  # as a Tab's

    def explain(self, caption, other, seed, checkpoint) -> Iterator[tuple]:
        """Run a caption through; yields when Stage-I is there and again when Stage-II is.

        `other` is what Stage-II reads instead in the comparison, "" for nothing. Yields (nearest, μ and σ, sketch,
        picture, difference, words about it, picture again, without words, with the other's, words
        about them).
        """
        with checks.errors_in_words():
            for e in self._steps(caption, other, checks.seed(seed), checkpoint):
                yield (
                    e.nearest,
                    e.gaussians,
                    *(e.sketch, e.picture, e.difference, e.added),
                    *(e.picture, e.without, e.instead, e.compared),
                )

    def api(self, caption: str, seed: int = 0, checkpoint: str | None = None) -> dict:
        """What StackGAN makes of a caption before it draws, and how much Stage-II then changes.

        Args:
            caption: A sentence that describes a picture, at most 500 characters.
            seed: Seed of z, 0 to 4294967295.
            checkpoint: Name of the checkpoint; the default one when null.

        Returns:
            `conditioning`: mu and sigma of each stage that reads the text. `nearest`: the training
            captions nearest to this one with their cosines, null where the checkpoint brings none.
            `changed`: grey levels by which Stage-II moves the enlarged sketch, null without one.
        """
        with checks.errors_in_words():
            pipeline = self.checkpoints.pipeline(checkpoint)
            inputs = pipeline.prepare([caption], checks.seed(seed))
            sketch = pipeline.sketch(inputs)
            picture = pipeline.refine(sketch, inputs)
        two = pipeline.config.stages == 2
        known = pipeline.known
        return {
            "conditioning": [
                {"mu": mu[0].tolist(), "sigma": sigma[0].tolist()}
                for mu, sigma in pipeline.conditioning(inputs)
            ],
            "nearest": known.nearest(inputs.embeddings, NEAREST)[0] if known else None,
            "changed": grey_levels(difference(sketch, picture)) if two else None,
        }

    def _steps(self, caption, other, seed: int, checkpoint) -> Iterator[Explanation]:
        pipeline = self.checkpoints.pipeline(checkpoint)
        inputs = pipeline.prepare([caption], seed)
        reads = pipeline.config.stages == 2 and pipeline.config.text_in_stage2
        # Left empty where a checkpoint brings no second example: then nothing is read instead.
        others = pipeline.prepare([other], seed) if reads and str(other or "").strip() else None
        folder = new_folder()

        def written(image: Tensor, stage: int) -> str:
            name = file_name(inputs.captions[0], seed, stage)
            return write_pngs(image, folder, [name], inputs.settings, stage)[0]

        def shown(image: Tensor, name: str) -> str:
            """Without settings: no tab draws this one."""
            path = str(folder / name)
            save_png(to_pictures(image)[0], path)
            return path

        sketch = pipeline.sketch(inputs)
        so_far = Explanation(
            _nearest(pipeline, inputs), _gaussians(pipeline, inputs), written(sketch, 1)
        )
        if pipeline.config.stages == 1:
            yield replace(so_far, added=about_text.ONE_STAGE)
            return
        yield so_far
        picture = pipeline.refine(sketch, inputs)
        change = difference(sketch, picture)
        so_far = replace(
            so_far,
            picture=written(picture, 2),
            difference=shown((AMPLIFIED * change).clamp(-1, 1), "difference.png"),
            added=about_text.CHANGED.format(levels=grey_levels(change), amplified=AMPLIFIED),
        )
        if not reads:
            yield replace(so_far, compared=about_text.NO_TEXT_IN_STAGE2)
            return
        without = pipeline.refine(sketch, pipeline.without_words(inputs))
        so_far = replace(
            so_far,
            without=shown(without, "stage2-without-words.png"),
            compared=about_text.COMPARED.format(without=grey_levels(picture - without)),
        )
        if others is None:
            yield so_far
            return
        instead = pipeline.refine(sketch, others)
        yield replace(
            so_far,
            instead=shown(instead, "stage2-other-words.png"),
            compared=about_text.COMPARED_WITH_OTHER.format(
                without=grey_levels(picture - without),
                instead=grey_levels(picture - instead),
                other=html.escape(others.captions[0]),
            ),
        )

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        caption_now, other_now = _first_two(self.checkpoints.names[0])
        with gr.Column(elem_id="about"):
            gr.Markdown(about_text.INTRODUCTION)
            with gr.Row(equal_height=True):
                caption = gr.Textbox(
                    label="A caption to follow through",
                    value=caption_now,
                    max_lines=4,
                    scale=5,
                    min_width=240,
                    elem_id="about-caption",
                )
                seed = gr.Number(0, label="Seed of z", scale=1, min_width=90, elem_id="about-seed")
                go = gr.Button(
                    "Explain", variant="primary", scale=1, min_width=120, elem_id="explain"
                )
            gr.Markdown(about_text.EMBEDDING)
            nearest = gr.HTML(about_text.NOT_YET, padding=False, elem_id="about-nearest")
            gr.Markdown(about_text.CONDITIONING)
            gaussians = gr.HTML(about_text.NOT_YET, padding=False, elem_id="about-gaussians")
            gr.Markdown(about_text.STAGES)
            with gr.Row(elem_classes="pieces"):
                sketch = _image("Stage-I · sketch", "about-sketch", "sketch")
                picture = _image("Stage-II · picture", "about-picture")
                change = _image("What Stage-II changed", "about-difference")
            added = report_html(padding=False)
            gr.Markdown(about_text.TEXT_TWICE)
            other = gr.Textbox(
                label="What Stage-II reads instead, in the third picture",
                value=other_now,
                max_lines=4,
                elem_id="about-other",
            )
            with gr.Row(elem_classes="pieces"):
                again = _image("Reads the caption", "about-with")
                without = _image("Reads no words", "about-without")
                instead = _image("Reads other words", "about-instead")
            compared = report_html(padding=False)
            gr.Markdown(about_text.LOSSES, latex_delimiters=EQUATIONS)
            gr.Markdown(about_text.REST)

        shown = [nearest, gaussians, sketch, picture, change, added]
        shown += [again, without, instead, compared]
        # Before the event, which would otherwise take the name.
        endpoint(self.api, "explain")
        gr.on(
            [go.click, caption.submit, other.submit, seed.submit],
            **uses_model(self.explain),
            inputs=[caption, other, seed, chooser],
            outputs=shown,
            show_progress_on=[picture, without, instead],
            trigger_mode=LAST_COUNTS,
            **PRIVATE,
        )
        self.exchanges = exchange_examples(chooser, [caption, other], _first_two)


def _image(label: str, elem_id: str, *classes: str) -> gr.Image:
    return gr.Image(
        label=label,
        format="png",
        type="filepath",
        interactive=False,
        buttons=["fullscreen"],
        min_width=140,
        alt_text=label,
        elem_id=elem_id,
        elem_classes=["piece", *classes],
    )


def _first_two(checkpoint: str) -> tuple[str, str]:
    captions = [*examples.captions(checkpoint)[:2], "", ""]
    return captions[0], captions[1]


def _nearest(pipeline: Pipeline, inputs: Inputs) -> str:
    if pipeline.known is None:
        return about_text.UNKNOWN
    [found] = pipeline.known.nearest(inputs.embeddings, NEAREST)
    rows = "".join(
        f"<li>{html.escape(caption)} <small>{cosine:.2f}</small></li>" for caption, cosine in found
    )
    [far] = pipeline.known.is_far(inputs.embeddings)
    warning = about_text.FAR.format(subject=html.escape(pipeline.known.subject)) if far else ""
    return f"{warning}<ol>{rows}</ol>"


def _gaussians(pipeline: Pipeline, inputs: Inputs) -> str:
    pairs = pipeline.conditioning(inputs)
    names = ["Stage-I", "Stage-II"]
    return "".join(
        gaussian_svg(mu[0], sigma[0], f"μ ± σ of {name}")
        for (mu, sigma), name in zip(pairs, names, strict=False)
    )
