"""`Geometry`: how a convolution connects its large and its small feature map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """How a convolution without dilation connects its feature maps.

    It maps the large map (N, C, H, W) to the small one (N, K, h, w); a transposed convolution maps the small
    one to the large one. Both have weights (K, C/g, k, k) with g groups.

    `product`: whether matrix products may compute it (`convolution_products.py`); there are no groups then.
    """

    kernel: int
    stride: int
    padding: int
    groups: int = 1
    transposed: bool = False
    output_padding: int = 0
    product: bool = False

    @property
    def settings(self) -> tuple[Any, ...]:
        """Stride, padding, dilation, whether it is transposed, output padding, groups."""
        stride, padding, dilation, output_padding = (
            (value, value) for value in (self.stride, self.padding, 1, self.output_padding)
        )
        return stride, padding, dilation, self.transposed, output_padding, self.groups

    @property
    def down(self) -> Geometry:
        """The convolution from the large map to the small one."""
        return replace(self, transposed=False, output_padding=0)

    def opposite(self, inputs: Tensor) -> Geometry:
        """The convolution that maps gradients of the outputs to those of `inputs` (N, C, H, W)."""
        if self.transposed:
            return self.down
        rest = (inputs.shape[2] + 2 * self.padding - self.kernel) % self.stride
        return replace(self, transposed=True, output_padding=rest)

    def small_size(self, height: int, width: int) -> tuple[int, int]:
        """The small map's height and width, if those of the inputs are `height` and `width`."""
        if self.transposed:
            return height, width
        more = 2 * self.padding - self.kernel
        return (height + more) // self.stride + 1, (width + more) // self.stride + 1

    def large_size(self, height: int, width: int) -> tuple[int, int]:
        """The large map's height and width, if those of the small map are `height` and `width`."""
        more = self.kernel + self.output_padding - 2 * self.padding
        return (height - 1) * self.stride + more, (width - 1) * self.stride + more
