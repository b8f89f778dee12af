"""StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958), with the details of StyleGAN2-ADA
(https://arxiv.org/abs/2006.06676). All tensors have the names of the official PyTorch networks.

A mapping network maps the latent to the intermediate latent space W. The synthesis network starts at a
constant 4×4 map. Each block doubles the side and adds its image to the enlarged image of the block before.
The last layer is not bounded, so images may leave [-1, 1].

N batch, Z latent size, W size of an intermediate latent, L layers with a latent of their own, C channels,
H = W image size, K channels of a feature map h × w.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.networks.base import check_sizes, need
from gantl_zoo.networks.conditional import check_classes
from gantl_zoo.networks.stylegan2_classes import mapping_tensor
from gantl_zoo.networks.stylegan2_filters import new_kernel, upsample
from gantl_zoo.networks.stylegan2_layers import (
    EqualLinear,
    ModulatedConv,
    ToImage,
    exact,
    no_autocast,
    normalized,
)

NOISES = ("random", "const", "none")
RATE = 0.01  # factor of the mapping network's learning rate
DECAY = 0.995  # of the running mean of intermediate latents


class ClassEmbedding(EqualLinear):
    """Maps labels (N,) to (N, W): a linear layer of the labels as one-hot vectors. Its table is (W, L)."""

    class_dim = 1  # of the table

    def forward(self, labels: Tensor) -> Tensor:
        rows = nn.functional.embedding(labels, self.weight.T)  # (N,) -> (N, W)
        return rows * self.weight_scale + self.bias


class Mapping(nn.Module):
    """Maps noise (N, Z), and labels (N,) if class-conditional, to intermediate latents (N, W).

    With `latent_dim=0` the class is the only input: the label mapping of the discriminator.
    """

    w_avg: Tensor

    def __init__(self, latent_dim: int, num_classes: int, w_dim: int, layers: int, *, average: bool) -> None:
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, num_classes
        inputs = latent_dim + (w_dim if num_classes else 0)
        self.fc0: EqualLinear
        for number in range(layers):
            layer = EqualLinear(w_dim if number else inputs, w_dim, active=True, lr_multiplier=RATE)
            self.add_module(f"fc{number}", layer)
        self.layers = [f"fc{number}" for number in range(layers)]
        self.embed = ClassEmbedding(num_classes, w_dim) if num_classes else None
        if average:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def embedding(self, labels: Tensor) -> Tensor:
        """The normalised embeddings (N, W) of labels (N,)."""
        assert self.embed is not None
        return normalized(self.embed(labels))

    def forward(self, noise: Tensor | None, labels: Tensor | None = None) -> Tensor:
        inputs = [] if noise is None else [normalized(noise)]
        if self.embed is not None:
            assert labels is not None  # checked by `need`
            inputs.append(self.embedding(labels))
        features = torch.cat(inputs, 1)  # (N, Z), (N, W) -> (N, Z + W)
        for name in self.layers:
            features = self.get_submodule(name)(features)  # -> (N, W)
        return features

    def convert_classes(self, key: str, source: nn.Module | None) -> tuple[Tensor, str] | None:
        """The value of a tensor if the number of classes changes; see `mapping_tensor`."""
        return mapping_tensor(self, key, source)  # type: ignore[arg-type]

    @torch.no_grad()
    def track(self, latents: Tensor) -> None:
        """Move the running mean of intermediate latents towards the mean of latents (N, W)."""
        mean = latents.detach().mean(0).to(self.w_avg.dtype)
        self.w_avg.copy_(mean.lerp(self.w_avg, DECAY))


class SynthesisBlock(nn.Module):
    """Maps (N, K, h, w) to (N, K', 2h, 2w) for latents (N, 3, W). The first block has no input.

    `torgb` maps the result to the block's part of the image.
    """

    resample_filter: Tensor

    def __init__(
        self, before: int, width: int, side: int, channels: int, w_dim: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.const: nn.Parameter | None = None
        if not before:
            self.const = nn.Parameter(torch.randn(width, side, side))
        else:
            self.conv0 = ModulatedConv(before, width, w_dim, side, up=True, clamp=clamp)
        self.conv1 = ModulatedConv(width, width, w_dim, side, clamp=clamp)
        self.torgb = ToImage(width, channels, w_dim, clamp)
        self.register_buffer("resample_filter", new_kernel())
        self.layers = 2 if before else 1

    def forward(self, maps: Tensor | None, latents: Tensor, noise: str) -> Tensor:
        """`latents` are (N, 2, W), or (N, 1, W) for the first block."""
        if self.const is not None:
            maps = self.const.expand(latents.shape[0], -1, -1, -1)  # len() would fix the batch in an export
            maps = maps.contiguous(memory_format=torch.channels_last)
        else:
            maps = self.conv0(maps, latents[:, 0], noise)  # (N, K, h, w) -> (N, K', 2h, 2w)
        result: Tensor = self.conv1(maps, latents[:, -1], noise)
        return result


class Synthesis(nn.Module):
    """The blocks from 4×4 to the image, by their sides: `b4`, `b8`, …"""

    def __init__(self, widths: Sequence[int], channels: int, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.names = [f"b{4 << number}" for number in range(len(widths))]
        for number, (before, width) in enumerate(zip([0, *widths], widths, strict=False)):
            side = 4 << number
            block = SynthesisBlock(before, width, side, channels, w_dim, clamp)
            self.add_module(self.names[number], block)

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """The blocks, from 4×4 on."""
        return [self.get_submodule(name) for name in self.names]  # type: ignore[misc]

    def forward(self, latents: Tensor, noise: str | None) -> list[Tensor]:
        """Images (N, C, h, h) of all blocks, in float32 or float64, of intermediate latents (N, L, W).

        `noise=None` means random noise in blocks in training mode, and the fixed one in the others.
        """
        maps: Tensor | None = None
        images: list[Tensor] = []
        start = 0
        for block in self.blocks:
            end = start + block.layers
            kind = noise or ("random" if block.training else "const")
            maps = block(maps, latents[:, start:end], kind)  # (N, K, h, w) -> (N, K', 2h, 2w)
            part = block.torgb(maps, latents[:, end])  # (N, K, h, w) -> (N, C, h, w)
            with no_autocast(part):  # the sum over all sides stays exact
                before = [upsample(image, exact(block.resample_filter)) for image in images[-1:]]
                images.append(part + before[0] if before else part)
            start = end
        return images


class StyleGAN2Generator(nn.Module):
    """Maps noise (N, Z), and labels (N,) if class-conditional, to images (N, C, H, W), not bounded.

    It has an intermediate latent space: `map`, `truncate` and `synthesize`. In training mode `map` moves the
    mean of that space, `mapping.w_avg`.
    """

    def __init__(self, mapping: Mapping, synthesis: Synthesis, channels: int, noise: str) -> None:
        super().__init__()
        self.synthesis, self.mapping, self.noise = synthesis, mapping, noise
        self.latent_dim, self.num_classes = mapping.latent_dim, mapping.num_classes
        side = 4 << (len(synthesis.names) - 1)
        self.image_shape = (channels, side, side)

    @property
    def blocks(self) -> list[nn.Module]:
        """The mapping network, then the blocks of the synthesis network."""
        return [self.mapping, *self.synthesis.blocks]

    @property
    def num_layers(self) -> int:
        """The number L of layers with an intermediate latent of their own."""
        return 2 * len(self.synthesis.names)

    def map(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Intermediate latents (N, L, W), equal in all layers."""
        latents: Tensor = self.mapping(noise, need(self, labels))  # (N, Z) -> (N, W)
        if self.mapping.training:
            self.mapping.track(latents)
        return latents[:, None].repeat(1, self.num_layers, 1)

    def truncate(self, latents: Tensor, psi: float, layers: int | None = None) -> Tensor:
        """Latents (N, L, W) or (N, W) moved towards the mean: all the way for `psi` 0, not at all for 1.

        `layers` limits this to the first layers of latents (N, L, W).
        """
        mean = self.mapping.w_avg.to(latents.dtype)
        if layers is None:
            return mean.lerp(latents, psi)
        return torch.cat([mean.lerp(latents[:, :layers], psi), latents[:, layers:]], 1)

    def synthesize(self, latents: Tensor | Sequence[Tensor], noise: str | None = None) -> Tensor:
        """Images (N, C, H, W) of intermediate latents (N, W), or (N, L, W) with one for each layer.

        A list of L latents (N, W) is allowed, too. Latents from several sources mix their styles. `noise`
        replaces the generator's setting: "random", "const" or "none".
        """
        return self.images(latents, noise)[-1]

    def stage_images(self, latents: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Images (N, C, h, h) of all blocks, from 4×4 on, of intermediate latents as in `synthesize`."""
        return self.images(latents)

    def images(self, latents: Tensor | Sequence[Tensor], noise: str | None = None) -> list[Tensor]:
        """Images (N, C, h, h) of all blocks, from 4×4 on. The arguments are those of `synthesize`."""
        if not isinstance(latents, Tensor):
            latents = torch.stack(list(latents), 1)  # L × (N, W) -> (N, L, W)
        if latents.ndim == 2:
            latents = latents[:, None].expand(-1, self.num_layers, -1)  # (N, W) -> (N, L, W)
        width = self.mapping.w_avg.shape[0]
        if latents.shape[1:] != (self.num_layers, width):
            raise UsageError(
                f"stylegan2: intermediate latents must be (N, {width}) or (N, {self.num_layers}, {width}), "
                f"not {tuple(latents.shape)}"
            )
        usual = None if self.noise == "random" else self.noise
        images = self.synthesis(latents, usual if noise is None else check_noise(noise))
        return [image.to(latents.dtype) for image in images]

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.map(noise, labels))  # (N, Z) -> (N, L, W) -> (N, C, H, W)


def check_noise(noise: str) -> str:
    """Return `noise`. Raises `UsageError` if it is not one of `NOISES`."""
    if noise not in NOISES:
        raise UsageError(f"stylegan2: {unknown('noise', noise, NOISES)}")
    return noise


def channel_widths(image_size: int, channel_base: int, channel_max: int) -> list[int]:
    """The channels of the maps from 4×4 to the image. Raises `UsageError` for sizes that can't be built."""
    count = image_size.bit_length() - 2
    if count < 2 or 4 << (count - 1) != image_size:
        raise UsageError(f"stylegan2: image_size {image_size} is not a power of two from 8 on (8, 16, 32, …)")
    check_sizes("stylegan2", channel_max=channel_max, channel_base=channel_base)
    widths = [min(channel_base // (4 << number), channel_max) for number in range(count)]
    if not widths[-1]:
        raise UsageError(
            f"stylegan2: channel_base must be at least the image_size {image_size}, not {channel_base}"
        )
    return widths


def generator(
    *,
    image_size: int = 64,
    channels: int = 3,
    latent_dim: int = 512,
    num_classes: int = 0,
    w_dim: int = 512,
    mapping_layers: int = 8,
    channel_base: int = 16384,
    channel_max: int = 512,
    noise: str = "random",
    conv_clamp: float | None = None,
) -> StyleGAN2Generator:
    """StyleGAN2 generator (Karras et al. 2020). Paper: https://arxiv.org/abs/1912.04958, section 2.

    `image_size`: height and width of the images in pixels; a power of two from 8 on.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `latent_dim`: size of the latent vector.
    `num_classes`: number of classes of a class-conditional generator; 0 means unconditional.
    `w_dim`: size of an intermediate latent, and of the embedding of a class.
    `mapping_layers`: number of layers of the mapping network; 8 in the paper, 2 in later training settings.
    `channel_base`: number of channels of a map times its side, up to `channel_max`; 16384 or 32768 in the
        paper.
    `channel_max`: largest number of channels of a map.
    `noise`: noise of the layers: "random" (new for each image in training, and fixed in eval mode), "const"
        (always the fixed one) or "none".
    `conv_clamp`: limit of the values of all maps, such as 256 for float16; None means no limit.
    """
    check_sizes("stylegan2", channels=channels, latent_dim=latent_dim, w_dim=w_dim)
    check_sizes("stylegan2", mapping_layers=mapping_layers)
    classes = check_classes("stylegan2", num_classes)
    widths = channel_widths(image_size, channel_base, channel_max)
    synthesis = Synthesis(widths, channels, w_dim, check_clamp(conv_clamp))
    mapping = Mapping(latent_dim, classes, w_dim, mapping_layers, average=True)
    return StyleGAN2Generator(mapping, synthesis, channels, check_noise(noise))


def check_clamp(limit: float | None) -> float | None:
    """Return the limit of the values of maps. Raises `UsageError` if it is not positive."""
    if limit is not None and not limit > 0:
        raise UsageError(f"stylegan2: conv_clamp must be a number > 0, or None for no limit, not {limit}")
    return limit
