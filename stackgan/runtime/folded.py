"""Both generators with everything that is constant after training folded into their weights.

The same functions as stackgan.generators, exactly, in fewer operations:

* BatchNorm, now affine, is part of the convolution or linear layer before it, and the embedding's
  statistics are part of the layer that makes μ and σ.
* Nearest ×2 followed by a 3×3 convolution is one 4×4 convolution transposed with stride 2: in both,
  each output pixel sees a 2×2 neighbourhood, so 4 multiply-adds do instead of 9. On small maps it is
  a matrix product and sums of its columns, with 2¼; see `enlarging.gathered`.
* The last block and the last convolution of a narrow Stage-II run at half the resolution; see `phased`.
* ĉ, replicated over Stage-II's 16×16 map, is convolved by one matrix product; see `TextMap`.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from stackgan import onednn
from stackgan.conditioning import ConditioningAugmentation, EmbeddingNorm, bounded
from stackgan.enlarging import gather, suits_gathering, taps, transposed_kernel
from stackgan.generators import Stage1Generator, Stage2Generator

# Channels up to which the last ones are `phased`. From 16 on the multiplications with zeros cost more.
PHASED_UP_TO = 8
# Taps that fall inside the map on its first, its inner and its last row; the others meet zeros.
INSIDE = torch.tensor([[0.0, 1, 1], [1, 1, 1], [1, 1, 0]])


class Convolution(nn.Module):
    """y = act(conv(x) + added): a convolution, plain or transposed, and what follows it.

    `pack()` stores the weights in oneDNN's own layout and runs sum and ReLU inside its kernel.
    """

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, relu: bool = True):
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding = conv.stride[0], conv.padding[0]
        self.transposed = isinstance(conv, nn.ConvTranspose2d)
        self.relu = relu
        self.packed = False

    def pack(self) -> None:
        pack = onednn.pack_transposed if self.transposed else onednn.pack
        weight = pack(self.weight, self.padding, self.stride)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.packed = True

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """x (N, C, H, W) → (N, C′, H′, W′). `added`, of that shape, may be overwritten."""
        operands = x, self.weight, self.bias
        act = "relu" if self.relu else "none"
        if self.packed and self.transposed:
            return onednn.transposed_convolution(*operands, self.padding, self.stride, act)
        if self.packed:
            return onednn.convolution(*operands, self.padding, self.stride, act=act, added=added)
        convolve = F.conv_transpose2d if self.transposed else F.conv2d
        y = convolve(*operands, self.stride, self.padding)
        if added is not None:
            y += added
        return y.relu_() if self.relu else y


class Linear(nn.Module):
    """y = x Wᵀ + b, for a weight (O, I) and a bias (O,) or none, with a `pack()` like Convolution's."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous())
        self.bias = None if bias is None else nn.Parameter(bias)
        self.packed = False

    def pack(self) -> None:
        self.weight = nn.Parameter(onednn.pack_linear(self.weight), requires_grad=False)
        self.packed = True

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """x (…, I) → (…, O), and what is `added` of that shape."""
        if self.packed:
            return onednn.linear(x, self.weight, self.bias, added)
        y = F.linear(x, self.weight, self.bias)
        return y if added is None else y + added


class GatheredUp(nn.Module):
    """Nearest ×2, 3×3 convolution and ReLU of a small map by way of `enlarging.gathered`."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        bias = conv.bias.new_zeros(9, conv.out_channels)
        bias[4] = conv.bias  # of the middle tap, which every pixel of the result has once
        self.linear = Linear(taps(conv.weight), bias.flatten())

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) → (N, C′, 2H, 2W)."""
        return gather(self.linear(x.permute(0, 2, 3, 1))).relu_()


class Condition(nn.Module):
    """Conditioning Augmentation of embeddings as the encoder gives them, in single precision.

    W·(φ − mean)/scale + b = (W/scale)·φ + (b − W·mean/scale). Without ε there is no need of σ.
    """

    def __init__(self, norm: EmbeddingNorm, conditioning: ConditioningAugmentation):
        super().__init__()
        linear, self.augment = conditioning.linear, conditioning.augment
        self.weight = nn.Parameter(linear.weight / norm.scale)
        self.bias = nn.Parameter(linear.bias - self.weight @ norm.mean)
        self.dim = len(self.bias) // (2 if self.augment else 1)  # N_g

    def forward(self, embeddings: Tensor, epsilon: Tensor | None = None) -> Tensor:
        """Embeddings (N, E) and ε (N, N_g) or None for ε = 0 → ĉ (N, N_g)."""
        if epsilon is None or not self.augment:
            return F.linear(embeddings, self.weight[: self.dim], self.bias[: self.dim])
        mu, raw = F.linear(embeddings, self.weight, self.bias).chunk(2, dim=1)
        return mu + torch.exp(0.5 * bounded(raw)) * epsilon


