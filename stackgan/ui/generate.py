"""The Generate tab and the /generate endpoint: a caption becomes a sketch, then a picture."""

# No `from __future__ import annotations` here: gr.api reads the annotations of `api`.
import html
import time
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from stackgan.latents import MAX_TRUNCATION
from stackgan.text import MAX_CAPTION_CHARACTERS
from stackgan.ui import checks, examples
from stackgan.ui.checkpoints import Checkpoints
from stackgan.ui.events import ONE_AT_A_TIME, PRIVATE, download
from stackgan.ui.files import bundle, file_name, new_folder, write_pngs

MAX_SAMPLES = 8


@dataclass(frozen=True)
class Drawing:
    """What exists so far: Stage-I's files, then Stage-II's too, and what reproduces each picture."""

    sketches: list[str]  # N paths of PNGs
    pictures: list[str]  # N paths, or none yet
    settings: list[dict]
    report: str  # HTML: the settings used and the time each stage took


class Generate:
    """Handlers of the tab, plain functions of what the visitor set, and its layout (`build`)."""

    def __init__(self, checkpoints: Checkpoints):
        self.checkpoints = checkpoints

    def draw(
        self, caption, seed, hold, samples, truncation, mean, epsilon_seed, checkpoint
    ) -> Iterator[tuple]:
        """One press of Generate: yields when Stage-I is there and again when Stage-II is.

        `hold` keeps `seed`; without it every press takes a fresh one. `mean` is ε = 0. Yields
        (seed, mean, epsilon_seed, sketches, pictures, sketch download, picture download, report),
        the galleries as (path, text) pairs.
        """
        with checks.errors_in_words():
            if not hold:
                seed = checks.fresh_seed()
            chosen = None if mean else epsilon_seed
            if not mean and epsilon_seed is None:
                raise ValueError("with ε drawn at random the ε seed must not be empty")
            for drawing in self._stages(caption, seed, samples, truncation, chosen, checkpoint):
                yield (
                    seed,
                    mean,
                    epsilon_seed,
                    _gallery(drawing.sketches, drawing.settings, "Stage-I sketch"),
                    _gallery(drawing.pictures, drawing.settings, "Stage-II picture"),
                    _download(drawing.sketches, "sketch", "sketches"),
                    _download(drawing.pictures, "picture", "pictures"),
                    drawing.report,
                )

    def resample_z(
        self, caption, seed, hold, samples, truncation, mean, epsilon_seed, checkpoint
    ) -> Iterator[tuple]:
        """The same caption and ε with a fresh z; parameters and yields are those of `draw`."""
        fresh = checks.fresh_seed()
        yield from self.draw(
            caption, fresh, True, samples, truncation, mean, epsilon_seed, checkpoint
        )

    def resample_epsilon(
        self, caption, seed, hold, samples, truncation, mean, epsilon_seed, checkpoint
    ) -> Iterator[tuple]:
        """The same caption and z with a fresh ε; parameters and yields are those of `draw`."""
        fresh = checks.fresh_seed()
        yield from self.draw(caption, seed, True, samples, truncation, False, fresh, checkpoint)

    def api(
        self,
        caption: str,
        seed: int | None = None,
        samples: int = 1,
        truncation: float = 1.0,
        epsilon_seed: int | None = None,
        checkpoint: str | None = None,
    ) -> tuple[list[gr.FileData], list[gr.FileData], list[dict]]:
        """Draw pictures of a caption with StackGAN: 64×64 sketches and 256×256 pictures.

        Args:
            caption: A sentence that describes the picture, at most 500 characters.
            seed: Seed of z, 0 to 4294967295; sample i has seed + i. A fresh one when null.
            samples: How many pictures, 1 to 8.
            truncation: Scale of z, 0 (typical) to 1.5 (varied).
            epsilon_seed: Seed of ε in Conditioning Augmentation; null holds ε at 0.
            checkpoint: Name of the checkpoint; the default one when null.

        Returns:
            Stage-I sketches, PNG files with their settings inside.
            Stage-II pictures, PNG files; empty for a checkpoint of one stage.
            Settings that reproduce each picture.
        """
        with checks.errors_in_words():
            seed = checks.fresh_seed() if seed is None else seed
            *_, last = self._stages(caption, seed, samples, truncation, epsilon_seed, checkpoint)
        files = ([gr.FileData(path=p) for p in paths] for paths in (last.sketches, last.pictures))
        return *files, last.settings

    def _stages(
        self, caption, seed, samples, truncation, epsilon_seed, checkpoint
    ) -> Iterator[Drawing]:
        count = checks.whole(samples, "the number of samples", 1, MAX_SAMPLES)
        truncation = checks.number(truncation, "truncation", 0, MAX_TRUNCATION)
        seeds = checks.seeds_from(checks.seed(seed), count)
        epsilon_seeds = None
        if epsilon_seed is not None:
            epsilon_seeds = checks.seeds_from(checks.seed(epsilon_seed, "the ε seed"), count)
        pipeline = self.checkpoints.pipeline(checkpoint)
        inputs = pipeline.prepare(
            [caption], seeds, epsilon_seeds=epsilon_seeds, truncation=truncation
        )
        folder = new_folder()

        def written(images, stage: int) -> list[str]:
            names = [file_name(s["caption"], s["seed"], stage) for s in inputs.settings]
            return write_pngs(images, folder, names, inputs.settings, stage)

        start = time.perf_counter()
        sketches = pipeline.sketch(inputs)
        times = [_timed("Stage-I", sketches, start)]
        sketch_files = written(sketches, 1)
        yield Drawing(sketch_files, [], inputs.settings, _report(inputs.settings, times))
        if pipeline.config.stages == 2:
            start = time.perf_counter()
            images = pipeline.refine(sketches, inputs)
            times.append(_timed("Stage-II", images, start))
            report = _report(inputs.settings, times)
            yield Drawing(sketch_files, written(images, 2), inputs.settings, report)

    def build(self, chooser: gr.Dropdown) -> None:
        """Lay out the tab and connect it; `chooser` holds the checkpoint's name."""
        offered = examples.captions(self.checkpoints.names[0])
        with gr.Row(equal_height=True):
            caption = gr.Textbox(
                label=f"Caption: one sentence, at most {MAX_CAPTION_CHARACTERS} characters",
                value=offered[0] if offered else "",
                placeholder="Describe the picture in a sentence",
                max_lines=4,
                scale=6,
                min_width=280,
                elem_id="caption",
            )
            go = gr.Button(
                "Generate", variant="primary", scale=1, min_width=150, elem_id="generate"
            )
        with gr.Row(equal_height=False):
            with gr.Column(scale=9, min_width=320):
                with gr.Row(equal_height=True, elem_classes="stages"):
                    sketches = _stage_gallery("Stage-I · sketch", "sketches", "sketch")
                    pictures = _stage_gallery("Stage-II · picture", "pictures", "picture")
                with gr.Row(elem_classes="downloads"):
                    save_sketch = gr.DownloadButton(
                        "Download sketch", interactive=False, min_width=140, elem_id="save-sketch"
                    )
                    save_picture = gr.DownloadButton(
                        "Download picture", interactive=False, min_width=140, elem_id="save-picture"
                    )
                report = gr.HTML(
                    "<p>The sketch appears first; its picture follows.</p>",
                    elem_id="report",
                    elem_classes="report",
                )
            with gr.Column(scale=4, min_width=290):
                with gr.Row(equal_height=True):
                    seed = gr.Number(0, label="Seed of z", scale=2, min_width=120, elem_id="seed")
                    dice = gr.Button("⚄ Roll", scale=1, min_width=90, elem_id="dice")
                hold = gr.Checkbox(
                    label="Hold the noise",
                    info="The same seed at every press, so that only the words change.",
                    elem_id="hold",
                )
                samples = gr.Slider(1, MAX_SAMPLES, 1, step=1, label="Samples", elem_id="samples")
                with gr.Row():
                    new_z = gr.Button("Resample z", min_width=110, elem_id="resample-z")
                    new_epsilon = gr.Button("Resample ε", min_width=110, elem_id="resample-epsilon")
                with gr.Accordion("Truncation and ε", open=False):
                    truncation = gr.Slider(
                        0,
                        MAX_TRUNCATION,
                        1,
                        step=0.05,
                        label="Truncation",
                        info="Scale of z: lower is more typical, higher more varied.",
                        elem_id="truncation",
                    )
                    mean = gr.Checkbox(
                        True,
                        label="ε = 0",
                        info="Condition on the mean μ of the caption instead of a random draw.",
                        elem_id="mean",
                    )
                    epsilon_seed = gr.Number(
                        0, label="Seed of ε", info="Used when ε is not 0.", elem_id="epsilon-seed"
                    )
        dataset = gr.Dataset(
            label="Examples",
            components=[gr.Textbox(visible=False)],
            samples=[[text] for text in offered],
            samples_per_page=len(offered) or 1,
            visible=bool(offered),
            elem_id="examples",
        )

        settings = [caption, seed, hold, samples, truncation, mean, epsilon_seed, chooser]
        saves = [save_sketch, save_picture]
        shown = [seed, mean, epsilon_seed, sketches, pictures, *saves, report]
        # Progress lies over Stage-II alone, so that the sketch is seen while the picture is drawn.
        model = {**ONE_AT_A_TIME, **PRIVATE, "show_progress_on": pictures}
        gr.on([go.click, caption.submit], self.draw, settings, shown, **model)
        new_z.click(self.resample_z, settings, shown, **model)
        new_epsilon.click(self.resample_epsilon, settings, shown, **model)
        picked = dataset.click(lambda row: row[0], dataset, caption, queue=False, **PRIVATE)
        picked.then(self.draw, settings, shown, **model)
        # A seed that the visitor chose is meant to be used: hold it.
        seed.input(None, None, hold, js="() => true")
        dice.click(
            None,
            None,
            [seed, hold],
            js=f"() => [Math.floor(Math.random() * {checks.FRESH_SEEDS}), true]",
        )
        chooser.change(_offer, [chooser, caption], [dataset, caption], queue=False, **PRIVATE)
        gr.api(self.api, api_name="generate", **ONE_AT_A_TIME)


