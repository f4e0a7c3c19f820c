"""What the tabs' events share: how they reach the model, and what they hand to the page."""

import gradio as gr

MAX_WAITING = 32  # more are told that the page is busy

# All events that use the model wait in one queue.
ONE_AT_A_TIME = {"concurrency_id": "model", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}  # the page's own event, no endpoint of the API


def download(path: str | None, **changes: object) -> gr.DownloadButton:
    """A download button that hands out this file, or waits for one; with other changes to it."""
    return gr.DownloadButton(value=path, interactive=path is not None, **changes)
