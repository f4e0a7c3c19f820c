"""The Words tab and the /words endpoint: one z under several captions, to see what a word does."""

# No `from __future__ import annotations` here: gr.api reads the annotations of `api`.
import difflib
import html
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import gradio as gr
from PIL import Image
from torch import Tensor

from stackgan.images import grid
from stackgan.latents import EMPHASIS, MAX_EMPHASIS, MAX_TRUNCATION
from stackgan.text import clean_caption
from stackgan.ui import checks, examples
from stackgan.ui.controls import (
    chosen_epsilon,
    exchange_examples,
    hold_when_chosen,
    offer_examples,
    used,
)
from stackgan.ui.events import AT_ONCE, LAST_COUNTS, PRIVATE, download, endpoint, uses_model
from stackgan.ui.files import bundle, file_name, new_folder, plain_words, served, write_pngs
from stackgan.ui.tab import Tab, result_record
from stackgan.ui.words_layout import MAX_CAPTIONS, lay_out


@dataclass(frozen=True)
class Comparison:
    """What exists so far: a sketch of each caption, then a picture of each too."""

    settings: list[dict]  # one a picture
    stages: int
    sketches: list[str]  # N paths of PNGs
    pictures: list[str] = ()  # N paths, or none yet
    mosaic: Image.Image | None = None  # up to four of the finished pictures in a square


class Words(Tab):
    """Handlers of the tab, plain functions of what the visitor set, and its layout (`build`)."""

    name = "Words"

    def draw(
        self,
        captions,
        seed,
        hold,
        truncation,
        mean,
        epsilon_seed,
        checkpoint,
        emphasis=EMPHASIS,
    ) -> Iterator[tuple]:
        """One press of Compare: yields when Stage-I is there and again when Stage-II is.

        `captions` holds one per line, or words in braces (see examples.spelled_out). `hold` keeps
        `seed`; without it every press takes a fresh one. `mean` is ε = 0. Yields (seed, record,
        download, report, then for each of eight cells: column, sketch, picture, caption).
        """
        with checks.errors_in_words():
            seed = checks.seed(seed) if hold else checks.fresh_seed()
            chosen = chosen_epsilon(mean, epsilon_seed)
            lines = caption_lines(captions)
            seed_shown = seed
            for comparison in self._stages(lines, seed, truncation, chosen, checkpoint, emphasis):
                record = gr.skip()
                if comparison.mosaic is not None:
                    values = {
                        "captions": captions,
                        "seed": seed,
                        "hold": True,
                        "truncation": truncation,
                        "mean": mean,
                        "epsilon_seed": epsilon_seed,
                        "checkpoint": comparison.settings[0]["checkpoint"],
                        "emphasis": emphasis,
                    }
                    record = result_record(self.name, _title(lines), values, comparison.mosaic)
                save, report, cells = _download(comparison), _report(comparison), _cells(comparison)
                yield seed_shown, record, save, report, *cells
                seed_shown = gr.skip()  # while it draws the seed is the visitor's again

    def api(
        self,
        captions: list[str],
        seed: int | None = None,
        truncation: float = 1.0,
        epsilon_seed: int | None = None,
        checkpoint: str | None = None,
        emphasis: float = EMPHASIS,
    ) -> tuple[list[gr.FileData], list[gr.FileData], list[dict]]:
        """Draw several captions from the same noise with StackGAN, to see what a word does.

        Args:
            captions: Up to 8 sentences that describe a picture each, at most 500 characters; words
                in braces are spelled out: "a {red, blue} flower" is two.
            seed: Seed of z for all of them, 0 to 4294967295. A fresh one when null.
            truncation: Scale of z, 0 (typical) to 1.5 (varied).
            epsilon_seed: Seed of ε in Conditioning Augmentation; null holds ε at 0.
            checkpoint: Name of the checkpoint; the default one when null.
            emphasis: How much the words count, 0 (not at all) to 2; 1 reads them as they are.

        Returns:
            Stage-I sketches, one a caption, PNG files with their settings inside.
            Stage-II pictures, PNG files; empty for a checkpoint of one stage.
            Settings that reproduce each picture.
        """
        with checks.errors_in_words():
            seed = checks.fresh_seed() if seed is None else seed
            *_, last = self._stages(
                caption_lines(captions), seed, truncation, epsilon_seed, checkpoint, emphasis
            )
        files = ([served(p) for p in paths] for paths in (last.sketches, last.pictures))
        return *files, last.settings

    def _stages(
        self, captions, seed, truncation, epsilon_seed, checkpoint, emphasis
    ) -> Iterator[Comparison]:
        seed = checks.seed(seed)
        truncation = checks.number(truncation, "truncation", 0, MAX_TRUNCATION)
        emphasis = checks.number(emphasis, "emphasis", 0, MAX_EMPHASIS)
        if epsilon_seed is not None:
            epsilon_seed = checks.seed(epsilon_seed, "the ε seed")
        pipeline = self.checkpoints.pipeline(checkpoint)
        inputs = pipeline.prepare(
            captions, seed, epsilon_seeds=epsilon_seed, truncation=truncation, emphasis=emphasis
        )
        settings = [{**record, "words": inputs.captions} for record in inputs.settings]
        folder = new_folder()

        def written(images: Tensor, stage: int) -> list[str]:
            names = [
                f"{i}-{file_name(record['caption'], seed, stage)}"
                for i, record in enumerate(settings, 1)
            ]
            return write_pngs(images, folder, names, settings, stage)

        images = sketches = pipeline.sketch(inputs)
        drawn = Comparison(settings, pipeline.config.stages, written(sketches, 1))
        if drawn.stages == 2:
            yield drawn
            images = pipeline.refine(sketches, inputs)
            drawn = replace(drawn, pictures=written(images, 2))
        yield replace(drawn, mosaic=_mosaic(images))

    def values(self, settings: dict) -> dict | None:
        """Control values that draw again the comparison that a picture's `settings` come from."""
        needed = {"words", "seed", "truncation", "epsilon_seed", "checkpoint"}
        if not needed <= settings.keys() or not isinstance(settings["words"], list):
            return None
        epsilon_seed = settings["epsilon_seed"]
        return {
            "captions": "\n".join(map(str, settings["words"])),
            "seed": settings["seed"],
            "hold": True,
            "truncation": settings["truncation"],
            "mean": epsilon_seed is None,
            "epsilon_seed": epsilon_seed or 0,
            "checkpoint": settings["checkpoint"],
            "emphasis": settings.get("emphasis", 1),
        }

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        layout = lay_out(examples.words(self.checkpoints.names[0]))
        self.record = layout.record
        self.controls = {
            "captions": layout.captions,
            "seed": layout.seed,
            "hold": layout.hold,
            "truncation": layout.truncation,
            "mean": layout.mean,
            "epsilon_seed": layout.epsilon_seed,
            "checkpoint": chooser,
            "emphasis": layout.emphasis,
        }
        pictures = [cell.picture for cell in layout.cells]
        self.pictures = [*(cell.sketch for cell in layout.cells), *pictures]
        cells = itertools.chain.from_iterable(layout.cells)
        self.draws = {
            **uses_model(self.draw),
            "inputs": list(self.controls.values()),
            "outputs": [layout.seed, layout.record, layout.save, layout.report, *cells],
            # Progress lies over Stage-II alone: the sketches are seen while it draws.
            "show_progress_on": pictures,
            "trigger_mode": LAST_COUNTS,
            **PRIVATE,
        }
        boxes = [layout.captions, layout.seed, layout.epsilon_seed]
        gr.on([layout.go.click, *(box.submit for box in boxes)], **self.draws)
        picked = layout.examples.click(
            lambda row: row[0], layout.examples, layout.captions, **AT_ONCE
        )
        self.draw_after(picked)
        hold_when_chosen(layout.seed, layout.seed_dice, layout.hold)
        offer_examples(chooser, layout.examples, examples.words)
        self.exchanges = exchange_examples(
            chooser, [layout.captions], lambda name: [examples.first(examples.words(name))]
        )
        endpoint(self.api, "words")


