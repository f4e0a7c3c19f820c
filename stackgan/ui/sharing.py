"""What makes a result come back: as a link, inside a PNG, or from the visitor's own browser.

All three hold a tab's name and the values of its controls, and all three come from outside: every
value is checked against its control before the page takes it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import gradio as gr
from PIL import Image

from stackgan.images import read_settings
from stackgan.messages import echoed
from stackgan.ui import checks

MAX_RECORDS = 60
MAX_STORED = 2_000_000  # bytes of JSON; a browser keeps 5 MiB for a site, encrypted a third larger
MAX_TEXT = 10_000  # characters of one value
MAX_NUMBER = 2**53  # what a browser counts to
MAX_PIXELS = 4096 * 4096  # of a picture dropped onto the page
MAX_UPLOAD = 16 * 2**20  # bytes; the largest film strip has some 2 MiB

_THUMBNAIL = re.compile(r"data:image/webp;base64,[A-Za-z0-9+/=]{1,20000}")


def sound_records(stored: object) -> list[dict]:
    """The results in what a browser kept, newest first; what has another form is left out."""
    if not isinstance(stored, list):
        return []
    return [record for record in stored[:MAX_RECORDS] if _is_sound(record)]


def is_same(old: dict, new: dict, sliders: Sequence[str] = ()) -> bool:
    """Whether two records are of one result, wherever the `sliders` stand."""
    there, here = (
        {name: value for name, value in record["values"].items() if name not in sliders}
        for record in (old, new)
    )
    return (old["tab"], there) == (new["tab"], here)


def with_record(records: list[dict], record: dict, sliders: Sequence[str] = ()) -> list[dict]:
    """The results with one more, newest first, the oldest dropped where they are too many or large.

    One that is there already keeps its place, and the newest gives way to one that differs from it
    in `sliders` alone.
    """
    for i, old in enumerate(records):
        if is_same(old, record, sliders if i == 0 else ()):
            return [*records[:i], record, *records[i + 1 :]]
    kept, size = [], 0
    for candidate in [record, *records][:MAX_RECORDS]:
        size += len(json.dumps(candidate, ensure_ascii=False).encode())
        if size > MAX_STORED:
            break
        kept.append(candidate)
    return kept


def link_query(tab: str, values: Mapping) -> str:
    """What a link to a result ends in: ?tab=generate&caption=a+red+flower&seed=7…"""
    return "?" + urlencode(
        {"tab": tab.lower()} | {name: _to_text(value) for name, value in values.items()}
    )


def read_link(query: str) -> tuple[str, dict]:
    """What `link_query` wrote → the tab's name in lower case and the values by control.

    Raises ValueError for a query of hundreds of parameters.
    """
    texts = dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True, max_num_fields=100))
    tab = texts.pop("tab", "")
    return tab, {name: _from_text(text) for name, text in texts.items()}


def png_settings(path: str | Path) -> dict:
    """The settings inside a PNG that somebody dropped. Raises ValueError in words for any other."""
    foreign = (
        "this file is no picture made here: only a PNG downloaded from this page, unchanged, holds "
        "the settings that drew it"
    )
    if Path(path).stat().st_size > MAX_UPLOAD:
        raise ValueError(
            f"this file is too large: pictures made here have under {MAX_UPLOAD} bytes"
        )
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError("too many pixels")
        settings = read_settings(path)
    # What Pillow raises for broken chunks, what JSON does, and a picture that is a bomb.
    except (
        OSError,
        SyntaxError,
        ValueError,
        RecursionError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(foreign) from error
    if not isinstance(settings, dict):
        raise ValueError(foreign)
    return settings


def fitted(controls: Mapping[str, gr.components.Component], values: Mapping) -> dict:
    """A value for every control: the given one, checked, or the one that the page starts with.

    Values without a control are ignored. Raises ValueError naming the first that does not fit.
    """
    return {
        name: _fitted(name, control, values[name]) if name in values else control.value
        for name, control in controls.items()
    }


def _fitted(name: str, control: gr.components.Component, value: object) -> object:
    if isinstance(control, gr.Checkbox):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(control, gr.Slider | gr.Number):
        if value is None and isinstance(control, gr.Number):
            return None
        low = -MAX_NUMBER if control.minimum is None else control.minimum
        high = MAX_NUMBER if control.maximum is None else control.maximum
        checks.number(value, f"“{name}”", low, high)
        return value
    elif isinstance(control, gr.Dropdown | gr.Radio):
        offered = [choice for _, choice in control.choices]
        fits, wanted = value in offered, "one of " + ", ".join(map(str, offered))
    else:
        fits, wanted = isinstance(value, str) and len(value) <= MAX_TEXT, "a text"
    if not fits:
        raise ValueError(f"“{name}” is {wanted} on this page, not {echoed(value)}")
    return value


def _is_sound(record: object) -> bool:
    return (
        isinstance(record, dict)
        and isinstance(record.get("tab"), str)
        and isinstance(record.get("title"), str)
        and isinstance(record.get("values"), dict)
        and isinstance(record.get("thumbnail"), str)
        and _THUMBNAIL.fullmatch(record["thumbnail"]) is not None
    )


def _to_text(value: object) -> str:
    """Strings as they are, unless they would be read as something else; the rest as JSON."""
    if isinstance(value, str) and _from_text(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _from_text(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
