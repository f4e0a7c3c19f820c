"""The endpoints /interpolate and /animate: the way through two to five captions."""

# No `from __future__ import annotations` here: gr.api reads the annotations.
from concurrent.futures import ThreadPoolExecutor

import gradio as gr

from stackgan.latents import EMPHASIS
from stackgan.ui import checks
from stackgan.ui import travel as travels
from stackgan.ui.checkpoints import Checkpoints
from stackgan.ui.events import endpoint, stop_if_nobody_waits
from stackgan.ui.files import served
from stackgan.ui.travel import Travel


class Endpoints:
    """Functions of what clients send; their docstrings are what clients read."""

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def offer(self) -> None:
        """Make them endpoints of the page that is being built."""
        endpoint(self.interpolate, "interpolate")
        endpoint(self.animate, "animate")

    def interpolate(
        self,
        first: str,
        second: str,
        frames: int = 9,
        seed: int | None = None,
        spherical: bool = False,
        checkpoint: str | None = None,
        more: list[str] | None = None,
        end_seed: int | None = None,
        truncation: float = 1.0,
        emphasis: float = EMPHASIS,
    ) -> tuple[
        list[gr.FileData], list[gr.FileData], gr.FileData, gr.FileData, gr.FileData, list[dict]
    ]:
        """Draw the way from one caption to another with StackGAN, or on through up to five.

        Args:
            first: The caption at the beginning, at most 500 characters.
            second: The caption at the end, at most 500 characters.
            frames: How many pictures on the way, 2 to 60; each caption has one exactly on it.
            seed: Seed of z for all of them, 0 to 4294967295; null is z = 0 as in the paper.
            spherical: Along the arc between the two embeddings instead of the straight line.
            checkpoint: Name of the checkpoint; the default one when null.
            more: Up to three captions to go on through after the second.
            end_seed: z travels along the arc from seed to this one's; null holds it.
            truncation: Scale of z, 0 (typical) to 1.5 (varied).
            emphasis: How much the words count, 0 (not at all) to 2; 1 reads them as they are.

        Returns:
            Stage-I frames, PNG files with their settings inside.
            Stage-II frames, PNG files; empty for a checkpoint of one stage.
            Film strip, a PNG file of nine of the frames at most.
            Animated GIF.
            Animated WebP.
            Settings that reproduce each frame.
        """
        with checks.errors_in_words():
            captions = [first, second, *_listed(more, "more")]
            travel = self._travel(
                captions, frames, seed, end_seed, spherical, truncation, checkpoint, emphasis
            )
            stop_if_nobody_waits()  # writing a film takes as long as drawing its frames
            with ThreadPoolExecutor() as pool:  # Pillow writes them without Python's lock
                films = list(pool.map(lambda ending: travels.film(travel, ending), ("gif", "webp")))
        lists = ([served(p) for p in paths] for paths in (travel.sketches, travel.pictures))
        files = (served(path) for path in (travel.strip, *films))
        return *lists, *files, travel.settings

    def animate(
        self,
        captions: list[str],
        format: str = "mp4",
        frames: int = 33,
        seconds: float = 3.0,
        back: bool = True,
        stage: int = 2,
        seed: int | None = None,
        end_seed: int | None = None,
        spherical: bool = False,
        truncation: float = 1.0,
        checkpoint: str | None = None,
        emphasis: float = EMPHASIS,
    ) -> gr.FileData:
        """Make a film of the way through two to five captions with StackGAN.

        Args:
            captions: Two to five captions in the order of the way, at most 500 characters each.
            format: mp4, webp or gif.
            frames: How many pictures on the way, 2 to 60.
            seconds: Time from the first caption to the last, 1 to 20.
            back: Play there and back, instead of beginning again at the end.
            stage: 2 for the pictures, 1 for the sketches, enlarged.
            seed: Seed of z for all of them, 0 to 4294967295; null is z = 0 as in the paper.
            end_seed: z travels along the arc from seed to this one's; null holds it.
            spherical: Along the arc between the embeddings instead of the straight line.
            truncation: Scale of z, 0 (typical) to 1.5 (varied).
            checkpoint: Name of the checkpoint; the default one when null.
            emphasis: How much the words count, 0 (not at all) to 2; 1 reads them as they are.

        Returns:
            The film.
        """
        with checks.errors_in_words():
            captions = _listed(captions, "captions")
            travels.checked_film(format, stage, back, seconds)  # before anything is drawn
            travel = self._travel(
                captions, frames, seed, end_seed, spherical, truncation, checkpoint, emphasis
            )
            stop_if_nobody_waits()
            return served(travels.film(travel, format, stage, back, seconds))

    def _travel(
        self, captions, frames, seed, end_seed, spherical, truncation, checkpoint, emphasis
    ) -> Travel:
        route = travels.checked_route(
            captions, frames, seed, end_seed, spherical, truncation, emphasis
        )
        *_, travel = travels.draw(self.checkpoints.pipeline(checkpoint), route)
        return travel


def _listed(captions: object, what: str) -> list:
    if not isinstance(captions, list | None):
        raise ValueError(f"{what} is a list of captions")
    return captions or []
