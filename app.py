"""The page: python app.py [--checkpoint PATH_OR_HUB_REPO]. Hugging Face Spaces starts this file."""

import argparse
import os
import sys
import threading

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported

from stackgan.model import CheckpointError
from stackgan.ui.checkpoints import Checkpoints
from stackgan.ui.events import offers_mcp
from stackgan.ui.page import build
from stackgan.ui.sharing import MAX_UPLOAD
from stackgan.ui.theme import CSS, THEME


def warm(checkpoints: Checkpoints) -> None:
    """Load for the first visitor's sake; what cannot be loaded is told here and on the page."""
    try:
        checkpoints.warm()
    except ValueError as error:  # CheckpointError is one; so is a setting that names no engine
        print(error, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="StackGAN in the browser. Gradio's environment variables are honoured: "
        "GRADIO_SERVER_PORT, GRADIO_SERVER_NAME, …"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="PATH_OR_HUB_REPO",
        help="a folder or a Hub repository; every bundled checkpoint unless given",
    )
    args = parser.parse_args()
    try:
        checkpoints = Checkpoints(args.checkpoint)
    except CheckpointError as error:
        parser.error(str(error))
    page = build(checkpoints)
    page.launch(
        theme=THEME,
        css_paths=[CSS],
        prevent_thread_lock=True,
        mcp_server=offers_mcp(),
        max_file_size=MAX_UPLOAD,
    )
    # Only now, because the sentence encoder takes seconds to import and the page should answer.
    threading.Thread(target=warm, args=[checkpoints], daemon=True).start()
    page.block_thread()


if __name__ == "__main__":
    main()
