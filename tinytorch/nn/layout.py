"""Layers and functions that place, repeat or drop numbers: padding, other shapes, whole channels dropped."""

from ..core.layers import Module, dropout
from ..core.tensor import mul, ones, permute, reshape
from ..ops.shapes import pad, unflatten


def pixel_shuffle(input, upscale_factor):
    """Channels as pixels of a larger image, r = upscale_factor: (…, C*r*r, H, W) -> (…, C, H*r, W*r).

    Shi et al. 2016, https://arxiv.org/abs/1609.05158
    """
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise ValueError(
            f"pixel_shuffle: (…, C, H, W) with C a multiple of {r * r} is needed, {input.shape} came"
        )
    *batch, channels, height, width = input.shape
    split = reshape(input, (*batch, channels // (r * r), r, r, height, width))
    b = len(batch)
    moved = permute(split, (*range(b), b, b + 3, b + 1, b + 4, b + 2))  # (…, C, H, r, W, r)
    return reshape(moved, (*batch, channels // (r * r), height * r, width * r))


def dropout2d(input, p=0.5, training=True, generator=None):
    """`dropout` of whole channels: (N, C, H, W) or (C, H, W).

    Tompson et al. 2015, https://arxiv.org/abs/1411.4280
    """
    if input.ndim not in (3, 4):
        raise ValueError(f"dropout2d: (N, C, H, W) or (C, H, W) is needed, {input.shape} came")
    if not training or p == 0:
        return dropout(input, p, False)
    channels = ones(*input.shape[:-2], 1, 1, dtype=input.dtype, device=input.device)
    return mul(input, dropout(channels, p, True, generator))


class Dropout2d(Module):
    """`dropout2d` in training mode, nothing in evaluation mode. `inplace` is taken, but the result is new."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout2d: p is a probability, between 0 and 1, {p} came")
        self.p, self.inplace = p, inplace

    def forward(self, input):
        return dropout2d(input, self.p, self.training)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Unflatten(Module):
    """Split one dimension into several: Unflatten(1, (8, 8)) makes (N, 8, 8) of (N, 64)."""

    def __init__(self, dim, unflattened_size):
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input):
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self):
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class PixelShuffle(Module):
    """`pixel_shuffle` as a layer."""

    def __init__(self, upscale_factor):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input):
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self):
        return f"upscale_factor={self.upscale_factor}"


class ConstantPad(Module):
    """`value` around the last dimensions: as much on each side as `padding` says; less than 0 cuts off."""

    sides = 0

    def __init__(self, padding, value):
        super().__init__()
        self.padding = (padding,) * self.sides if isinstance(padding, int) else tuple(padding)
        self.value = value
        if len(self.padding) != self.sides:
            raise ValueError(
                f"{type(self).__name__}: a number or {self.sides} of them is needed, {padding} came"
            )

    def forward(self, input):
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPad):
    """`value` around sequences (…, L): padding is a number or (left, right)."""

    sides = 2


class ConstantPad2d(ConstantPad):
    """`value` around images (…, H, W): padding is a number or (left, right, top, bottom)."""

    sides = 4


class ZeroPad2d(ConstantPad2d):
    """Zeros around images (…, H, W): padding is a number or (left, right, top, bottom)."""

    def __init__(self, padding):
        super().__init__(padding, 0)

    def extra_repr(self):
        return f"{self.padding}"
