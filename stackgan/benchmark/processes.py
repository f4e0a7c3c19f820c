"""What is measured in new processes: an engine's cold start, and the running page."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stackgan.benchmark.measure import CAPTIONS, peak_memory_mib, quantile
from stackgan.model import StackGAN
from stackgan.pipeline import Pipeline

APP = Path(__file__).parents[2] / "app.py"
PATIENCE = 180  # seconds until the page must answer


def first_picture(load: Callable[[], StackGAN], engine: str) -> dict:
    """From nothing loaded to a picture in this process, which has just started."""
    started = time.perf_counter()
    pipeline = Pipeline(load(), device="cpu", engine=engine)
    built = time.perf_counter()
    pipeline.encoder(CAPTIONS[:1])
    encoded = time.perf_counter()
    pipeline.generate(CAPTIONS[0], 0)
    return {
        "model_s": built - started,
        "encoder_s": encoded - built,
        "first_picture_s": time.perf_counter() - encoded,
        "peak_memory_mib": peak_memory_mib(),
    }


def cold_start(engine: str, model: list[str]) -> dict:
    """`first_picture` in a new process; what is left of its time is the import.

    `model`: the benchmark's arguments that name the model. Raises ValueError with what it said last
    if it fails.
    """
    command = [sys.executable, "-m", "stackgan.benchmark", "--cold", engine, *model]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    total = time.perf_counter() - started
    if done.returncode:
        raise ValueError(f"the cold start failed: {done.stderr.strip()[-300:]}")
    cold = json.loads(done.stdout.splitlines()[-1])
    rest = cold["model_s"] + cold["encoder_s"] + cold["first_picture_s"]
    return {"total_s": total, "import_s": total - rest, **cold}


def page(checkpoint: str | None, seconds: float) -> dict:
    """The page in a process of its own, asked through its API by gradio_client, caption known.

    `answers_s` is from its start until it answers, `first_picture_s` until a picture is there;
    then pictures one at a time for so many seconds, in milliseconds. Raises ValueError where there
    is no page beside this package, or it does not start.
    """
    if not APP.exists():
        raise ValueError(f"--page needs the page, {APP}")
    from gradio_client import Client

    started = time.perf_counter()
    with _running(["--checkpoint", checkpoint] if checkpoint else []) as address:
        answers = time.perf_counter() - started
        patience = {"timeout": PATIENCE}
        client = Client(address, verbose=False, download_files=False, httpx_kwargs=patience)

        def ask(seed: int) -> float:
            asked = time.perf_counter()
            client.predict(CAPTIONS[0], seed=seed, api_name="/generate")
            return (time.perf_counter() - asked) * 1e3

        ask(0)
        first = time.perf_counter() - started
        times, end = [ask(1)], time.perf_counter() + seconds
        while time.perf_counter() < end:
            times.append(ask(len(times) + 1))
    low, middle, high = (quantile(times, q) for q in (0.1, 0.5, 0.9))
    return {
        "answers_s": answers,
        "first_picture_s": first,
        "runs": len(times),
        "median_ms": middle,
        "p10_ms": low,
        "p90_ms": high,
    }


@contextmanager
def _running(arguments: list[str]) -> Iterator[str]:
    """app.py on a free port: its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        variables = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": folder}
        log = Path(folder) / "app.log"
        with log.open("w") as output:
            app = subprocess.Popen(
                [sys.executable, str(APP), *arguments],
                env={**os.environ, **variables},
                stdout=output,
                stderr=output,
            )
            try:
                _wait_for(address, app, log)
                yield address
            finally:
                app.terminate()
                try:
                    app.wait(20)
                except subprocess.TimeoutExpired:
                    app.kill()
                    app.wait()


def _wait_for(address: str, app: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if app.poll() is not None or time.monotonic() > end:
                said = log.read_text().strip().rpartition("\n")[2][-300:]
                raise ValueError(f"the page does not answer: {said}") from None
            time.sleep(0.05)
