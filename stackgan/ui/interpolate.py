"""The Interpolate tab: the way through two to five sentences.

All frames are drawn once; the slider then moves between them in the browser alone, and the server is
asked for the exact frame where it comes to rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr

from stackgan.latents import EMPHASIS
from stackgan.messages import echoed
from stackgan.paths import MAX_SENTENCES
from stackgan.ui import checks, examples, scrubber
from stackgan.ui import travel as travels
from stackgan.ui.controls import exchange_examples, offer_examples
from stackgan.ui.events import AT_ONCE, LAST_COUNTS, PRIVATE, SAVE_FILE, uses_model
from stackgan.ui.interpolate_api import Endpoints
from stackgan.ui.interpolate_layout import NOISES, NUMERALS, Layout, lay_out
from stackgan.ui.interpolate_shown import Shown, shown
from stackgan.ui.tab import Tab
from stackgan.ui.travel import GONE, Travel


class Interpolate(Tab):
    """Handlers of the tab, plain functions of what the visitor set, and its layout (`build`)."""

    name = "Interpolate"
    sliders = ("position",)

    def draw(
        self,
        first,
        second,
        third,
        fourth,
        fifth,
        sentences,
        frames,
        noise,
        seed,
        end_seed,
        spherical,
        truncation,
        position,
        checkpoint,
        emphasis=EMPHASIS,
        progress=gr.Progress(),  # noqa: B008 - how Gradio hands it over
    ) -> Iterator[Shown]:
        """One press: yields with all sketches, with all pictures, and with the film strip.

        Of the captions the first `sentences` count. `noise` is one of NOISES: "zero" needs no seed,
        "held" needs `seed`, "travelling" goes from `seed` to `end_seed`.
        """

        def tell(done: int, total: int) -> None:
            progress((done, total), desc="Stage-II", unit="frames")

        with checks.errors_in_words():
            count = checks.whole(sentences, "the number of sentences", 2, MAX_SENTENCES)
            captions = [first, second, third, fourth, fifth][:count]
            if noise not in list(NOISES):
                raise ValueError(f"the noise is one of {', '.join(NOISES)}, not {echoed(noise)}")
            if noise != "zero" and seed is None:
                raise ValueError("with z of a seed the seed must not be empty")
            if noise == "travelling" and end_seed is None:
                raise ValueError("with z travelling the seed at the end must not be empty")
            route = travels.checked_route(
                captions,
                frames,
                None if noise == "zero" else seed,
                end_seed if noise == "travelling" else None,
                spherical,
                truncation,
                emphasis,
            )
            pipeline = self.checkpoints.pipeline(checkpoint)
            values = {
                **dict(zip(NUMERALS, [*captions, "", "", ""], strict=False)),
                "sentences": count,
                "frames": frames,
                "noise": noise,
                "seed": seed,
                "end_seed": end_seed,
                "spherical": spherical,
                "truncation": truncation,
                "position": checks.number(position, "the place on the path", 0, 1),
                "checkpoint": pipeline.name,
                "emphasis": emphasis,
            }
            new = True
            for travel in travels.draw(pipeline, route, tell):
                yield shown(travel, values, new)
                new = False

    def between(self, position, travel: Travel | None) -> object:
        """The frames exactly at a position of the path that is shown, for the scrubber's `exact`."""
        if position is None:
            return gr.skip()
        with checks.errors_in_words():
            if travel is None:
                raise ValueError(GONE)
            position = checks.number(position, "the place on the path", 0, 1)
            pipeline = self.checkpoints.pipeline(travel.checkpoint)
            paths = travels.draw_between(pipeline, travel, position)
        return scrubber.frames(paths, [position] * len(paths))

    def film(self, ending, stage, bounce, seconds, travel: Travel | None) -> str:
        """Path of a film of the path that is shown."""
        with checks.errors_in_words():
            if travel is None:
                raise ValueError(GONE)
            return travels.film(travel, ending, stage, bounce, seconds)

    def values(self, settings: dict) -> dict | None:
        """Control values that draw the path of a frame's or a film strip's PNG again."""
        own = {"captions", "frames", "seed", "epsilon_seed", "spherical", "truncation"}
        if not own <= settings.keys() or settings["epsilon_seed"] is not None:
            return None
        captions, seed = settings["captions"], settings["seed"]
        seeds = seed if isinstance(seed, list) else [seed]
        if not 2 <= len(captions) <= MAX_SENTENCES or not 1 <= len(seeds) <= 2:
            return None
        return {
            **dict.fromkeys(NUMERALS, ""),
            **dict(zip(NUMERALS, captions, strict=False)),
            "sentences": len(captions),
            "frames": settings["frames"],
            "noise": "zero" if seed is None else "held" if len(seeds) == 1 else "travelling",
            "seed": seeds[0] or 0,
            "end_seed": seeds[-1] or 0,
            "spherical": settings["spherical"],
            "truncation": settings["truncation"],
            "position": settings.get("position", 0),
            "checkpoint": settings["checkpoint"],
            "emphasis": settings.get("emphasis", 1),
        }

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        layout = lay_out(examples.pairs(self.checkpoints.names[0]))
        self.controls = {
            **dict(zip(NUMERALS, layout.sentences, strict=True)),
            "sentences": layout.count,
            "frames": layout.frames,
            "noise": layout.noise,
            "seed": layout.seed,
            "end_seed": layout.end_seed,
            "spherical": layout.spherical,
            "truncation": layout.truncation,
            "position": layout.scrubber.position,
            "checkpoint": chooser,
            "emphasis": layout.emphasis,
        }
        self.record = layout.record
        self.pictures = [
            layout.scrubber.sketch_frames,
            layout.scrubber.picture_frames,
            layout.strip,
        ]
        travel = gr.State()
        shown_on = Shown(
            sketch_frames=layout.scrubber.sketch_frames,
            picture_frames=layout.scrubber.picture_frames,
            exact=layout.scrubber.exact,
            asked=layout.scrubber.asked,
            strip=layout.strip,
            legend=layout.legend,
            save_strip=layout.save_strip,
            save_film=layout.save_film,
            report=layout.report,
            travel=travel,
            record=layout.record,
        )
        self._scrubber = layout.scrubber
        self.draws = {
            **uses_model(self.draw),
            "inputs": list(self.controls.values()),
            "outputs": list(shown_on),
            "show_progress_on": layout.scrubber.picture,
            "trigger_mode": LAST_COUNTS,
            **PRIVATE,
        }
        submits = [box.submit for box in (*layout.sentences, layout.seed, layout.end_seed)]
        layout.scrubber.ask_after(gr.on([layout.interpolate.click, *submits], **self.draws))
        layout.scrubber.connect()
        layout.scrubber.asked.change(
            **uses_model(self.between),
            inputs=[layout.scrubber.asked, travel],
            outputs=layout.scrubber.exact,
            trigger_mode=LAST_COUNTS,
            show_progress="hidden",
            **PRIVATE,
        )
        choices = [layout.film_ending, layout.film_stage, layout.film_bounce, layout.film_seconds]
        written = layout.save_film.click(
            self.film, [*choices, travel], layout.film, show_progress_on=layout.save_film, **PRIVATE
        )
        written.success(None, layout.film, None, js=SAVE_FILE)
        self._connect_choices(layout, chooser)
        Endpoints(self.checkpoints).offer()

    def draw_after(self, event: gr.events.Dependency) -> gr.events.Dependency:
        """Draw with the controls as they stand once `event` is done, then what the slider is at."""
        drawn = super().draw_after(event)
        self._scrubber.ask_after(drawn)
        return drawn

    def _connect_choices(self, layout: Layout, chooser: gr.Dropdown) -> None:
        """Controls that show, hide or fill other controls."""
        layout.add.click(
            None, layout.count, layout.count, js=f"(n) => Math.min(n + 1, {MAX_SENTENCES})"
        )
        layout.remove.click(None, layout.count, layout.count, js="(n) => Math.max(n - 1, 2)")
        boxes = [*layout.sentences[2:], layout.add, layout.remove]
        layout.count.change(_used_sentences, layout.count, boxes, **AT_ONCE)
        of_noise = [layout.seed, layout.end_seed, layout.truncation]
        layout.noise.change(_used_seeds, layout.noise, of_noise, **AT_ONCE)
        path = [*layout.sentences, layout.count]
        self.draw_after(layout.examples.click(_split, layout.examples, path, **AT_ONCE))
        offer_examples(
            chooser, layout.examples, lambda name: examples.on_lines(examples.pairs(name))
        )
        self.exchanges = exchange_examples(chooser, layout.sentences, _first_path)


def _used_sentences(count: int) -> list:
    boxes = [gr.Textbox(visible=i < count) for i in range(2, MAX_SENTENCES)]
    return [*boxes, gr.Button(visible=count < MAX_SENTENCES), gr.Button(visible=count > 2)]


def _used_seeds(noise: str) -> tuple:
    return (
        gr.Number(
            visible=noise != "zero",
            label="Seed at the start" * (noise == "travelling") or "Seed of z",
        ),
        gr.Number(visible=noise == "travelling"),
        gr.Slider(visible=noise != "zero"),
    )


def _split(row: list[str]) -> list:
    captions = row[0].split(examples.ARROW)
    return [*captions, *[""] * (MAX_SENTENCES - len(captions)), len(captions)]


def _first_path(checkpoint: str) -> list[str]:
    """A caption for every box, its last one for those that it has none for."""
    path = max(examples.pairs(checkpoint) or [("",)], key=len)
    return [path[min(i, len(path) - 1)] for i in range(MAX_SENTENCES)]
