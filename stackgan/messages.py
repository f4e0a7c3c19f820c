"""What errors say to people: values and reasons, kept to a line."""

from __future__ import annotations


def echoed(value: object) -> str:
    """What somebody sent, as an error's message repeats it: short, whatever it was."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def first_line(error: Exception) -> str:
    """What an exception says, in a line: its first, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
