"""What the How it works tab says."""

INTRODUCTION = """
### From a sentence to a picture, in two stages

Follow a caption through the two networks: every step below fills in for the one you type.
"""

NOT_YET = '<p class="not-yet">Press “Explain” to see it here.</p>'

EMBEDDING = """
### 1 · The words become numbers

A sentence encoder turns the caption into an embedding φ: sentences with similar meanings
get similar numbers. The networks know only what their training captions and photographs show. These training
captions come nearest to yours, with the cosine between the two embeddings (1 is the same):
"""

UNKNOWN = "<p>This checkpoint comes without the captions that it was trained on.</p>"

FAR = (
    "<p><strong>None of them is near.</strong> This checkpoint knows {subject}; for anything else it "
    "still draws a picture, though not of what you asked for.</p>"
)

CONDITIONING = """
### 2 · Conditioning Augmentation

The training captions leave most of the embedding space empty, so a small layer in each stage turns φ
into a Gaussian: a mean μ and a deviation σ for each of its numbers. The condition that the stage
reads is ĉ = μ + σ ⊙ ε. With ε = 0 it is the mean; a random ε reads the same words slightly differently, and in
training it smooths the gaps between captions. The line is μ, smallest number first; the band is ± σ.
"""

STAGES = """
### 3 · Stage-I sketches, Stage-II redraws

**Stage-I** draws 64 × 64 from ĉ and the noise **z**: rough shape and colours. z decides whatever the
caption leaves open: pose, background, arrangement. **Stage-II** reads the sketch and the caption once
more, but no noise, and draws 256 × 256: it mends what the sketch got wrong and adds detail.
"""

CHANGED = (
    "<p>The third picture shows what Stage-II changed: its picture minus the enlarged sketch, amplified "
    "{amplified} times. Mid-grey is unchanged, lighter became lighter, darker became darker, and tints are "
    "changes of colour. "
    "On average a pixel moved by {levels:.1f} of 255 levels.</p>"
)

ONE_STAGE = "<p>This checkpoint has one stage: its sketch is its picture.</p>"

TEXT_TWICE = """
### 4 · Why both stages read the text

Words that Stage-I missed get a second chance. Here Stage-II redraws the same sketch three times: with
the caption, with no words at all (the mean of all training captions, which says nothing in
particular), and with other words. Stage-I read your caption each time.
"""

COMPARED = (
    "<p>Without words a pixel differs from the first picture by {without:.1f} of 255 levels on average. "
    "Near 0 means that Stage-II follows the sketch alone.</p>"
)

COMPARED_WITH_OTHER = (
    "<p>Without words a pixel differs from the first picture by {without:.1f} of 255 levels on average; "
    "with “{other}”, by {instead:.1f}. Near 0 means that Stage-II follows the sketch alone.</p>"
)

NO_TEXT_IN_STAGE2 = (
    "<p>Stage-II of this checkpoint was trained without text: it reads the sketch alone, so there is "
    "nothing to compare.</p>"
)

LOSSES = r"""
### 5 · What they are trained to do

Each stage has a discriminator D that looks at a picture together with φ and says how likely it is
that the picture is real *and* fits the words. D is trained to raise (3) and (5), G to lower (4) and
(6), as the paper numbers them; I is a photograph, s₀ a sketch, t a caption:

$$\mathcal{L}_{D_0} = \mathbb{E}\,[\log D_0(I_0, \varphi_t)] + \mathbb{E}\,[\log(1 - D_0(G_0(z, \hat c_0), \varphi_t))] \quad (3)$$

$$\mathcal{L}_{G_0} = \mathbb{E}\,[\log(1 - D_0(G_0(z, \hat c_0), \varphi_t))] + \lambda\, D_{KL}(\mathcal{N}(\mu_0, \Sigma_0)\,\|\,\mathcal{N}(0, I)) \quad (4)$$

$$\mathcal{L}_{D} = \mathbb{E}\,[\log D(I, \varphi_t)] + \mathbb{E}\,[\log(1 - D(G(s_0, \hat c), \varphi_t))] \quad (5)$$

$$\mathcal{L}_{G} = \mathbb{E}\,[\log(1 - D(G(s_0, \hat c), \varphi_t))] + \lambda\, D_{KL}(\mathcal{N}(\mu, \Sigma)\,\|\,\mathcal{N}(0, I)) \quad (6)$$

**Matching-aware**: D must say no to two kinds of pairs, a drawn picture with its caption and a *real*
photograph with the caption of another one. So a pretty picture is not enough: it has to fit the words.
The divergence keeps every Gaussian of step 2 near N(0, I), which keeps captions close enough to blend.
The flowers and birds that come with StackGAN were trained by the same idea, but their D stands on a
frozen network that has seen many photographs before, and hinges take the place of the logarithms. Each
checkpoint's card tells how it was trained.
"""

REST = """
### The tabs

**Generate**: truncation scales z, and towards 0 pictures become more typical and more alike; emphasis
lengthens what sets a sentence apart from the average caption, so that its words count more; *Best of*
draws several and keeps the one that looks most like a photograph and fits the sentence: four, unless
the noise is held. **Words** holds z while a word changes,
which shows what the word does. **Interpolate** walks in a line from one sentence's embedding to
another's while z stays put, as in the paper's Figure 8. **Noise** keeps the sentence and walks through z.

Han Zhang, Tao Xu, Hongsheng Li, Shaoting Zhang, Xiaogang Wang, Xiaolei Huang, Dimitris Metaxas:
*StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative Adversarial Networks*,
ICCV 2017, [arXiv:1612.03242](https://arxiv.org/abs/1612.03242).

### What you may do with it

The code is licensed under Apache-2.0. The bundled weights of flowers and birds were trained on
photographs for non-commercial research and education, and are offered on the same terms; each
checkpoint's card (`README.md` beside its weights) says on which.
"""
