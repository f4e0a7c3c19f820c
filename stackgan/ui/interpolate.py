"""The Interpolate tab and the /interpolate endpoint: the way from one sentence to another.

All frames are drawn once; the slider then moves between them in the browser alone.
"""

# No `from __future__ import annotations` here: gr.api reads the annotations of `api`.
import html
from collections.abc import Iterator
from dataclasses import dataclass, replace

import gradio as gr
import torch
from torch import Tensor

from stackgan.images import grid, save_animation, save_png, stages_grid, to_pictures
from stackgan.ui import checks, examples
from stackgan.ui.checkpoints import Checkpoints
from stackgan.ui.events import ONE_AT_A_TIME, PRIVATE, download
from stackgan.ui.files import new_folder, write_pngs

MAX_FRAMES = 60
STRIP_FRAMES = 8  # as many as a row of the paper's Fig. 8

# From the slider's position (0 to 1) and both lists of frames to the two frames shown there.
SHOW_FRAMES = """(position, sketches, pictures) =>
    [sketches, pictures].map((frames) =>
        frames?.length ? frames[Math.round(position * (frames.length - 1))].image : null)"""
# The same when frames arrive, which the browser then fetches once and keeps.
KEEP_AND_SHOW_FRAMES = f"""(position, sketches, pictures) => {{
    window.stackganFrames = [...(sketches ?? []), ...(pictures ?? [])].map((frame) =>
        Object.assign(new Image(), {{ src: frame.image.url }}));
    return ({SHOW_FRAMES})(position, sketches, pictures);
}}"""


@dataclass(frozen=True)
class Travel:
    """What exists so far of the way between two captions."""

    report: str  # HTML
    settings: list[dict]  # one a frame
    sketches: list[str]  # N paths of PNGs
    pictures: list[str] = ()  # N paths, or none yet
    strip: str | None = None  # paths of the film strip and the animations, or not yet
    gif: str | None = None
    webp: str | None = None


