"""Whether a run's discriminator sees that a picture is of one piece.

    python -m train.coherence --run runs/birds-stage1 --data data/birds

Of photographs of unseen classes, beside the same ones put together wrongly (train.stitch): how often
it ranks the whole one higher, as the area under the ROC curve. 0.5 is chance. Where that is low, G is
hardly told of two heads or half a body, and training's --stitch-weight may help.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from stackgan import latents
from stackgan.images import shrink
from stackgan.messages import first_line
from stackgan.model import CheckpointError
from train.data import DataError, PhotoData
from train.featureset import load_discriminator, photos
from train.machine import choose_precision
from train.state import model_of
from train.stitch import draw_stitches, stitch

BATCH = 64
LEAST = 8  # photographs


@torch.inference_mode()
def coherence(
    run: str | Path, data_folder: str | Path, *, samples: int = 1024, seed: int = 0
) -> dict[str, float]:
    """Of the mean over the heads that read text: {"whole", "stitched": mean logits, "auc", "photographs"}.

    samples: photographs kept out of training, with their captions; fewer where there are fewer.
    Raises CheckpointError, DataError or ValueError in words for the person who asked.
    """
    network, side = load_discriminator(run)
    data, model = PhotoData(data_folder, 256), model_of(run)
    data.check_is_read_by(model.config, run)
    device = next(network.parameters()).device
    draw = torch.Generator().manual_seed(seed)
    rows = data.validation[torch.randperm(len(data.validation), generator=draw)[:samples]]
    if len(rows) < LEAST:
        raise ValueError(f"{LEAST} photographs kept out of training are the least, not {len(rows)}")
    norm = model.embedding_norm.to(device)
    half = choose_precision(device) == "bf16"

    def logits(pictures: Tensor, embeddings: Tensor) -> Tensor:
        corners = network.draw_corners(len(pictures), draw).to(device)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, half):
            # Heads of crops, which see what may be of one piece, give no second list.
            heads = network.score_both(network.encode(pictures, corners), embeddings, embeddings)[1]
        return torch.stack(heads).float().mean(0).cpu()

    whole, stitched = [], []
    for part, real in zip(rows.split(BATCH), photos(data, rows, BATCH), strict=True):
        real = shrink(real.to(device), side)
        embeddings = norm(data.embeddings[part, 0].float().to(device))
        stitches = draw_stitches(len(part), draw).to(device)
        whole.append(logits(real, embeddings))
        stitched.append(logits(stitch(real, real.roll(1, 0), stitches), embeddings))
    both = torch.cat([*whole, *stitched])
    labels = torch.tensor([1, 0]).repeat_interleave(len(rows))
    means = both.view(2, -1).mean(1).tolist()
    auc = binary_auroc(both.sigmoid(), labels).item()
    return {"whole": means[0], "stitched": means[1], "auc": auc, "photographs": len(rows)}


def main(argv: list[str] | None = None) -> int:
    """Ask a run's discriminator. Returns 0, or 2 after one line on stderr that says what was wrong."""
    p = argparse.ArgumentParser(
        prog="python -m train.coherence", description=__doc__.split("\n")[0]
    )
    p.add_argument("--run", required=True, help="folder of train.stage1 or train.stage2")
    p.add_argument("--data", required=True, help="folder that train.prepare wrote")
    p.add_argument("--samples", type=int, default=1024, help="photographs, at most")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = p.parse_args(argv)
    if not 0 <= args.seed <= latents.MAX_SEED:
        p.error(f"--seed is a whole number from 0 to {latents.MAX_SEED}")
    if args.samples < LEAST:
        p.error(f"--samples is a whole number from {LEAST}")
    try:
        found = coherence(args.run, args.data, samples=args.samples, seed=args.seed)
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
    print(
        f"{found['photographs']} photographs kept out of training: mean logit {found['whole']:.2f}, put "
        f"together wrongly {found['stitched']:.2f}; the whole one ranks higher in {found['auc']:.3f}"
    )
    if args.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
