"""What the tabs' events share: how they reach the model, and what they hand to the page."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable

import gradio as gr
from gradio.context import LocalContext
from torch import Tensor

from stackgan.runtime import Engine

MAX_WAITING = 32  # more are told that the page is busy

# All events that use the model wait in one queue.
ONE_AT_A_TIME = {"concurrency_id": "model", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}  # the page's own event, no endpoint of the API

# From a hidden gr.File that an event has filled to the visitor's folder of downloads.
SAVE_FILE = """(file) => {
    if (!file) return;
    const link = Object.assign(document.createElement('a'), { href: file.url });
    link.download = file.orig_name;
    link.click();
}"""


def download(path: str | None, **changes: object) -> gr.DownloadButton:
    """A download button that hands out this file, or waits for one; with other changes to it."""
    return gr.DownloadButton(value=path, interactive=path is not None, **changes)


def endpoint(function: Callable, name: str) -> None:
    """Offer a function that uses the model as /name to API clients and as the tool `name` over MCP.

    Its annotations and its docstring are what both are told.
    """

    @functools.wraps(function)
    def named(*args, **kwargs):
        return function(*args, **kwargs)

    named.__name__ = name  # MCP calls a tool by its function's name, several of which are `api`
    gr.api(named, api_name=name, **ONE_AT_A_TIME)


def offers_mcp() -> bool | None:
    """Whether to offer the endpoints as MCP tools: if `gradio[mcp]` is installed.

    None leaves it to Gradio, which asks its own variable, GRADIO_MCP_SERVER.
    """
    asked = "GRADIO_MCP_SERVER" in os.environ
    return None if asked or importlib.util.find_spec("mcp") is None else True


def stop_if_nobody_waits() -> None:
    """Raise gr.Error in an event whose visitor has closed the page or cancelled.

    Gradio notices that between two yields of a handler; this tells it in the middle of one.
    Outside an event nothing happens.
    """
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is None or event_id is None:
        return
    running = [event for job in blocks._queue.active_jobs for event in job or ()]
    if not any(event._id == event_id and event.alive for event in running):
        raise gr.Error("Nobody waits for this any more", print_exception=False)


class WhileWanted:
    """An engine that draws as long as somebody waits: the pipeline calls it batch by batch."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.name, self.dtype = engine.name, engine.dtype

    def sketch(self, embeddings: Tensor, z: Tensor, epsilon: Tensor | None) -> Tensor:
        stop_if_nobody_waits()
        return self.engine.sketch(embeddings, z, epsilon)

    def refine(self, sketches: Tensor, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        stop_if_nobody_waits()
        return self.engine.refine(sketches, embeddings, epsilon)
