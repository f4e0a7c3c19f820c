"""What a drawn path changes on the Interpolate tab."""

from __future__ import annotations

import html
from typing import NamedTuple

import gradio as gr
from PIL import Image

from stackgan.ui import scrubber
from stackgan.ui.events import download
from stackgan.ui.tab import result_record
from stackgan.ui.travel import Travel, strip_frames


class Shown(NamedTuple):
    """What a drawing changes on the page, in the order of its outputs."""

    sketch_frames: list[tuple[str, str]]  # these two, exact and asked: see stackgan.ui.scrubber
    picture_frames: list[tuple[str, str]]
    strip: str | None
    exact: object
    asked: object
    legend: gr.HTML
    save_strip: gr.DownloadButton
    save_film: gr.Button
    report: str
    travel: Travel
    record: object


def shown(travel: Travel, values: dict, new: bool) -> Shown:
    """The page's outputs; `values` of the controls drew it, and `new` is the first of its yields."""
    positions = [settings["position"] for settings in travel.settings]
    done, legend = travel.strip is not None, _legend(travel)
    return Shown(
        sketch_frames=scrubber.frames(travel.sketches, positions),
        picture_frames=scrubber.frames(travel.pictures, positions),
        # An exact frame belongs to the path that it was drawn on.
        exact=[] if new else gr.skip(),
        asked=None if new else gr.skip(),
        strip=travel.strip,
        legend=gr.HTML(legend, visible=bool(legend)),
        save_strip=download(travel.strip),
        save_film=gr.Button(interactive=done),
        report=_report(travel),
        travel=travel,
        record=_record(travel, values) if done else gr.skip(),
    )


def _legend(travel: Travel) -> str:
    """The sentences' numbers under their frames of the strip; nothing for a way between two."""
    stretches = len(travel.route.captions) - 1
    if stretches == 1 or travel.strip is None:
        return ""
    columns = len(strip_frames(travel))
    marks = "".join(
        f'<span style="grid-column: {1 + i * (columns - 1) // stretches}">{i + 1}</span>'
        for i in range(stretches + 1)
    )
    style = f"grid-template-columns: repeat({columns}, 1fr)"
    return f'<div class="legend" style="{style}" title="Sentences">{marks}</div>'


def _report(travel: Travel) -> str:
    first = travel.settings[0]
    captions = " → ".join(f"“{html.escape(caption)}”" for caption in first["captions"])
    seed = first["seed"]
    noise = (
        ["z = 0"]
        if seed is None
        else [
            f"seed {seed}" if isinstance(seed, int) else f"seeds {seed[0]} → {seed[-1]}",
            f"truncation {first['truncation']:g}",
        ]
    )
    used = [
        f"{len(travel.settings)} frames",
        *noise,
        f"emphasis {first['emphasis']:g}",
        "arc" if first["spherical"] else "straight line",
        html.escape(first["checkpoint"]),
    ]
    return f"<p>{captions}</p><p>{' · '.join(used)}</p>"


def _record(travel: Travel, values: dict) -> dict:
    """The thumbnail is a third each of the first, the middle and the last frame."""
    paths = travel.pictures or travel.sketches
    frames = [Image.open(paths[i]) for i in (0, len(paths) // 2, -1)]
    side = frames[0].width
    third = side // 3
    picture = Image.new("RGB", (third * 3, third * 3))
    for i, frame in enumerate(frames):
        picture.paste(frame.crop((third, 0, 2 * third, third * 3)), (third * i, 0))
    return result_record("Interpolate", " → ".join(travel.route.captions), values, picture)
