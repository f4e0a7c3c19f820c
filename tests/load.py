"""python tests/load.py [--clients 50]: the page under load, each answer compared with its own picture.

Starts the app, lets many clients ask /generate at the same moment for different captions and seeds,
a few rounds of it, and checks that each is answered with its own pictures or told that the page is
busy, and that the server's memory returns to its level. Exit code 1 where that is not so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from gradio_client import Client
from gradio_client.utils import QueueError
from PIL import Image
from running_app import ROOT, app_process

sys.path.insert(0, str(ROOT))

from stackgan.images import read_settings
from stackgan.pipeline import Pipeline

COLOURS = ("red", "yellow", "blue", "white", "purple", "orange", "pink")
CENTRES = ("dark", "bright", "small", "wide", "green")
MARGIN = 96  # MiB that the allocator may keep of a round
PATIENCE = 120  # seconds for one request
SETTLE = 3.0  # seconds for the server to give back what it held
SAME = 1.0  # grey levels in the mean: engines round, pictures of different seeds are far apart


@dataclass(frozen=True)
class Answer:
    """What one client was told."""

    seconds: float
    wrong: str | None = None  # what is wrong with it
    busy: bool = False


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkpoint", default="flowers", help="a bundled name or a folder")
    parser.add_argument("--margin", type=float, default=MARGIN, help="MiB that memory may grow by")
    args = parser.parse_args(argv)
    pipeline = Pipeline.from_pretrained(args.checkpoint)
    with (
        tempfile.TemporaryDirectory() as folder,
        app_process(Path(folder), "--checkpoint", args.checkpoint) as (app, address),
    ):
        found = load(address, app.pid, Path(folder) / "gradio", pipeline, args.clients, args.rounds)
    print(report(found))
    print(json.dumps(found))
    grown = found["memory_mib"]["after"] - found["memory_mib"]["before"]
    if grown > args.margin:
        print(f"memory grew by {grown:.0f} MiB, more than {args.margin:.0f}", file=sys.stderr)
    return int(bool(found["wrong"]) or not found["answered"] or grown > args.margin)


def load(
    address: str, pid: int, files: Path, pipeline: Pipeline, clients: int, rounds: int
) -> dict:
    """Rounds of so many clients at once on the app at this address; what came of it, for JSON.

    `pipeline` draws what each client should get, with the same checkpoint; `files` is the server's
    temporary folder. Memory is the server's resident size: `before` is after a first round, which
    fills caches and starts threads.
    """
    asked = [
        (f"a {COLOURS[i % 7]} flower with a {CENTRES[i % 5]} center", 1000 + i)
        for i in range(clients)
    ]
    output = pipeline.generate([caption for caption, _ in asked], [seed for _, seed in asked])
    expected = [np.asarray(picture, dtype=np.float32) for picture in output.pictures()]
    nearest = min(np.abs(a - b).mean() for i, a in enumerate(expected) for b in expected[i + 1 :])
    if nearest < 4 * SAME:
        raise ValueError(f"pictures only {nearest:.2g} grey levels apart would prove nothing")

    server = psutil.Process(pid)
    with tempfile.TemporaryDirectory() as downloads, ThreadPoolExecutor(clients) as pool:
        options = {"download_files": downloads, "httpx_kwargs": {"timeout": PATIENCE}}
        visitors = [Client(address, verbose=False, **options) for _ in asked]
        _round(pool, visitors[:1], asked, expected)  # loads what is loaded on first use
        _round(pool, visitors, asked, expected)
        time.sleep(SETTLE)
        before = _memory(server)
        with _Peak(server) as peak:
            answers = [a for _ in range(rounds) for a in _round(pool, visitors, asked, expected)]
        time.sleep(SETTLE)
        after = _memory(server)
    waited = [a.seconds for a in answers if not a.busy and a.wrong is None]
    return {
        "clients": clients,
        "rounds": rounds,
        "answered": len(waited),
        "busy": sum(a.busy for a in answers),
        "wrong": [a.wrong for a in answers if a.wrong is not None],
        "latency_s": _percentiles(waited),
        "busy_s": _percentiles([a.seconds for a in answers if a.busy]),
        "memory_mib": {"before": before, "peak": peak.mib, "after": after},
        "temporary_mib": sum(f.stat().st_size for f in files.rglob("*") if f.is_file()) / 2**20,
    }


def report(found: dict) -> str:
    """The same in words."""
    memory, latency = found["memory_mib"], found["latency_s"]
    spread = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in latency.items())
    return "\n".join(
        [
            f"{found['rounds']} rounds of {found['clients']} clients at once: "
            f"{found['answered']} answered, {found['busy']} told that the page is busy, "
            f"{len(found['wrong'])} wrong",
            *found["wrong"][:10],
            f"wait for an answer: {spread}",
            f"server's memory: {memory['before']:.0f} MiB before, {memory['peak']:.0f} at peak, "
            f"{memory['after']:.0f} after; {found['temporary_mib']:.1f} MiB of temporary files",
        ]
    )


def _round(pool: ThreadPoolExecutor, visitors: list, asked: list, expected: list) -> list[Answer]:
    """All visitors ask at the same moment."""
    together = threading.Barrier(len(visitors))

    def ask(i: int) -> Answer:
        caption, seed = asked[i]
        together.wait()
        started = time.perf_counter()
        try:
            answer = visitors[i].predict(caption, seed=seed, api_name="/generate")
        except QueueError:
            return Answer(time.perf_counter() - started, busy=True)
        except Exception as error:
            return Answer(time.perf_counter() - started, f"{type(error).__name__}: {error}"[:300])
        seconds = time.perf_counter() - started
        return Answer(seconds, difference(answer, caption, seed, expected[i]))

    return list(pool.map(ask, range(len(visitors))))


def difference(answer: tuple, caption: str, seed: int, expected: np.ndarray) -> str | None:
    """What is wrong with an answer of /generate, or None."""
    _, [picture], [settings] = answer
    for where, record in (("answer", settings), ("PNG", read_settings(picture))):
        if (record["caption"], record["seed"]) != (caption, seed):
            return f"seed {seed}: the {where} is of {record['caption']!r}, seed {record['seed']}"
    with Image.open(picture) as image:
        off = np.abs(np.asarray(image, dtype=np.float32) - expected).mean()
    return None if off < SAME else f"seed {seed}: {off:.1f} grey levels off its own picture"


class _Peak:
    """The largest resident size of a process while inside `with`."""

    def __init__(self, process: psutil.Process):
        self.process, self.mib = process, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.mib = max(self.mib, _memory(self.process))

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()


def _memory(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20


def _percentiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    found = dict(zip(("p50", "p90", "p99"), np.percentile(seconds, [50, 90, 99]), strict=True))
    return {name: float(value) for name, value in found.items()} | {"max": max(seconds)}


if __name__ == "__main__":
    sys.exit(main())
