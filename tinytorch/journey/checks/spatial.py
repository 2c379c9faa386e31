"""Exercises of module 09, Spatial."""

import contextlib
import math

import numpy as np

from tinytorch.core import spatial
from tinytorch.core.layers import Parameter
from tinytorch.core.optimizers import SGD
from tinytorch.core.spatial import Window, as_weight, window_of
from tinytorch.core.tensor import tensor

from ..checking import Exercises, call, gradients, raises, see, swap, wrong

exercises = Exercises("spatial")


def single(x):
    return np.asarray(x, np.float32)


def grid(*shape, seed=9):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def counted(*shape):
    """1, 2, 3, … float32."""
    return np.arange(1, math.prod(shape) + 1, dtype=np.float32).reshape(shape)


def places(window, outputs):
    """Of every output (i, j) and place (u, v) in the kernel: the row and the column of the image below it,
    which may lie outside.
    """
    (kh, kw), (sh, sw), ((top, _), (left, _)), (dh, dw) = window
    for i, j, u, v in np.ndindex(*outputs, kh, kw):
        yield (i, j), (u, v), sh * i + dh * u - top, sw * j + dw * v - left


def there(row, column, size):
    return 0 <= row < size[0] and 0 <= column < size[1]


def correlated(x, weight, window, outputs, groups=1):
    """The definition, in float64: x (N, H, W, C), weight (O, C/G, kh, kw) -> (N, *outputs, O)."""
    width, channels = len(weight) // groups, weight.shape[1]
    out = np.zeros((len(x), *outputs, len(weight)))
    for place, (u, v), row, column in places(window, outputs):
        if there(row, column, x.shape[1:3]):
            for o in range(len(weight)):
                first = o // width * channels
                pixel = x[:, row, column, first : first + channels].astype(np.float64)
                out[(slice(None), *place, o)] += pixel @ weight[o, :, u, v].astype(np.float64)
    return out


def weight_gradient(x, g, weight_shape, window, groups=1):
    d, (outputs, channels, _, _) = np.zeros(weight_shape), weight_shape
    for (i, j), (u, v), row, column in places(window, g.shape[1:3]):
        if there(row, column, x.shape[1:3]):
            for o in range(outputs):
                first = o // (outputs // groups) * channels
                pixel = x[:, row, column, first : first + channels].astype(np.float64)
                d[o, :, u, v] += g[:, i, j, o].astype(np.float64) @ pixel
    return d


def pixel_gradient(g, weight, window, size, groups=1):
    outputs, channels = weight.shape[:2]
    d = np.zeros((len(g), *size, channels * groups))
    for (i, j), (u, v), row, column in places(window, g.shape[1:3]):
        if there(row, column, size):
            for o in range(outputs):
                first = o // (outputs // groups) * channels
                share = g[:, i, j, o, None].astype(np.float64) * weight[o, :, u, v]
                d[:, row, column, first : first + channels] += share
    return d


@contextlib.contextmanager
def small_tiles():
    """Tiles of one row of the result, however many threads there are."""
    kept, spatial.TILE = spatial.TILE, 1
    try:
        yield
    finally:
        spatial.TILE = kept


def first_channels(x):
    return x.transpose(0, 3, 1, 2)


