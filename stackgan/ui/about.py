"""The How it works tab."""

import gradio as gr

TEXT = """
### From a sentence to a picture, in two stages

1. **Words to numbers.** A sentence encoder turns the caption into an embedding φ of 384 numbers.
2. **Conditioning Augmentation.** A small network turns φ into a mean μ and a deviation σ. The
   condition is ĉ = μ + σ ⊙ ε: with ε = 0 it is the mean, with a random ε a slightly different
   reading of the same words.
3. **Stage-I** draws a 64 × 64 sketch from ĉ and the noise z: rough shape and colours.
4. **Stage-II** reads the sketch and the caption once more and draws 256 × 256: it mends what the
   sketch got wrong and adds detail.

**z** decides everything that the caption does not say: pose, background, arrangement. Hold it and
change a word, and you see what the word does. **Truncation** scales z: towards 0 pictures become
more typical and more alike.

**Interpolation** walks in a line from one sentence's embedding to another's while z stays put, as in
the paper's Figure 8.

The networks know only what their training photographs and captions show. A sentence about anything
else still gives a picture, though not of what you asked for.

Han Zhang, Tao Xu, Hongsheng Li, Shaoting Zhang, Xiaogang Wang, Xiaolei Huang, Dimitris Metaxas:
*StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative Adversarial Networks*,
ICCV 2017, [arXiv:1612.03242](https://arxiv.org/abs/1612.03242).
"""


def build() -> None:
    gr.Markdown(TEXT, elem_id="about")
