"""Tensors ↔ pictures, grids, strips, animations, and the settings inside a PNG.

Here alone grey levels become numbers in [−1, 1] and are rounded back.
"""

from __future__ import annotations

import importlib.util
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

METADATA_KEY = "stackgan"  # the PNG text chunk that holds a picture's settings as JSON
ANIMATIONS = (".gif", ".webp", ".mp4")
VECTOR_LENGTH = 48  # numbers in `shrink`'s vectors; longer ones make its kernel mostly zeros


def to_uint8(images: Tensor) -> Tensor:
    """(…, 3, H, W) in [−1, 1] → uint8 of the same shape, rounded to the nearest grey level."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pictures(images: Tensor) -> list[Image.Image]:
    """(N, 3, H, W) in [−1, 1] → N pictures."""
    arrays = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(np.ascontiguousarray(array)) for array in arrays]


def from_uint8(pixels: Tensor) -> Tensor:
    """Grey levels as pictures and photo packs have them, (N, H, W, 3) → (N, 3, H, W) in [−1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def from_pictures(pictures: Sequence[Image.Image]) -> Tensor:
    """N pictures of one size → (N, 3, H, W) in [−1, 1]: the inverse of `to_pictures`."""
    arrays = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return from_uint8(torch.from_numpy(arrays))


def shrink(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) → (N, C, side, side) by box average; H = W, a multiple of side.

    Equal to F.avg_pool2d up to rounding. That one, on a CPU with channels last, handles single
    numbers; here several pixels in a row are viewed as one longer vector, and a convolution over
    those averages them, in a tenth of the time, gradient included.
    """
    n, channels, _, width = images.shape
    factor = width // side
    if factor == 1:
        return images
    if images.device.type != "cpu" or not images.is_contiguous(memory_format=torch.channels_last):
        return F.avg_pool2d(images, factor)
    # As many averages side by side as fit a row and VECTOR_LENGTH numbers.
    at_once = math.gcd(side, max(1, VECTOR_LENGTH // (channels * factor)))
    box = torch.full((1, factor), 1 / factor**2)
    kernel = torch.kron(torch.eye(at_once), torch.kron(box, torch.eye(channels)))
    kernel = kernel.to(images.dtype)[:, :, None, None].repeat(1, 1, factor, 1)
    rows = images.permute(0, 2, 3, 1).view(n, width, side // at_once, kernel.shape[1])
    with torch.autocast("cpu", enabled=False):
        shrunk = F.conv2d(rows.permute(0, 3, 1, 2), kernel, stride=(factor, 1))
    return shrunk.permute(0, 2, 3, 1).reshape(n, side, side, channels).permute(0, 3, 1, 2)


def grid(images: Tensor, columns: int) -> Image.Image:
    """(N, 3, H, W) in [−1, 1] → one picture of rows of `columns`, white between them."""
    from torchvision.utils import make_grid  # two seconds to import, which the page starts without

    return to_pictures(make_grid(images.float(), columns, pad_value=1.0)[None])[0]


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
    """Write a PNG, with the settings that made it inside.

    Only repeated bytes are looked for (run-length encoding): what PNG's filters leave of a picture
    has no longer phrases, and looking for those takes four times as long for the same size.
    """
    info = PngInfo()
    if settings is not None:
        info.add_itxt(METADATA_KEY, json.dumps(settings, ensure_ascii=False))
    picture.save(path, format="PNG", pnginfo=info, compress_type=zlib.Z_RLE)


def with_settings(picture: Image.Image, settings: dict) -> Image.Image:
    """The picture with the settings in its `info`, for Gradio to write into the PNG that it makes."""
    picture.info[METADATA_KEY] = json.dumps(settings, ensure_ascii=False)
    return picture


def read_settings(path: str | Path) -> dict | None:
    """The settings inside a PNG that `save_png` wrote; None for any other picture."""
    with Image.open(path) as picture:
        text = getattr(picture, "text", {}).get(METADATA_KEY)
    return json.loads(text) if text else None


def can_write_mp4() -> bool:
    """Whether `save_animation` writes .mp4: if PyAV is installed, whose wheel brings an encoder."""
    return importlib.util.find_spec("av") is not None


def save_animation(
    frames: Iterable[Image.Image], path: str | Path, seconds: float = 3.0, bounce: bool = True
) -> None:
    """Write frames as an endless .gif or .webp, or as an .mp4; `bounce` plays there and back.

    `seconds` is the time from the first frame to the last; a frame is seen for 20 ms at least, which
    players of GIFs need, and there for whole hundredths of a second. Raises ValueError for another
    ending, and for an .mp4 without PyAV.
    """
    frames, path = list(frames), Path(path)
    ending = path.suffix.lower()
    if ending not in ANIMATIONS:
        raise ValueError(f"an animation is a {', '.join(ANIMATIONS)}, not {path.name!r}")
    if ending == ".mp4" and not can_write_mp4():
        raise ValueError("an .mp4 is written by PyAV: pip install av")
    duration = max(20, round(1000 * seconds / max(len(frames) - 1, 1)))  # milliseconds a frame
    if bounce and len(frames) > 2:
        frames += frames[-2:0:-1]
    if ending == ".mp4":
        # Most players stop at the end: on the frame that it began with.
        _save_mp4(frames + frames[:1] if bounce else frames, path, duration)
        return
    if ending == ".gif":
        frames = _with_one_palette(frames)
    # Less searching for how to write a block: half the time, and files are a fiftieth larger.
    options = {"quality": 90, "method": 2} if ending == ".webp" else {"optimize": False}
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=duration, loop=0, **options
    )


def _with_one_palette(frames: list[Image.Image]) -> list[Image.Image]:
    """Frames in 256 colours that all of them share: ten times as quick as a palette for each."""
    samples = Image.new("RGB", (64 * len(frames), 64))
    for i, frame in enumerate(frames):
        samples.paste(frame.resize((64, 64)), (64 * i, 0))
    palette = samples.quantize(256)
    return [frame.quantize(palette=palette) for frame in frames]


def _save_mp4(frames: list[Image.Image], path: Path, duration: int) -> None:
    """H.264 in 4:2:0, which every browser plays. Sides of the frames are even numbers."""
    import av  # optional, see can_write_mp4

    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        options = {"crf": "18", "preset": "veryfast"}  # a third of the time, and no larger
        stream = file.add_stream("h264", rate=Fraction(1000, duration), options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_image(frame.convert("RGB"))))
        file.mux(stream.encode())
