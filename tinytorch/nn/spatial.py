"""Pooling layers, pooling to a given size, and resizing: what is made of core module 09's functions."""

from math import ceil

import numpy as np

from ..core.layers import Module
from ..core.spatial import avg_pool2d, batched, max_pool2d, pair
from ..core.tensor import amax, cat, matmul, mean, wrap


def adaptive_avg_pool2d(input, output_size):
    """The mean of output_size regions that cover the image evenly: (N, C, H, W) -> (N, C, *output_size).

    output_size: a number, or a pair in which None keeps a size. Where it does not divide the image, regions
    overlap by a row or a column, as in PyTorch.
    """
    return adaptive("adaptive_avg_pool2d", input, output_size, avg_pool2d, mean)


def adaptive_max_pool2d(input, output_size):
    """The largest value of output_size regions, as adaptive_avg_pool2d cuts them."""
    return adaptive("adaptive_max_pool2d", input, output_size, max_pool2d, amax)


def adaptive(name, input, output_size, pool, reduce):
    """The pooling with equal windows where they fit; else region by region, one axis after the other."""
    wanted = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    size = input.shape[-2:]
    wanted = tuple(n if w is None else w for n, w in zip(size, wanted, strict=True))
    if min(wanted) < 1 or min(size) < 1:
        raise ValueError(f"{name}: output_size {output_size} of an image {size}: sizes are at least 1")
    if all(n % w == 0 for n, w in zip(size, wanted, strict=True)):
        return pool(input, tuple(n // w for n, w in zip(size, wanted, strict=True)))

    def layer(x):
        for dim, n, w in ((2, size[0], wanted[0]), (3, size[1], wanted[1])):
            bounds = [(i * n // w, ceil((i + 1) * n / w)) for i in range(w)]
            regions = [x[(slice(None),) * dim + (slice(*ends),)] for ends in bounds]
            x = cat([reduce(region, dim, keepdim=True) for region in regions], dim)
        return x

    return batched(name, input, layer)


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=False):
    """Images in another size, (N, C, H, W) -> (N, C, Ho, Wo): `size`, or scale_factor times theirs.

    A size is rounded down. mode: "nearest" repeats pixels, "bilinear" mixes the four around. align_corners
    puts the centres of the corner pixels onto each other; otherwise their outer edges.
    """
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"interpolate: mode is 'nearest' or 'bilinear', {mode!r} came")
    if input.ndim != 4 or (size is None) == (scale_factor is None):
        raise ValueError(
            f"interpolate: (N, C, H, W), {input.shape} came, and either size or scale_factor are needed"
        )
    before = input.shape[2:]
    if size is None:
        factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
        after, steps = (
            tuple(int(n * f) for n, f in zip(before, factors, strict=True)),
            [1 / f for f in factors],
        )
    else:
        after = pair(size, "size")
        steps = [n / m for n, m in zip(before, after, strict=True)]
    if min(*before, *after) < 1:
        raise ValueError(f"interpolate: sizes are at least 1; {before} to {after} came")
    rows, columns = (
        np.asarray(resizing(n, m, step, mode, align_corners), input.dtype, like=input.array)
        for n, m, step in zip(before, after, steps, strict=True)
    )
    return matmul(matmul(wrap(rows), input), wrap(columns.T))


def resizing(before, after, step, mode, align_corners):
    """The matrix (after, before) that resizes one axis: row i says what the new pixel i is made of."""
    matrix, to = np.zeros((after, before)), np.arange(after)
    if mode == "nearest":
        matrix[to, np.minimum((to * step).astype(int), before - 1)] = 1
        return matrix
    at = to * ((before - 1) / max(after - 1, 1)) if align_corners else np.maximum((to + 0.5) * step - 0.5, 0)
    low = np.minimum(at.astype(int), before - 1)
    matrix[to, low] = 1 - (at - low)
    matrix[to, np.minimum(low + 1, before - 1)] += at - low
    return matrix


class Resampling(Module):
    """What these layers share: a function of images, whose settings are the layer's attributes."""

    def __init__(self, function, **settings):
        super().__init__()
        self.function, self.settings = function, tuple(settings)
        for name, value in settings.items():
            setattr(self, name, value)

    def forward(self, input):
        return self.function(input, **{name: getattr(self, name) for name in self.settings})

    def extra_repr(self):
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)


class MaxPool2d(Resampling):
    """`max_pool2d` as a layer."""

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        super().__init__(
            max_pool2d, kernel_size=kernel_size, stride=kernel_size if stride is None else stride,
            padding=padding, dilation=dilation, ceil_mode=ceil_mode,
        )  # fmt: skip


class AvgPool2d(Resampling):
    """`avg_pool2d` as a layer."""

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
        divisor_override=None,
    ):  # fmt: skip
        super().__init__(
            avg_pool2d, kernel_size=kernel_size, stride=kernel_size if stride is None else stride,
            padding=padding, ceil_mode=ceil_mode, count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )  # fmt: skip


class AdaptiveAvgPool2d(Resampling):
    """`adaptive_avg_pool2d` as a layer."""

    def __init__(self, output_size):
        super().__init__(adaptive_avg_pool2d, output_size=output_size)


class AdaptiveMaxPool2d(Resampling):
    """`adaptive_max_pool2d` as a layer."""

    def __init__(self, output_size):
        super().__init__(adaptive_max_pool2d, output_size=output_size)


class Upsample(Resampling):
    """`interpolate` as a layer."""

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=False):
        super().__init__(
            interpolate, size=size, scale_factor=scale_factor, mode=mode, align_corners=align_corners
        )
