"""The checkpoints that a page offers, each loaded when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from torch import Tensor

from stackgan.messages import echoed
from stackgan.model import CHECKPOINTS, StackGAN, bundled, checkpoint_name
from stackgan.pipeline import Pipeline
from stackgan.text import load_encoder
from stackgan.ui.events import WhileWanted

Encoder = Callable[[Sequence[str]], Tensor]


class Checkpoints:
    """Names → pipelines. Sentence encoders are shared between checkpoints that name the same one.

    `names` are what the visitor sees, the default first; empty when nothing is trained yet.
    """

    def __init__(self, source: str | None = None, encoder: Encoder | None = None):
        """`source`: a folder or Hub repository; every bundled checkpoint unless given.

        `encoder` replaces the ones that the checkpoints name. Raises CheckpointError for a source
        that cannot be a checkpoint.
        """
        if source is None:
            # By their paths: a folder in the place where the app was started may have the same name.
            sources = {name: str(CHECKPOINTS / name) for name in bundled()}
        else:
            sources = {checkpoint_name(source): source}
        self._sources = sources
        self.names = sorted(sources, key=lambda name: (name != "flowers", name))
        self._encoder = encoder
        self._encoders: dict[tuple[str, int], Encoder] = {}
        self._pipelines: dict[str, Pipeline] = {}
        self._lock = threading.Lock()

    def pipeline(self, name: str | None = None) -> Pipeline:
        """The pipeline of that name, the default one unless given; loads it the first time.

        Raises ValueError for a name that is not offered and CheckpointError for a damaged one.
        """
        name = name or self.names[0]
        if not isinstance(name, str) or name not in self._sources:
            raise ValueError(
                f"there is no checkpoint {echoed(name)} here; choose from {self.names}"
            )
        with self._lock:
            if name not in self._pipelines:
                model = StackGAN.from_pretrained(self._sources[name])
                encoder = self._encoder or self._shared_encoder(model)
                pipeline = Pipeline(model, encoder, name=name)
                pipeline.engine = WhileWanted(pipeline.engine)
                self._pipelines[name] = pipeline
            return self._pipelines[name]

    def is_loaded(self, name: str | None = None) -> bool:
        """Whether `pipeline` has that one at hand."""
        return (name or self.names[0]) in self._pipelines

    def warm(self) -> None:
        """Load the default checkpoint and its sentence encoder, for the first visitor's sake."""
        if self.names:
            self.pipeline().warm()

    def _shared_encoder(self, model: StackGAN) -> Encoder:
        key = (model.config.encoder, model.config.embedding_dim)
        if key not in self._encoders:
            self._encoders[key] = load_encoder(*key)
        return self._encoders[key]
