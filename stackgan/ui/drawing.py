"""From a caption and seeds to files: sketches first, then pictures, a batch at a time.

Every step is yielded, and the page shows what is there. The work of a visitor who left stops before
the next batch: Gradio closes a generator whose answer nobody waits for, and `events.WhileWanted` asks
between two of its yields.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from stackgan.pipeline import BATCH, Inputs, Pipeline
from stackgan.ui.files import file_name, new_folder, write_pngs

NEAREST = 2  # captions named to a visitor whose own is far from all of them


@dataclass(frozen=True)
class Request:
    """One caption, a seed for each drawing, and how many of the drawings are wanted."""

    caption: str
    seeds: list[int]
    epsilon_seeds: list[int] | None  # as many, or None for ε = 0
    truncation: float
    emphasis: float
    wanted: int  # where fewer than the seeds: those of the highest scores, best first
    score: float | None = None  # of the one seed, where it has won a ranking

    @property
    def ranks(self) -> bool:
        return self.wanted < len(self.seeds)


@dataclass(frozen=True)
class Drawing:
    """What exists so far: Stage-I's files, then Stage-II's too, and what reproduces each picture."""

    candidates: int  # drawings in all
    settings: list[dict]  # one per picture, with its score where pictures were ranked
    sketches: list[str]  # N paths of PNGs
    pictures: tuple[str, ...] = ()  # paths of the first of N pictures, as far as drawn
    times: tuple[str, ...] = ()  # what each finished stage took, in words
    subject: str | None = None  # what the checkpoint knows, if the caption is far from all of it
    nearest: tuple[str, ...] = ()  # the training captions nearest to such a caption
    done: bool = False

    @property
    def ranked(self) -> bool:
        return self.candidates > len(self.settings)

    @property
    def files(self) -> list[str]:
        """A file for each drawing: its picture, or its sketch as long as there is none."""
        return [*self.pictures, *self.sketches[len(self.pictures) :]]


def draw(pipeline: Pipeline, request: Request) -> Iterator[Drawing]:
    """Yields when the sketches are there, after each batch of pictures, and when all is `done`.

    While candidates of a ranking are drawn, the yields hold all of their sketches; the last holds
    the best of them alone. Of a single winner nothing is seen but itself. Raises ValueError in words
    for settings out of range and for a ranking by a checkpoint without a scorer.
    """
    if request.ranks and not pipeline.can_rank:
        raise ValueError("this checkpoint brings no scorer to rank pictures by: set best of to 1")
    if request.ranks and request.wanted == 1:
        yield from _draw_winner(pipeline, request)
        return
    batches = _prepared(pipeline, request)
    folder = new_folder()
    start = time.perf_counter()
    sketches = [pipeline.sketch(batch) for batch in batches]
    took = time.perf_counter() - start
    settings = [record for batch in batches for record in batch.settings]
    drawing = _unfamiliar(
        pipeline,
        batches[0],
        Drawing(
            candidates=len(settings),
            settings=settings,
            sketches=_written(torch.cat(sketches), settings, 1, folder),
            times=(_timed("Stage-I", sketches, took),),
        ),
    )
    one_stage = pipeline.config.stages == 1
    if one_stage and not request.ranks:
        yield replace(drawing, done=True)
        return
    yield drawing

    images, took = [], 0.0
    for sketch, batch in zip(sketches, batches, strict=True):
        if images:
            yield drawing
        start = time.perf_counter()
        images.append(pipeline.refine(sketch, batch))
        took += time.perf_counter() - start
        if not one_stage and not request.ranks:
            written = _written(images[-1], batch.settings, 2, folder)
            drawing = replace(drawing, pictures=(*drawing.pictures, *written))
    if not one_stage:
        drawing = replace(drawing, times=(*drawing.times, _timed("Stage-II", images, took)))
    if request.ranks:
        start = time.perf_counter()
        scores = torch.cat([pipeline.score(*pair) for pair in zip(images, batches, strict=True)])
        took = f"chosen in {1000 * (time.perf_counter() - start):.0f} ms"
        best = scores.argsort(descending=True, stable=True)[: request.wanted].tolist()
        settings = [{**settings[i], "score": round(scores[i].item(), 4)} for i in best]
        written = [] if one_stage else _written(torch.cat(images)[best], settings, 2, folder)
        drawing = replace(
            drawing,
            settings=settings,
            sketches=[drawing.sketches[i] for i in best],
            pictures=tuple(written),
            times=(*drawing.times, took),
        )
    yield replace(drawing, done=True)


def _draw_winner(pipeline: Pipeline, request: Request) -> Iterator[Drawing]:
    """Find the seed that draws best, and draw it on its own, as a link to it will: to the pixel."""
    start = time.perf_counter()
    batches = _prepared(pipeline, request)
    scores = [pipeline.score(pipeline.refine(pipeline.sketch(b), b), b) for b in batches]
    score, best = torch.cat(scores).max(dim=0)
    chosen = f"drawn and chosen in {1000 * (time.perf_counter() - start):.0f} ms"
    winner = replace(
        request,
        seeds=[request.seeds[best]],
        epsilon_seeds=request.epsilon_seeds and [request.epsilon_seeds[best]],
        score=round(score.item(), 4),
    )
    for drawing in draw(pipeline, winner):
        yield replace(drawing, candidates=len(request.seeds), times=(chosen, *drawing.times))


def _prepared(pipeline: Pipeline, request: Request) -> list[Inputs]:
    batches = []
    for start in range(0, len(request.seeds), BATCH):
        rows = slice(start, start + BATCH)
        epsilon_seeds = None if request.epsilon_seeds is None else request.epsilon_seeds[rows]
        batches.append(
            pipeline.prepare(
                [request.caption],
                request.seeds[rows],
                epsilon_seeds=epsilon_seeds,
                truncation=request.truncation,
                emphasis=request.emphasis,
            )
        )
    if request.score is not None:
        [batch] = batches
        batches = [replace(batch, settings=[{**batch.settings[0], "score": request.score}])]
    return batches


def _unfamiliar(pipeline: Pipeline, inputs: Inputs, drawing: Drawing) -> Drawing:
    """The drawing, with what the checkpoint knows if the caption is far from all of that."""
    known, embedding = pipeline.known, inputs.embeddings[:1]
    if known is None or not known.is_far(embedding)[0]:
        return drawing
    [nearest] = known.nearest(embedding, NEAREST)
    return replace(drawing, subject=known.subject, nearest=tuple(caption for caption, _ in nearest))


def _written(images: Tensor, settings: list[dict], stage: int, folder: Path) -> list[str]:
    names = [file_name(record["caption"], record["seed"], stage) for record in settings]
    return write_pngs(images, folder, names, settings, stage)


def _timed(stage: str, images: list[Tensor], seconds: float) -> str:
    height, width = images[0].shape[-2:]
    return f"{stage} {width} × {height} in {1000 * seconds:.0f} ms"
