"""Feature networks that score pictures, and the features of a set's photographs, computed once.

The photographs' features stay beside the arrays (`features-NAME.npy`), because a training set's
never change and every evaluation needs them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stackgan.features import SIDE, FeatureNetwork, brought_to_size, load_lite
from stackgan.images import from_uint8
from stackgan.messages import first_line
from train.data import DataError, PhotoData
from train.files import write_atomically
from train.loop import make_discriminator
from train.state import load_state, network_of, recipe_of, run_settings

BATCH = 16
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)
NETWORK_TITLES = {
    "lite0": "EfficientNet-Lite0",
    "lite2": "EfficientNet-Lite2",
    "inception": "Inception-v3 (FID weights)",
}  # --features


def load_discriminator(run: str | Path) -> tuple[nn.Module, int]:
    """A run's discriminator, in eval mode where there is a GPU on that, and the side that it judges.

    Raises ValueError when `run` is no folder of train.stage1 or train.stage2, and
    ModuleNotFoundError when the network under it is not installed.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        about = run_settings(run)
        config, recipe = network_of(about), recipe_of(about)
        state = load_state(Path(run) / "state.pt", "cpu")
    except UNREADABLE as error:
        raise ValueError(f"{run} is no folder of train.stage1 or train.stage2: {error}") from error
    side = config.sketch_resolution if about["stage"] == "stage1" else config.resolution
    network = make_discriminator(recipe, config, side, device)
    try:
        network.load_state_dict(state["discriminator"])
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{run} holds another discriminator than its settings make") from error
    return network.eval().requires_grad_(False), side


def discriminator_features(run: str | Path) -> FeatureNetwork:
    """What a run's discriminator makes of pictures: `describe`, of 256×256 ones at its own size.

    Raises as `load_discriminator` does.
    """
    network, side = load_discriminator(run)
    device = next(network.parameters()).device
    probe = torch.zeros(1, 3, side, side, device=device)
    return FeatureNetwork(
        "discriminator", network.describe, network.describe(probe).shape[1], side, device
    )


def load_network(name: str, weights: str | None = None) -> FeatureNetwork:
    """ "lite0" or "lite2" out of their packages, or "inception": torch-fidelity's port of the FID network.

    weights: Inception's file; without one torch-fidelity looks in its cache, then downloads it.
    Raises ValueError for an unknown name or weights that cannot be had, ModuleNotFoundError for a
    missing package.
    """
    if name not in NETWORK_TITLES:
        raise ValueError(f"unknown feature network {name!r}; there are {', '.join(NETWORK_TITLES)}")
    if name != "inception":
        return load_lite(name)
    if weights and not Path(weights).is_file():
        raise ValueError(f"--inception-weights {weights}: there is no such file")
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], weights)
    except (OSError, RuntimeError, KeyError, EOFError, UnpicklingError) as error:
        raise ValueError(
            f"Inception's weights cannot be had ({first_line(error)}): name a file of "
            "pt_inception-2015-12-05-6726825d.pth with --inception-weights"
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return FeatureNetwork(name, network.eval().to(device), 2048, None, device)


def shrunk(images: Tensor, side: int = 64) -> Tensor:
    """Photographs (N, 3, 256, 256) as a sketch can hold them: averaged to `side`, enlarged again."""
    return brought_to_size(F.interpolate(images, (side, side), mode="area"))


class Through64(FeatureNetwork):
    """A network seeing every picture as a sketch can hold it: shapes and colours without detail."""

    def __init__(self, network: FeatureNetwork):
        super().__init__(f"{network.name}-64", network, network.dim, SIDE, network.device)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) → (N, dim). Sketches are to be given as they are: enlarged before, they would
        be averaged once more than the photographs they are compared with."""
        return self.network(shrunk(images))


def photos(data: PhotoData, rows: Iterable[int], batch: int = BATCH) -> Iterator[Tensor]:
    """The centres of a set's photos, (≤ batch, 3, 256, 256) in [−1, 1] at a time."""
    rows = torch.as_tensor(list(rows))
    margin = (data.photos.shape[1] - SIDE) // 2
    for part in rows.split(batch):
        pixels = data.photos[part.to(data.photos.device)]  # (N, 288, 288, 3) uint8
        pixels = pixels[:, margin : margin + SIDE, margin : margin + SIDE]
        yield from_uint8(pixels)


def photo_features(data: PhotoData, rows: Tensor, network: FeatureNetwork) -> Tensor:
    """Features (len(rows), dim) of a set's photos; those not in the cache are computed and added.

    An interrupted call keeps what it has computed. A folder that cannot be written to is no error:
    the features are then computed anew each time.
    """
    path = data.folder / f"features-{network.name}.npy"
    shape = (len(data.photos), network.dim)
    try:
        known = np.load(path)
    except FileNotFoundError:
        known = np.full(shape, math.nan, np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged, remove it: {error}") from error
    if known.shape != shape:
        raise DataError(f"{path} holds {known.shape} features, not {shape}: remove it")
    missing = rows[torch.from_numpy(np.isnan(known[rows.numpy(), 0]))]
    if len(missing):
        label = f"{network.name} features of photos"
        bar = tqdm(total=len(missing), desc=label, unit="photo", disable=None)
        done = 0
        try:
            for batch in photos(data, missing.tolist()):
                known[missing[done : done + len(batch)].numpy()] = network(batch).numpy()
                done += len(batch)
                bar.update(len(batch))
        finally:
            bar.close()
            _keep(path, known)
    return torch.from_numpy(known[rows.numpy()])


def _keep(path: Path, known: np.ndarray) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, known)

    try:
        write_atomically(path, write)
    except OSError as error:
        tqdm.write(f"{path.name} is not kept: {error}", file=sys.stderr)