class Interpolate:
    """Handlers of the tab, plain functions of what the visitor set, and its layout (`build`)."""

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def draw(
        self,
        first,
        second,
        frames,
        zero,
        seed,
        spherical,
        checkpoint,
        progress=gr.Progress(),  # noqa: B008 - how Gradio hands it over
    ) -> Iterator[tuple]:
        """One press: yields with all sketches, with all pictures, and with the files made of them.

        `zero` is z = 0 as in the paper, `seed` is ignored then. Yields (sketches, pictures, strip,
        gif, webp, report).
        """
        with checks.errors_in_words():
            if not zero and seed is None:
                raise ValueError("with z drawn at random the seed must not be empty")
            chosen = None if zero else seed
            for travel in self._travel(
                first, second, frames, chosen, spherical, checkpoint, progress
            ):
                yield (
                    travel.sketches,
                    list(travel.pictures),
                    travel.strip,
                    *map(download, (travel.strip, travel.gif, travel.webp)),
                    travel.report,
                )

    def api(
        self,
        first: str,
        second: str,
        frames: int = 9,
        seed: int | None = None,
        spherical: bool = False,
        checkpoint: str | None = None,
    ) -> tuple[
        list[gr.FileData], list[gr.FileData], gr.FileData, gr.FileData, gr.FileData, list[dict]
    ]:
        """Draw the way from one caption to another with StackGAN, both ends included.

        Args:
            first: The caption at the beginning, at most 500 characters.
            second: The caption at the end, at most 500 characters.
            frames: How many pictures on the way, 2 to 60.
            seed: Seed of z for all of them, 0 to 4294967295; null is z = 0 as in the paper.
            spherical: Along the arc between the two embeddings instead of the straight line.
            checkpoint: Name of the checkpoint; the default one when null.

        Returns:
            Stage-I frames, PNG files with their settings inside.
            Stage-II frames, PNG files; empty for a checkpoint of one stage.
            Film strip, a PNG file of eight of the frames at most.
            Animated GIF.
            Animated WebP.
            Settings that reproduce each frame.
        """
        with checks.errors_in_words():
            *_, last = self._travel(first, second, frames, seed, spherical, checkpoint)
        lists = ([gr.FileData(path=p) for p in paths] for paths in (last.sketches, last.pictures))
        files = (gr.FileData(path=path) for path in (last.strip, last.gif, last.webp))
        return *lists, *files, last.settings

    def _travel(
        self, first, second, frames, seed, spherical, checkpoint, progress=None
    ) -> Iterator[Travel]:
        count = checks.whole(frames, "the number of frames", 2, MAX_FRAMES)
        if seed is not None:
            seed = checks.seed(seed)
        if not isinstance(spherical, bool):
            raise ValueError("spherical is true or false")
        pipeline = self.checkpoints.pipeline(checkpoint)
        inputs = pipeline.prepare_path([first, second], count, seed=seed, spherical=spherical)
        folder = new_folder()

        def written(images: Tensor, stage: int) -> list[str]:
            names = [f"frame-{i:02d}-stage{stage}.png" for i in range(count)]
            return write_pngs(images, folder, names, inputs.settings, stage)

        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress((done, total), desc="Stage-II", unit="frames")

        sketches = images = pipeline.sketch(inputs)
        travel = Travel(_report(inputs.settings), inputs.settings, written(sketches, 1))
        yield travel
        if pipeline.config.stages == 2:
            images = pipeline.refine(sketches, inputs, tell)
            travel = replace(travel, pictures=written(images, 2))
            yield travel

        record = {**inputs.settings[0], "frames": count}
        del record["position"]
        strip, gif, webp = (str(folder / f"interpolation.{end}") for end in ("png", "gif", "webp"))
        save_png(_strip(sketches, images), strip, record)
        pictures = to_pictures(images)
        save_animation(pictures, gif)
        save_animation(pictures, webp)
        yield replace(travel, strip=strip, gif=gif, webp=webp)

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        offered = examples.pairs(self.checkpoints.names[0])
        ends = offered[0] if offered else ("", "")
        with gr.Row(equal_height=True):
            first = gr.Textbox(
                label="First caption",
                value=ends[0],
                max_lines=4,
                scale=3,
                min_width=280,
                elem_id="first",
            )
            second = gr.Textbox(
                label="Second caption",
                value=ends[1],
                max_lines=4,
                scale=3,
                min_width=280,
                elem_id="second",
            )
            go = gr.Button(
                "Interpolate", variant="primary", scale=1, min_width=150, elem_id="interpolate"
            )
        with gr.Row(equal_height=False):
            with gr.Column(scale=9, min_width=320):
                with gr.Row(equal_height=True, elem_classes="stages"):
                    sketch = _frame_image("Stage-I · sketch", "sketch")
                    picture = _frame_image("Stage-II · picture", "picture")
                position = gr.Slider(
                    0,
                    1,
                    0,
                    step=0.01,
                    label="From the first caption (0) to the second (1)",
                    elem_id="position",
                )
                strip = gr.Image(
                    label="Film strip",
                    format="png",
                    type="filepath",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    alt_text="Frames side by side: Stage-I above, Stage-II below",
                    elem_id="strip",
                )
            with gr.Column(scale=4, min_width=290):
                frames = gr.Slider(2, MAX_FRAMES, 17, step=1, label="Frames", elem_id="frames")
                with gr.Accordion("Noise and way", open=False):
                    zero = gr.Checkbox(
                        True,
                        label="z = 0",
                        info="As in the paper; otherwise the z of the seed in every frame.",
                        elem_id="zero",
                    )
                    seed = gr.Number(0, label="Seed of z", info="Used when z is not 0.")
                    spherical = gr.Radio(
                        [("Straight line, as in the paper", False), ("Arc (spherical)", True)],
                        value=False,
                        label="Way between the sentence embeddings",
                    )
                downloads = [
                    gr.DownloadButton(label, interactive=False)
                    for label in ("Film strip (PNG)", "Animated GIF", "Animated WebP")
                ]
                report = gr.HTML(
                    "<p>Once drawn, the frames are in your browser: move the slider.</p>",
                    elem_id="travel-report",
                    elem_classes="report",
                )
        dataset = gr.Dataset(
            label="Examples",
            components=[gr.Textbox(visible=False)],
            samples=_pair_samples(offered),
            visible=bool(offered),
            elem_id="pairs",
        )
        # In the page, since the slider reads them there, but not shown: the two images show them.
        sketch_frames, picture_frames = (
            gr.Gallery(visible="hidden", interactive=False, format="png") for _ in range(2)
        )

        settings = [first, second, frames, zero, seed, spherical, chooser]
        shown = [sketch_frames, picture_frames, strip, *downloads, report]
        model = {**ONE_AT_A_TIME, **PRIVATE, "show_progress_on": picture}
        gr.on([go.click, first.submit, second.submit], self.draw, settings, shown, **model)
        picked = dataset.click(_split, dataset, [first, second], queue=False, **PRIVATE)
        picked.then(self.draw, settings, shown, **model)
        sources, targets = [position, sketch_frames, picture_frames], [sketch, picture]
        # Moves that come while one is under way must not be dropped.
        position.input(None, sources, targets, js=SHOW_FRAMES, trigger_mode="always_last")
        for gallery in (sketch_frames, picture_frames):
            gallery.change(None, sources, targets, js=KEEP_AND_SHOW_FRAMES)
        captions = [first, second]
        chooser.change(_offer, [chooser, *captions], [dataset, *captions], queue=False, **PRIVATE)
        gr.api(self.api, api_name="interpolate", **ONE_AT_A_TIME)


def _offer(checkpoint: str, first: str, second: str) -> tuple:
    offered = examples.pairs(checkpoint)
    dataset = gr.Dataset(samples=_pair_samples(offered), visible=bool(offered))
    firsts, seconds = [a for a, _ in offered], [b for _, b in offered]
    return dataset, examples.replaced(first, firsts), examples.replaced(second, seconds)


def _pair_samples(pairs: list[tuple[str, str]]) -> list[list[str]]:
    return [[examples.ARROW.join(pair)] for pair in pairs]


def _split(row: list[str]) -> list[str]:
    return row[0].split(examples.ARROW)


def _frame_image(label: str, kind: str) -> gr.Image:
    return gr.Image(
        label=label,
        format="png",
        type="filepath",
        interactive=False,
        buttons=["download"],
        min_width=140,
        alt_text=f"{label} at the slider's place between the two captions",
        elem_id=f"{kind}-frame",
        elem_classes=["stage", kind],
    )


def _strip(sketches: Tensor, images: Tensor):
    """Evenly chosen frames side by side: sketches above their pictures, when there are two stages."""
    columns = min(STRIP_FRAMES, len(images))
    rows = torch.linspace(0, len(images) - 1, columns).round().long()
    if sketches is images:
        return grid(images[rows], columns)
    return stages_grid(sketches[rows], images[rows], columns)


def _report(settings: list[dict]) -> str:
    first = settings[0]
    a, b = (html.escape(caption) for caption in first["captions"])
    used = [
        f"{len(settings)} frames",
        "z = 0" if first["seed"] is None else f"seed {first['seed']}",
        "arc" if first["spherical"] else "straight line",
        html.escape(first["checkpoint"]),
    ]
    return f"<p>“{a}” → “{b}”</p><p>{' · '.join(used)}</p>"
