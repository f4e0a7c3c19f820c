"""Controls that tabs have in common, and what they mean."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import NamedTuple

import gradio as gr

from stackgan.latents import EMPHASIS, MAX_EMPHASIS, MAX_TRUNCATION
from stackgan.text import MAX_CAPTION_CHARACTERS
from stackgan.ui import checks, examples
from stackgan.ui.events import AT_ONCE, LAST_COUNTS

# Gradio calls every picture of a gallery "Thumbnail 3 of 16", also to who cannot see which it is;
# with this, run once, each is called as its words say.
THUMBNAILS_TELL_THEIR_WORDS = """() => {
    const tell = () => {
        for (const image of document.querySelectorAll(".thumbnail-item img[alt]")) {
            const button = image.closest("button");
            if (image.alt && button && button.getAttribute("aria-label") !== image.alt)
                button.setAttribute("aria-label", image.alt);
        }
    };
    new MutationObserver(tell).observe(document.body, {
        childList: true, subtree: true, attributes: true, attributeFilter: ["alt", "aria-label"],
    });
}"""
ROLL = f"Math.floor(Math.random() * {checks.FRESH_SEEDS})"
# A slider tells of its release by the mouse alone; with this, run once, by the keys that move it too.
KEYS_RELEASE_SLIDERS = """() => {
    const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown",
                   "PageUp", "PageDown", "Home", "End"];
    document.addEventListener("keyup", ({ target, key }) => {
        if (target.type === "range" && moves.includes(key))
            target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
    });
}"""
# A slider's number box tells of its release before it is brought back into its range, empty or not;
# with this, run once, after.
SLIDERS_KEEP_THEIR_RANGE = """() => {
    document.addEventListener("blur", ({ target }) => {
        if (target.dataset?.testid !== "number-input" || target.min === "" || target.max === "")
            return;
        const inside = Math.min(Number(target.max), Math.max(Number(target.min), Number(target.value)));
        if (target.value !== "" && inside === Number(target.value)) return;
        target.value = inside;
        target.dispatchEvent(new Event("input", { bubbles: true }));
    }, true);
}"""


def caption_box(value: str, elem_id: str) -> gr.Textbox:
    """Where a tab of one caption has it typed, in a row with the button that draws it."""
    return gr.Textbox(
        label=f"Caption: one sentence, at most {MAX_CAPTION_CHARACTERS} characters",
        value=value,
        placeholder="Describe the picture in a sentence",
        max_lines=4,
        scale=6,
        min_width=280,
        elem_id=elem_id,
    )


def seed_and_dice(label: str, elem_id: str) -> tuple[gr.Number, gr.Button]:
    """A row of a seed and the button that rolls another."""
    with gr.Row(equal_height=True):
        seed = gr.Number(0, label=label, scale=2, min_width=120, elem_id=elem_id)
        dice = gr.Button("⚄ Roll", scale=1, min_width=90, elem_id=f"{elem_id}-dice")
    return seed, dice


def hold_when_chosen(seed: gr.Number, dice: gr.Button, hold: gr.Checkbox) -> None:
    """A seed that the visitor chose or rolled is meant to be used: hold it."""
    seed.input(None, None, hold, js="() => true")
    dice.click(None, None, [seed, hold], js=f"() => [{ROLL}, true]")


def truncation_slider(elem_id: str, visible: bool = True) -> gr.Slider:
    return gr.Slider(
        0,
        MAX_TRUNCATION,
        1,
        step=0.05,
        label="Truncation",
        info="Scale of z: lower is more typical, higher more varied.",
        visible=visible,
        elem_id=elem_id,
    )


def emphasis_slider(elem_id: str) -> gr.Slider:
    return gr.Slider(
        0,
        MAX_EMPHASIS,
        EMPHASIS,
        step=0.05,
        label="Emphasis",
        info="How much the words count: 0 not at all, 1 as they are, above it more.",
        elem_id=elem_id,
    )


class FineControls(NamedTuple):
    """The settings that most visitors leave alone, folded away."""

    truncation: gr.Slider
    emphasis: gr.Slider
    mean: gr.Checkbox  # ε = 0
    epsilon_seed: gr.Number


def fine_controls(prefix: str) -> FineControls:
    with gr.Accordion("Emphasis, truncation and ε", open=False):
        emphasis = emphasis_slider(f"{prefix}-emphasis")
        truncation = truncation_slider(f"{prefix}-truncation")
        mean = gr.Checkbox(
            True,
            label="ε = 0",
            info="Condition on the mean μ of the caption instead of a random draw.",
            elem_id=f"{prefix}-mean",
        )
        epsilon_seed = gr.Number(
            0, label="Seed of ε", info="Used when ε is not 0.", elem_id=f"{prefix}-epsilon-seed"
        )
    # A seed that the visitor chose is meant to be used.
    epsilon_seed.input(None, None, mean, js="() => false")
    return FineControls(truncation, emphasis, mean, epsilon_seed)


def chosen_epsilon(mean: object, epsilon_seed: object) -> int | None:
    """The seed of ε, or None for ε = 0. Raises ValueError for what is no seed."""
    if mean:
        return None
    if epsilon_seed is None:
        raise ValueError("with ε drawn at random the ε seed must not be empty")
    return checks.seed(epsilon_seed, "the ε seed")


def stage_image(stage: str, elem_id: str, alt_text: str) -> gr.Image:
    """A picture of one stage, "sketch" or "picture", at the size that both have on the page."""
    label = {"sketch": "Stage-I · sketch", "picture": "Stage-II · picture"}[stage]
    return gr.Image(
        label=label,
        format="png",
        type="filepath",
        interactive=False,
        buttons=["download", "fullscreen"],
        min_width=120,
        alt_text=alt_text,
        elem_id=elem_id,
        elem_classes=["stage", stage],
    )


def report_html(text: str = "", elem_id: str | None = None, **options: object) -> gr.HTML:
    """What a tab says about its pictures, read out when it changes."""
    return gr.HTML(
        text,
        js_on_load="element.setAttribute('role', 'status')",
        elem_id=elem_id,
        elem_classes="report",
        **options,
    )


def examples_box(offered: Sequence[str], elem_id: str, **options: object) -> gr.Dataset:
    """A button for each example."""
    return gr.Dataset(
        label="Examples",
        components=[gr.Textbox(visible=False)],
        elem_id=elem_id,
        **_offered(offered),
        **options,
    )


def offer_examples(
    chooser: gr.Dropdown, box: gr.Dataset, lines: Callable[[str], Sequence[str]]
) -> None:
    """Offer in `box` the examples of the checkpoint that `chooser` holds: `lines` of its name."""
    chooser.change(lambda name: gr.Dataset(**_offered(lines(name))), chooser, box, **AT_ONCE)


def _offered(lines: Sequence[str]) -> dict:
    return {"samples": [[line] for line in lines], "visible": bool(lines)}


def exchange_examples(
    chooser: gr.Dropdown, boxes: Sequence[gr.Textbox], first: Callable[[str], Sequence[str]]
) -> dict:
    """Where the visitor chooses a checkpoint, exchange examples of another subject in the `boxes`.

    `first` gives, by a checkpoint's name, the caption that each box begins with. A checkpoint that
    comes with a link, a PNG or history brings captions for its own tab; the others listen for that
    with what this returns.
    """

    def exchanged(checkpoint: str, *captions: str) -> dict:
        pairs = zip(captions, first(checkpoint), strict=True)
        texts = [examples.replaced(caption, checkpoint, own) for caption, own in pairs]
        return {
            # What stays is not written again: somebody may be typing.
            box: gr.skip() if text == caption else text
            for box, text, caption in zip(boxes, texts, captions, strict=True)
        }

    exchanges = {
        "fn": exchanged,
        "inputs": [chooser, *boxes],
        "outputs": list(boxes),
        "trigger_mode": LAST_COUNTS,
        **AT_ONCE,
    }
    chooser.input(**exchanges)
    return exchanges


def used(settings: dict) -> list[str]:
    """What a picture was drawn with besides its caption, in words; HTML."""
    epsilon = settings["epsilon_seed"]
    return [
        f"seed {settings['seed']}",
        "ε = 0" if epsilon is None else f"ε seed {epsilon}",
        f"truncation {settings['truncation']:g}",
        f"emphasis {settings['emphasis']:g}",
        html.escape(settings["checkpoint"]),
    ]
