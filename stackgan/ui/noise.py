"""The Noise tab and the /noise endpoint: a walk in z around a held point, and ε alone."""

# No `from __future__ import annotations` here: gr.api reads the annotations of `api`.
import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image
from torch import Tensor

from stackgan.images import to_pictures, with_settings
from stackgan.latents import EMPHASIS
from stackgan.pipeline import Inputs
from stackgan.ui import checks, examples, places
from stackgan.ui.controls import ROLL, chosen_epsilon, exchange_examples, used
from stackgan.ui.events import AT_ONCE, LAST_COUNTS, PRIVATE, endpoint, uses_model
from stackgan.ui.files import new_folder, served, write_pngs
from stackgan.ui.noise_layout import EPSILONS, MAP, Layout, lay_out
from stackgan.ui.places import UNLOCKED, Place
from stackgan.ui.tab import Tab, result_record

# Where the mark stands on the map, for style.css.
MARK = """(x, y) => {
    document.documentElement.style.setProperty("--noise-x", x);
    document.documentElement.style.setProperty("--noise-y", y);
}"""

CAN_GO_BACK = f"""(locked) => (
    {{ __type__: "update", interactive: locked !== "{UNLOCKED}" }}
)"""


class Shown(NamedTuple):
    """What a drawing changes on the page, in the order of the event's outputs."""

    sketch: Any
    picture: Any
    map: Any  # files and places of sketches around the centre
    epsilons: Any  # pictures and words of the row of ε
    report: Any  # HTML
    begun: Any  # the controls' values, by name
    record: Any  # only when all is drawn


