"""The README's figures of real outputs: python docs/figures.py [flowers] [birds]

docs/stages-NAME.png: sketches over pictures for the captions below, seeds 0, 1, 2 …, not chosen.
docs/between-NAME.png: from one sentence to another with z = 0, the paper's Fig. 8.
"""

import argparse
import sys
import textwrap
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from stackgan import Pipeline, images  # noqa: E402

TILE = 192
CAPTIONS = {
    "flowers": [
        "this flower has long yellow petals and a dark brown center",
        "a white flower with round petals and a yellow center",
        "the petals of this flower are pink and layered",
        "this flower is purple with thin pointed petals",
        "a red flower with broad petals",
        "this flower has orange petals with dark spots",
    ],
    "birds": [
        "a small yellow bird with black wings and a short pointed beak",
        "this bird is bright red with a black face",
        "a white bird with grey wings and an orange beak",
        "this bird has a blue head and back and a white belly",
        "the bird is all black with a thick curved beak",
        "a small brown bird with a speckled breast",
    ],
}
BETWEEN = {
    "flowers": ("a flower with bright yellow petals", "a flower with deep purple petals"),
    "birds": ("a small yellow bird with black wings", "a bright blue bird with a white belly"),
}


def stages(pipeline: Pipeline, captions: list[str]) -> Image.Image:
    """One column a caption: the sentence, the 64×64 sketch enlarged, the 256×256 picture."""
    output = pipeline.generate(captions, seeds=list(range(len(captions))))
    small = torch.nn.functional.interpolate(output.images, size=(TILE, TILE), mode="area")
    tiles = images.stages_grid(output.sketches, small, columns=len(captions))
    font = ImageFont.load_default(13)
    figure = Image.new("RGB", (tiles.width, tiles.height + 56), "white")
    figure.paste(tiles, (0, 56))
    pen = ImageDraw.Draw(figure)
    for i, caption in enumerate(captions):
        lines = "\n".join(textwrap.wrap(caption, 28))
        pen.multiline_text((i * (TILE + 2) + 6, 4), lines, font=font, fill="#222")
    return figure


def between(pipeline: Pipeline, first: str, second: str, frames: int = 9) -> Image.Image:
    """The film strip between two sentences."""
    output = pipeline.interpolate(first, second, frames)
    small = torch.nn.functional.interpolate(output.images, size=(128, 128), mode="area")
    return images.grid(small, columns=frames)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("checkpoints", nargs="*", help=f"of {', '.join(CAPTIONS)}; both unless named")
    names = p.parse_args().checkpoints or list(CAPTIONS)
    if unknown := set(names) - set(CAPTIONS):
        p.error(f"there are no sentences here for {', '.join(sorted(unknown))}")
    for name in names:
        pipeline = Pipeline.from_pretrained(name)
        stages(pipeline, CAPTIONS[name]).save(FOLDER / f"stages-{name}.png", optimize=True)
        between(pipeline, *BETWEEN[name]).save(FOLDER / f"between-{name}.png", optimize=True)
