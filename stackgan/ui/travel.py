"""From a route through sentences to files: frames of both stages, the film strip, films."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from stackgan.images import (
    ANIMATIONS,
    can_write_mp4,
    grid,
    save_animation,
    save_png,
    stages_grid,
)
from stackgan.latents import EMPHASIS, MAX_EMPHASIS, MAX_TRUNCATION
from stackgan.messages import echoed
from stackgan.paths import MAX_SENTENCES
from stackgan.pipeline import Inputs, Pipeline
from stackgan.ui import checks
from stackgan.ui.files import new_folder, plain_words, write_pngs

STRIP_FRAMES = 9  # about a row of the paper's Fig. 8, and every sentence of a path falls on one
FILM_FRAMES = 60  # at most
MAX_SECONDS = 20
FILM_SIDE = 256  # pixels; sketches are enlarged, so that films of both stages compare

GONE = "these frames are no longer kept here: press Interpolate again"


@dataclass(frozen=True)
class Route:
    """What a visitor asked for; see Pipeline.prepare_path."""

    captions: list[str]
    frames: int
    seed: int | list[int] | None
    spherical: bool
    truncation: float
    emphasis: float = EMPHASIS

    def inputs(self, pipeline: Pipeline, at: list[float] | None = None) -> Inputs:
        """Inputs of its frames, or of those at some positions. Raises ValueError in words."""
        inputs = pipeline.prepare_path(
            self.captions,
            self.frames,
            seed=self.seed,
            spherical=self.spherical,
            truncation=self.truncation,
            emphasis=self.emphasis,
            at=at,
        )
        # Any one frame of the path brings the whole of it back.
        return replace(inputs, settings=[{**s, "frames": self.frames} for s in inputs.settings])


def checked_route(
    captions, frames, seed, end_seed, spherical, truncation, emphasis=EMPHASIS
) -> Route:
    """What a client sent, checked. Raises ValueError in words."""
    # Each sentence has a frame of its own; too many sentences are refused as such, later.
    fewest = min(max(2, len(captions)), MAX_SENTENCES) if isinstance(captions, list) else 2
    frames = checks.whole(frames, "the number of frames", fewest, FILM_FRAMES)
    if seed is not None:
        seed = checks.seed(seed)
    if end_seed is not None:
        if seed is None:
            raise ValueError("a seed at the end needs a seed to begin with")
        seed = [seed, checks.seed(end_seed, "the seed at the end")]
    if not isinstance(spherical, bool):
        raise ValueError("spherical is true or false")
    truncation = checks.number(truncation, "truncation", 0, MAX_TRUNCATION)
    emphasis = checks.number(emphasis, "emphasis", 0, MAX_EMPHASIS)
    return Route(captions, frames, seed, spherical, truncation, emphasis)


@dataclass(frozen=True)
class Travel:
    """What exists so far of a route's pictures."""

    route: Route
    checkpoint: str
    settings: list[dict]  # one a frame
    sketches: list[str]  # N paths of PNGs
    pictures: tuple[str, ...] = ()  # N paths, or none yet; none at all of a model of one stage
    strip: str | None = None  # path of the film strip when all is done


def draw(
    pipeline: Pipeline, route: Route, tell: Callable[[int, int], None] | None = None
) -> Iterator[Travel]:
    """Yields with all sketches, with all pictures, and with the film strip.

    `tell` is called with Stage-II's frames done and in all. Raises ValueError in words.
    """
    inputs = route.inputs(pipeline)
    folder = new_folder()

    def written(images: Tensor, stage: int) -> list[str]:
        names = [f"frame-{i:02d}-stage{stage}.png" for i in range(len(inputs))]
        return write_pngs(images, folder, names, inputs.settings, stage)

    sketches = images = pipeline.sketch(inputs)
    travel = Travel(route, pipeline.name, inputs.settings, written(sketches, 1))
    yield travel
    if pipeline.config.stages == 2:
        images = pipeline.refine(sketches, inputs, tell)
        travel = replace(travel, pictures=tuple(written(images, 2)))
        yield travel

    shown = strip_frames(travel)
    sketches, images = sketches[shown], images[shown]
    picture = (
        stages_grid(sketches, images, len(shown)) if travel.pictures else grid(images, len(shown))
    )
    settings = {k: v for k, v in inputs.settings[0].items() if k != "position"}
    strip = str(folder / f"{_from_to(route)}-strip.png")
    save_png(picture, strip, settings)
    yield replace(travel, strip=strip)


def draw_between(pipeline: Pipeline, travel: Travel, position: float) -> list[str]:
    """Paths of the sketch and, of two stages, of the picture exactly there, 0 to 1."""
    inputs = travel.route.inputs(pipeline, [position])
    folder = new_folder()
    sketch = pipeline.sketch(inputs)
    paths = write_pngs(sketch, folder, ["between-stage1.png"], inputs.settings, 1)
    if pipeline.config.stages == 2:
        picture = pipeline.refine(sketch, inputs)
        paths += write_pngs(picture, folder, ["between-stage2.png"], inputs.settings, 2)
    return paths


def strip_frames(travel: Travel) -> list[int]:
    """Frames evenly along the way, as many as fit on a strip, each sentence's among them."""
    stretches = len(travel.route.captions) - 1
    most = min(STRIP_FRAMES, len(travel.settings)) - 1
    steps = most - most % stretches
    positions = [settings["position"] for settings in travel.settings]
    return [
        min(range(len(positions)), key=lambda frame: abs(positions[frame] - i / steps))
        for i in range(steps + 1)
    ]


def film_endings() -> list[str]:
    """The kinds of film that can be written here: gif, webp and, if its encoder is there, mp4."""
    return [end[1:] for end in ANIMATIONS if end != ".mp4" or can_write_mp4()]


def checked_film(
    ending: object, stage: object, bounce: object, seconds: object
) -> tuple[int, bool, float]:
    """(stage, bounce, seconds) of a film as a client asked for it. Raises ValueError in words."""
    if ending not in film_endings():
        raise ValueError(f"a film is one of {', '.join(film_endings())}, not {echoed(ending)}")
    stage = checks.whole(stage, "the stage", 1, 2)
    if not isinstance(bounce, bool):
        raise ValueError(f"back is true or false, not {echoed(bounce)}")
    return stage, bounce, checks.number(seconds, "the number of seconds", 1, MAX_SECONDS)


def film(
    travel: Travel, ending: str, stage: int = 2, bounce: bool = True, seconds: float = 3.0
) -> str:
    """Path of a film of the frames, written beside them; see images.save_animation.

    Raises ValueError in words for what cannot be, and where the frames are gone.
    """
    stage, bounce, seconds = checked_film(ending, stage, bounce, seconds)
    if not travel.pictures:  # of a model of one stage
        stage = 1
    paths = travel.pictures if stage == 2 else travel.sketches
    path = Path(paths[0]).with_name(f"{_from_to(travel.route)}-stage{stage}.{ending}")
    try:
        frames = [Image.open(frame).convert("RGB") for frame in paths]
    except FileNotFoundError as error:
        raise ValueError(GONE) from error
    enlarged = [frame.resize((FILM_SIDE,) * 2, Image.Resampling.NEAREST) for frame in frames]
    save_animation(enlarged, path, seconds, bounce)
    return str(path)


def _from_to(route: Route) -> str:
    """What downloads are called: the first sentence's words and the last one's."""
    return "-to-".join(plain_words(route.captions[i], 40) for i in (0, -1))
