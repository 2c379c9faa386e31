"""09 Spatial: layers that know that pixels have neighbours.

    conv2d(x, w)[o, i, j]   = sum_{c, u, v} x[c, s i + u, s j + v] w[o, c, u, v]      cross-correlation
    max_pool2d, avg_pool2d  = the largest or the mean value of each window
    batch_norm(x)           = (x - mean) / sqrt(var + eps) * w + b                    per channel

Images are (N, C, H, W) outside, as in PyTorch. Inside, the numbers lie as (N, H, W, C), so that all channels
of a pixel are neighbours in memory: every function here hands out a transposed view of such an array and
recognizes one, so that only the first layer of a network pays for the change.

Convolution is one matrix product: each window of the input becomes a row, each kernel a column. All the
rows at once would be nine times the image for a 3x3 kernel, so they are made and used up tile by tile, in
a buffer that stays in the processor's cache.

Names, arguments and defaults follow torch.nn: https://docs.pytorch.org/docs/stable/nn.html
"""

from dataclasses import dataclass, replace
from math import ceil, gcd, prod, sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..utils.threads import get_num_threads, parallel, scratch
from .autograd import derivative
from .layers import Module, Parameter, fill, uniform_
from .tensor import (
    float32,
    int64,
    ones,
    op,
    reshape,
    zeros,
)
from .training import LRScheduler

TILE = 2 << 20  # bytes of patches at a time, which stay in the cache until they are multiplied
WORTH_A_THREAD = 4_000_000  # multiplications
WIDE = 32  # channels: a matrix product over fewer leaves the processor waiting for memory


# Windows


@dataclass(frozen=True)
class Window:
    """How a kernel walks over an image: pairs (vertical, horizontal); of padding, pairs (before, after)."""

    kernel: tuple
    stride: tuple
    padding: tuple
    dilation: tuple

    def __iter__(self):
        return iter((self.kernel, self.stride, self.padding, self.dilation))

    def output_size(self, size):
        """(height, width) of the result, given that of the image. An image too small is a ValueError."""
        steps = zip(size, *self, strict=True)
        result = tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in steps)
        if min(result) < 1:
            whole = tuple(n + sum(p) for n, p in zip(size, self.padding, strict=True))
            raise ValueError(f"kernel {self.kernel} does not fit into {whole}, the image with its padding")
        return result

    def needed(self, outputs):
        """(height, width) that this many outputs look at, padding included."""
        steps = zip(outputs, self.kernel, self.stride, self.dilation, strict=True)
        return tuple(s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in steps)


def pair(value, name):
    """A setting as (vertical, horizontal): one whole number for both, or two."""
    values = (value, value) if isinstance(value, int) else tuple(value)
    if len(values) != 2 or not all(isinstance(v, int) for v in values):
        raise ValueError(f"{name}: a whole number or a pair of them is needed, {value!r} came")
    return values


