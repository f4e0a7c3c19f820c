"""Beginning a run with networks that were trained on something else."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from stackgan.config import StackGANConfig
from stackgan.model import StackGAN
from train.loop import Trainer
from train.state import config_of, load_state
from train.widen import widened


def begin_with(trainer: Trainer, source: str | Path) -> bool:
    """Take the trained generator of `source`, a run or a checkpoint, and of a run its D too.

    A narrower generator is made as wide as this run's, and draws the same at first. A D of another
    architecture is not taken; a new one is then to have a `head_start`.
    Lines, textures and what makes a picture look real carry over from one subject to another.
    The embedding statistics, Stage-I under Stage-II and the step count stay this run's own.
    Returns whether D was taken. Raises ValueError when the networks differ in more than width.
    """
    state_file = Path(source) / "state.pt"
    if state_file.exists():
        state = load_state(state_file, trainer.device)
    else:
        weights = StackGAN.from_pretrained(source).state_dict()
        state = {"model": weights, "average": weights}
    stage = trainer.stage.name
    differing = _differing(stage, config_of(source), trainer.model.config)
    part, width = f"{stage}.", f"{stage}_width"
    wider = list(differing) == [width] and differing[width][0] < differing[width][1]
    try:
        for network, name in ((trainer.model, "model"), (trainer.average, "average")):
            trained = {
                k.removeprefix(part): v for k, v in state[name].items() if k.startswith(part)
            }
            if not trained:
                raise ValueError(
                    f"cannot begin with {source}, which has no Stage-{'I' * int(stage[-1])}"
                )
            ours = trainer.stage.trainee(network)
            if wider:
                # Stage-II reads ĉ, if any, beside the sketch's channels.
                read = trainer.model.config.condition_dim * trainer.model.config.text_in_stage2
                text = {"join.0.weight": read}
                trained = widened(trained, ours.state_dict(), text)
            ours.load_state_dict(trained)
    except RuntimeError as error:
        there_and_here = (
            f"{name} {theirs} there, {ours} here" for name, (theirs, ours) in differing.items()
        )
        raise ValueError(
            f"cannot begin with {source}, whose networks are others: " + "; ".join(there_and_here)
        ) from error
    theirs, ours = state.get("discriminator", {}), trainer.discriminator.state_dict()
    fits = {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items()}
    if fits:
        trainer.discriminator.load_state_dict(theirs)
    return fits


def _differing(
    stage: str, theirs: StackGANConfig, ours: StackGANConfig
) -> dict[str, tuple[object, object]]:
    """What makes the stage's generator another one there than here: name → (theirs, ours)."""
    beside = {"stages", "discriminator_width", "discriminator_text_dim"}
    if stage == "stage1":
        beside |= {"stage2_width", "text_in_stage2"}
        theirs, ours = theirs.stage1_alone(), ours.stage1_alone()
    else:
        beside |= {"stage1_width", "noise_dim"}
    there, here = asdict(theirs), asdict(ours)
    return {
        name: (value, here[name])
        for name, value in there.items()
        if name not in beside and here[name] != value
    }