class Noise(Tab):
    """Handlers of the tab, plain functions of what the visitor set, and its layout (`build`).

    Their parameters are the controls in the order of CONTROLS: `seed` of the z that the walk begins
    at; `locked`, the steps from there to the centre of the map, as JSON; `directions`, `x`, `y` and
    `radius` of the step from the centre (see latents.Step); `mean` is ε = 0.
    """

    name = "Noise"
    sliders = ("x", "y")
    CONTROLS = (
        "caption",
        "seed",
        "locked",
        "directions",
        "x",
        "y",
        "radius",
        "truncation",
        "mean",
        "epsilon_seed",
        "checkpoint",
        "emphasis",
    )

    def draw(self, *controls) -> Iterator[Shown]:
        """The place, the map around the centre and the row of ε.

        Yields when the sketches are there, when the picture is, and when the row is.
        """
        yield from self._views(controls, with_map=True)

    def arrive(self, *controls_and_begun) -> Iterator[Shown]:
        """Another place on the map that is shown; yields are those of `draw`.

        Last comes `begun` of the drawing before: where anything but the place is set otherwise by
        now (a caption was typed and nothing pressed), the map is drawn again too; where nothing is
        (a slider's box was entered and left), nothing is drawn.
        """
        *controls, begun = controls_and_begun
        begun = begun or {}
        asked = dict(zip(self.CONTROLS, controls, strict=True))
        if asked == begun:
            yield Shown(*[gr.skip()] * len(Shown._fields))
            return
        elsewhere = [name for name in asked if asked[name] != begun.get(name)]
        yield from self._views(tuple(controls), with_map=not set(elsewhere) <= set(self.sliders))

    def move(self, *controls) -> Image.Image | dict:
        """While a slider moves: the sketch there, no file, since the next one follows at once.

        Its number box may be empty while somebody types: then nothing changes.
        """
        given = dict(zip(self.CONTROLS, controls, strict=True))
        if None in (given["x"], given["y"], given["radius"]):
            return gr.skip()
        with checks.errors_in_words():
            place = self._place(*controls)
            inputs = place.inputs()
            [sketch] = to_pictures(place.pipeline.sketch(inputs))
            # Gradio writes them into its PNG: where the slider stops, this one is downloaded.
            return with_settings(sketch, {**inputs.settings[0], "stage": 1})

    def lock(self, *controls) -> tuple[str, float, float]:
        """Make this place the centre of the map: (locked, x, y)."""
        with checks.errors_in_words():
            place = self._place(*controls)
            if not place.degrees:
                raise ValueError("this is the centre already: move away from it first")
            moved = replace(place, locked=[*place.locked, place.step])
        return places.to_text(moved.locked), 0, 0

    def go_back(self, locked) -> tuple[str, int, float, float, float]:
        """Undo a lock: (locked, directions, x, y, radius), as they were before it."""
        with checks.errors_in_words():
            steps = places.from_text(locked)
            if not steps:
                raise ValueError("nothing is locked")
            *steps, last = steps
        return places.to_text(steps), last.directions, last.x, last.y, last.radius

    def api(
        self,
        caption: str,
        seed: int | None = None,
        directions: int = 0,
        x: float = 0.0,
        y: float = 0.0,
        radius: float = 45.0,
        locked: list[list[float]] | None = None,
        truncation: float = 1.0,
        epsilon_seed: int | None = None,
        checkpoint: str | None = None,
        emphasis: float = EMPHASIS,
    ) -> tuple[gr.FileData, gr.FileData | None, dict]:
        """Draw a caption at a place beside a seed's noise z with StackGAN, |z| being kept.

        Args:
            caption: A sentence that describes the picture, at most 500 characters.
            seed: Seed of the z that the walk begins at, 0 to 4294967295. A fresh one when null.
            directions: Seed of two random directions at right angles to z and to each other.
            x: How far along the first, -1 to 1.
            y: How far along the second, -1 to 1.
            radius: Degrees that x = 1 turns z by, 0 to 90.
            locked: Steps before this one, up to 16 of [directions, x, y, radius].
            truncation: Scale of z, 0 (typical) to 1.5 (varied).
            epsilon_seed: Seed of ε in Conditioning Augmentation; null holds ε at 0.
            checkpoint: Name of the checkpoint; the default one when null.
            emphasis: How much the words count, 0 (not at all) to 2; 1 reads them as they are.

        Returns:
            Stage-I sketch, a PNG file with its settings inside.
            Stage-II picture, a PNG file; null for a checkpoint of one stage.
            Settings that reproduce both.
        """
        with checks.errors_in_words():
            place = Place(
                self.checkpoints.pipeline(checkpoint),
                caption,
                checks.fresh_seed() if seed is None else checks.seed(seed),
                places.steps([] if locked is None else locked),
                places.step(directions, x, y, radius),
                truncation,
                epsilon_seed,
                emphasis,
            )
            inputs, folder = place.inputs(), new_folder()
            sketch = place.pipeline.sketch(inputs)
            files = [served(_written(sketch, inputs, 1, folder)[0]), None]
            if place.pipeline.config.stages == 2:
                picture = place.pipeline.refine(sketch, inputs)
                files[1] = served(_written(picture, inputs, 2, folder)[0])
        return *files, inputs.settings[0]

    def _place(
        self,
        caption,
        seed,
        locked,
        directions,
        x,
        y,
        radius,
        truncation,
        mean,
        epsilon_seed,
        checkpoint,
        emphasis,
    ) -> Place:
        return Place(
            self.checkpoints.pipeline(checkpoint),
            caption,
            checks.seed(seed),
            places.from_text(locked),
            places.step(directions, x, y, radius),
            truncation,
            chosen_epsilon(mean, epsilon_seed),
            emphasis,
        )

    def _views(self, controls: tuple, with_map: bool) -> Iterator[Shown]:
        with checks.errors_in_words():
            place = self._place(*controls)
            pipeline, inputs, folder = place.pipeline, place.inputs(), new_folder()
            two_stages = pipeline.config.stages == 2
            report = _report(place, inputs)

            sketch = images = pipeline.sketch(inputs)
            path = _written(sketch, inputs, 1, folder)[0]
            around = gr.skip()
            if with_map:
                around_inputs = place.inputs_at(MAP)
                files = _written(pipeline.sketch(around_inputs), around_inputs, 1, folder, "map")
                around = [
                    (file, f"Sketch at {x:g}, {y:g}")
                    for file, (x, y) in zip(files, MAP, strict=True)
                ]
            # Nothing of another map stays, but a picture of this one does until the next is there.
            old = None if with_map else gr.skip()
            begun = dict(zip(self.CONTROLS, controls, strict=True))
            yield Shown(path, old, around, old, report, begun, gr.skip())

            picture = None
            if two_stages:
                images = pipeline.refine(sketch, inputs)
                picture = _written(images, inputs, 2, folder)[0]
                yield Shown(path, picture, gr.skip(), gr.skip(), report, begun, gr.skip())

            row = place.inputs_under(EPSILONS)
            drawn = pipeline.refine(pipeline.sketch(row), row)
            files = _written(drawn, row, pipeline.config.stages, folder, "epsilon")
            texts = ["ε = 0" if seed is None else f"ε seed {seed}" for seed in EPSILONS]
            values = {**begun, "checkpoint": pipeline.name}
            record = result_record(self.name, place.caption, values, to_pictures(images)[0])
            epsilons = list(zip(files, texts, strict=True))
            yield Shown(path, picture, gr.skip(), epsilons, report, begun, record)

    def values(self, settings: dict) -> dict | None:
        """Control values that draw again what a picture's `settings` describe."""
        needed = {"caption", "seed", "steps", "truncation", "epsilon_seed", "checkpoint"}
        if not needed <= settings.keys():
            return None
        *locked, step = places.steps(settings["steps"], places.MAX_LOCKED + 1)
        epsilon_seed = settings["epsilon_seed"]
        return {
            "caption": settings["caption"],
            "seed": settings["seed"],
            "locked": places.to_text(locked),
            "directions": step.directions,
            "x": step.x,
            "y": step.y,
            "radius": step.radius,
            "truncation": settings["truncation"],
            "mean": epsilon_seed is None,
            "epsilon_seed": epsilon_seed or 0,
            "checkpoint": settings["checkpoint"],
            "emphasis": settings.get("emphasis", 1),
        }

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        offered = examples.captions(self.checkpoints.names[0])
        layout = lay_out(examples.first(offered))
        self.record = layout.record
        self.controls = {
            name: chooser if name == "checkpoint" else getattr(layout, name)
            for name in self.CONTROLS
        }
        self.pictures = [layout.sketch, layout.picture]
        self.draws = {
            **uses_model(self.draw),
            "inputs": list(self.controls.values()),
            "outputs": [getattr(layout, name) for name in Shown._fields],
            # Progress lies over Stage-II alone, so that the sketch is seen while it draws.
            "show_progress_on": layout.picture,
            "trigger_mode": LAST_COUNTS,
            **PRIVATE,
        }
        self._connect(layout)
        self.exchanges = exchange_examples(
            chooser, [layout.caption], lambda name: [examples.first(examples.captions(name))]
        )
        endpoint(self.api, "noise")

    def _connect(self, layout: Layout) -> None:
        inputs = self.draws["inputs"]
        boxes = [layout.caption, layout.directions, layout.seed, layout.epsilon_seed]
        starts = [layout.go.click, layout.mean.input, *(box.submit for box in boxes)]
        gr.on(starts, **self.draws)
        sliders = [layout.x, layout.y]
        gr.on(
            [slider.input for slider in (*sliders, layout.radius)],
            **uses_model(self.move),
            inputs=inputs,
            outputs=layout.sketch,
            preprocess=False,  # which refuses a box that is empty for a moment, with a traceback
            trigger_mode=LAST_COUNTS,
            show_progress="hidden",
            **PRIVATE,
        )
        # On the way, the last picture is seen until the next one is there.
        arriving = {
            **self.draws,
            **uses_model(self.arrive),
            # As the server last began it: between a release and its pictures the record is older.
            "inputs": [*inputs, layout.begun],
            "show_progress": "minimal",
        }
        # Gradio's sliders also tell of a release where somebody only passes through their boxes.
        gr.on(
            [s.release for s in (*sliders, layout.radius, layout.truncation, layout.emphasis)],
            **arriving,
        )
        layout.map.select(_place_on_map, None, sliders, **AT_ONCE).then(**arriving)
        self.draw_after(
            layout.epsilons.select(
                _epsilon_in_row, None, [layout.mean, layout.epsilon_seed], **AT_ONCE
            )
        )
        locked = layout.lock.click(self.lock, inputs, [layout.locked, *sliders], **PRIVATE)
        locked.success(**self.draws)
        before = [layout.locked, layout.directions, *sliders, layout.radius]
        layout.back.click(self.go_back, layout.locked, before, **PRIVATE).success(**self.draws)
        # Told by the steps themselves: a drawing on its way may be of steps given up since.
        layout.locked.change(None, layout.locked, layout.back, js=CAN_GO_BACK)
        # Another seed is another walk, with nothing to go back to.
        start = [layout.locked, *sliders]
        at_start = f"'{UNLOCKED}', 0, 0"
        layout.seed.input(None, None, start, js=f"() => [{at_start}]")
        rolled = layout.seed_dice.click(
            None, None, [layout.seed, *start], js=f"() => [{ROLL}, {at_start}]"
        )
        self.draw_after(rolled)
        self.draw_after(
            layout.directions_dice.click(None, None, layout.directions, js=f"() => {ROLL}")
        )
        gr.on(
            [layout.x.change, layout.y.change, layout.record.change],
            None,
            sliders,
            None,
            js=MARK,
        )


def _place_on_map(event: gr.SelectData) -> tuple[float, float]:
    return MAP[event.index]


def _epsilon_in_row(event: gr.SelectData) -> tuple[bool, int]:
    seed = EPSILONS[event.index]
    return seed is None, seed or 0


def _written(
    images: Tensor, inputs: Inputs, stage: int, folder: Path, what: str = "noise"
) -> list[str]:
    names = [f"{what}-{i:02d}-stage{stage}.png" for i in range(len(inputs))]
    return write_pngs(images, folder, names, inputs.settings, stage)


def _report(place: Place, inputs: Inputs) -> str:
    locked = len(place.locked)
    words = [
        *([f"{locked} step{'s' * (locked > 1)} locked"] if locked else []),
        f"turned by {place.degrees:.0f}° from the centre",
        f"|z| = {inputs.noise.z[0].norm():.2f}",
        *used(inputs.settings[0]),
    ]
    return f"<p>“{html.escape(inputs.captions[0])}”</p><p>{' · '.join(words)}</p>"