def window_of(kernel, stride, padding, dilation):
    """The Window of a layer's settings, checked. padding: number, pair, "valid" or "same"."""
    kernel, stride, dilation = (
        pair(v, n) for v, n in ((kernel, "kernel"), (stride, "stride"), (dilation, "dilation"))
    )
    if min(*kernel, *stride, *dilation) < 1:
        raise ValueError(f"kernel {kernel}, stride {stride} and dilation {dilation} have to be at least 1")
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"padding='same' needs stride 1, {stride} came")
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return Window(kernel, stride, tuple((t // 2, t - t // 2) for t in total), dilation)
    around = pair(0 if padding == "valid" else padding, "padding")
    if min(around) < 0:
        raise ValueError(f"padding is at least 0, {around} came")
    return Window(kernel, stride, tuple((p, p) for p in around), dilation)


def channels_last(x):
    """(N, C, H, W) as (N, H, W, C), row by row in memory: a view where it lies so already."""
    x = x.transpose(0, 2, 3, 1)
    return x if x.flags.c_contiguous else x.copy()


def channels_first(x):
    """(N, H, W, C) seen as (N, C, H, W)."""
    return x.transpose(0, 3, 1, 2)


def buffer(key, shape, like):
    """Memory to be overwritten: a thread's own, again and again; on a GPU new, where it costs nothing."""
    return (
        scratch(key, shape, like.dtype) if isinstance(like, np.ndarray) else np.empty_like(like, shape=shape)
    )


def padded(x, padding, value=0.0, key=None):
    """(N, H, W, C) with rows and columns of `value` around it; with a key in this thread's buffer."""
    if not any(map(any, padding)):
        return x
    (top, bottom), (left, right) = padding
    n, height, width, channels = x.shape
    shape = n, height + top + bottom, width + left + right, channels
    out = np.empty_like(x, shape=shape) if key is None else buffer(key, shape, x)
    out[:, :top], out[:, top + height :] = value, value
    out[:, :, :left], out[:, :, left + width :] = value, value
    inside(out, padding, x.shape)[...] = x
    return out


def inside(x, padding, shape):
    """Where the image is in the padded one."""
    (top, _), (left, _) = padding
    return x[:, top : top + shape[1], left : left + shape[2]]


def image_blocks(x, work, image_bytes):
    """work(images) for slices of the batch that fit into the cache, in threads."""
    size = max(1, TILE // max(1, image_bytes)) if isinstance(x, np.ndarray) else max(len(x), 1)

    def blocks(start, stop):
        for first in range(start, stop, size):
            work(slice(first, min(first + size, stop)))

    parallel(blocks, len(x), size)


# Convolution, as it is defined.


def conv2d_loops(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """`conv2d` on arrays, number by number: six loops around a multiplication."""
    (kh, kw), (sh, sw), _, (dh, dw) = window = window_of(weight.shape[2:], stride, padding, dilation)
    n, _, height, width = x.shape
    rows, columns = window.output_size((height, width))
    x = channels_first(padded(channels_last(x), window.padding))
    out = np.zeros((n, len(weight), rows, columns), x.dtype)
    for o in range(len(weight)):
        first = o // (len(weight) // groups) * weight.shape[1]  # the first channel of o's group
        for i in range(rows):
            for j in range(columns):
                for c in range(weight.shape[1]):
                    for u in range(kh):
                        for v in range(kw):
                            pixel = x[:, first + c, sh * i + dh * u, sw * j + dw * v]  # of every image
                            out[:, o, i, j] += pixel * weight[o, c, u, v]
        if bias is not None:
            out[:, o] += bias[o]
    return out


# Convolution as a matrix product, tile by tile. Arrays are (N, H, W, C) from here on.


def patches(x, window):
    """Every window of an image, padding done: a view (N, Ho, Wo, kh, kw, C) of (N, H, W, C)."""
    (kh, kw), (sh, sw), _, (dh, dw) = window
    view = sliding_window_view(x, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), (1, 2))  # (N, H', W', C, eh, ew)
    return view[:, ::sh, ::sw, :, ::dh, ::dw].transpose(0, 1, 2, 4, 5, 3)


def copied(part):
    """A view of patches, row by row in a buffer."""
    held = buffer("patches", part.shape, part)
    np.copyto(held, part)
    return held


class Tiling:
    """How the patches of a batch are cut into tiles: some images, or, where one is too large, some rows."""

    def __init__(self, x, window, groups, outputs):
        self.rows, self.columns = window.output_size(x.shape[1:3])
        self.window, self.groups = window, groups
        (top, bottom), (left, right) = (tuple(max(-p, 0) for p in ends) for ends in window.padding)
        self.x = x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]  # negative padding cuts off
        self.padding = tuple((max(before, 0), max(after, 0)) for before, after in window.padding)
        self.depth = prod(window.kernel) * x.shape[3]  # numbers in a patch
        on_cpu = isinstance(x, np.ndarray)
        room = max(1, (TILE if on_cpu else 256 * TILE) // max(self.columns * self.depth * x.itemsize, 1))
        self.bands = ceil(self.rows / room)
        self.tile_rows = ceil(self.rows / self.bands)
        blocks, threads = ceil(len(x) / max(1, room // self.rows)), get_num_threads()
        blocks = max(1, ceil(blocks / threads) * threads)  # as many for each thread
        self.tile_images = max(1, ceil(len(x) / blocks))
        self.tiles = ceil(len(x) / self.tile_images) * self.bands
        products = self.tile_images * self.tile_rows * self.columns * self.depth * outputs // groups
        self.grain = 1 + WORTH_A_THREAD // max(products, 1) if on_cpu else max(self.tiles, 1)

    def run(self, work):
        """The results of work(tiles), in as many parts as there are threads."""
        return parallel(lambda start, stop: work(self.between(start, stop)), self.tiles, self.grain)

    def between(self, start, stop):
        """Pairs (place, patches (G, rows, kh*kw*C/G)) of tiles start to stop; their results go to place."""
        x, channels = self.x, self.x.shape[3] // self.groups
        around = any(map(any, self.padding))
        if not around and self.window.kernel == self.window.stride == (1, 1) and self.groups == 1:
            for place in map(self.place, range(start, stop)):  # the patches are the pixels
                yield place, x[place].reshape(1, -1, channels)
            return
        # Long runs of memory are copied quickly. With one channel or three, a row of a patch is a short run:
        # then every position in the kernel becomes a row, whose runs are rows of the image.
        thin = (
            self.groups == 1
            and self.window.stride[1] == 1
            and self.window.kernel[1] * channels < self.columns
        )
        # With padding, one block of images after the other goes into the same frame of zeros.
        frame = padded(x[: self.tile_images], self.padding, key="padded")
        views, framed = patches(frame if around else x, self.window), None
        for images, rows in map(self.place, range(start, stop)):
            count = images.stop - images.start
            if around and framed != images:
                framed = images
                inside(frame, self.padding, x.shape)[:count] = x[images]
            part = views[:count, rows] if around else views[images, rows]  # (N, Ho, Wo, kh, kw, C)
            if thin:
                held = copied(part.transpose(3, 4, 5, 0, 1, 2))
                yield (images, rows), held.reshape(1, self.depth, -1).transpose(0, 2, 1)
            else:
                part = part.reshape(*part.shape[:5], self.groups, channels)
                held = copied(part.transpose(5, 0, 1, 2, 3, 4, 6))
                yield (images, rows), held.reshape(self.groups, -1, self.depth // self.groups)

    def place(self, tile):
        """The images and the rows of a tile: two slices."""
        block, band = divmod(tile, self.bands)
        image, row = block * self.tile_images, band * self.tile_rows
        return (
            slice(image, min(image + self.tile_images, len(self.x))),
            slice(row, min(row + self.tile_rows, self.rows)),
        )


def by_group(x, groups):
    """(N, H, W, C) as (G, N*H*W, C/G), a view."""
    return x.reshape(-1, groups, x.shape[3] // groups).transpose(1, 0, 2)


def correlate(x, kernels, window, bias=None):
    """Every window times every kernel: (N, H, W, C), (G, kh*kw*C/G, O/G) -> (N, Ho, Wo, O)."""
    groups, _, width = kernels.shape
    out = np.empty_like(x, shape=(len(x), *window.output_size(x.shape[1:3]), groups * width))

    def work(tiles):
        for place, rows in tiles:
            part = out[place]
            np.matmul(rows, kernels, out=by_group(part, groups))
            if bias is not None:
                part += bias

    Tiling(x, window, groups, groups * width).run(work)
    return out


def kernel_gradient(x, g, window, groups):
    """The gradient of `correlate`'s kernels: what each number of a window was multiplied with, summed."""
    groups //= joined(x.shape[3] // groups, groups)
    shape = (groups, prod(window.kernel) * x.shape[3] // groups, g.shape[3] // groups)

    def work(tiles):
        total, product = np.zeros_like(x, shape=shape), buffer("product", shape, x)
        for place, rows in tiles:
            total += np.matmul(rows.transpose(0, 2, 1), by_group(g[place], groups), out=product)
        return total

    return sum(Tiling(x, window, groups, g.shape[3]).run(work), np.zeros_like(x, shape=shape))


def image_gradient(g, weight, window, size, groups):
    """The gradient of `correlate`'s image: (N, Ho, Wo, O), weight (O, C/G, kh, kw) -> (N, *size, C).

    With stride 1 it is a correlation itself: the gradient, padded, with every kernel turned by 180 degrees.
    Otherwise each number of the gradient, times its kernel, is added where its window was.
    """
    (kh, kw), stride, padding, dilation = window
    if stride == (1, 1):
        reach = [d * (k - 1) for k, d in zip(window.kernel, dilation, strict=True)]
        around = tuple((r - before, r - after) for r, (before, after) in zip(reach, padding, strict=True))
        turned = as_kernels(swapped(weight, groups)[:, :, ::-1, ::-1], groups)
        return correlate(g, turned, Window(window.kernel, stride, around, dilation))
    kernels = as_kernels(weight, groups).transpose(0, 2, 1)  # (G, O/G, kh*kw*C/G)
    channels, groups = weight.shape[1] * groups, len(kernels)
    (top, bottom), (left, right) = padding
    whole = size[0] + top + max(bottom, 0), size[1] + left + max(right, 0)
    out = np.zeros_like(g, shape=(len(g), *whole, channels))
    rows, columns = g.shape[1:3]

    def work(images):
        spread = np.matmul(by_group(g[images], groups), kernels)  # (G, N*rows*columns, kh*kw*C/G)
        spread = spread.reshape(groups, -1, rows, columns, kh, kw, channels // groups)
        for u, v in np.ndindex(kh, kw):
            down, across = tap(u, stride[0], dilation[0], rows), tap(v, stride[1], dilation[1], columns)
            part = spread[:, :, :, :, u, v].transpose(1, 2, 3, 0, 4)
            out[images, down, across] += part.reshape(-1, rows, columns, channels)

    image_blocks(g, work, kh * kw * channels * rows * columns * g.itemsize)
    return inside(out, padding, (len(g), *size))


def tap(offset, stride, dilation, count):
    """Where position `offset` of a kernel looks, along one axis, for `count` outputs."""
    first = offset * dilation
    return slice(first, first + stride * (count - 1) + 1, stride)


def joined(channels, groups):
    """How many groups share one matrix product, with zeros where an output does not see a channel.

    With one channel a group, a depthwise convolution, each group alone would be a product with a vector.
    """
    return next(n for n in range(1, groups + 1) if groups % n == 0 and (n * channels >= WIDE or n == groups))


def as_kernels(weight, groups):
    """(O, C/G, kh, kw) as columns for the patches' rows: (G, kh*kw*C/G, O/G), for n joined groups each."""
    outputs, channels, kh, kw = weight.shape
    n, width = joined(channels, groups), outputs // groups
    split = weight.reshape(groups // n, n, width, channels, kh, kw).transpose(0, 1, 4, 5, 3, 2)
    wide = np.zeros_like(weight, shape=(groups // n, kh, kw, n, channels, n, width))
    for i in range(n):
        wide[:, :, :, i, :, i] = split[:, i]
    return wide.reshape(groups // n, kh * kw * n * channels, n * width)


def as_weight(kernels, weight_shape):
    """The inverse of `as_kernels`."""
    _, channels, kh, kw = weight_shape
    n = kernels.shape[1] // (kh * kw * channels)
    wide = kernels.reshape(len(kernels), kh, kw, n, channels, n, -1)
    split = np.stack([wide[:, :, :, i, :, i] for i in range(n)], 1)  # (G, n, kh, kw, C/G, O/G)
    return split.transpose(0, 1, 5, 4, 2, 3).reshape(weight_shape)


def swapped(weight, groups):
    """(O, C/G, kh, kw) as (C, O/G, kh, kw): inputs and outputs of each group change places."""
    outputs, channels, kh, kw = weight.shape
    split = weight.reshape(groups, outputs // groups, channels, kh, kw).swapaxes(1, 2)
    return split.reshape(groups * channels, outputs // groups, kh, kw)


def batched(name, input, layer):
    """layer(input) for (N, C, H, W); a single image (C, H, W) goes in and comes out as it is."""
    if input.ndim == 3:
        out = layer(reshape(input, (1, *input.shape)))
        return reshape(out, out.shape[1:])
    if input.ndim != 4:
        raise ValueError(f"{name}: images (N, C, H, W) or one image (C, H, W) are needed, {input.shape} came")
    return layer(input)


def check_weight(name, input, weight, groups, channels_at):
    """Do the channels of input and weight fit together? `channels_at` is the weight's dimension of them."""
    if weight.ndim != 4:
        raise ValueError(f"{name}: a weight of four dimensions is needed, {weight.shape} came")
    channels, expected = input.shape[-3], weight.shape[channels_at] * (groups if channels_at else 1)
    if channels != expected:
        needed = f"a weight {weight.shape} with groups={groups} needs {expected}"
        raise ValueError(f"{name}: the input has {channels} channels; {needed}")
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(
            f"{name}: groups={groups} does not divide {weight.shape[0]}, the weight's first size"
        )


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation: (N, C, H, W) with (O, C/groups, kh, kw) and bias (O,) -> (N, O, Ho, Wo).

    Ho = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1. padding may be "valid" (none) or "same" (as
    much as keeps the size, for stride 1). With groups, each of them sees only its share of the channels.

    LeCun et al. 1998, https://doi.org/10.1109/5.726791. Raises ValueError where sizes do not fit.
    """
    check = batched("conv2d", input, lambda x: x)
    check_weight("conv2d", check, weight, groups, 1)
    window = window_of(weight.shape[2:], stride, padding, dilation)
    window.output_size(input.shape[-2:])
    return batched("conv2d", input, lambda x: convolution(x, weight, bias, window, groups))


@op
def convolution(input, weight, bias, window, groups):
    """conv2d for a checked Window."""
    return channels_first(correlate(channels_last(input), as_kernels(weight, groups), window, bias))


derivative(
    convolution,
    lambda g, input_shape, weight, window, groups: channels_first(
        image_gradient(channels_last(g), weight, window, input_shape[2:], groups)
    ),
    lambda g, input, weight_shape, window, groups: as_weight(
        kernel_gradient(channels_last(input), channels_last(g), window, groups), weight_shape
    ),
    lambda g: channel_sums(channels_last(g)),
)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The gradient of conv2d as a layer: (N, C, H, W) with (C, O/groups, kh, kw) -> (N, O, Ho, Wo).

    Every pixel is spread over a window; stride makes the image larger:
    Ho = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.

    Zeiler et al. 2010, https://doi.org/10.1109/CVPR.2010.5539957. Raises ValueError where sizes do not fit.
    """
    checked = batched("conv_transpose2d", input, lambda x: x)
    check_weight("conv_transpose2d", checked, weight, groups, 0)
    window, extra = (
        window_of(weight.shape[2:], stride, padding, dilation),
        pair(output_padding, "output_padding"),
    )
    if any(not 0 <= e < max(s, d) for e, s, d in zip(extra, window.stride, window.dilation, strict=True)):
        raise ValueError(f"conv_transpose2d: output_padding {extra} has to be below stride or dilation")
    around = tuple((p, p - e) for (p, _), e in zip(window.padding, extra, strict=True))
    window = replace(window, padding=around)
    size = tuple(n - sum(p) for n, p in zip(window.needed(input.shape[-2:]), around, strict=True))
    if min(size) < 1:
        raise ValueError(f"conv_transpose2d: the result would have the size {size}")
    return batched(
        "conv_transpose2d", input, lambda x: transposed_convolution(x, weight, bias, window, size, groups)
    )


@op
def transposed_convolution(input, weight, bias, window, size, groups):
    """conv_transpose2d for a checked Window and the size of the result."""
    out = image_gradient(channels_last(input), weight, window, size, groups)
    return channels_first(out if bias is None else out + bias)


derivative(
    transposed_convolution,
    lambda g, weight, window, groups: channels_first(
        correlate(channels_last(g), as_kernels(weight, groups), window)
    ),
    lambda g, input, weight_shape, window, groups: as_weight(
        kernel_gradient(channels_last(g), channels_last(input), window, groups), weight_shape
    ),
    lambda g: channel_sums(channels_last(g)),
)


# Pooling. A square window is taken row by row: first along the columns, then along the rows.


def views_along(x, axis, window, count):
    """What each position of a kernel sees along one axis of images, for `count` outputs."""
    k, s, d = window.kernel[axis], window.stride[axis], window.dilation[axis]
    return [x[(slice(None),) * (axis + 1) + (tap(u, s, d, count),)] for u in range(k)]


def reduced_along(x, axis, window, count, combine):
    """Windows along one axis become one number each: combine is np.maximum or np.add."""
    first, *others = views_along(x, axis, window, count)
    out = first
    for view in others:
        out = combine(out, view) if out is first else combine(out, view, out=out)
    return out


def rounded_up(window, size):
    """The Window with so much more padding behind that a last, incomplete window counts (ceil_mode)."""
    padding = []
    for n, k, s, (before, after), d in zip(size, *window, strict=True):
        count = -(-(n + before + after - d * (k - 1) - 1) // s) + 1
        count -= (count - 1) * s >= n + before  # a window has to begin inside
        padding.append((before, max(after, s * (count - 1) + d * (k - 1) + 1 - n - before)))
    return replace(window, padding=tuple(padding))


def pool_window(kernel_size, stride, padding, dilation, ceil_mode, size):
    """The Window of a pooling layer, which moves by its own size unless told otherwise."""
    window = window_of(kernel_size, kernel_size if stride is None else stride, padding, dilation)
    if any(before > k // 2 for k, (before, _) in zip(window.kernel, window.padding, strict=True)):
        raise ValueError(f"padding {padding} is more than half of the kernel {kernel_size}")
    window = rounded_up(window, size) if ceil_mode else window
    window.output_size(size)
    return window


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The largest value of each window: (N, C, H, W) -> (N, C, Ho, Wo). stride is kernel_size by default.

    Where several are largest, the gradient goes to the first of them, row by row.
    """

    def layer(x):
        window = pool_window(kernel_size, stride, padding, dilation, ceil_mode, x.shape[2:])
        return largest(x, window)

    return batched("max_pool2d", input, layer)


@op
def largest(input, window):
    """max_pool2d for a checked Window."""
    x = channels_last(input)
    rows, columns = window.output_size(x.shape[1:3])
    out = np.empty_like(x, shape=(len(x), rows, columns, x.shape[3]))

    def work(images):
        part = padded(x[images], window.padding, -np.inf, "padded")
        part = reduced_along(part, 1, window, columns, np.maximum)
        out[images] = reduced_along(part, 0, window, rows, np.maximum)

    image_blocks(x, work, 2 * x[:1].nbytes)
    return channels_first(out)


def largest_gradient(g, out, input, window):
    g, out, x = channels_last(g), channels_last(out), channels_last(input)
    columns, d = out.shape[2], np.empty_like(x)

    def work(images):
        part = padded(x[images], window.padding, -np.inf, "padded")
        middle = reduced_along(part, 1, window, columns, np.maximum)
        inner = to_first(g[images], middle, out[images], 0, window)
        inner = to_first(inner, part, middle, 1, window)
        d[images] = inside(inner, window.padding, x.shape)

    image_blocks(x, work, 2 * x[:1].nbytes)
    return channels_first(d)


def to_first(g, x, out, axis, window):
    """g handed to the first value of each window along one axis that equals `out`, its largest."""
    d = np.zeros_like(x)
    *earlier, last = zip(*(views_along(a, axis, window, out.shape[axis + 1]) for a in (x, d)), strict=True)
    for seen, receives in earlier:
        taken = g * (seen == out)
        receives += taken
        g = g - taken
    last[1][...] += g
    return d


derivative(largest, largest_gradient)


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window: (N, C, H, W) -> (N, C, Ho, Wo). stride is kernel_size by default.

    Padding counts as zeros, or, with count_include_pad=False, not at all. divisor_override divides the sum
    instead of the number of values.
    """

    def layer(x):
        size = x.shape[2:]
        plain = pool_window(kernel_size, stride, padding, 1, False, size)
        window = pool_window(kernel_size, stride, padding, 1, ceil_mode, size)
        if divisor_override is not None:
            return total(x, window, divisor_override)
        # What is summed up over the padding that counts: how many values each window has.
        counted = np.ones((1, *size, 1), np.float32)
        counted = padded(counted, plain.padding, 1.0 if count_include_pad else 0.0)
        missing = [(0, a - b) for (_, a), (_, b) in zip(window.padding, plain.padding, strict=True)]
        counts = summed_windows(padded(counted, missing), window, *window.output_size(size))
        return total(x, window, np.asarray(counts.astype(x.dtype), like=x.array))

    return batched("avg_pool2d", input, layer)


def summed_windows(x, window, rows, columns):
    return reduced_along(reduced_along(x, 1, window, columns, np.add), 0, window, rows, np.add)


@op
def total(input, window, divisor):
    """The sum of each window, divided: avg_pool2d for a checked Window."""
    x = channels_last(input)
    rows, columns = window.output_size(x.shape[1:3])
    out = np.empty_like(x, shape=(len(x), rows, columns, x.shape[3]))

    def work(images):
        part = padded(x[images], window.padding, key="padded")
        np.divide(summed_windows(part, window, rows, columns), divisor, out=out[images])

    image_blocks(x, work, 2 * x[:1].nbytes)
    return channels_first(out)


def total_gradient(g, input_shape, window, divisor):
    g = channels_last(g) / divisor
    height, width = (n + sum(p) for n, p in zip(input_shape[2:], window.padding, strict=True))
    rows = np.zeros_like(g, shape=(len(g), height, *g.shape[2:]))
    for receives in views_along(rows, 0, window, g.shape[1]):
        receives += g
    d = np.zeros_like(g, shape=(len(g), height, width, g.shape[3]))
    for receives in views_along(d, 1, window, g.shape[2]):
        receives += rows
    return channels_first(inside(d, window.padding, (len(g), *input_shape[2:])))


derivative(total, total_gradient)


# Batch normalization. Per-channel arithmetic goes over long rows that hold several pixels each.


def long_rows(x):
    """(…, C) as rows of several pixels, (R, k*C), and k: NumPy is slow at short rows."""
    channels = x.shape[-1]
    pixels = x.size // max(channels, 1)
    k = gcd(pixels, 1 << max(0, (2048 // max(channels, 1)).bit_length() - 1))
    return x.reshape(pixels // max(k, 1), k * channels), k


def row_blocks(rows, work):
    """The results of work(blocks) in threads; `blocks` are slices of the rows that fit into the cache."""
    size = max(1, TILE // 2 // max(1, rows[:1].nbytes)) if isinstance(rows, np.ndarray) else max(len(rows), 1)
    return parallel(
        lambda start, stop: work([slice(i, min(i + size, stop)) for i in range(start, stop, size)]),
        len(rows),
        size,
    )


def row_sums(rows, count, values):
    """`count` sums over all rows, in float64: values(block) gives the arrays that are summed for a block."""

    def work(blocks):
        sums = np.zeros_like(rows, shape=(count, rows.shape[1]), dtype=np.float64)
        for block in blocks:
            ones_row = np.ones_like(rows, shape=(1, block.stop - block.start))
            for i, part in enumerate(values(block)):
                sums[i] += (ones_row @ part)[0]  # a product beats sum(0)
        return sums

    return sum(row_blocks(rows, work), np.zeros_like(rows, shape=(count, rows.shape[1]), dtype=np.float64))


def channel_sums(x):
    """The sum over everything but the last dimension."""
    rows, k = long_rows(x)
    return row_sums(rows, 1, lambda block: [rows[block]]).reshape(k, -1).sum(0).astype(x.dtype)


def channels_at_end(x):
    """(N, C, …) as (N, …, C), row by row in memory: a view where it lies so already."""
    x = np.moveaxis(x, 1, -1)
    return x if x.flags.c_contiguous else x.copy()


class Normalization:
    """Mean and 1 / sqrt(var + eps) of every channel, and what both gradients need of a batch."""

    def __init__(self, mean, var, eps, of_batch):
        self.mean, self.rstd, self.of_batch = mean, 1 / np.sqrt(var + eps), of_batch
        self.g = None

    def sums(self, g, input):
        """Sums over the batch, per channel: of g, and of g times the normalized input."""
        if self.g is not g:
            self.g, g = g, channels_at_end(g)
            rows, k = long_rows(g)
            x, mean = channels_at_end(input).reshape(rows.shape), np.tile(self.mean, k)

            def values(block):
                yield rows[block]
                product = np.subtract(x[block], mean, out=buffer("product", rows[block].shape, rows))
                product *= rows[block]
                yield product

            sum_g, sum_gx = row_sums(rows, 2, values).reshape(2, k, -1).sum(1)
            self.found = sum_g.astype(g.dtype), (sum_gx * self.rstd).astype(g.dtype)
        return self.found


def batch_moments(input):
    """(mean, variance, number of values) of every channel of (N, C, …)."""
    x = channels_at_end(input)
    rows, k = long_rows(x)
    count = x.size // x.shape[-1]
    # Squares are taken of the distance from a first guess, so that no large numbers cancel.
    guess = rows[: max(1, 256 // k)].reshape(-1, x.shape[-1]).mean(0)
    shift = np.tile(guess, k)

    def values(block):
        away = np.subtract(rows[block], shift, out=buffer("product", rows[block].shape, rows))
        yield away
        away *= away
        yield away

    first, second = row_sums(rows, 2, values).reshape(2, k, -1).sum(1) / count
    return (guess + first).astype(x.dtype), (second - first * first).astype(x.dtype), count


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """(x - mean) / sqrt(var + eps) * weight + bias, per channel of (N, C, …).

    training: mean and variance of this batch, and the running ones (Tensors (C,), or None) move towards them
    by `momentum`, in place, the variance as its unbiased estimate. Otherwise the running ones are used.

    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167.
    """
    if input.ndim < 2:
        raise ValueError(f"batch_norm: (N, C, …) is needed, {input.shape} came")
    channels = input.shape[1]
    for name, values in (("running_mean", running_mean), ("weight", weight), ("bias", bias)):
        if values is not None and values.shape != (channels,):
            raise ValueError(
                f"batch_norm: {name} has shape {values.shape}, the input has {channels} channels"
            )
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training, running_mean and running_var are needed")
        return normalized(
            input, weight, bias, Normalization(running_mean.array, running_var.array, eps, False)
        )
    count = prod(input.shape) // channels if channels else 0
    if count < 2:
        raise ValueError(
            f"batch_norm: more than one value per channel is needed in training, {input.shape} came"
        )
    mean, var, count = batch_moments(input.array)
    if running_mean is not None:
        fill(running_mean, (1 - momentum) * running_mean.array + momentum * mean)
        fill(running_var, (1 - momentum) * running_var.array + momentum * count / (count - 1) * var)
    return normalized(input, weight, bias, Normalization(mean, var, eps, True))


@op
def normalized(input, weight, bias, stats):
    """x * a + b per channel, a = weight / sqrt(var + eps), b = bias - mean * a."""
    a = stats.rstd if weight is None else stats.rstd * weight
    b = -stats.mean * a if bias is None else bias - stats.mean * a
    x = channels_at_end(input)
    rows, k = long_rows(x)
    a, b, out = np.tile(a, k).astype(x.dtype), np.tile(b, k).astype(x.dtype), np.empty_like(rows)

    def work(blocks):
        for block in blocks:
            part = np.multiply(rows[block], a, out=out[block])
            part += b

    row_blocks(rows, work)
    return np.moveaxis(out.reshape(x.shape), -1, 1)


def normalized_input(g, input, weight, stats):
    """a (g - mean(g) - xhat mean(g xhat)), for the mean moves with x, too; in evaluation a g."""
    a = stats.rstd if weight is None else stats.rstd * weight
    if stats.of_batch:
        sum_g, sum_gx = stats.sums(g, input)
        count = g.size // g.shape[1]
        slope = -a * stats.rstd * sum_gx / count
        level = -a * sum_g / count - slope * stats.mean
    g, x = channels_at_end(g), channels_at_end(input)
    rows, k = long_rows(g)
    x, a, out = x.reshape(rows.shape), np.tile(a, k).astype(g.dtype), np.empty_like(rows)
    if stats.of_batch:
        slope, level = np.tile(slope, k).astype(g.dtype), np.tile(level, k).astype(g.dtype)

    def work(blocks):
        for block in blocks:
            part = np.multiply(rows[block], a, out=out[block])
            if stats.of_batch:
                part += np.multiply(x[block], slope, out=buffer("product", part.shape, part))
                part += level

    row_blocks(rows, work)
    return np.moveaxis(out.reshape(g.shape), -1, 1)


derivative(
    normalized,
    normalized_input,
    lambda g, input, stats: stats.sums(g, input)[1],
    lambda g, input, stats: stats.sums(g, input)[0],
)


# The layers


class Conv2d(Module):
    """`conv2d` with learned kernels (out_channels, in_channels/groups, kh, kw) and bias (out_channels,).

    Both begin uniform within ±1 / sqrt(in_channels/groups * kh * kw), as in PyTorch. The padding is zeros.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        if padding_mode != "zeros":
            raise NotImplementedError(f"Conv2d: padding_mode is 'zeros', {padding_mode!r} came; use F.pad")
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups={groups} does not divide {in_channels} and {out_channels} channels"
            )
        window = window_of(kernel_size, stride, padding, dilation)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = window.kernel, window.stride, window.dilation
        self.padding = padding if isinstance(padding, str) else pair(padding, "padding")
        settings = {"dtype": dtype or float32, "device": device}
        self.weight = Parameter(zeros(out_channels, in_channels // groups, *window.kernel, **settings))
        self.bias = Parameter(zeros(out_channels, **settings)) if bias else None
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the kernels and the bias anew."""
        fan_in = prod(self.weight.shape[1:])
        for parameter in self.parameters():
            uniform_(parameter, -1 / sqrt(fan_in or 1), 1 / sqrt(fan_in or 1))

    def forward(self, input):
        return conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self):
        shown = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        for name, usual in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if getattr(self, name) != usual:
                shown += f", {name}={getattr(self, name)}"
        return shown + ("" if self.bias is not None else ", bias=False")


class BatchNorm(Module):
    """`batch_norm` with learned weight and bias (num_features,), and running statistics as buffers.

    momentum: None makes the running statistics plain means of all batches. affine=False: nothing is learned.
    track_running_stats=False: in evaluation, too, the batch's own statistics are used.
    """

    dimensions: tuple = ()

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats = track_running_stats
        settings = {"dtype": dtype or float32, "device": device}
        self.weight = Parameter(ones(num_features, **settings)) if affine else None
        self.bias = Parameter(zeros(num_features, **settings)) if affine else None
        self.register_buffer("running_mean", zeros(num_features, **settings) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, **settings) if track_running_stats else None)
        counter = zeros((), dtype=int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", counter)

    def forward(self, input):
        if input.ndim not in self.dimensions:
            expected = " or ".join(map(str, self.dimensions))
            raise ValueError(f"{type(self).__name__}: {expected} dimensions are needed, {input.shape} came")
        momentum = self.momentum
        if self.training and self.track_running_stats:
            fill(self.num_batches_tracked, self.num_batches_tracked.array + 1)
            momentum = 1 / self.num_batches_tracked.item() if momentum is None else momentum
        training = self.training or not self.track_running_stats
        return batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, training, momentum, self.eps
        )

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(BatchNorm):
    """Batch normalization of (N, C) or (N, C, L)."""

    dimensions = 2, 3


class BatchNorm2d(BatchNorm):
    """Batch normalization of images (N, C, H, W)."""

    dimensions = (4,)


class TriangularLR(LRScheduler):
    """The rate climbs in a straight line from 0 to the base rate at `peak` of all steps, and falls back to 0.

    Batch normalization allows large rates, once the first steps are over: Smith and Topin 2017,
    https://arxiv.org/abs/1708.07120.
    """

    def __init__(self, optimizer, total_steps, peak=0.25, last_epoch=-1):
        if not 0 < peak < 1 or total_steps < 1:
            raise ValueError(f"TriangularLR: 0 < peak < 1 and steps are needed; {peak}, {total_steps} came")
        self.total_steps, self.peak = total_steps, peak
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        done = min(self.last_epoch / self.total_steps, 1)
        return [lr * min(done / self.peak, (1 - done) / (1 - self.peak)) for lr in self.base_lrs]
