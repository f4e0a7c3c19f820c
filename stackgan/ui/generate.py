"""The Generate tab and the /generate endpoint: a caption becomes a sketch, then a picture."""

# No `from __future__ import annotations` here: Gradio reads the annotations of `api` and `pick`.
from collections.abc import Iterator
from typing import NamedTuple

import gradio as gr

from stackgan.latents import EMPHASIS, MAX_EMPHASIS, MAX_TRUNCATION, seeds_from
from stackgan.ranking import BEST_OF, MAX_BEST_OF
from stackgan.ui import checks, drawing, examples
from stackgan.ui.controls import (
    chosen_epsilon,
    exchange_examples,
    hold_when_chosen,
    offer_examples,
)
from stackgan.ui.drawing import Drawing
from stackgan.ui.events import AT_ONCE, LAST_COUNTS, PRIVATE, endpoint, uses_model
from stackgan.ui.files import served
from stackgan.ui.generate_layout import (
    BEFORE_AFTER,
    CANNOT_RANK,
    MAX_SAMPLES,
    RANKS,
    SIDE_BY_SIDE,
    Layout,
    lay_out,
)
from stackgan.ui.generate_shown import Held, Shown, held, shown
from stackgan.ui.tab import Tab

MAX_DRAWN = 32  # pictures of one press, candidates that are not shown included
# Of two counts the one that was moved stays and the other gives way, down to what a press may draw.
GIVE_WAY = f"(moved, other) => Math.max(1, Math.min(other, Math.floor({MAX_DRAWN} / moved)))"


class Press(NamedTuple):
    """Values of the tab's controls, in the order in which its events have them."""

    caption: str
    seed: int
    hold: bool
    samples: int
    truncation: float
    mean: bool  # ε = 0
    epsilon_seed: int
    checkpoint: str
    best_of: int = 1
    emphasis: float = EMPHASIS


