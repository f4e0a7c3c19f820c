"""A finished run → a checkpoint to ship: half-precision weights, a sample grid, a model card.

    python -m train.export --run runs/flowers-stage2 --out checkpoints/flowers --name flowers

The grid is the run's own fixed one: captions of the validation split, seeds 0 to 31, none chosen.
Beside the weights go a sample of the training captions, which says what the checkpoint knows, and
with --scorer the scorer, which lets the page rank pictures by how well they fit; training.json tells
how both stages were trained, for the card of what is begun with them. `push_to_hub` takes all of it
along.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from PIL import Image

from stackgan import images, latents
from stackgan.model import CHECKPOINTS, KNOWN, SCORER, CheckpointError, StackGAN
from stackgan.ranking import Scorer
from train.card import SAMPLES, model_card, read_metrics
from train.data import DataError, PhotoData
from train.files import save_model, write_atomically
from train.history import history, settings_of, write_history
from train.known import known_captions
from train.state import model_of

TILE = 128  # pixels a picture in samples.png; the weights are the artefact, not the grid


def export(
    run: str | Path,
    out: str | Path,
    name: str,
    *,
    scorer: str | Path | None = None,
    metrics: str | Path | None = None,
    data: str | Path | None = None,
    encode=None,
) -> None:
    """Write `out`/config.json, model.safetensors, known.safetensors, samples.png, training.json
    and README.md.

    run: a folder of train.stage2, or of train.stage1 for a checkpoint that only sketches; or a
    checkpoint that knows how it was trained, such as train.average writes. scorer:
    a file of train.scorer, shipped as scorer.safetensors. metrics: a file of train.evaluate, whose
    figures go into the card. data: where the run's photographs lie now.
    encode: list of names of classes → (N, E); the data's own encoder
    unless given. Raises CheckpointError, DataError or ValueError when one of them cannot be read.
    """
    run, out = Path(run), Path(out)
    if not run.is_dir():
        raise CheckpointError(f"{run} is no folder of train.stage1, train.stage2 or train.average")
    if (out / "state.pt").exists():
        raise CheckpointError(f"{out} holds a run, which this would destroy: name another --out")
    trained = history(run)
    if not (last := trained["stage2"] or trained["stage1"]):
        raise CheckpointError(f"{run} does not tell how it was trained, which a card has to")
    scores = read_metrics(metrics) if metrics else None
    judge = Scorer.load(scorer) if scorer else None
    model = model_of(run)
    model.companions = {}  # a checkpoint's own: all but a scorer are written anew
    # What may still be refused comes before the weights, so that old ones stay with their card.
    data = PhotoData(data or last[-1]["data"], 64)
    data.check_is_of(settings_of(run), run)
    data.check_is_read_by(model.config, run)
    out.mkdir(parents=True, exist_ok=True)
    write_companions(data, out, name, scorer=judge, encode=encode)
    save_model(model.half(), out)
    # Drawn by the weights as shipped: what half precision costs is in the grid.
    shipped = StackGAN.from_pretrained(out)
    picture, captions = sample_grid(shipped, data)
    picture.save(out / "samples.png", optimize=True)
    address = out.name if out.resolve().parent == CHECKPOINTS.resolve() else str(out)
    write_history(trained, out)
    card = model_card(name, shipped, trained, captions, data.meta, address, scores)
    (out / "README.md").write_text(card, encoding="utf-8")


def write_companions(
    data: PhotoData, out: Path, name: str, *, scorer: Scorer | None = None, encode=None
) -> None:
    """What lies beside the weights: `out`/known.safetensors and, given one, scorer.safetensors.

    A scorer that lies there already stays unless one is given. Raises ValueError when it reads another
    encoder's sentences.
    """
    if scorer:
        scorer.check_encoder(data.meta["encoder"], data.meta["embedding_dim"], SCORER)
    known = known_captions(data, name, encode)
    if scorer:
        write_atomically(out / SCORER, scorer.save)
    write_atomically(out / KNOWN, known.save)


def sample_grid(model: StackGAN, data: PhotoData) -> tuple[Image.Image, list[str]]:
    """Sketches over pictures for unseen captions, seeds 0 to 31 → (picture, captions)."""
    picks = data.grid_captions(SAMPLES)
    rows = torch.tensor([pick["photo"] for pick in picks])
    with torch.inference_mode():
        embeddings = model.embedding_norm(data.embeddings[rows, 0].float())
        z = latents.noise(range(SAMPLES), model.config.noise_dim)
        sketches = model.stage1(embeddings, z).pictures
        captions = [pick["caption"] for pick in picks]
        if model.stage2 is None:
            return images.grid(sketches, columns=8), captions
        parts = zip(sketches.split(8), embeddings.split(8), strict=True)
        pictures = torch.cat([model.stage2(s, e).pictures for s, e in parts])
    small = torch.nn.functional.interpolate(pictures, size=(TILE, TILE), mode="area")
    return images.stages_grid(sketches, small), captions


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m train.export", description=__doc__.split("\n")[0])
    p.add_argument(
        "--run", required=True, help="folder of train.stage2, train.stage1 or train.average"
    )
    p.add_argument("--out", required=True, help="checkpoint folder to write")
    p.add_argument("--name", required=True, help="what it draws, for the card: flowers, birds, …")
    p.add_argument("--scorer", help="file of train.scorer, so that the page can rank pictures")
    p.add_argument("--metrics", help="file of train.evaluate, for the card")
    p.add_argument("--data", help="where the run's photographs lie now")
    args = p.parse_args(argv)
    try:
        export(
            args.run,
            args.out,
            args.name,
            scorer=args.scorer,
            metrics=args.metrics,
            data=args.data,
        )
    except (CheckpointError, DataError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
