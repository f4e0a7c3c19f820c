"""Tensors ↔ pictures, grids, strips, animations, and the settings inside a PNG.

One pair of functions turns tensors into pictures and back, and rounds; nothing else does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

METADATA_KEY = "stackgan"  # the PNG text chunk that holds a picture's settings as JSON


def to_uint8(images: Tensor) -> Tensor:
    """(…, 3, H, W) in [−1, 1] → uint8 of the same shape, rounded to the nearest grey level."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pictures(images: Tensor) -> list[Image.Image]:
    """(N, 3, H, W) in [−1, 1] → N pictures."""
    arrays = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(np.ascontiguousarray(array)) for array in arrays]


def from_pictures(pictures: Sequence[Image.Image]) -> Tensor:
    """N pictures of one size → (N, 3, H, W) in [−1, 1]: the inverse of `to_pictures`."""
    arrays = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def grid(images: Tensor, columns: int, padding: int = 2) -> Image.Image:
    """(N, 3, H, W) in [−1, 1] → one picture of rows of `columns`, white between them."""
    from torchvision.utils import make_grid  # two seconds to import, which the page starts without

    return to_pictures(make_grid(images.float(), columns, padding, pad_value=1.0)[None])[0]


def stages_grid(sketches: Tensor, images: Tensor, columns: int = 8) -> Image.Image:
    """Rows of sketches (enlarged without smoothing) over rows of their pictures."""
    scale = images.shape[-1] // sketches.shape[-1]
    enlarged = sketches.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    # White fills the last row, so that its sketches stay above their pictures.
    blank = images.new_ones(-len(images) % columns, *images.shape[1:])
    enlarged, images = torch.cat([enlarged, blank]), torch.cat([images, blank])
    rows = [
        part
        for pair in zip(enlarged.split(columns), images.split(columns), strict=True)
        for part in pair
    ]
    return grid(torch.cat(rows), columns)


def save_png(picture: Image.Image, path: str | Path, settings: dict | None = None) -> None:
    """Write a PNG, with the settings that made it inside."""
    info = PngInfo()
    if settings is not None:
        info.add_itxt(METADATA_KEY, json.dumps(settings, ensure_ascii=False))
    picture.save(path, format="PNG", pnginfo=info)


def read_settings(path: str | Path) -> dict | None:
    """The settings inside a PNG that `save_png` wrote; None for any other picture."""
    with Image.open(path) as picture:
        text = getattr(picture, "text", {}).get(METADATA_KEY)
    return json.loads(text) if text else None


def save_animation(
    frames: Iterable[Image.Image], path: str | Path, seconds: float = 3.0, bounce: bool = True
) -> None:
    """Write frames as an endless .gif or .webp; `bounce` plays them there and back.

    Raises ValueError for another ending. `seconds` is the time from the first frame to the last.
    """
    frames, path = list(frames), Path(path)
    if path.suffix.lower() not in (".gif", ".webp"):
        raise ValueError(f"an animation is a .gif or a .webp, not {path.name!r}")
    duration = max(20, round(1000 * seconds / max(len(frames) - 1, 1)))
    if bounce and len(frames) > 2:
        frames += frames[-2:0:-1]
    options = {"quality": 90} if path.suffix.lower() == ".webp" else {}
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=duration, loop=0, **options
    )