class Generate(Tab):
    """Handlers of the tab and its endpoint. Those of buttons take the values of a Press."""

    name = "Generate"

    def draw(self, *values) -> Iterator[Shown]:
        """One press of Generate: yields when Stage-I is there and with each batch of Stage-II.

        `hold` keeps `seed`; without it every press takes a fresh one. Of `samples` × `best_of`
        drawings the best `samples` are shown; the seeds run on from `seed`. A single winner's seed
        takes the place of one that was not held. Where nothing can rank, or there would be too many
        drawings, `best_of` gives way.
        """
        asked = Press(*values)
        seed = asked.seed if asked.hold else checks.fresh_seed()
        before = None
        with checks.errors_in_words():
            best_of = self._possible(asked.samples, asked.best_of, asked.checkpoint)
            press = asked._replace(seed=seed, hold=True, best_of=best_of)
            for drawn in self._drawings(
                press.caption,
                press.seed,
                press.samples,
                press.truncation,
                chosen_epsilon(press.mean, press.epsilon_seed),
                press.checkpoint,
                press.best_of,
                press.emphasis,
            ):
                yield shown(self.name, press._asdict(), drawn, before, settles=not asked.hold)
                before = drawn

    def resample_z(self, *values) -> Iterator[Shown]:
        """The same caption and ε with a fresh z; yields as `draw` does."""
        yield from self.draw(*Press(*values)._replace(hold=False))

    def resample_epsilon(self, *values) -> Iterator[Shown]:
        """The same caption and z with a fresh ε; yields as `draw` does."""
        fresh = checks.fresh_seed()
        # The best of several would be one of another z, and no answer.
        press = Press(*values)._replace(hold=True, mean=False, epsilon_seed=fresh, best_of=1)
        yield from self.draw(*press)

    def pick(self, drawn: Drawing | None, event: gr.SelectData) -> Held:
        """A click on a picture of the grid: it is shown large and its noise is held.

        From then on a press draws this noise alone, whatever the words.
        """
        with checks.errors_in_words():
            if drawn is None:
                raise ValueError("these pictures are no longer kept here: press Generate again")
            return held(self.name, self.values, drawn, event.index)

    def paths(self, drawn: Drawing | None) -> list[str]:
        """All sketches and pictures of the drawing, whichever of them is seen large."""
        return [*drawn.sketches, *drawn.pictures] if drawn else []

    def values(self, settings: dict) -> dict | None:
        """Control values that draw the picture of a PNG again; None for one of another tab."""
        own = {"caption", "seed", "epsilon_seed", "truncation", "checkpoint"}
        if (
            not own <= settings.keys() <= own | {"emphasis", "score", "stage"}
            or settings["seed"] is None
        ):
            return None
        epsilon_seed = settings["epsilon_seed"]
        return Press(
            caption=settings["caption"],
            seed=settings["seed"],
            hold=True,
            samples=1,
            truncation=settings["truncation"],
            mean=epsilon_seed is None,
            epsilon_seed=0 if epsilon_seed is None else epsilon_seed,
            checkpoint=settings["checkpoint"],
            emphasis=settings.get("emphasis", 1),
        )._asdict()

    def api(
        self,
        caption: str,
        seed: int | None = None,
        samples: int = 1,
        truncation: float = 1.0,
        epsilon_seed: int | None = None,
        checkpoint: str | None = None,
        best_of: int = 1,
        emphasis: float = EMPHASIS,
    ) -> tuple[list[gr.FileData], list[gr.FileData], list[dict]]:
        """Draw pictures of a caption with StackGAN: 64×64 sketches and 256×256 pictures.

        Args:
            caption: A sentence that describes the picture, at most 500 characters.
            seed: Seed of z, 0 to 4294967295; the drawings' seeds run on from it. A fresh one when null.
            samples: How many pictures, 1 to 16.
            truncation: Scale of z, 0 (typical) to 1.5 (varied).
            epsilon_seed: Seed of ε in Conditioning Augmentation; of several samples the seeds run on
                from it. Null holds ε at 0.
            checkpoint: Name of the checkpoint; the default one when null.
            best_of: Draw this many for each sample, 1 to 16 and at most 32 in all, and return those
                that look most like photographs and fit the caption, best first. Needs a checkpoint
                with a scorer.
            emphasis: How much the words count, 0 (not at all) to 2; 1 reads them as they are.

        Returns:
            Stage-I sketches, PNG files with their settings inside.
            Stage-II pictures, PNG files; empty for a checkpoint of one stage.
            Settings that reproduce each picture, with its score where best_of is above 1.
        """
        with checks.errors_in_words():
            seed = checks.fresh_seed() if seed is None else seed
            *_, last = self._drawings(
                caption, seed, samples, truncation, epsilon_seed, checkpoint, best_of, emphasis
            )
        files = ([served(p) for p in paths] for paths in (last.sketches, last.pictures))
        return *files, last.settings

    def _possible(self, samples, best_of, checkpoint) -> int:
        """`best_of`, or the most that the checkpoint and the number of samples allow."""
        samples = checks.whole(samples, "the number of samples", 1, MAX_SAMPLES)
        best_of = checks.whole(best_of, "best of", 1, MAX_BEST_OF)
        ranks = self.checkpoints.pipeline(checkpoint).can_rank
        return min(best_of, MAX_DRAWN // samples) if ranks else 1

    def _drawings(
        self, caption, seed, samples, truncation, epsilon_seed, checkpoint, best_of, emphasis
    ) -> Iterator[Drawing]:
        """What is asked for, checked, then drawn."""
        samples = checks.whole(samples, "the number of samples", 1, MAX_SAMPLES)
        best_of = checks.whole(best_of, "best of", 1, MAX_BEST_OF)
        count = samples * best_of
        if count > MAX_DRAWN:
            raise ValueError(
                f"{samples} samples, each the best of {best_of}, are {count} drawings, and "
                f"{MAX_DRAWN} are the limit: choose fewer of either"
            )
        truncation = checks.number(truncation, "truncation", 0, MAX_TRUNCATION)
        emphasis = checks.number(emphasis, "emphasis", 0, MAX_EMPHASIS)
        seeds = seeds_from(checks.seed(seed), count)
        epsilon_seeds = None
        if epsilon_seed is not None:
            epsilon_seeds = seeds_from(checks.seed(epsilon_seed, "the ε seed"), count)
            if samples == 1:  # candidates differ in z alone
                epsilon_seeds = epsilon_seeds[:1] * count
        pipeline = self.checkpoints.pipeline(checkpoint)
        request = drawing.Request(caption, seeds, epsilon_seeds, truncation, emphasis, samples)
        yield from drawing.draw(pipeline, request)

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        layout = lay_out(examples.captions(self.checkpoints.names[0]))
        self.controls = {
            name: chooser if name == "checkpoint" else getattr(layout, name)
            for name in Press._fields
        }
        self.record = layout.record
        self.pictures = [layout.drawn]
        self.draws = {
            **uses_model(self.draw),
            "inputs": list(self.controls.values()),
            "outputs": [getattr(layout, name) for name in Shown._fields],
            # Progress lies over Stage-II alone: the sketch is seen while the picture is drawn.
            "show_progress_on": [layout.picture, layout.before_after],
            "trigger_mode": LAST_COUNTS,
            **PRIVATE,
        }
        boxes = [layout.caption, layout.seed, layout.epsilon_seed]
        gr.on([layout.generate.click, *(box.submit for box in boxes)], **self.draws)
        layout.resample_z.click(**{**self.draws, **uses_model(self.resample_z)})
        layout.resample_epsilon.click(**{**self.draws, **uses_model(self.resample_epsilon)})
        picked = layout.examples.click(
            lambda row: row[0], layout.examples, layout.caption, **AT_ONCE
        )
        self.draw_after(picked)
        self._connect_views(layout)
        self._connect_choices(layout, chooser)
        endpoint(self.api, "generate")

    def _connect_views(self, layout: Layout) -> None:
        """Which picture is seen large, and how; none of it needs the model."""
        changed = [getattr(layout, name) for name in Held._fields]
        # Through the queue, because only there an error's words reach the page.
        layout.grid.select(self.pick, layout.drawn, changed, show_progress="hidden", **PRIVATE)
        layout.view.change(_seen, layout.view, [layout.stages, layout.slider_view], **AT_ONCE)
        # The line of the ImageSlider is dragged; this moves it by keyboard too.
        layout.divide.input(
            None,
            layout.divide,
            layout.before_after,
            js="(place) => ({ __type__: 'update', slider_position: place })",
            trigger_mode=LAST_COUNTS,
        )

    def _connect_choices(self, layout: Layout, chooser: gr.Dropdown) -> None:
        """Controls that move other controls."""
        hold_when_chosen(layout.seed, layout.dice, layout.hold)
        # A noise that is held leaves nothing to choose from.
        layout.hold.input(
            None,
            [layout.hold, layout.samples],
            layout.best_of,
            js=f"(held, samples) => held ? 1 : Math.min({BEST_OF}, Math.floor({MAX_DRAWN} / samples))",
        )
        gr.on([layout.seed.input, layout.dice.click], None, None, layout.best_of, js="() => 1")
        layout.samples.input(None, [layout.samples, layout.best_of], layout.best_of, js=GIVE_WAY)
        layout.best_of.input(None, [layout.best_of, layout.samples], layout.samples, js=GIVE_WAY)
        offer_examples(chooser, layout.examples, examples.captions)
        self.exchanges = exchange_examples(
            chooser, [layout.caption], lambda name: [examples.first(examples.captions(name))]
        )
        # Without triggers: when the page is opened, and when another checkpoint is chosen.
        gr.on(None, self.offer, chooser, layout.best_of, queue=False, **PRIVATE)

    def offer(self, checkpoint) -> gr.Slider:
        """`offer_ranking`, at once; only a checkpoint that is yet to be loaded is computing."""
        if self.checkpoints.is_loaded(checkpoint):
            return self.offer_ranking(checkpoint)
        return uses_model(self.offer_ranking)["fn"](checkpoint)

    def offer_ranking(self, checkpoint) -> gr.Slider:
        """Best of, for a checkpoint that can rank; switched off, with the reason, for another."""
        with checks.errors_in_words():
            if self.checkpoints.pipeline(checkpoint).can_rank:
                return gr.Slider(interactive=True, info=RANKS)
        return gr.Slider(interactive=False, info=CANNOT_RANK)


def _seen(view: str) -> tuple:
    return gr.Row(visible=view == SIDE_BY_SIDE), gr.Column(visible=view == BEFORE_AFTER)
