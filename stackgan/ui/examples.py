"""Captions to start from, in the words of each checkpoint's training captions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

ARROW = " → "

CAPTIONS = {
    "flowers": [
        "this flower has long yellow petals and a dark brown center",
        "a flower with bright red petals and a yellow center",
        "a sunflower",
        "the petals are purple with white edges and a yellow stamen",
        "a water lily",
        "a pink flower with many thin layered petals",
        "a red rose",
        "a blue flower with five round petals and green leaves",
        "an orange flower with dark spots and long stamens",
        "a passion flower",
        "a flower with ruffled peach petals and green leaves",
        "a purple flower with pointed petals arranged like a star",
    ],
    "birds": [
        "a small yellow bird with black wings and a black crown",
        "a red bird with a short beak and black around the eyes",
        "a cardinal",
        "a bird with a bright blue head and blue wings",
        "the bird is all black with a thick curved beak",
        "a small brown bird with a white throat and striped breast",
        "this bird has an orange breast and dark grey wings",
        "a common raven",
        "a tiny green bird with a red throat and a needle-like beak",
        "a bird with a black and white head and a yellow breast",
        "a blue jay",
        "an american goldfinch",
    ],
}

PAIRS = {
    "flowers": [
        ("a flower with red petals", "a flower with yellow petals"),
        ("a white flower with thin petals", "a round purple flower"),
        ("a pink rose", "a red rose"),
        ("a sunflower", "an oxeye daisy", "a water lily"),
    ],
    "birds": [
        ("a red bird with black wings", "a blue bird"),
        ("a small yellow bird", "a bird with a bright blue head and blue wings"),
        ("a cardinal", "a blue jay"),
        ("a yellow bird", "a brown bird", "a black bird"),
    ],
}

# Captions that differ in the words in braces; see `spelled_out`.
WORDS = {
    "flowers": [
        "this flower has {red, yellow, blue, white} petals",
        "a flower with {round, pointed, ruffled, thin} pink petals",
        "a {purple, white} flower with {few, many} petals",
        "a white flower with a {yellow, brown, pink, green} center",
        "a {sunflower, water lily, passion flower, foxglove}",
        "a {red, pink, white, yellow} rose",
    ],
    "birds": [
        "a {red, yellow, blue, white} bird with black wings",
        "a brown bird with a {white, red, yellow, black} breast",
        "a {small, large} grey bird with a {short, long} beak",
        "a {black, blue, red} bird with a {short, long} beak",
        "a {cardinal, blue jay, common raven, laysan albatross}",
    ],
}


def captions(checkpoint: str) -> list[str]:
    """A dozen captions for a checkpoint, by its name; none when its subject is not known."""
    return _about(CAPTIONS, checkpoint)


def pairs(checkpoint: str) -> list[tuple[str, ...]]:
    """Interpolations for a checkpoint, by its name: two sentences, or more to go on through."""
    return _about(PAIRS, checkpoint)


def on_lines(paths: list[tuple[str, ...]]) -> list[str]:
    """Interpolations in a line each."""
    return [ARROW.join(path) for path in paths]


def words(checkpoint: str) -> list[str]:
    """Patterns of captions that differ in a word, for a checkpoint, by its name."""
    return _about(WORDS, checkpoint)


def spelled_out(pattern: str) -> Iterator[str]:
    """Every choice of the words in braces: “a {red, blue} flower” is two captions."""
    parts = re.split(r"\{([^{}]*)\}", pattern)  # text, choices, text, … text
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return (
        "".join(word.strip() if i % 2 else word for i, word in enumerate(words))
        for words in itertools.product(*choices)
    )


def first(offered: list[str]) -> str:
    """What a caption's box begins with where these are offered."""
    return offered[0] if offered else ""


def replaced(caption: str, checkpoint: str, own: str) -> str:
    """The caption for another checkpoint: an example of another subject gives way to its `own`, if
    it has one, and what somebody typed stays."""
    of_others = {
        sentence
        for table in (CAPTIONS, PAIRS, WORDS)
        for subject, rows in table.items()
        if subject not in checkpoint.lower()
        for row in rows
        for sentence in ([row] if isinstance(row, str) else row)
    }
    return own if own and caption in of_others else caption


def _about(table: dict[str, list], checkpoint: str) -> list:
    return next((rows for subject, rows in table.items() if subject in checkpoint.lower()), [])