def _offer(checkpoint: str, caption: str) -> tuple:
    offered = examples.captions(checkpoint)
    dataset = gr.Dataset(samples=[[text] for text in offered], visible=bool(offered))
    return dataset, examples.replaced(caption, offered)


def _stage_gallery(label: str, elem_id: str, kind: str) -> gr.Gallery:
    return gr.Gallery(
        label=label,
        format="png",
        columns=2,
        object_fit="contain",
        height="auto",
        min_width=140,
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes=["stage", kind],
    )


def _gallery(paths: list[str], settings: list[dict], kind: str) -> list[tuple[str, str]]:
    """Pictures with the texts that stand for them."""
    return [
        (path, f"{kind} of “{record['caption']}”, seed {record['seed']}")
        for path, record in zip(paths, settings, strict=False)
    ]


def _download(paths: list[str], one: str, many: str) -> gr.DownloadButton:
    what = one if len(paths) < 2 else f"{len(paths)} {many}"
    return download(bundle(paths), label=f"Download {what}")


def _timed(stage: str, images, start: float) -> str:
    milliseconds = 1000 * (time.perf_counter() - start)
    return f"{stage} {images.shape[-1]} × {images.shape[-2]} in {milliseconds:.0f} ms"


def _report(settings: list[dict], times: list[str]) -> str:
    first, last = settings[0], settings[-1]

    def span(key: str) -> str:
        return f"{first[key]}" if len(settings) == 1 else f"{first[key]} … {last[key]}"

    epsilon = "ε = 0" if first["epsilon_seed"] is None else f"ε seed {span('epsilon_seed')}"
    seed = "seed" if len(settings) == 1 else "seeds"
    used = [
        f"{seed} {span('seed')}",
        epsilon,
        f"truncation {first['truncation']:g}",
        html.escape(first["checkpoint"]),
        *times,
    ]
    return f"<p>“{html.escape(first['caption'])}”</p><p>{' · '.join(used)}</p>"