class TextMap(nn.Module):
    """3×3 convolution of ĉ replicated over a map, zero-padded: (N, N_g) → (N, C′, H, W), exactly.

    A replicated vector meets the same sum of taps at every inner pixel, and the part of that sum
    that lies inside the map at edges and corners: 9 sums, one matrix product, no convolution.
    """

    def __init__(self, weight: Tensor, size: int):
        """`weight`: the convolution's columns of ĉ, (C′, N_g, 3, 3); `size`: H = W, at least 2."""
        super().__init__()
        inside = INSIDE.to(weight)
        sums = torch.einsum("ak,bl,ockl->aboc", inside, inside, weight)
        self.linear = nn.Linear(weight.shape[1], 9 * weight.shape[0], bias=False)
        self.linear.weight = nn.Parameter(sums.flatten(0, 2).contiguous())  # (9·C′, N_g)
        where = torch.tensor([0] + [1] * (size - 2) + [2])
        self.register_buffer("where", (3 * where[:, None] + where).flatten())  # (H·W,)
        self.size = size

    def forward(self, condition: Tensor) -> Tensor:
        sums = self.linear(condition).unflatten(1, (9, -1))  # (N, 9, C′)
        pixels = sums.index_select(1, self.where)  # (N, H·W, C′)
        return pixels.unflatten(1, (self.size, self.size)).permute(0, 3, 1, 2)


class FoldedStage1(nn.Module):
    """Stage-I for inference; takes embeddings as the encoder gives them.

    The first layer's part of ĉ₀ and its part of z are two products, whose sum it is: the one stays
    the same while only the noise changes.
    """

    def __init__(self, norm: EmbeddingNorm, stage: Stage1Generator):
        super().__init__()
        self.conditioning = Condition(norm, stage.conditioning)
        seed_map = fuse_linear_bn_eval(stage.seed_map[0], stage.seed_map[1])
        # Rows in the order (y, x, channel): its result is a channels_last map as it stands.
        rows = torch.arange(seed_map.out_features).view(-1, 4, 4).permute(1, 2, 0).flatten()
        of_condition, of_noise = seed_map.weight[rows].tensor_split([self.conditioning.dim], dim=1)
        self.text = Linear(of_condition, seed_map.bias[rows])
        self.seed_map = Linear(of_noise, None)
        self.up, self.to_rgb = fold_end(stage.up, stage.to_rgb, size=4)

    def read(self, embeddings: Tensor, epsilon: Tensor | None) -> Tensor:
        """Embeddings (N, E), ε (N, N_g) or None → what `draw` wants of the sentences, (N, 8g·4·4)."""
        return self.text(self.conditioning(embeddings, epsilon).to(self.text.weight.dtype))

    def draw(self, text: Tensor, z: Tensor) -> Tensor:
        """Of N sentences, or of one for all, and z (N, N_z) → sketches (N, 3, H₀, W₀)."""
        x = self.seed_map(z.to(text.dtype), text.expand(len(z), -1).contiguous())
        x = x.relu_().unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
        return finish(self.to_rgb(self.up(x)))


class FoldedStage2(nn.Module):
    """Stage-II for inference; takes embeddings as the encoder gives them."""

    def __init__(self, norm: EmbeddingNorm, stage: Stage2Generator):
        super().__init__()
        encoder = [layer for layer in stage.encoder if not isinstance(layer, nn.ReLU)]
        first, second, second_norm, third, third_norm = encoder
        self.encoder = nn.Sequential(
            Convolution(with_bias(first)),
            Convolution(fuse_conv_bn_eval(second, second_norm)),
            Convolution(fuse_conv_bn_eval(third, third_norm)),
        )
        join = fuse_conv_bn_eval(stage.join[0], stage.join[1])
        self.conditioning, self.text = None, None
        if stage.conditioning is not None:
            self.conditioning = Condition(norm, stage.conditioning)
            picture = third.out_channels
            self.text = TextMap(join.weight[:, picture:], size=16)
            join.weight = nn.Parameter(join.weight[:, :picture].contiguous())
        self.join = Convolution(join)
        self.residual = nn.ModuleList()
        for block in stage.residual:
            conv1, norm1, _, conv2, norm2 = block.body
            self.residual += [
                Convolution(fuse_conv_bn_eval(conv1, norm1)),
                Convolution(fuse_conv_bn_eval(conv2, norm2)),
            ]
        self.up, self.to_rgb = fold_end(stage.up, stage.to_rgb, size=16)

    def read(self, embeddings: Tensor, epsilon: Tensor | None) -> Tensor | None:
        """Embeddings (N, E), ε or None → what `draw` wants of the sentences, (N, 4g, 16, 16) if any."""
        if self.text is None:
            return None
        return self.text(self.conditioning(embeddings, epsilon).to(self.join.weight.dtype))

    def draw(self, sketches: Tensor, text: Tensor | None) -> Tensor:
        """Sketches (N, 3, 64, 64) and of N sentences, or of one for all → pictures (N, 3, H, W)."""
        x = sketches.to(self.join.weight.dtype, memory_format=torch.channels_last)
        x = self.encoder(x)  # (N, 4g, 16, 16)
        if text is not None:  # a copy, which is overwritten
            text = text.expand_as(x).clone(memory_format=torch.channels_last)
        x = self.join(x, text)
        for first, second in zip(self.residual[::2], self.residual[1::2], strict=True):
            x = second(first(x), x)
        return finish(self.to_rgb(self.up(x)))


