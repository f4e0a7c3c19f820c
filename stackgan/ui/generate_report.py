"""What the Generate tab says about its pictures: HTML for the report, texts that stand for them."""

from __future__ import annotations

import html

from stackgan.ui.drawing import Drawing

WAITING = "<p>The sketch appears first; its picture follows.</p>"


def report(drawing: Drawing, held: int | None = None) -> str:
    """The caption, the settings used, the time each stage took, and what is worth a word.

    `held`: the index of the picture whose noise the visitor chose to hold.
    """
    lines = [f"<p>“{html.escape(drawing.settings[0]['caption'])}”</p>"]
    if drawing.subject is not None:
        lines.append(_unfamiliar(drawing))
    if held is not None:
        lines.append(
            f'<p class="held">Seed {drawing.settings[held]["seed"]} is held now. Change the words '
            "and press Generate to see what they do to this very picture.</p>"
        )
    lines.append(f"<p>{' · '.join(_used(drawing, held))}</p>")
    return "".join(lines)


def short_text(record: dict) -> str:
    """What stands under a picture in the grid."""
    score = f" · score {record['score']:.2f}" if "score" in record else ""
    return f"seed {record['seed']}{score}"


def alt_text(kind: str, record: dict) -> str:
    """What stands for a picture where it is not seen."""
    return f"{kind} of “{record['caption']}”, {short_text(record).replace(' ·', ',')}"


def _unfamiliar(drawing: Drawing) -> str:
    nearest = " and ".join(f"“{html.escape(caption)}”" for caption in drawing.nearest)
    return (
        f'<p class="unfamiliar">This checkpoint has seen only {html.escape(drawing.subject)}, and '
        f"your sentence is far from every caption it learned from. Nearest are {nearest}.</p>"
    )


def _used(drawing: Drawing, held: int | None) -> list[str]:
    settings = drawing.settings if held is None else [drawing.settings[held]]
    first = settings[0]
    random = first["epsilon_seed"] is not None
    if drawing.ranked and len(settings) > 1:  # their seeds are no row; each stands in the grid
        noise = ["random ε" if random else "ε = 0"]
    else:
        noise = [_span("seed", "seed", settings)]
        noise += [_span("ε seed", "epsilon_seed", settings) if random else "ε = 0"]
    if drawing.ranked:
        best = "best" if len(drawing.settings) == 1 else f"best {len(drawing.settings)}"
        noise.insert(0, f"{best} of {drawing.candidates}")
        noise.insert(1, _span("score", "score", settings))
    return [
        *noise,
        f"truncation {first['truncation']:g}",
        f"emphasis {first['emphasis']:g}",
        html.escape(first["checkpoint"]),
        *drawing.times,
    ]


def _span(what: str, key: str, settings: list[dict]) -> str:
    ends = [f"{record[key]:.2f}" if key == "score" else f"{record[key]}" for record in settings]
    return f"{what} {ends[0]}" if len(ends) == 1 else f"{what}s {ends[0]} … {ends[-1]}"
