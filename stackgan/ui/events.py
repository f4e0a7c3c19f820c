"""What the tabs' events share: how they reach the model, and what they hand to the page."""

from __future__ import annotations

import contextvars
import functools
import importlib.util
import inspect
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import gradio as gr
from gradio.context import LocalContext
from torch import Tensor

from stackgan.runtime import Engine

MAX_WAITING = 32  # more are told that the page is busy

# Every thread that computes has a team of OpenMP threads of its own, and where teams have more threads
# than there are cores, all of them sleep at each barrier: a caption then takes a third longer. Gradio
# would hand each answer to any of its threads.
_MODEL_THREAD = ThreadPoolExecutor(1, thread_name_prefix="model")
_DONE = object()
# Of presses and changes that come while something is drawn the last is drawn next, with what the page
# says by then; Gradio's own "once" would drop them without a word.
LAST_COUNTS = "always_last"
PRIVATE = {"api_visibility": "private"}  # the page's own event, no endpoint of the API
AT_ONCE = {**PRIVATE, "queue": False, "show_progress": "hidden"}  # one that has nothing to wait for

# From a hidden gr.File that an event has filled to the visitor's folder of downloads.
SAVE_FILE = """(file) => {
    if (!file) return;
    const link = Object.assign(document.createElement('a'), { href: file.url });
    link.download = file.orig_name;
    link.click();
}"""


def uses_model(handler: Callable) -> dict:
    """What an event hands to Gradio for a handler, function or generator, that uses the model.

    All such events wait in one queue, and one thread computes for all of them.
    """

    @functools.wraps(handler)
    def call(*args, **kwargs):
        return _in_model_thread(handler, *args, **kwargs).result()

    @functools.wraps(handler)
    def iterate(*args, **kwargs):
        steps = handler(*args, **kwargs)
        try:
            while (step := _in_model_thread(next, steps, _DONE).result()) is not _DONE:
                yield step
        finally:
            # Nobody waits for that: Gradio closes an answer that nobody wants in its event loop.
            _in_model_thread(steps.close)

    function = iterate if inspect.isgeneratorfunction(handler) else call
    return {"fn": function, "concurrency_id": "model", "concurrency_limit": 1}


def _in_model_thread(function: Callable, *args, **kwargs) -> Future:
    """Begin it there, in the context that Gradio gave the calling thread."""
    context = contextvars.copy_context()
    return _MODEL_THREAD.submit(context.run, function, *args, **kwargs)


def download(path: str | None, **changes: object) -> gr.DownloadButton:
    """A download button that hands out this file, or waits for one; with other changes to it."""
    return gr.DownloadButton(value=path, interactive=path is not None, **changes)


def endpoint(function: Callable, name: str) -> None:
    """Offer a function that uses the model as /name to API clients and as the tool `name` over MCP.

    Its annotations and its docstring are what both are told.
    """

    event = uses_model(function)
    # MCP calls a tool by its function's name, several of which are `api`.
    event["fn"].__name__ = name
    gr.api(**event, api_name=name)


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
