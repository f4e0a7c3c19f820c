"""The app as its own process, and a browser to look at it: for browser tests and screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60_000  # milliseconds; a busy machine is slow to start the sentence encoder


def find_browser() -> str | None:
    """The path of a Chromium on this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def running_app(folder: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """Start app.py on a free port; gives its address once it answers, and stops it afterwards.

    `folder` takes its log and its temporary files. Raises RuntimeError with the log if it does not
    answer within three minutes.
    """
    with app_process(folder, *arguments, **environment) as (_, address):
        yield address


@contextmanager
def app_process(
    folder: Path, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen, str]]:
    """The same; gives the process too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        **environment,
    }
    log = folder / "app.log"
    with log.open("w") as output:
        app = subprocess.Popen(
            [sys.executable, "app.py", *arguments],
            cwd=ROOT,
            env=variables,
            stdout=output,
            stderr=output,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            if not _answers(address, app):
                raise RuntimeError(f"the app does not answer:\n{log.read_text()}")
            yield app, address
        finally:
            app.terminate()
            app.wait(20)


def _answers(address: str, app: subprocess.Popen, seconds: float = 180) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and app.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False
