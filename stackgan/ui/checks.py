"""What clients send, checked; and errors in words instead of tracebacks.

The page's own controls keep to their ranges, but anybody can call the API with anything.
"""

from __future__ import annotations

import html
import random
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from stackgan.latents import MAX_SEED
from stackgan.messages import echoed, first_line

FRESH_SEEDS = 1_000_000  # fresh seeds stay short enough to read out and note down


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Turn an error of what lies below into a message on the page and for API clients.

    What was asked wrongly is a ValueError. Full disks and full memory are the server's; their
    traceback goes into its log.
    """
    try:
        yield
    except ValueError as error:
        message = html.escape(str(error), quote=False)  # Gradio shows messages as HTML
        raise gr.Error(message[:1].upper() + message[1:], print_exception=False) from error
    except (OSError, RuntimeError, MemoryError) as error:
        reason = html.escape(getattr(error, "strerror", None) or first_line(error), quote=False)
        raise gr.Error(f"The server could not finish this: {reason}. Try again later") from error


def number(value: object, what: str, low: float, high: float) -> float:
    """`value` as a finite number from `low` to `high`; ValueError naming `what` otherwise."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(f"{what} is a number from {low:g} to {high:g}, not {echoed(value)}")
    return float(value)


def whole(value: object, what: str, low: int, high: int) -> int:
    """`value` as a whole number from `low` to `high`; 7.0 is 7. ValueError otherwise."""
    if not _is_number(value) or not low <= value <= high or value != int(value):
        raise ValueError(f"{what} is a whole number from {low} to {high}, not {echoed(value)}")
    return int(value)


def seed(value: object, what: str = "the seed") -> int:
    """A seed, 0 to 2³² − 1. ValueError otherwise."""
    return whole(value, what, 0, MAX_SEED)


def fresh_seed() -> int:
    return random.randrange(FRESH_SEEDS)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
