"""How the page looks: fonts of the visitor's own system, so that no outside host is asked."""

from pathlib import Path

import gradio as gr

CSS = Path(__file__).with_name("style.css")

THEME = gr.themes.Default(
    primary_hue=gr.themes.colors.teal,
    secondary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_lg,
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "monospace"],
).set(
    block_label_background_fill="transparent",
    block_label_background_fill_dark="transparent",
    block_label_border_width="0px",
    button_border_width="1px",
    button_large_text_weight="500",
    # Contrasts of at least 4.5 to 1 where words are read.
    block_info_text_color="*neutral_500",
    block_info_text_color_dark="*neutral_400",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    link_text_color="*secondary_700",
    link_text_color_dark="*secondary_400",
    link_text_color_active="*secondary_700",
    link_text_color_visited="*secondary_700",
    link_text_color_visited_dark="*secondary_400",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
    button_primary_border_color="*primary_700",
    button_primary_border_color_dark="*primary_700",
    color_accent="*primary_600",
    button_secondary_background_fill="*background_fill_primary",
    button_secondary_background_fill_dark="*neutral_800",
    button_secondary_border_color="*neutral_300",
    button_secondary_border_color_dark="*neutral_600",
)
