"""StackGAN: a sentence becomes a 64×64 sketch, and the sketch a 256×256 picture.

from stackgan import Pipeline

output = Pipeline.from_pretrained("flowers").generate("a flower with yellow petals", seeds=7)
output.pictures()[0].save("flower.png")
"""

from stackgan.config import SIZES, StackGANConfig
from stackgan.model import CheckpointError, StackGAN
from stackgan.pipeline import Pipeline, StackGANOutput

__all__ = ["SIZES", "CheckpointError", "Pipeline", "StackGAN", "StackGANConfig", "StackGANOutput"]
