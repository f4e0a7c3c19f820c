"""What the Generate tab's events change on the page: a finished drawing, a picked picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from stackgan.ui.drawing import Drawing
from stackgan.ui.events import download
from stackgan.ui.files import bundle
from stackgan.ui.generate_report import alt_text, report, short_text
from stackgan.ui.tab import result_record

ENLARGED = 256  # pixels a side of a sketch in the before/after slider


class Shown(NamedTuple):
    """What a drawing changes on the page, in the order of the event's outputs."""

    seed: Any  # these three at first alone: while it draws they are the visitor's again
    mean: Any
    epsilon_seed: Any
    sketch: Any  # the large pictures: an image each, and both in the before/after slider
    picture: Any
    before_after: Any
    grid: Any
    save_sketch: Any
    save_picture: Any
    report: str  # HTML
    drawn: Drawing
    record: Any  # only when all is drawn


class Held(NamedTuple):
    """What a click on a picture changes, in the order of the event's outputs."""

    seed: int
    hold: bool
    samples: int
    best_of: int
    mean: bool
    epsilon_seed: Any
    sketch: Any
    picture: Any
    before_after: Any
    report: str
    record: dict


def shown(
    tab: str, values: dict, drawn: Drawing, before: Drawing | None, settles: bool = False
) -> Shown:
    """A drawing as far as it got; `values` are those of the tab's controls.

    `before` is what its last step showed. What has not changed since is left alone. `settles`: the
    seed becomes that of a single winner, so that holding the noise holds what is seen.
    """
    noise = values if before is None else {}
    if noise and settles and drawn.ranked and len(drawn.settings) == 1:
        noise = values | {"seed": drawn.settings[0]["seed"]}
    same = before is not None and _first(before) == _first(drawn)
    return Shown(
        *(noise[name] if name in noise else gr.skip() for name in ("seed", "mean", "epsilon_seed")),
        *([gr.skip()] * 3 if same else _large(drawn, 0)),
        _grid(drawn),
        _download(drawn.sketches if drawn.done else (), "sketch", "sketches"),
        _download(drawn.pictures if drawn.done else (), "picture", "pictures"),
        # Read out as it changes, so not at every step in between.
        report(drawn) if before is None or drawn.done else gr.skip(),
        drawn,
        _record(tab, values, drawn) if drawn.done else gr.skip(),
    )


def held(tab: str, values: Callable[[dict], dict], drawn: Drawing, index: int) -> Held:
    """One picture large, its noise held and alone: a result of its own, for links and history.

    values: settings of a picture → those of the tab's controls that draw it alone. Raises ValueError
    while more is to come, which would take its place, and when its file is gone.
    """
    if not drawn.done or index >= len(drawn.files):
        raise ValueError("these are still being drawn: pick one when all are there")
    if not Path(drawn.files[index]).exists():
        raise ValueError("these pictures are no longer here: press Generate again")
    settings = drawn.settings[index]
    epsilon_seed = settings["epsilon_seed"]
    return Held(
        settings["seed"],
        True,
        1,
        1,
        epsilon_seed is None,
        gr.skip() if epsilon_seed is None else epsilon_seed,
        *_large(drawn, index),
        report(drawn, index),
        _recorded(tab, values(settings), drawn, index),
    )


def _first(drawn: Drawing) -> tuple:
    """What the large images show of a drawing unless another picture of it is picked."""
    return drawn.settings[0], drawn.sketches[0], drawn.pictures[:1]


def _large(drawn: Drawing, index: int) -> tuple:
    """One drawing's two images, and both for the before/after slider, as far as they are there."""
    settings, sketch = drawn.settings[index], drawn.sketches[index]
    picture = drawn.pictures[index] if index < len(drawn.pictures) else None
    return (
        gr.Image(sketch, alt_text=alt_text("Stage-I sketch", settings)),
        gr.Image(picture, alt_text=alt_text("Stage-II picture", settings)),
        (_enlarged(sketch), picture) if picture else None,
    )


def _enlarged(sketch: str) -> str:
    """The sketch's file at the size of a picture, with its pixels as they are."""
    path = Path(sketch).with_suffix(".large.png")
    if not path.exists():
        with Image.open(sketch) as picture:
            picture.resize((ENLARGED, ENLARGED), Image.Resampling.NEAREST).save(path)
    return str(path)


def _grid(drawn: Drawing) -> gr.Gallery:
    """All drawings to choose from; two rows at most where there is the width for it."""
    files = [
        (file, short_text(record)) for file, record in zip(drawn.files, drawn.settings, strict=True)
    ]
    return gr.Gallery(
        files,
        columns=4 if len(files) <= 8 else 8,
        selected_index=None,
        visible=True if len(files) > 1 else "hidden",
    )


def _download(paths, one: str, many: str) -> gr.DownloadButton:
    what = one if len(paths) < 2 else f"{len(paths)} {many}"
    return download(bundle(paths), label=f"Download {what}")


def _record(tab: str, values: dict, drawn: Drawing) -> dict:
    """The result's record. A single winner is drawn again by its own seeds, without a ranking."""
    first = drawn.settings[0]
    values = {
        **values,
        "caption": first["caption"],
        "seed": int(values["seed"]),
        "epsilon_seed": 0 if values["mean"] else int(values["epsilon_seed"]),
        "checkpoint": first["checkpoint"],
    }
    if len(drawn.settings) == 1:
        values |= {"seed": first["seed"], "epsilon_seed": first["epsilon_seed"] or 0, "best_of": 1}
    return _recorded(tab, values, drawn)


def _recorded(tab: str, values: dict, drawn: Drawing, index: int = 0) -> dict:
    with Image.open(drawn.files[index]) as picture:
        return result_record(tab, drawn.settings[index]["caption"], values, picture)