def caption_lines(text: object) -> list[str]:
    """What the visitor typed, or a client's list → 1 to 8 captions. ValueError in words for none or
    more."""
    lines = text.splitlines() if isinstance(text, str) else text
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("the captions are text, one per line, or a list of sentences")
    lines = (line for line in lines if line.strip())
    spelled = itertools.chain.from_iterable(map(examples.spelled_out, lines))
    captions = [clean_caption(line) for line in itertools.islice(spelled, MAX_CAPTIONS + 1)]
    if not captions:
        raise ValueError("there is no caption: describe a picture a line")
    if len(captions) > MAX_CAPTIONS:
        raise ValueError(f"these are more than {MAX_CAPTIONS} captions, which is the limit")
    return captions


def with_differences(caption: str, first: str) -> str:
    """The caption as HTML, the words that the first one lacks there in bold."""
    words, others = caption.split(), first.split()
    same = difflib.SequenceMatcher(
        a=[word.lower() for word in others], b=[word.lower() for word in words], autojunk=False
    )
    parts = []
    for kind, _, _, start, end in same.get_opcodes():
        text = html.escape(" ".join(words[start:end]))
        if text:
            parts.append(text if kind == "equal" else f"<strong>{text}</strong>")
    return f"<p>{' '.join(parts)}</p>"


def _cells(drawn: Comparison) -> list:
    """What the eight cells show, one after the other; unused ones are emptied and hidden."""
    shown = []
    first = drawn.settings[0]["caption"]
    for i in range(MAX_CAPTIONS):
        if i >= len(drawn.settings):
            shown += [gr.Column(visible=False), None, None, ""]
            continue
        caption = drawn.settings[i]["caption"]
        picture = drawn.pictures[i] if drawn.pictures else None
        shown += [
            gr.Column(visible=True),
            gr.Image(drawn.sketches[i], alt_text=f"Stage-I sketch of “{caption}”"),
            gr.Image(
                picture, alt_text=f"Stage-II picture of “{caption}”", visible=drawn.stages == 2
            ),
            with_differences(caption, first),
        ]
    return shown


def _download(drawn: Comparison) -> gr.DownloadButton:
    if drawn.mosaic is None:
        return download(None)
    first = drawn.settings[0]
    name = f"{plain_words(first['caption'])}-and-others-seed{first['seed']}"
    return download(bundle([*drawn.sketches, *drawn.pictures], name))


def _mosaic(images: Tensor) -> Image.Image:
    return grid(images[:4], 2) if len(images) >= 4 else grid(images[:1], 1)


def _title(captions: list[str]) -> str:
    more = len(captions) - 1
    return captions[0] if not more else f"{captions[0]} (and {more} more)"


def _report(drawn: Comparison) -> str:
    count = len(drawn.settings)
    captions = f"{count} caption{'s' * (count > 1)}"
    return f"<p>{' · '.join([captions, *used(drawn.settings[0])])}</p>"
