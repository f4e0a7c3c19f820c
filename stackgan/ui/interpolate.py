"""The Interpolate tab: the way through two to five sentences.

All frames are drawn once; the slider then moves between them in the browser alone, and the server is
asked for the exact frame where it comes to rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr

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
        }

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        at = lay_out(examples.pairs(self.checkpoints.names[0]))
        self.controls = {
            **dict(zip(NUMERALS, at.sentences, strict=True)),
            "sentences": at.count,
            "frames": at.frames,
            "noise": at.noise,
            "seed": at.seed,
            "end_seed": at.end_seed,
            "spherical": at.spherical,
            "truncation": at.truncation,
            "position": at.scrubber.position,
            "checkpoint": chooser,
        }
        self.record = at.record
        self.pictures = [at.scrubber.sketch_frames, at.scrubber.picture_frames, at.strip]
        travel = gr.State()
        shown_on = Shown(
            sketch_frames=at.scrubber.sketch_frames,
            picture_frames=at.scrubber.picture_frames,
            exact=at.scrubber.exact,
            asked=at.scrubber.asked,
            strip=at.strip,
            legend=at.legend,
            save_strip=at.save_strip,
            save_film=at.save_film,
            report=at.report,
            travel=travel,
            record=at.record,
        )
        self._scrubber = at.scrubber
        self.draws = {
            **uses_model(self.draw),
            "inputs": list(self.controls.values()),
            "outputs": list(shown_on),
            "show_progress_on": at.scrubber.picture,
            "trigger_mode": LAST_COUNTS,
            **PRIVATE,
        }
        submits = [box.submit for box in (*at.sentences, at.seed, at.end_seed)]
        at.scrubber.ask_after(gr.on([at.interpolate.click, *submits], **self.draws))
        at.scrubber.connect()
        at.scrubber.asked.change(
            **uses_model(self.between),
            inputs=[at.scrubber.asked, travel],
            outputs=at.scrubber.exact,
            trigger_mode=LAST_COUNTS,
            show_progress="hidden",
            **PRIVATE,
        )
        choices = [at.film_ending, at.film_stage, at.film_bounce, at.film_seconds]
        written = at.save_film.click(
            self.film, [*choices, travel], at.film, show_progress_on=at.save_film, **PRIVATE
        )
        written.success(None, at.film, None, js=SAVE_FILE)
        self._connect_choices(at, chooser)
        Endpoints(self.checkpoints).offer()

    def draw_after(self, event: gr.events.Dependency) -> gr.events.Dependency:
        """Draw with the controls as they stand once `event` is done, then what the slider is at."""
        drawn = super().draw_after(event)
        self._scrubber.ask_after(drawn)
        return drawn

    def _connect_choices(self, at: Layout, chooser: gr.Dropdown) -> None:
        """Controls that show, hide or fill other controls."""
        at.add.click(None, at.count, at.count, js=f"(n) => Math.min(n + 1, {MAX_SENTENCES})")
        at.remove.click(None, at.count, at.count, js="(n) => Math.max(n - 1, 2)")
        boxes = [*at.sentences[2:], at.add, at.remove]
        at.count.change(_used_sentences, at.count, boxes, **AT_ONCE)
        of_noise = [at.seed, at.end_seed, at.truncation]
        at.noise.change(_used_seeds, at.noise, of_noise, **AT_ONCE)
        path = [*at.sentences, at.count]
        self.draw_after(at.examples.click(_split, at.examples, path, **AT_ONCE))
        offer_examples(chooser, at.examples, lambda name: examples.on_lines(examples.pairs(name)))
        self.exchanges = exchange_examples(chooser, at.sentences, _first_path)


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