def last_channels(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


output_size = exercises.add(
    "Window.output_size",
    prompt=(
        "Return (height, width) of the result, a tuple of ints, for an image of the given (height, width). "
        "The window has kernel, stride and dilation as pairs (vertical, horizontal), and padding as two "
        "pairs (before, after), which may differ. An incomplete last step does not count. A result below 1 "
        "is a ValueError."
    ),
    hints=(
        "Per axis: how many pixels are there with the padding, and how many does the kernel cover with its "
        "gaps? The steps that remain behind the first place, divided by the stride, are the further results.",
        "The kernel covers d (k - 1) + 1 pixels, and `//` rounds down.",
        "`(n + before + after - d * (k - 1) - 1) // s + 1` for each axis.",
    ),
    mistakes=(
        swap(
            "n + sum(p) - d",
            "n + p[0] - d",
            "The padding is counted on one side only; there is one before and one after the image.",
        ),
        swap(
            "n + sum(p) - d",
            "n + 2 * p[0] - d",
            "The padding before is counted twice; the one after the image may be another.",
        ),
        swap(
            "d * (k - 1)",
            "(k - 1)",
            "The dilation is ignored: with gaps, a kernel of k covers d (k - 1) + 1 pixels.",
        ),
        swap(
            "// s + 1 for",
            "// s for",
            "The first place of the kernel is missing: the result is one more than the number of steps.",
        ),
        swap(
            "(n + sum(p) - d * (k - 1) - 1) // s + 1",
            "-(-(n + sum(p) - d * (k - 1) - 1) // s) + 1",
            "An incomplete last step counts here; it does not, the division rounds down.",
        ),
        swap(
            "if min(result) < 1:",
            "if False:",
            "An image that is too small gives a size below 1; it has to be a ValueError.",
        ),
        swap(
            "if min(result) < 1:",
            "if result[0] < 1:",
            "Only the height is looked at; a width below 1 is a ValueError as well.",
        ),
        swap(
            "(n + sum(p) - d * (k - 1) - 1) // s + 1",
            "int((n + sum(p) - d * (k - 1) - 1) / s) + 1",
            "int() rounds -1/2 to 0, so that an image that is too small gives 1; // rounds down.",
        ),
        swap(
            "for n, k, s, p, d in steps)",
            "for n, k, s, p, d in [*steps][::-1])",
            "Height and width have changed places; the height comes first.",
        ),
    ),
)


def size_of(kernel, stride, padding, dilation, size):
    window = window_of(kernel, stride, padding, dilation)
    words = f"the size for an image {size}, kernel {kernel}, stride {stride}, padding {padding}, dilation"
    return see(f"{words} {dilation}", window.output_size(size))


@output_size.check("a kernel of 3 fits into 7 pixels five times")
def _():
    size_of(3, 1, 0, 1, (7, 7)).gives((5, 5))
    size_of(3, 1, 1, 1, (7, 7)).gives((7, 7))
    size_of(1, 1, 0, 1, (1, 1)).gives((1, 1))
    size_of(3, 1, 1, 1, (1, 1)).gives((1, 1))


@output_size.check("stride makes it smaller, and an incomplete step does not count")
def _():
    size_of(3, 2, 0, 1, (7, 8)).gives((3, 3))
    size_of(7, 4, 3, 1, (32, 32)).gives((8, 8))


@output_size.check("dilation makes the kernel wider")
def _():
    size_of(3, 1, 0, 2, (7, 7)).gives((3, 3))
    size_of(3, 1, 2, 2, (7, 7)).gives((7, 7))


@output_size.check("height and width have settings of their own, and so have the two sides")
def _():
    window = Window((3, 2), (1, 2), ((2, 0), (0, 1)), (1, 3))
    words = "the size for (5, 8), kernel (3, 2), stride (1, 2), padding ((2, 0), (0, 1)), dilation (1, 3)"
    see(words, window.output_size((5, 8))).gives((5, 3))


@output_size.check("an image that is too small is an error")
def _():
    raises(ValueError, window_of(3, 1, 0, 1).output_size, (2, 5))
    raises(ValueError, window_of(3, 1, 0, 1).output_size, (5, 2))
    raises(ValueError, window_of(3, 1, 0, 2).output_size, (4, 4))
    raises(ValueError, window_of(3, 2, 0, 1).output_size, (2, 5))


conv2d_loops = exercises.add(
    "conv2d_loops",
    prompt=(
        "Write the convolution as it is defined, with loops, on arrays: x (N, C, H, W), weight (O, C/groups, "
        "kh, kw) and bias (O,) or None give (N, O, Ho, Wo) in the dtype of x. stride, padding and dilation "
        "are numbers or pairs, as for window_of; the padding is zeros. Output o sees only the channels of "
        "its group: with G groups, the first O/G outputs see the first C/G channels, and so on. The kernel "
        "is not turned."
    ),
    hints=(
        "Six loops: output o, row i, column j of the result; channel c, row u, column v of the kernel. All "
        "images can be done at once.",
        "`window_of(weight.shape[2:], stride, padding, dilation)` has all settings as pairs, and its "
        "output_size says how far i and j go. Pixel (s i + d u, s j + d v) of the padded image meets weight "
        "(u, v).",
        "The group of output o is o // (O / groups), and its first channel that number times "
        "weight.shape[1].",
    ),
    mistakes=(
        swap(
            "weight[o, c, u, v]",
            "weight[o, c, kh - 1 - u, kw - 1 - v]",
            "The kernel is turned by 180 degrees. That is a convolution as in mathematics; networks do "
            "without the turn.",
        ),
        swap(
            "sh * i + dh * u, sw * j + dw * v",
            "i + dh * u, j + dw * v",
            "The stride is ignored: neighbouring results look at places `stride` pixels apart.",
        ),
        swap(
            "sh * i + dh * u, sw * j + dw * v",
            "sh * i + u, sw * j + v",
            "The dilation is ignored: the kernel's numbers look at places `dilation` pixels apart.",
        ),
        swap(
            "o // (len(weight) // groups) * weight.shape[1]",
            "0",
            "Every output looks at the first channels; it has to look at those of its group.",
        ),
        swap(
            "o // (len(weight) // groups) * weight.shape[1]",
            "o % groups * weight.shape[1]",
            "The outputs take turns with the groups; the first O/G outputs belong to the first group.",
        ),
        swap(
            "np.zeros((n, len(weight), rows, columns), x.dtype)",
            "np.zeros((n, len(weight), rows, columns))",
            "np.zeros makes float64 unless told otherwise; the result has the dtype of x.",
        ),
        swap(
            "np.zeros((n, len(weight), rows, columns), x.dtype)",
            "np.zeros((n, len(weight), rows, columns), np.float32)",
            "The result is float32 always; it has the dtype of x, which may be float64.",
        ),
        swap("out[:, o] += bias[o]", "pass", "The bias is not added."),
    ),
)


def looped(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    window = window_of(weight.shape[2:], stride, padding, dilation)
    sizes = zip(x.shape[2:], *window, strict=True)
    outputs = tuple((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
    out = first_channels(correlated(last_channels(x), weight, window, outputs, groups))
    out = out if bias is None else out + bias[:, None, None]
    arguments = (x, weight, bias, stride, padding, dilation, groups)
    call(spatial.conv2d_loops, *arguments).gives(out.astype(x.dtype), atol=1e-5)


@conv2d_loops.check("1 - 5, 2 - 6, 4 - 8 and 5 - 9")
def _():
    x, weight = counted(1, 1, 3, 3), single([[[[1, 0], [0, -1]]]])
    call(spatial.conv2d_loops, x, weight).gives(single([[[[-4, -4], [-4, -4]]]]))


@conv2d_loops.check("the kernel is not turned")
def _():
    x, weight = counted(1, 1, 2, 3), single([[[[1, 10]]]])
    call(spatial.conv2d_loops, x, weight).gives(single([[[[21, 32], [54, 65]]]]))


@conv2d_loops.check("channels are added up, each output has a bias, and every image is done")
def _():
    looped(grid(2, 3, 3, 4), grid(2, 3, 2, 3), single([10, 20]))


@conv2d_loops.check("stride and padding")
def _():
    looped(grid(1, 2, 5, 4), grid(1, 2, 3, 2), None, (2, 1), (1, 2))


@conv2d_loops.check("float64 stays float64")
def _():
    looped(grid(1, 1, 2, 3).astype(np.float64), grid(1, 1, 2, 2).astype(np.float64))


@conv2d_loops.check("dilation")
def _():
    looped(grid(1, 1, 6, 5), grid(2, 1, 2, 3), None, 1, 0, (3, 2))


@conv2d_loops.check("each group of outputs sees its own channels")
def _():
    looped(grid(1, 4, 2, 2), grid(6, 2, 2, 1), None, 1, 0, 1, 2)


patches = exercises.add(
    "patches",
    prompt=(
        "Return every window of the images x (N, H, W, C): a view of the shape (N, Ho, Wo, kh, kw, C), "
        "which copies nothing. Number (u, v) of the window at (i, j) is the pixel (s i + d u, s j + d v). "
        "The padding is in x already: leave window.padding out of account."
    ),
    hints=(
        "Take the windows that the kernel covers, gaps included, at every place. Then slices with a step "
        "leave out places (stride) and pixels (dilation).",
        "`sliding_window_view(x, (height, width), (1, 2))` puts the two window axes last, behind the "
        "channels.",
        "The kernel covers d (k - 1) + 1 pixels. Slice [:, ::sh, ::sw, :, ::dh, ::dw], then transpose so "
        "that the channels come last.",
    ),
    mistakes=(
        swap(
            ".transpose(0, 1, 2, 4, 5, 3)",
            "",
            "The channels stand before the window's rows and columns here; they come last.",
        ),
        swap(
            "view[:, ::sh, ::sw, :, ::dh, ::dw]",
            "view[:, :, :, :, ::dh, ::dw]",
            "The stride is ignored: windows begin `stride` pixels apart.",
        ),
        swap(
            "sliding_window_view(x, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), (1, 2))",
            "sliding_window_view(x, (kh, kw), (1, 2))",
            "The dilation is ignored: the numbers of a window are `dilation` pixels apart.",
            (":, ::dh, ::dw]", ":, :, :]"),
        ),
        swap(
            ".transpose(0, 1, 2, 4, 5, 3)",
            ".transpose(0, 1, 2, 4, 5, 3).copy()",
            "The windows are copied. A view on the same memory is enough until they are multiplied.",
        ),
        swap(
            ".transpose(0, 1, 2, 4, 5, 3)",
            ".transpose(0, 1, 2, 5, 4, 3)",
            "The rows and the columns of the windows have changed places.",
        ),
        swap(
            "view = sliding",
            "x = padded(x, window.padding)\n    view = sliding",
            "The padding is added once more; it is in x already.",
        ),
    ),
)


def windows(x, window, outputs):
    kh, kw = window.kernel
    out = np.zeros((len(x), *outputs, kh, kw, x.shape[3]), x.dtype)
    for (i, j), (u, v), row, column in places(window, outputs):
        out[:, i, j, u, v] = x[:, row, column]
    return out


@patches.check("the windows of two by two of a small image")
def _():
    expected = single([[1, 2, 4, 5], [2, 3, 5, 6]]).reshape(1, 1, 2, 2, 2, 1)
    call(spatial.patches, counted(1, 2, 3, 1), window_of(2, 1, 0, 1)).gives(expected)


@patches.check("every image and every channel, with a kernel that is not square")
def _():
    x, window = grid(2, 4, 3, 3), window_of((3, 2), 1, 0, 1)
    call(spatial.patches, x, window).gives(windows(x, window, (2, 2)))


@patches.check("stride and dilation")
def _():
    x, window = grid(1, 5, 6, 2), window_of((2, 2), (2, 3), 0, 1)
    call(spatial.patches, x, window).gives(windows(x, window, (2, 2)))
    x, window = grid(1, 5, 6, 1), window_of((2, 3), 1, 0, (3, 2))
    call(spatial.patches, x, window).gives(windows(x, window, (2, 2)))


@patches.check("window.padding is done already, and x may be a part of larger images")
def _():
    x = grid(1, 4, 4, 2)[:, 1:, 1:]
    call(spatial.patches, x, window_of(2, 1, 1, 1)).gives(windows(x, window_of(2, 1, 0, 1), (2, 2)))


@patches.check("nothing is copied")
def _():
    x = grid(1, 3, 3, 2)
    shares = np.shares_memory(spatial.patches(x, window_of(2, 1, 0, 1)), x)
    see("np.shares_memory(patches(x, window), x)", bool(shares)).gives(True)


correlate = exercises.add(
    "correlate",
    prompt=(
        "Return every window times every kernel: x (N, H, W, C) and kernels (G, kh*kw*C/G, O/G) give (N, "
        "Ho, Wo, O), and `bias` (O,) is added if there is one. A column of `kernels` holds its numbers in "
        "the order (kh, kw, C/G). Group g multiplies the g-th part of the channels and makes the g-th part "
        "of the outputs. window.padding is zeros around x; a padding below zero cuts rows or columns off. "
        "The dtype of x stays."
    ),
    hints=(
        "Windows as rows, kernels as columns: then one matrix product for each group makes all results.",
        "`Tiling(x, window, groups, outputs)` does the padding and the patches: its `run(work)` calls "
        "work(tiles), and each tile is a pair (place, rows), rows being (G, windows, kh*kw*C/G).",
        "`out[place]` is where a tile's results go; `by_group(out[place], groups)` shows it as (G, windows, "
        "O/G), so `np.matmul(rows, kernels, out=...)` fills it.",
    ),
    mistakes=(
        swap("part += bias", "pass", "The bias is not added."),
        swap(
            "np.matmul(rows, kernels, out",
            "np.matmul(rows, kernels[:1], out",
            "Every group is multiplied with the kernels of the first; each has its own.",
        ),
        swap(
            "np.matmul(rows, kernels, out=by_group(part, groups))",
            "part[...] = (rows @ kernels).reshape(part.shape)",
            "The groups' results lie one behind the other and get the wrong places: the groups have to come "
            "after the windows before reshape makes one axis of them.",
        ),
        swap(
            "out = np.empty_like(x, shape=(len(x), *window.output_size(x.shape[1:3]), groups * width))",
            "out = np.zeros((len(x), *window.output_size(x.shape[1:3]), groups * width), np.float32)",
            "The result is float32 always; it has the dtype of x, which may be float64.",
        ),
        wrong(
            """
            def correlate(x, kernels, window, bias=None):
                groups = len(kernels)
                view = patches(x, window)
                split = view.reshape(*view.shape[:5], groups, -1)
                rows = [split[..., g, :].reshape(-1, kernels.shape[1]) for g in range(groups)]
                out = np.concatenate([r @ k for r, k in zip(rows, kernels)], 1)
                out = out.reshape(*view.shape[:3], -1)
                return out if bias is None else out + bias
            """,
            "The padding is ignored: there are zeros around the image.",
        ),
        wrong(
            """
            def correlate(x, kernels, window, bias=None):
                groups = len(kernels)
                around = tuple(tuple(max(p, 0) for p in ends) for ends in window.padding)
                view = patches(padded(x, around), window)
                split = view.reshape(*view.shape[:5], groups, -1)
                rows = [split[..., g, :].reshape(-1, kernels.shape[1]) for g in range(groups)]
                out = np.concatenate([r @ k for r, k in zip(rows, kernels)], 1)
                out = out.reshape(*view.shape[:3], -1)
                return out if bias is None else out + bias
            """,
            "A padding below zero is taken for none; it cuts rows or columns off the image.",
        ),
        wrong(
            """
            def correlate(x, kernels, window, bias=None):
                groups, _, width = kernels.shape
                out = np.empty_like(x, shape=(len(x), *window.output_size(x.shape[1:3]), groups * width))
                kh, kw = window.kernel
                turned = kernels.reshape(groups, kh * kw, -1, width)[:, ::-1].reshape(kernels.shape)

                def work(tiles):
                    for place, rows in tiles:
                        np.matmul(rows, turned, out=by_group(out[place], groups))

                Tiling(x, window, groups, groups * width).run(work)
                return out if bias is None else out + bias
            """,
            "The kernels are turned by 180 degrees; a cross-correlation takes them as they are.",
        ),
    ),
)


def correlates(x, weight, window, outputs, bias=None, groups=1):
    split = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])  # (G, O/G, C/G, kh, kw)
    kernels = split.transpose(0, 3, 4, 2, 1).reshape(groups, -1, len(weight) // groups)
    expected = correlated(x, weight, window, outputs, groups) + (0 if bias is None else bias)
    call(spatial.correlate, x, kernels, window, bias).gives(expected.astype(x.dtype), atol=1e-5)


@correlate.check("one image, one kernel: a window is multiplied and added up")
def _():
    kernels = single([[[1], [0], [0], [-1]]])
    expected = single([[-4, -4], [-4, -4]]).reshape(1, 2, 2, 1)
    call(spatial.correlate, counted(1, 3, 3, 1), kernels, window_of(2, 1, 0, 1)).gives(expected)


@correlate.check("several images, channels and outputs, and a bias")
def _():
    correlates(grid(2, 3, 4, 3), grid(5, 3, 2, 3), window_of((2, 3), 1, 0, 1), (2, 2), single(range(5)))


@correlate.check("padding, stride and dilation, different on all sides")
def _():
    window = Window((2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2))
    correlates(grid(1, 4, 4, 2), grid(3, 2, 2, 3), window, (2, 2))


@correlate.check("each group has its own channels and kernels")
def _():
    correlates(grid(2, 3, 3, 4), grid(6, 2, 2, 2), window_of(2, 1, 1, 1), (4, 4), None, 2)


@correlate.check("every tile is done")
def _():
    with small_tiles():
        correlates(grid(2, 4, 3, 2), grid(3, 2, 2, 2), window_of(2, 1, 1, 1), (5, 4))


@correlate.check("float64 stays float64")
def _():
    x, weight = grid(1, 3, 3, 1).astype(np.float64), grid(2, 1, 2, 2).astype(np.float64)
    correlates(x, weight, window_of(2, 1, 0, 1), (2, 2))


@correlate.check("a padding below zero cuts off")
def _():
    window = Window((2, 2), (1, 1), ((-1, 1), (0, -1)), (1, 1))
    correlates(grid(1, 4, 4, 2), grid(3, 2, 2, 2), window, (3, 2))


kernel_gradient = exercises.add(
    "kernel_gradient",
    prompt=(
        "Return the gradient of `correlate`'s kernels, shaped as they are, (G, kh*kw*C/G, O/G), in the "
        "dtype of x: each number of a window times the gradient g (N, Ho, Wo, O) at that place, summed over "
        "all places and images. window.padding counts as in correlate, also below zero. `as_kernels` joins "
        "narrow groups, so divide `groups` by joined(C / groups, groups) first and take the result for G."
    ),
    hints=(
        "In correlate a number is rows @ kernels. What is the gradient of the second factor of a matrix "
        "product (05)?",
        "Rows transposed times g. `Tiling(x, window, groups, outputs).run(work)` hands out the rows of each "
        "tile, as in correlate, and gives the list of what `work` returned; all of it has to be added up.",
        "`total += rows.transpose(0, 2, 1) @ by_group(g[place], groups)` for each tile.",
    ),
    mistakes=(
        swap(
            "return sum(Tiling(x, window, groups, g.shape[3]).run(work), np.zeros_like(x, shape=shape))",
            "return sum(Tiling(x, window, groups, g.shape[3]).run(work), np.zeros_like(x, shape=shape)) / "
            "np.float32(len(x))",
            "The sum is divided by the number of images. If the loss takes a mean, g has that division in it "
            "already.",
        ),
        wrong(
            """
            def kernel_gradient(x, g, window, groups):
                groups //= joined(x.shape[3] // groups, groups)
                total = 0
                for place, rows in Tiling(x[:1], window, groups, g.shape[3]).between(0, 1):
                    total = rows.transpose(0, 2, 1) @ by_group(g[place], groups)
                return total
            """,
            "Only the first image counts here; the gradients of all images are added up.",
        ),
        wrong(
            """
            def kernel_gradient(x, g, window, groups):
                groups //= joined(x.shape[3] // groups, groups)
                total = 0
                for place, rows in Tiling(x, window, groups, g.shape[3]).between(0, 1):
                    total = total + by_group(g[place], groups).transpose(0, 2, 1) @ rows
                return total
            """,
            "The result is transposed: outputs come last, as in the kernels.",
        ),
        wrong(
            """
            def kernel_gradient(x, g, window, groups):
                groups //= joined(x.shape[3] // groups, groups)
                total = 0
                for place, rows in Tiling(x, window, groups, g.shape[3]).between(0, 1):
                    total = total + np.ones_like(rows.transpose(0, 2, 1)) @ by_group(g[place], groups)
                return total
            """,
            "g is summed alone, as for a bias. A weight's gradient is g times the pixel that it met.",
        ),
        wrong(
            """
            def kernel_gradient(x, g, window, groups):
                groups //= joined(x.shape[3] // groups, groups)
                total = np.zeros((groups, prod(window.kernel) * x.shape[3] // groups, g.shape[3] // groups))
                for place, rows in Tiling(x, window, groups, g.shape[3]).between(0, 1):
                    total += rows.transpose(0, 2, 1) @ by_group(g[place], groups)
                return total
            """,
            "np.zeros makes float64 unless told otherwise; the gradient has the dtype of x.",
        ),
        swap(
            "total += np.matmul(",
            "total = np.matmul(",
            "Of a thread's tiles only the last counts; add all of them up.",
            ("groups), out=product)", "groups))"),
        ),
        swap(
            "np.zeros_like(x, shape=shape)",
            "np.zeros(shape, np.float32)",
            "The gradient is float32 always; it has the dtype of x, which may be float64.",
            (", out=product)", ").astype(np.float32)"),
        ),
    ),
)


@kernel_gradient.check("of a two by two kernel, with a gradient of ones: the sum of all pixels that it met")
def _():
    g = np.ones((1, 2, 2, 1), np.float32)
    expected = single([[[12], [16], [24], [28]]])
    call(spatial.kernel_gradient, counted(1, 3, 3, 1), g, window_of(2, 1, 0, 1), 1).gives(expected)


def kernel_gradients(x, g, shape, window, groups=1):
    expected = weight_gradient(x, g, shape, window, groups)
    if groups == 1:
        expected = expected.transpose(2, 3, 1, 0).reshape(1, -1, shape[0])
        call(spatial.kernel_gradient, x, g, window, 1).gives(expected.astype(x.dtype), atol=1e-5)
    else:
        got = as_weight(spatial.kernel_gradient(x, g, window, groups), shape)
        words = f"kernel_gradient(x, g, window, groups={groups}), as a weight"
        see(words, got).gives(single(expected), atol=1e-5)


@kernel_gradient.check("several images, channels and outputs")
def _():
    kernel_gradients(grid(3, 3, 4, 2), grid(3, 2, 2, 5, seed=1), (5, 2, 2, 3), window_of((2, 3), 1, 0, 1))


@kernel_gradient.check("padding, stride and dilation, different on all sides, also below zero")
def _():
    window = Window((2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2))
    kernel_gradients(grid(1, 4, 4, 2), grid(1, 2, 2, 3, seed=1), (3, 2, 2, 3), window)
    window = Window((2, 2), (1, 1), ((-1, 1), (0, -1)), (1, 1))
    kernel_gradients(grid(1, 4, 4, 2), grid(1, 3, 2, 3, seed=1), (3, 2, 2, 2), window)


@kernel_gradient.check("all tiles are added up")
def _():
    with small_tiles():
        kernel_gradients(grid(2, 4, 3, 2), grid(2, 5, 4, 3, seed=1), (3, 2, 2, 2), window_of(2, 1, 1, 1))


@kernel_gradient.check("float64 stays float64")
def _():
    x, g = grid(1, 3, 3, 1).astype(np.float64), grid(1, 2, 2, 2, seed=1).astype(np.float64)
    kernel_gradients(x, g, (2, 1, 2, 2), window_of(2, 1, 0, 1))


@kernel_gradient.check("each group by itself")
def _():
    kernel_gradients(grid(2, 3, 3, 4), grid(2, 2, 2, 6, seed=1), (6, 2, 2, 2), window_of(2, 1, 0, 1), 2)


image_gradient = exercises.add(
    "image_gradient",
    prompt=(
        "Return the gradient of `correlate`'s image: g (N, Ho, Wo, O) and weight (O, C/groups, kh, kw) give "
        "(N, *size, C), `size` being the image's (H, W). Each number of g, times its kernel, is added where "
        "its window was; what falls on the padding is cut off, and pixels in no window get 0. A padding "
        "below zero is possible: those pixels get 0. The dtype of g stays. Adding it up place by place is "
        "right for every stride; with stride 1 it is a correlation with the turned kernel, which is faster."
    ),
    hints=(
        "Where did pixel p act? In every result i whose window covers it, through the weight u = p + padding "
        "- s i, divided by the dilation. Go through the places (u, v) of the kernel and add.",
        "`by_group(g, groups)` times `as_kernels(weight, groups)` transposed spreads g over its windows, "
        "(G, N*Ho*Wo, kh*kw*C/G), with groups = len(kernels). `tap(u, stride, dilation, count)` is the slice "
        "that place u of the kernel sees. `inside` cuts the padding off.",
        "With stride 1, give `correlate` the gradient, `as_kernels(swapped(weight, groups)[:, :, ::-1, "
        "::-1], groups)` and a padding of d (k - 1) minus the old one, on each side.",
    ),
    mistakes=(
        swap(
            "[:, :, ::-1, ::-1]",
            "",
            "The kernel is not turned. On the way back it runs backwards: turn it by 180 degrees.",
        ),
        swap(
            "out[images, down, across] += part",
            "out[images, down, across] = part",
            "Where windows overlap the later one wins; a pixel in several windows gets the sum.",
        ),
        swap(
            "return inside(out, padding, (len(g), *size))",
            "return out",
            "The padding is still there; the gradient is as large as the image.",
        ),
        swap(
            "swapped(weight, groups)[",
            "weight[",
            "Inputs and outputs have not changed places: on the way back the outputs are what goes in.",
        ),
        swap(
            "(r - before, r - after)",
            "(r, r)",
            "With stride 1 the padding of the image is left out of account: it makes that of the gradient "
            "smaller.",
        ),
        swap(
            "tap(u, stride[0], dilation[0], rows), tap(v, stride[1], dilation[1], columns)",
            "tap(u, 1, dilation[0], rows), tap(v, 1, dilation[1], columns)",
            "The stride is ignored: neighbouring windows begin `stride` pixels apart.",
        ),
        swap(
            "tap(u, stride[0], dilation[0], rows), tap(v, stride[1], dilation[1], columns)",
            "tap(u, stride[0], 1, rows), tap(v, stride[1], 1, columns)",
            "With a stride the dilation is ignored: the kernel's numbers lie `dilation` pixels apart.",
        ),
        swap(
            "kernels = as_kernels",
            "g = g.astype(np.float32)\n    kernels = as_kernels",
            "The result is float32 with every stride but 1; it has the dtype of g, which may be float64.",
        ),
    ),
)


def image_gradients(g, weight, window, size, groups=1):
    expected = pixel_gradient(g, weight, window, size, groups).astype(g.dtype)
    call(spatial.image_gradient, g, weight, window, size, groups).gives(expected, atol=1e-5)


@image_gradient.check("each number of the gradient, times the kernel, is added where its window was")
def _():
    g, weight = np.ones((1, 2, 2, 1), np.float32), single([[[[1, 2], [3, 4]]]])
    expected = single([[1, 3, 2], [4, 10, 6], [3, 7, 4]]).reshape(1, 3, 3, 1)
    call(spatial.image_gradient, g, weight, window_of(2, 1, 0, 1), (3, 3), 1).gives(expected)


@image_gradient.check("several images, channels and outputs, padding and dilation")
def _():
    image_gradients(grid(2, 2, 3, 3), grid(3, 2, 3, 2), window_of((3, 2), 1, 0, 1), (4, 4))
    window = Window((2, 2), (1, 1), ((1, 0), (0, 2)), (2, 3))
    image_gradients(grid(1, 3, 3, 2), grid(2, 3, 2, 2), window, (4, 4))


@image_gradient.check("a stride: windows that overlap are added, a pixel in no window gets 0")
def _():
    image_gradients(grid(1, 2, 2, 3), grid(3, 2, 3, 3), window_of(3, 2, 0, 1), (6, 5))
    image_gradients(grid(2, 3, 2, 2), grid(2, 1, 3, 2), window_of((3, 2), (2, 3), (1, 0), 1), (5, 5))


@image_gradient.check("a stride and a dilation, in float64")
def _():
    g, weight = grid(1, 2, 2, 2).astype(np.float64), grid(2, 1, 2, 2).astype(np.float64)
    image_gradients(g, weight, window_of(2, 2, 0, (2, 3)), (5, 6))


@image_gradient.check("each group by itself")
def _():
    image_gradients(grid(1, 2, 2, 4), grid(4, 3, 2, 2), window_of(2, 1, 0, 1), (3, 3), 2)
    image_gradients(grid(1, 2, 2, 4), grid(4, 3, 2, 2), window_of(2, 2, 0, 1), (4, 4), 2)


@image_gradient.check("a padding below zero: those pixels get 0")
def _():
    image_gradients(
        grid(1, 2, 2, 2), grid(2, 1, 3, 3), Window((3, 3), (2, 2), ((0, -1),) * 2, (1, 1)), (6, 6)
    )
    image_gradients(
        grid(1, 2, 2, 2), grid(2, 1, 2, 2), Window((2, 2), (1, 1), ((0, -1),) * 2, (1, 1)), (4, 4)
    )


reduced_along = exercises.add(
    "reduced_along",
    prompt=(
        "Make one number of each window along one axis of images x (N, H, W, C): axis 0 goes down, axis 1 "
        "across, and that axis has `count` numbers in the result. combine(a, b, out=...) is np.maximum or "
        "np.add (`out` is optional). x stays as it is."
    ),
    hints=(
        "A window of k needs k - 1 calls of `combine`, each for whole images.",
        "`views_along(x, axis, window, count)` is a list: what each place of the kernel sees.",
        "The first view is a part of x itself. Combine it into a new array before you write with out=.",
    ),
    mistakes=(
        swap(
            "combine(out, view) if out is first else combine(out, view, out=out)",
            "combine(out, view, out=out)",
            "The first view is a part of x, and the result is written into it. The first result has to be a "
            "new array.",
        ),
        swap(
            "combine(out, view) if out is first else combine(out, view, out=out)",
            "np.maximum(out, view)",
            "The argument combine is ignored: this is the largest number always.",
        ),
        swap(
            "for view in others:",
            "for view in others[:1]:",
            "Only the first two places of the kernel are combined; go through all of them.",
        ),
        swap(
            "views_along(x, axis, window, count)",
            "views_along(x, 1, window, count)",
            "The windows always go across; with axis 0 they go down.",
        ),
        wrong(
            """
            def reduced_along(x, axis, window, count, combine):
                views = views_along(x, axis, window, count)
                out = np.zeros_like(views[0])
                for view in views:
                    out = combine(out, view)
                return out
            """,
            "It begins with zeros, so a window of negative numbers has the maximum 0; begin with the first "
            "view.",
        ),
    ),
)


def reduced(x, axis, window, count, reduce):
    k, s, d = window.kernel[axis], window.stride[axis], window.dilation[axis]
    axis += 1
    parts = [reduce(np.take(x, [s * i + d * u for u in range(k)], axis), axis) for i in range(count)]
    return np.stack(parts, axis)


@reduced_along.check("the larger number of each pair")
def _():
    x = single([5, 1, 2, 3]).reshape(1, 1, 4, 1)
    expected = single([5, 3]).reshape(1, 1, 2, 1)
    call(spatial.reduced_along, x, 1, window_of(2, 2, 0, 1), 2, np.maximum).gives(expected)


@reduced_along.check("sums of three that overlap")
def _():
    x = single([1, 2, 3, 4, 5]).reshape(1, 1, 5, 1)
    expected = single([6, 9, 12]).reshape(1, 1, 3, 1)
    call(spatial.reduced_along, x, 1, window_of(3, 1, 0, 1), 3, np.add).gives(expected)


@reduced_along.check("down and across, with stride and dilation")
def _():
    x, window = grid(2, 7, 5, 3), window_of((3, 2), (2, 1), 0, (2, 3))
    call(spatial.reduced_along, x, 0, window, 2, np.maximum).gives(reduced(x, 0, window, 2, np.max))
    call(spatial.reduced_along, x, 1, window, 2, np.add).gives(reduced(x, 1, window, 2, np.sum))


@reduced_along.check("a kernel of one changes nothing")
def _():
    x = grid(1, 3, 2, 2)
    call(spatial.reduced_along, x, 0, window_of(1, 1, 0, 1), 3, np.add).gives(x)


@reduced_along.check("the images are left as they were")
def _():
    x = grid(1, 1, 6, 1)
    spatial.reduced_along(x, 1, window_of(3, 1, 0, 1), 4, np.add)
    see("x after reduced_along(x, …, np.add)", x).gives(grid(1, 1, 6, 1))


to_first = exercises.add(
    "to_first",
    prompt=(
        "Hand the gradient g back through a maximum along one axis (0 down, 1 across). `out` holds the "
        "largest number of each window of x (N, H, W, C), and g is as large as `out`. The result is as "
        "large as x: each number of g goes to the first of its window's values that equals the largest, and "
        "only to that. A value that is the first largest of several windows gets their sum. g stays as it "
        "is."
    ),
    hints=(
        "Go through the places of the kernel from first to last. Who equals the largest takes the gradient, "
        "and nothing of it is left for those behind.",
        "`views_along(x, …)` are the values and `views_along(d, …)`, of a zero array d, the places that "
        "receive; use the two lists together.",
        "`taken = g * (seen == out)`, `receives += taken`, `g = g - taken`.",
    ),
    mistakes=(
        wrong(
            """
            def to_first(g, x, out, axis, window):
                d = np.zeros_like(x)
                count = out.shape[axis + 1]
                for seen, receives in zip(*(views_along(a, axis, window, count) for a in (x, d))):
                    receives += g * (seen == out)
                return d
            """,
            "All values that equal the largest get the gradient; only the first of them does, or a window of "
            "equal values hands back several times what came.",
        ),
        wrong(
            """
            def to_first(g, x, out, axis, window):
                d = np.zeros_like(x)
                count = out.shape[axis + 1]
                pairs = list(zip(*(views_along(a, axis, window, count) for a in (x, d))))
                for seen, receives in reversed(pairs):
                    taken = g * (seen == out)
                    receives += taken
                    g = g - taken
                return d
            """,
            "Of equal values the last gets the gradient here; it goes to the first.",
        ),
        wrong(
            """
            def to_first(g, x, out, axis, window):
                d = np.zeros_like(x)
                count = out.shape[axis + 1]
                for seen, receives in zip(*(views_along(a, axis, window, count) for a in (x, d))):
                    taken = g * (seen == out)
                    receives[taken != 0] = taken[taken != 0]
                    g = g - taken
                return d
            """,
            "Where windows overlap, a value that wins twice keeps only one of the gradients; they are added.",
        ),
        wrong(
            """
            def to_first(g, x, out, axis, window):
                d = np.zeros_like(x)
                count = out.shape[axis + 1]
                views = views_along(x, axis, window, count)
                winners = sum((seen == out).astype(x.dtype) for seen in views)
                for seen, receives in zip(views, views_along(d, axis, window, count)):
                    receives += g * (seen == out) / winners
                return d
            """,
            "Equal values share the gradient here; the first of them gets all of it.",
        ),
        swap(
            "g = g - taken",
            "g -= taken",
            "g is changed in place. It belongs to the caller, who may need it again.",
        ),
    ),
)


def row(*numbers):
    """A single image of one row and one channel."""
    return single(numbers).reshape(1, 1, len(numbers), 1)


@to_first.check("the gradient goes to the largest, and of two equal ones to the first")
def _():
    arguments = row(10, 20), row(2, 2, 1, 3), row(2, 3), 1, window_of(2, 2, 0, 1)
    call(spatial.to_first, *arguments).gives(row(10, 0, 0, 20))


@to_first.check("who wins twice gets both")
def _():
    arguments = row(1, 2, 4), row(1, 5, 2, 2), row(5, 5, 2), 1, window_of(2, 1, 0, 1)
    call(spatial.to_first, *arguments).gives(row(0, 3, 4, 0))


@to_first.check("down and across, many windows, with values that are equal")
def _():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, (2, 6, 5, 2)).astype(np.float32)
    window = window_of((3, 2), (1, 2), 0, (2, 1))
    for axis in (0, 1):
        k, s, d = window.kernel[axis], window.stride[axis], window.dilation[axis]
        out = reduced(x, axis, window, 2, np.max)
        g = rng.integers(1, 9, out.shape).astype(np.float32)
        expected = np.zeros_like(x)
        for place in np.ndindex(out.shape):
            seen = [s * place[axis + 1] + d * u for u in range(k)]
            spots = [(*place[: axis + 1], at, *place[axis + 2 :]) for at in seen]
            expected[next(spot for spot in spots if x[spot] == out[place])] += g[place]
        call(spatial.to_first, g, x, out, axis, window).gives(expected)


@to_first.check("the gradient that came is left as it was")
def _():
    g = row(10, 20)
    spatial.to_first(g, row(2, 2, 1, 3), row(2, 3), 1, window_of(2, 2, 0, 1))
    see("g after to_first(g, …)", g).gives(row(10, 20))


batch_moments = exercises.add(
    "batch_moments",
    prompt=(
        "Return (mean, variance, count) of every channel of an array (N, C, …): two arrays (C,) in its "
        "dtype, over everything but the channels, and how many values a channel has. The variance is the "
        "plain one, divided by the count. It is right for values far from 0 as well, such as 10,000 and "
        "10,001 in float32."
    ),
    hints=(
        "Which axes are averaged? All but number 1.",
        "The mean of the squares minus the square of the mean loses all digits where the mean is large. Take "
        "squares of the distance from the mean.",
        "`axes = (0, *range(2, input.ndim))`; mean with keepdims, subtract it, square, mean again.",
    ),
    mistakes=(
        wrong(
            """
            def batch_moments(input):
                axes = (0, *range(2, input.ndim))
                count = input.size // input.shape[1]
                return input.mean(axes), input.var(axes, ddof=1), count
            """,
            "The variance is divided by n - 1. In a batch it is the plain one, divided by n; only the "
            "running variance is the other.",
        ),
        wrong(
            """
            def batch_moments(input):
                axes = (0, *range(2, input.ndim))
                mean = input.mean(axes)
                return mean, (input * input).mean(axes) - mean * mean, input.size // input.shape[1]
            """,
            "The mean of the squares minus the square of the mean: far from 0 both are huge and their "
            "difference has no digits left. Take squares of the distance from the mean.",
        ),
        wrong(
            """
            def batch_moments(input):
                return input.mean(0), input.var(0), len(input)
            """,
            "Only the batch is averaged. A channel has all its pixels in common as well: average them, too.",
        ),
        wrong(
            """
            def batch_moments(input):
                axes = (0, *range(2, input.ndim))
                wide = input.astype(np.float64)
                return wide.mean(axes), wide.var(axes), input.size // input.shape[1]
            """,
            "The results stay float64, and everything that is normalized with them, too: give them the "
            "input's dtype.",
        ),
        wrong(
            """
            def batch_moments(input):
                axes = tuple(range(1, input.ndim))
                return input.mean(axes), input.var(axes), input[0].size
            """,
            "These are the moments of each sample; batch normalization takes those of each channel.",
        ),
        wrong(
            """
            def batch_moments(input):
                axes = (0, *range(2, input.ndim))
                return input.mean(axes), input.std(axes), input.size // input.shape[1]
            """,
            "This is the standard deviation; the variance is its square.",
        ),
        wrong(
            """
            def batch_moments(input):
                axes = (0, *range(2, input.ndim))
                return input.mean(axes), input.var(axes), len(input)
            """,
            "The count is that of the samples; every pixel of a channel is a value.",
        ),
        wrong(
            """
            def batch_moments(input):
                axes = (0, *range(2, input.ndim))
                mean = input.mean(axes, keepdims=True)
                input -= mean
                return mean.reshape(-1), (input * input).mean(axes), input.size // input.shape[1]
            """,
            "The input is changed in place: input -= mean writes into the caller's array.",
        ),
    ),
)


def moments(x, rtol=1e-5):
    axes = (0, *range(2, x.ndim))
    wide = np.array(x, np.float64)
    mean, var, count = spatial.batch_moments(x)
    see(f"the mean of batch_moments(x), x of shape {x.shape}", mean).gives(
        wide.mean(axes).astype(x.dtype), rtol
    )
    see(f"the variance of batch_moments(x), x of shape {x.shape}", var).gives(
        ((wide - wide.mean(axes, keepdims=True)) ** 2).mean(axes).astype(x.dtype), rtol
    )
    see("the count", int(count)).gives(x.size // x.shape[1])


@batch_moments.check("two channels of two values")
def _():
    mean, var, count = spatial.batch_moments(single([[1, 10], [3, 30]]))
    see("the mean of [[1, 10], [3, 30]] per channel", mean).gives(single([2, 20]))
    see("the variance of [[1, 10], [3, 30]] per channel", var).gives(single([1, 100]))
    see("the count of [[1, 10], [3, 30]]", int(count)).gives(2)


@batch_moments.check("images, and sequences, in float32 and float64")
def _():
    moments(grid(2, 3, 4, 5))
    moments(grid(4, 2, 3).astype(np.float64))


@batch_moments.check("the input is left as it was")
def _():
    x = single([[1, 10], [3, 30]])
    spatial.batch_moments(x)
    see("x after batch_moments(x)", x).gives(single([[1, 10], [3, 30]]))


@batch_moments.check("values far from 0 keep their digits")
def _():
    moments(single(10_000 + np.arange(12).reshape(3, 2, 2) % 5), rtol=1e-3)


batch_norm = exercises.add(
    "batch_norm",
    prompt=(
        "Return (x - mean) / sqrt(var + eps) * weight + bias per channel of a Tensor (N, C, …); weight and "
        "bias (C,) may be None. In training, mean and var are those of the batch, gradients run through "
        "them as well, and the running ones, unless they are None, become (1 - momentum) old + momentum "
        "new, in place; new is the batch's mean and its unbiased variance, var n / (n - 1). Otherwise the "
        "running ones are used and stay. ValueError: no running ones without training, one value per "
        "channel in training, sizes that do not fit the channels."
    ),
    hints=(
        "Two ways lead to one formula: which mean and variance are taken, and whether the running ones move.",
        "`batch_moments(input.array)` gives mean, variance and count. `fill(tensor, array)` writes into a "
        "Tensor in place.",
        "`normalized(input, weight, bias, Normalization(mean, var, eps, of_batch))` is the formula with its "
        "gradients; of_batch says whether mean and var depend on the input.",
    ),
    mistakes=(
        swap(
            "momentum * count / (count - 1) * var",
            "momentum * var",
            "The running variance is biased: it estimates the variance of batches to come and is divided by "
            "n - 1.",
        ),
        swap(
            "mean, var, count = batch_moments(input.array)",
            "mean, var, count = batch_moments(input.array)\n    var = var * (count / (count - 1))",
            "The batch is normalized with its unbiased variance; only the running one takes that.",
            ("momentum * count / (count - 1) * var", "momentum * var"),
        ),
        swap(
            "    return normalized(input, weight, bias, Normalization(mean, var, eps, True))",
            "    if running_mean is not None:\n"
            "        mean, var = running_mean.array, running_var.array\n"
            "    return normalized(input, weight, bias, Normalization(mean, var, eps, True))",
            "In training the running mean and variance are used; the batch is normalized with its own.",
        ),
        swap(
            "count < 2",
            "len(input.array) < 2",
            "A single image is refused in training; it has many values per channel, its pixels.",
        ),
        swap(
            "momentum * mean)",
            "0.1 * mean)",
            "The momentum is 0.1 always, instead of the argument.",
            ("1 - momentum", "0.9"),
            ("momentum * count", "0.1 * count"),
        ),
        swap(
            "(1 - momentum) * running_mean.array + momentum * mean",
            "momentum * running_mean.array + (1 - momentum) * mean",
            "The momentum is turned round: it is the share of the new batch, not of the past.",
            (
                "(1 - momentum) * running_var.array + momentum * count / (count - 1) * var",
                "momentum * running_var.array + (1 - momentum) * count / (count - 1) * var",
            ),
        ),
        swap(
            "Normalization(mean, var, eps, True)",
            "Normalization(mean, var, eps, False)",
            "The batch's mean and variance are taken for constants on the way back; in training every x has "
            "moved them.",
        ),
        swap(
            "Normalization(running_mean.array, running_var.array, eps, False)",
            "Normalization(*batch_moments(input.array)[:2], eps, False)",
            "In evaluation the batch's own mean and variance are used; an answer must not depend on what "
            "else is in the batch. Take the running ones.",
        ),
        swap(
            "if running_mean is not None:",
            "if False:",
            "The running mean and variance do not move in training, so evaluation knows nothing of the data.",
        ),
        swap(
            "if values is not None and values.shape != (channels,):",
            "if False:",
            "Sizes are not compared; a weight of one number would be spread over all channels.",
        ),
    ),
)


def normal_form(x, mean, var, weight=1.0, bias=0.0, eps=1e-5):
    """Per channel of (N, C), in float64."""
    return (np.asarray(x, np.float64) - mean) / np.sqrt(np.asarray(var) + eps) * weight + bias


@batch_norm.check("in training every channel gets mean 0 and variance 1")
def _():
    x = single([[1, 10], [3, 30]])
    expected = single(normal_form(x, [2, 20], [1, 100]))
    call(spatial.batch_norm, tensor(x), None, None, training=True).gives(expected)
    x = grid(2, 3, 2, 2)
    channels = x.astype(np.float64)
    mean, var = (part(channels, (0, 2, 3), keepdims=True) for part in (np.mean, np.var))
    expected = single((channels - mean) / np.sqrt(var + 1e-5))
    call(spatial.batch_norm, tensor(x), None, None, training=True).gives(expected, atol=1e-5)


@batch_norm.check("one image is a batch, too: a channel has a value for each pixel")
def _():
    expected = single(normal_form([-1, 1], 0, 1)).reshape(1, 1, 1, 2)
    x = tensor(single([1, 3]).reshape(1, 1, 1, 2))
    call(spatial.batch_norm, x, None, None, training=True).gives(expected)


@batch_norm.check("weight and bias give it a scale and a level")
def _():
    x, weight, bias = single([[1, 10], [3, 30]]), single([2, 3]), single([5, -5])
    expected = single(normal_form(x, [2, 20], [1, 100], weight, bias, 0.1))
    arguments = tensor(x), None, None, tensor(weight), tensor(bias), True
    call(spatial.batch_norm, *arguments, eps=0.1).gives(expected)


@batch_norm.check("in training the running mean and variance move towards the batch's")
def _():
    running_mean, running_var = tensor(single([0, 10])), tensor(single([1, 1]))
    x = tensor(single([[1, 10], [3, 30]]))
    expected = single(normal_form(x.array, [2, 20], [1, 100]))
    arguments = x, running_mean, running_var
    call(spatial.batch_norm, *arguments, training=True, momentum=0.25).gives(expected)
    see("running_mean, [0, 10] before, after a batch of mean [2, 20]", running_mean).gives([0.5, 12.5])
    see("running_var, [1, 1] before, after [[1, 10], [3, 30]]", running_var).gives([1.25, 50.75])


@batch_norm.check("in evaluation the running ones are used, and stay")
def _():
    running_mean, running_var = tensor(single([1, 2])), tensor(single([4, 9]))
    x = single([[3, 2], [1, 8]])
    expected = single(normal_form(x, [1, 2], [4, 9]))
    call(spatial.batch_norm, tensor(x), running_mean, running_var).gives(expected)
    see("running_mean after evaluation", running_mean).gives([1.0, 2.0])
    see("running_var after evaluation", running_var).gives([4.0, 9.0])


@batch_norm.check("the gradient knows that the batch's mean and variance move with x")
def _():
    x = np.random.default_rng(4).normal(1, 2, (4, 2))
    gradients(
        "batch_norm(x, None, None, weight, bias, training=True)",
        lambda x, weight, bias: spatial.batch_norm(x, None, None, weight, bias, training=True),
        x,
        np.array([2.0, 0.5]),
        np.array([1.0, -1.0]),
    )


@batch_norm.check("what cannot be computed is an error")
def _():
    raises(ValueError, spatial.batch_norm, tensor(grid(2, 2)), None, None)
    raises(ValueError, spatial.batch_norm, tensor(grid(1, 2)), None, None, training=True)
    raises(ValueError, spatial.batch_norm, tensor(grid(2, 2)), None, None, tensor(grid(3)), training=True)
    raises(ValueError, spatial.batch_norm, tensor(grid(2, 2)), None, None, tensor(grid(1)), training=True)


triangular = exercises.add(
    "TriangularLR.get_lr",
    prompt=(
        "Return the rate of every parameter group after self.last_epoch steps, a list of floats: from 0 in a "
        "straight line up to the group's rate in self.base_lrs at self.peak (a share of self.total_steps), "
        "then in a straight line down to 0 at self.total_steps, and 0 from there on."
    ),
    hints=(
        "What share of all steps is done? After the last step it stays 1.",
        "Up, the factor is done / peak; down, it is (1 - done) / (1 - peak). Which of them holds?",
        "The smaller one: `min(done / self.peak, (1 - done) / (1 - self.peak))` times each base rate.",
    ),
    mistakes=(
        swap(
            "min(self.last_epoch / self.total_steps, 1)",
            "self.last_epoch / self.total_steps",
            "After the last step the rate becomes negative, and the network climbs; it stays 0.",
        ),
        swap(
            "min(done / self.peak, (1 - done) / (1 - self.peak))",
            "min(done / self.peak, 1 - done)",
            "The way down does not begin at the peak: it is divided by 1 - peak, so that it starts at the "
            "full rate.",
        ),
        swap(
            "min(done / self.peak, (1 - done) / (1 - self.peak))",
            "min(done / self.peak, 1)",
            "The rate climbs and stays up; behind the peak it falls to 0.",
        ),
        swap(
            "min(done / self.peak, (1 - done) / (1 - self.peak))",
            "min(done / 0.5, (1 - done) / 0.5)",
            "The peak is always in the middle; it is at self.peak of all steps.",
        ),
        swap(
            "for lr in self.base_lrs",
            "for lr in self.base_lrs[:1]",
            "There is one rate for each parameter group, here only for the first.",
        ),
        wrong(
            """
            def get_lr(self):
                top = max(int(self.peak * self.total_steps), 1)
                step = min(self.last_epoch, self.total_steps)
                down = (self.total_steps - step) / (self.total_steps - top)
                return [lr * min(step / top, down) for lr in self.base_lrs]
            """,
            "The peak is moved to a whole step; it may lie between two.",
        ),
    ),
)


def rates(peak, steps, total, *lrs):
    groups = [{"params": [Parameter(tensor([0.0]))], "lr": lr} for lr in lrs]
    schedule = spatial.TriangularLR(SGD(groups, lr=1.0), total, peak)
    found = []
    for step in steps:
        schedule.last_epoch = step
        found.append(schedule.get_lr())
    rates = found if len(lrs) > 1 else [rate[0] for rate in found]
    return see(f"the rates after {list(steps)} of {total} steps, peak={peak}, lr={lrs}", rates)


@triangular.check("up to the rate at a quarter, and back to 0")
def _():
    rates(0.25, range(9), 8, 0.6).gives([0.0, 0.3, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


@triangular.check("the peak may be elsewhere")
def _():
    rates(0.6, range(6), 5, 3.0).gives([0.0, 1.0, 2.0, 3.0, 1.5, 0.0])
    rates(0.25, range(7), 6, 9.0).gives([0.0, 6.0, 8.0, 6.0, 4.0, 2.0, 0.0])


@triangular.check("after the last step it stays 0")
def _():
    rates(0.25, [8, 9, 20], 8, 0.6).gives([0.0, 0.0, 0.0])


@triangular.check("each group has its own rate")
def _():
    rates(0.25, [1, 2, 5], 8, 0.6, 6.0).gives([[0.3, 3.0], [0.6, 6.0], [0.3, 3.0]])
