"""What a run tells of its progress: lines of stats.jsonl, and TensorBoard's curves."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from train.files import write_atomically


class Stats:
    """Terms of the losses, averaged over the steps between two lines, and the file of the lines."""

    def __init__(self, out: Path):
        self.path = out / "stats.jsonl"
        self._sums: Tensor | float = 0.0
        self._names: tuple[str, ...] = ()
        self._steps = 0
        self._writer = None

    def note(self, names: tuple[str, ...], values: Tensor) -> None:
        """One step's scalars (K,). Summed where they are: reading one would wait for the device."""
        self._names, self._sums = names, self._sums + values
        self._steps += 1

    def take(self) -> dict[str, float]:
        """The means of what was noted since the last call."""
        if not self._steps:
            return {}
        means = (self._sums / self._steps).tolist()
        self._sums, self._steps = 0.0, 0
        return dict(zip(self._names, means, strict=True))

    def write(self, line: dict[str, float]) -> None:
        """Append a line; it has the number of `images` seen."""
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer:
            for name, value in line.items():
                self._writer.add_scalar(name, value, line["images"])

    def drop_after(self, images: int) -> None:
        """Lines written after the state was saved would appear twice in a resumed run."""
        if self.path.exists():
            lines = self.path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("}\n")]  # a full disk cuts the last
            kept = [line for line in kept if json.loads(line)["images"] <= images]
            write_atomically(self.path, lambda new: new.write_text("".join(kept)))

    def open_tensorboard(self) -> None:
        """Write every line to TensorBoard too, until `close`. Raises ModuleNotFoundError."""
        from torch.utils.tensorboard import SummaryWriter  # an optional package

        self._writer = SummaryWriter(self.path.parent)

    def close(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None
