"""Many visitors at once, and visitors who leave: the running page, with tiny networks."""

import json
import os
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from conftest import fake_encoder

gr = pytest.importorskip("gradio")
gradio_client = pytest.importorskip("gradio_client")

import load  # noqa: E402
from gradio_client.utils import QueueError  # noqa: E402

from stackgan import Pipeline  # noqa: E402
from stackgan.ui import events, page  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.files import new_folder, write_pngs  # noqa: E402

BATCH_SECONDS = 0.5  # what a batch of Stage-II takes here, so that there is time to leave
FRAMES = 60


class SlowEngine:
    """An engine whose Stage-II takes its time, and counts."""

    def __init__(self, engine):
        self.engine, self.name, self.dtype = engine, engine.name, engine.dtype
        self.sketch = engine.sketch
        self.batches = 0

    def refine(self, sketches, *inputs):
        time.sleep(BATCH_SECONDS)
        self.batches += 1
        return self.engine.refine(sketches, *inputs)


@pytest.fixture
def serve():
    """A function that puts the page for some checkpoints on a port and returns its address."""
    served = []

    def start(checkpoints: Checkpoints) -> str:
        served.append(page.build(checkpoints))
        served[-1].launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
        return served[-1].local_url

    yield start
    for blocks in served:
        blocks.close()


@pytest.fixture
def slow(checkpoint_folder, serve):
    """The page's address and its engine, which is slow."""
    checkpoints = Checkpoints(str(checkpoint_folder / "flowers"), encoder=fake_encoder)
    pipeline = checkpoints.pipeline()
    engine = SlowEngine(pipeline.engine.engine)
    pipeline.engine = events.WhileWanted(engine)
    return serve(checkpoints), engine


def post(address: str, endpoint: str, **data) -> str:
    """What curl does first; returns the event's id."""
    request = urllib.request.Request(
        f"{address}gradio_api/call/v2/{endpoint}",
        json.dumps(data).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["event_id"]


def until(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "that never came"
        time.sleep(0.02)


def wait_of_the_next(client) -> float:
    started = time.perf_counter()
    client.predict("a red flower", seed=1, api_name="/generate")
    return time.perf_counter() - started


@pytest.mark.parametrize("how", ["closes", "cancels"])
def test_the_work_of_a_visitor_who_left_is_dropped(slow, how):
    address, engine = slow
    client = gradio_client.Client(address, verbose=False)
    alone = wait_of_the_next(client)
    before = engine.batches
    if how == "closes":
        event = post(address, "interpolate", first="red", second="blue", frames=FRAMES)
        stream = urllib.request.urlopen(f"{address}gradio_api/call/v2/interpolate/{event}")
        until(lambda: engine.batches > before)
        stream.close()
    else:
        job = gradio_client.Client(address, verbose=False).submit(
            "red", "blue", frames=FRAMES, api_name="/interpolate"
        )
        until(lambda: engine.batches > before)
        job.cancel()
    waited = wait_of_the_next(client)
    whole = FRAMES / 8 * BATCH_SECONDS
    assert waited < alone + whole / 2
    time.sleep(2 * BATCH_SECONDS)
    assert engine.batches - before < FRAMES / 8 / 2


def test_a_page_with_a_full_queue_says_that_it_is_busy(slow, capfd):
    address, engine = slow
    client = gradio_client.Client(address, verbose=False)
    before = engine.batches
    post(address, "interpolate", first="red", second="blue", frames=FRAMES)
    until(lambda: engine.batches > before)  # while this one is drawn, so many may wait
    for _ in range(events.MAX_WAITING):
        post(address, "generate", caption="a red flower", seed=1)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        post(address, "generate", caption="a red flower", seed=1)
    with pytest.raises(QueueError, match="Queue is full! Please try again"):
        client.predict("a red flower", api_name="/generate")
    assert "Traceback" not in capfd.readouterr().err


def test_each_of_many_clients_gets_its_own_picture(
    checkpoints, checkpoint_folder, upload_folder, serve
):
    pipeline = Pipeline.from_pretrained(checkpoint_folder / "flowers", encoder=fake_encoder)
    address = serve(checkpoints)
    found = load.load(address, os.getpid(), upload_folder, pipeline, clients=12, rounds=1)
    assert found["wrong"] == []
    assert found["answered"] == 12 <= events.MAX_WAITING
    assert found["memory_mib"]["after"] < found["memory_mib"]["before"] + load.MARGIN
    assert 0 < found["temporary_mib"] < 100
    assert "12 clients at once" in load.report(found)


@pytest.mark.parametrize(
    ("seed", "drawn", "words"), [(8, 8, None), (8, 9, "the answer is of"), (9, 9, "off its own")]
)
def test_another_ones_picture_does_not_pass(checkpoints, seed, drawn, words):
    """What the load script makes of an answer: settings and pixels must both be those asked for."""
    pipeline = checkpoints.pipeline()
    [own] = pipeline.generate("a red flower", 8).pictures()
    path = write_pngs(
        pipeline.generate("a red flower", drawn).images,
        new_folder(),
        ["answer.png"],
        [{"caption": "a red flower", "seed": drawn}],
        2,
    )
    answer = (None, path, [{"caption": "a red flower", "seed": drawn}])
    found = load.difference(answer, "a red flower", seed, np.asarray(own, dtype=np.float32))
    assert (found is None) if words is None else (words in found)


def test_mcp_is_offered_where_it_is_installed_unless_gradio_is_told(monkeypatch):
    monkeypatch.delenv("GRADIO_MCP_SERVER", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert events.offers_mcp() is True
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert events.offers_mcp() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("GRADIO_MCP_SERVER", "False")
    assert events.offers_mcp() is None


def test_outside_the_page_nobody_has_to_wait():
    events.stop_if_nobody_waits()


def test_tools_over_mcp_are_named_as_the_endpoints(checkpoints):
    public = [f for f in page.build(checkpoints).fns.values() if f.api_visibility == "public"]
    assert [f.fn.__name__ for f in public] == [f.api_name for f in public]
    assert "generate" in [f.api_name for f in public]
