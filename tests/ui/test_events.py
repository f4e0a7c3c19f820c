"""Handlers that use the model: one thread for all, whatever thread Gradio calls them from."""

import contextvars
import inspect
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stackgan.ui.events import uses_model

VISITOR = contextvars.ContextVar("visitor")


def here(name: str) -> tuple[int, str]:
    return threading.get_ident(), VISITOR.get() + name


def test_functions_share_a_thread_and_keep_their_callers_context():
    event = uses_model(here)

    def visit(name):
        VISITOR.set("visitor ")
        return event["fn"](name)

    with ThreadPoolExecutor(3) as callers:
        threads, answers = zip(*callers.map(visit, "abc"), strict=True)
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads
    assert answers == ("visitor a", "visitor b", "visitor c")
    assert event["concurrency_limit"] == 1
    assert list(inspect.signature(event["fn"]).parameters) == ["name"]  # Gradio asks for them


def test_a_generator_goes_on_in_that_thread_and_tells_its_errors():
    def steps(count):
        for _ in range(count):
            yield threading.get_ident()
        raise ValueError("no more")

    function = uses_model(steps)["fn"]
    assert inspect.isgeneratorfunction(function)
    seen = function(2)
    VISITOR.set("")
    assert {next(seen), next(seen)} == {uses_model(here)["fn"]("")[0]}
    with pytest.raises(ValueError, match="no more"):
        next(seen)
    assert list(uses_model(lambda: iter(()))["fn"]()) == []


def test_an_abandoned_generator_is_closed():
    closed = threading.Event()

    def steps():
        try:
            while True:
                yield time.monotonic()
        finally:
            closed.set()

    seen = uses_model(steps)["fn"]()
    next(seen)
    seen.close()
    assert closed.wait(10)