def pack(network: nn.Module) -> None:
    """Have oneDNN's fused kernels run the network; then its dtype and device are final.

    Only on a CPU, and where `onednn.is_available`.
    """
    for module in network.modules():
        if isinstance(module, Convolution | Linear):
            module.pack()


def fold_end(
    up: nn.Sequential, last: nn.Sequential, size: int
) -> tuple[nn.Sequential, Convolution]:
    """UpBlocks, the first of a map of size × size, and the last convolution, for `finish`."""
    folded = [fold_up(block, size << i) for i, block in enumerate(up)]
    convs = [fuse_conv_bn_eval(up[-1][1], up[-1][2]), with_bias(last[0])]
    convs[1].weight *= 2  # tanh x = 2 σ(2x) − 1, of which `finish` does the rest
    if convs[0].out_channels <= PHASED_UP_TO:
        convs = phased(*convs)
        folded[-1] = Convolution(convs[0])
    return nn.Sequential(*folded), Convolution(convs[1], relu=False)


def fold_up(block: nn.Sequential, size: int) -> Convolution | GatheredUp:
    """An UpBlock, of a map of size × size, as one operation and ReLU."""
    _, conv, norm, _ = block
    conv = fuse_conv_bn_eval(conv, norm)
    if suits_gathering(conv.in_channels, size**2):
        return GatheredUp(conv)
    return Convolution(transposed(conv))


def transposed(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """Nearest ×2 and then this 3×3 convolution, as one transposed convolution."""
    deconv = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, 4, stride=2, padding=1)
    deconv.weight = nn.Parameter(transposed_kernel(conv.weight).contiguous())
    deconv.bias = nn.Parameter(conv.bias.clone())
    return deconv


def phased(up: nn.Conv2d, last: nn.Conv2d) -> list[nn.Conv2d]:
    """Nearest ×2, the 3×3 convolution `up`, and a 3×3 one after it, both without the enlarged map.

    (N, C, 2H, 2W) as its four phases, the pixels at even and odd rows and columns, is a map
    (N, 4·C, H, W), and what a 3×3 convolution does to the one is a 3×3 convolution of the other. Most
    of its taps are zeros, but a CPU takes a vector of 16 or 32 channels at once however few there are.
    `up` gives channels in the order (phase, channel), `last` in the order (channel, phase).
    """
    # Row 2y + a meets with tap k row 2y + a + k − 1: phase p of the row y + t − 1.
    a, k, p, t = torch.meshgrid(*map(torch.arange, (2, 3, 2, 3)), indexing="ij")
    meets = (a + k - 1 == p + 2 * (t - 1)).to(up.weight)  # (a, k, p, t)
    nearest = meets.sum(dim=2)  # both phases of the enlarged map are the map itself
    kernels = (
        torch.einsum("akt,blu,oikl->aboitu", nearest, nearest, up.weight).flatten(0, 2),
        torch.einsum("akpt,blqu,oikl->oabpqitu", meets, meets, last.weight)
        .flatten(3, 5)
        .flatten(0, 2),
    )
    convs = []
    for kernel, bias in zip(
        kernels, (up.bias.repeat(4), last.bias.repeat_interleave(4)), strict=True
    ):
        conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        conv.weight, conv.bias = nn.Parameter(kernel.contiguous()), nn.Parameter(bias)
        convs.append(conv)
    return convs


def with_bias(conv: nn.Conv2d) -> nn.Conv2d:
    """A copy that has a bias, of zeros."""
    conv = copy.deepcopy(conv)
    conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels))
    return conv


def finish(x: Tensor) -> Tensor:
    """What the last convolution gave, 2x, in one or four phases → tanh x: pictures (N, 3, H, W),
    single precision, contiguous.

    tanh x = 2 σ(2x) − 1, and the sigmoid takes half of tanh's time.
    """
    n, channels, height, width = x.shape
    phases = 2 if channels > 3 else 1  # along an axis
    pictures = x.new_empty(n, 3, height, phases, width, phases, dtype=torch.float32)
    parts = x.permute(0, 2, 3, 1).unflatten(3, (3, phases, phases))  # (N, H, W, 3, phase, phase)
    for column in range(phases):  # each a long stride, where both at once are runs of two
        pictures[..., column] = parts[..., column].permute(0, 3, 1, 4, 2)
    return pictures.view(n, 3, phases * height, phases * width).sigmoid_().mul_(2).sub_(1)
