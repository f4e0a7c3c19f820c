"""What the frozen network under D can see of a checkpoint's flaws, by the size that it looks at.

    python -m train.probe --checkpoint checkpoints/birds --data data/birds

A discriminator over frozen features learns from nothing but their maps. For each view (the side in
pixels at which the network is shown whole pictures, training's --view) and each map, by its stride:
how well a linear probe tells training photographs from pictures drawn for their captions, as the
area under its ROC curve among pictures that it did not learn from. 0.5 is chance, 1 means that
every flaw is plain. Where G has learned to fool one view and a larger one still sees, train on
against the larger one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc
from tqdm import tqdm

from stackgan import latents
from stackgan.discriminators import STRIDES, FeaturePyramid, resized
from stackgan.features import EfficientNetLite
from stackgan.images import shrink
from stackgan.latents import Noise
from stackgan.messages import first_line
from stackgan.model import CheckpointError
from stackgan.pipeline import Pipeline
from train.data import DataError, PhotoData
from train.featureset import BATCH, photos
from train.machine import choose_precision
from train.spread import draw

VIEWS = (128, 192, 256)
LEAST = 64  # photographs: a quarter of them judges
RIDGES = (10.0, 100.0, 1000.0, 10_000.0)  # a quarter chooses among these

Seen = dict[tuple[int, int], list[Tensor]]  # (view, stride) → (≤ batch, D) each


def probe(
    checkpoint: str | Path,
    data_folder: str | Path,
    *,
    views: tuple[int, ...] = VIEWS,
    samples: int = 1024,
    seed: int = 0,
    pyramid: FeaturePyramid | None = None,
) -> dict[str, dict[int, dict[int, float]]]:
    """Stage → view → stride → AUC, for the checkpoint's "stage1" and, of two stages, "stage2".

    samples: photographs, and as many pictures. pyramid: the frozen network, Lite1 unless given.
    Raises CheckpointError, DataError or ValueError in words for the person who asked.
    """
    for view in views:
        if view < STRIDES[-1] or view % STRIDES[-1]:
            raise ValueError(f"--views are multiples of {STRIDES[-1]}, not {view}")
    data = PhotoData(data_folder, 256)
    samples = min(samples, len(data.train))
    if samples < LEAST:
        raise ValueError(
            f"{LEAST} photographs are the least that a probe learns from, not {samples}"
        )
    pipeline = Pipeline.from_pretrained(checkpoint)
    config, device = pipeline.config, pipeline.device
    data.check_is_read_by(config, checkpoint)
    network = EfficientNetLite("lite1") if pyramid is None else pyramid
    network = network.to(device, memory_format=torch.channels_last)
    half = choose_precision(device) == "bf16"

    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    rows = data.train[order[:samples]]
    seen: dict[str, tuple[Seen, Seen]] = {}
    bar = tqdm(total=samples, desc="photographs and pictures", unit="photo", disable=None)
    for i, (part, real) in enumerate(zip(rows.split(BATCH), photos(data, rows), strict=True)):
        seeds = latents.seeds_from(seed + i * BATCH, len(part))
        noise = Noise(
            latents.noise(seeds, config.noise_dim),
            *(latents.noise(seeds, config.condition_dim, s) for s in ("epsilon1", "epsilon2")),
        )
        for stage, drawn in draw(pipeline, data.embeddings[part, 0].float(), noise).items():
            stage = "stage1" if config.stages == 1 else stage.replace("pictures", "stage2")
            pair = seen.setdefault(stage, ({}, {}))
            for found, images in zip(pair, (shrink(real, drawn.shape[-1]), drawn), strict=True):
                with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, half):
                    _look(network, images.to(device), views, found)
        bar.update(len(part))
    bar.close()
    return {
        stage: {
            view: {
                stride: _auc(torch.cat(pair[0][view, stride]), torch.cat(pair[1][view, stride]))
                for stride in STRIDES
            }
            for view in views
        }
        for stage, pair in sorted(seen.items())
    }


def _look(network: FeaturePyramid, images: Tensor, views: tuple[int, ...], found: Seen) -> None:
    """Of each map the means of its quarters and the deviation over the place: (N, 5 · C)."""
    for view in views:
        maps = network.maps(resized(images.contiguous(memory_format=torch.channels_last), view))
        for stride, x in zip(STRIDES, maps, strict=True):
            x = x.float()
            parts = [F.adaptive_avg_pool2d(x, 2).flatten(1), x.flatten(2).std(dim=2)]
            found.setdefault((view, stride), []).append(torch.cat(parts, dim=1).cpu())


def _auc(real: Tensor, drawn: Tensor) -> float:
    """Ridge regression on half of both sets, its weight chosen on a quarter, judged on the last."""
    both = torch.stack([real, drawn]).double()  # (2, N, D)
    fit, choose, judge = both.tensor_split([both.shape[1] // 2, 3 * both.shape[1] // 4], dim=1)
    mean, deviation = fit.mean(dim=(0, 1)), fit.flatten(0, 1).std(dim=0) + 1e-6

    def rows(part: Tensor) -> tuple[Tensor, Tensor]:
        """(2, n, D) → (2 · n, D), and 1 for photographs, 0 for pictures."""
        labels = torch.tensor([1, 0]).repeat_interleave(part.shape[1])
        return ((part - mean) / deviation).flatten(0, 1), labels

    x, labels = rows(fit)
    targets, products = x.T @ (labels - 0.5).double(), x.T @ x

    def area(part: Tensor, weights: Tensor) -> float:
        x, labels = rows(part)
        return binary_auroc((x @ weights).sigmoid(), labels).item()

    solved = [torch.linalg.solve(products + r * torch.eye(len(products)), targets) for r in RIDGES]
    return area(judge, max(solved, key=lambda weights: area(choose, weights)))


def report(found: dict) -> str:
    """The same as a table for people."""
    lines = ["AUC of a linear probe   " + "".join(f"stride {s:<5}" for s in STRIDES)]
    for stage, views in found.items():
        for view, areas in views.items():
            name = f"{stage}, view {view}"
            lines.append(f"{name:<24}" + "".join(f"{a:<12.3f}" for a in areas.values()))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Probe a checkpoint. Returns 0, or 2 after one line on stderr that says what was wrong."""
    p = argparse.ArgumentParser(prog="python -m train.probe", description=__doc__.split("\n")[0])
    p.add_argument(
        "--checkpoint", required=True, help="bundled name, folder, run's model or Hub repo"
    )
    p.add_argument("--data", required=True, help="folder that train.prepare wrote")
    p.add_argument("--views", type=int, nargs="+", default=VIEWS, help="sides in pixels")
    p.add_argument("--samples", type=int, default=1024, help="photographs, and as many pictures")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = p.parse_args(argv)
    if not 0 <= args.seed <= latents.MAX_SEED:
        p.error(f"--seed is a whole number from 0 to {latents.MAX_SEED}")
    try:
        found = probe(
            args.checkpoint,
            args.data,
            views=tuple(dict.fromkeys(args.views)),
            samples=args.samples,
            seed=args.seed,
        )
    except (
        CheckpointError,
        DataError,
        ModuleNotFoundError,
        OSError,
        ValueError,
        torch.OutOfMemoryError,
    ) as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    print(report(found))
    if args.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
