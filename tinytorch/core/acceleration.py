"""18 Acceleration: the same numbers, sooner.

A convolution climbs a ladder. Each rung computes the same and takes away one waste:

    loops        one multiplication after the other, each through Python's interpreter
    vectorized   all windows in one matrix product; they are written to memory and read again
    blocked      tile by tile, in the processor's cache (09)
    fused        bias and ReLU while the tile is still there
    Winograd     fewer multiplications: 36 instead of 144 for 4x4 outputs of a 3x3 kernel
    threads      all processors
    compiled     the loops again, as machine code, by Numba
    GPU          the blocked product on thousands of processors, by CuPy

Winograd's minimal filtering, by Lavin and Gray 2015, https://arxiv.org/abs/1509.09308:

    Y = A^T [(G w G^T) * (B^T d B)] A        d (6, 6) a tile of the image, w (3, 3), Y (4, 4)
"""

import copy
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache, partial
from math import ceil, prod
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..utils.threads import get_num_threads, parallel, set_num_threads
from .autograd import derivative, no_grad
from .compression import low_rank, prune_channels
from .layers import Sequential
from .memoization import Decoder, make_caches
from .profiling import Timing, count_parameters, flop_rules, measure, measure_machine, model_nbytes
from .quantization import quantize
from .spatial import (
    TILE,
    WORTH_A_THREAD,
    BatchNorm2d,
    Conv2d,
    Tiling,
    as_kernels,
    batched,
    buffer,
    by_group,
    channel_sums,
    channels_first,
    channels_last,
    check_weight,
    correlate,
    padded,
    patches,
    window_of,
)
from .tensor import float32, float64, int64, op, wrap, zeros

# The rungs up to fused. Images are (N, H, W, C), kernels (O, C, 3, 3); each rung gives relu(conv(x) + bias),
# (N, H, W, O), with padding 1.

SAME = window_of(3, 1, 1, 1)


def direct(x, kernels, bias, out):
    """The definition: x (N, H+2, W+2, C) with its padding, kernels (3, 3, C, O), into out (N, H, W, O)."""
    for n in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for o in range(out.shape[3]):
                    out[n, i, j, o] = bias[o]
                for u in range(3):
                    for v in range(3):
                        for c in range(x.shape[3]):
                            pixel = x[n, i + u, j + v, c]
                            for o in range(out.shape[3]):
                                out[n, i, j, o] += pixel * kernels[u, v, c, o]
                for o in range(out.shape[3]):
                    out[n, i, j, o] = max(out[n, i, j, o], 0)


def by_loops(x, weight, bias, loops=direct):
    """`loops`, on images in threads: Python's own take turns, compiled ones run side by side."""
    around, kernels = padded(x, SAME.padding), weight.transpose(2, 3, 1, 0).copy()
    out = np.empty_like(x, shape=(*x.shape[:3], len(weight)))
    parallel(lambda start, stop: loops(around[start:stop], kernels, bias, out[start:stop]), len(x))
    return out


def vectorized(x, weight, bias):
    """All windows (N, H, W, 3, 3, C) times all kernels."""
    windows = patches(padded(x, SAME.padding), SAME)
    return np.maximum(np.tensordot(windows, weight.transpose(2, 3, 1, 0), 3) + bias, 0)


def blocked(x, weight, bias):
    """The same product by tiles that stay in the cache; then bias and ReLU, each a walk over the result."""
    return np.maximum(correlate(x, as_kernels(weight, 1), SAME) + bias, 0)


def fused(x, weight, bias):
    """Bias and ReLU on each tile, before the next one takes its place in the cache."""
    out = np.empty_like(x, shape=(*x.shape[:3], len(weight)))
    kernels = as_kernels(weight, 1)

    def work(tiles):
        for place, rows in tiles:
            part = out[place]
            np.matmul(rows, kernels, out=by_group(part, 1))
            part += bias
            np.maximum(part, 0, out=part)

    Tiling(x, SAME, 1, len(weight)).run(work)
    return out


@cache
def compiled():
    """`direct` as machine code: a function of the same arguments. ImportError without Numba."""
    try:
        import numba
    except ImportError as error:
        raise ImportError("compiled: Numba is not installed; pip install 'tinytorch[fast]'") from error
    return numba.njit(direct, nogil=True, fastmath=True)


# Winograd. A product B^T d B of a tile from both sides is one product with the tile's 36 numbers in a row,
# by the Kronecker product of B^T with itself. So a transform of many tiles is one matrix product.

B = np.array(
    [
        [4, 0, 0, 0, 0, 0],
        [0, -4, 4, -2, 2, 4],
        [-5, -4, -4, -1, -1, 0],
        [0, 1, -1, 2, -2, -5],
        [1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]
)
G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
A = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [1, 2, 4, 8], [1, -2, 4, -8], [0, 0, 0, 1]])
KB, KG, KA = np.kron(B.T, B.T), np.kron(G, G), np.kron(A.T, A.T)  # (36, 36), (36, 9), (16, 36)


def input_tiles(x, padding):
    """Every tile, 6x6, each 4 further: a view (6, 6, N, rows, columns, C) of (N, H, W, C), padded."""
    around = []
    for size, before in zip(x.shape[1:3], padding, strict=True):
        count = ceil((size + 2 * before - 2) / 4)
        around.append((before, 4 * count + 2 - size - before))  # so much that the last tile is whole
    view = sliding_window_view(padded(x, around), (6, 6), (1, 2))[:, ::4, ::4]  # (N, rows, columns, C, 6, 6)
    return view.transpose(4, 5, 0, 1, 2, 3)


def output_tiles(y):
    """Every tile of the result: (N, 4 rows, 4 columns, O) seen as (4, 4, N, rows, columns, O)."""
    n, height, width, outputs = y.shape
    return y.reshape(n, height // 4, 4, width // 4, 4, outputs).transpose(2, 4, 0, 1, 3, 5)


def transformed(matrix, tiles, key):
    """matrix (k, a*b) times every tile of (a, b, N, rows, columns, C) -> (k, tiles, C), in a buffer."""
    held = buffer(key, tiles.shape, tiles)
    np.copyto(held, tiles)
    shape = len(matrix), prod(tiles.shape[2:5]), tiles.shape[5]
    out = buffer(f"{key} transformed", (shape[0], shape[1] * shape[2]), tiles)
    np.matmul(matrix, held.reshape(matrix.shape[1], out.shape[1]), out=out)
    return out.reshape(shape)


def blocks_of(tiles, outputs):
    """([(images, rows)], grain): slices of tiles that fit into the cache, and how many are worth a thread."""
    _, _, count, rows, columns, channels = tiles.shape
    row = 36 * columns * (channels + outputs)  # numbers for one row of tiles
    room = count * rows
    if isinstance(tiles, np.ndarray):
        room = min(TILE // 2 // max(row * tiles.itemsize, 1), ceil(room / get_num_threads()))
    room = max(room, 1)
    images, step = max(room // max(rows, 1), 1), min(room, rows)
    places = [
        (slice(i, i + images), slice(j, j + step))
        for i in range(0, count, images)
        for j in range(0, rows, step)
    ]
    products = images * step * 36 * columns * channels * outputs
    return places, 1 + WORTH_A_THREAD // max(products, 1)


def alone(a, b):
    """a @ b of small matrices, in this thread: waking up others would take longer."""
    return parallel(lambda start, stop: np.matmul(a, b), 1)[0]


def winograd_kernels(weight):
    """Kernels (O, C, 3, 3) as 36 matrices (C, O)."""
    kg = np.asarray(KG.astype(weight.dtype), like=weight)
    outputs, channels = weight.shape[:2]
    kernels = alone(kg, weight.transpose(2, 3, 1, 0).reshape(9, channels * outputs))
    return kernels.reshape(36, channels, outputs)


def correlate_winograd(x, weight, padding, bias=None, relu=False):
    """(N, H, W, C), (O, C, 3, 3) and padding (vertical, horizontal) -> (N, Ho, Wo, O)."""
    return correlate_tiles(x, winograd_kernels(weight), padding, bias, relu)


def correlate_tiles(x, kernels, padding, bias=None, relu=False):
    """correlate_winograd for kernels (36, C, O) that were transformed before."""
    kb, ka = (np.asarray(k.astype(x.dtype), like=x) for k in (KB, KA))
    outputs = kernels.shape[2]
    tiles = input_tiles(x, padding)
    n, rows, columns = tiles.shape[2:5]
    whole = np.empty_like(x, shape=(n, 4 * rows, 4 * columns, outputs))
    out = output_tiles(whole)
    places, grain = blocks_of(tiles, outputs)

    def work(start, stop):
        for images, band in places[start:stop]:
            v = transformed(kb, tiles[:, :, images, band], "tiles")  # (36, tiles, C)
            m = buffer("products", (36, v.shape[1], outputs), x)
            np.matmul(v, kernels, out=m)  # 36 products (tiles, C) @ (C, O)
            part = out[:, :, images, band]
            y = np.matmul(ka, m.reshape(36, m[0].size), out=buffer("outputs", (16, m[0].size), x))
            y = y.reshape(part.shape)
            if bias is not None:
                y += bias
            if relu:
                np.maximum(y, 0, out=y)
            part[...] = y

    parallel(work, len(places), grain)
    height, width = (size + 2 * p - 2 for size, p in zip(x.shape[1:3], padding, strict=True))
    return whole if whole.shape[1:3] == (height, width) else whole[:, :height, :width].copy()


def winograd_kernels_gradient(x, g, padding):
    """The gradient of the kernels, (O, C, 3, 3): every step of the way forward, transposed."""
    kb, kg, ka = (np.asarray(k.astype(x.dtype), like=x) for k in (KB, KG, KA))
    tiles = input_tiles(x, padding)
    around = [(0, 4 * count - size) for count, size in zip(tiles.shape[3:5], g.shape[1:3], strict=True)]
    g_tiles = output_tiles(padded(g, around))
    channels, outputs = x.shape[3], g.shape[3]
    places, grain = blocks_of(tiles, outputs)

    def work(start, stop):
        total = np.zeros_like(x, shape=(36, channels, outputs))
        for images, band in places[start:stop]:
            v = transformed(kb, tiles[:, :, images, band], "tiles")  # (36, tiles, C)
            m = transformed(ka.T, g_tiles[:, :, images, band], "outputs")  # (36, tiles, O)
            total += np.matmul(v.transpose(0, 2, 1), m)
        return total

    total = sum(parallel(work, len(places), grain), np.zeros_like(x, shape=(36, channels, outputs)))
    kernels = alone(kg.T, total.reshape(36, channels * outputs))
    return kernels.reshape(3, 3, channels, outputs).transpose(3, 2, 0, 1)


@op
def winograd(input, weight, bias, padding):
    """conv2d_winograd for a checked padding (vertical, horizontal)."""
    return channels_first(correlate_winograd(channels_last(input), weight, padding, bias))


def turned(weight):
    """Inputs and outputs change places, each kernel is turned by 180 degrees: the convolution's adjoint."""
    return weight.swapaxes(0, 1)[:, :, ::-1, ::-1]


derivative(
    winograd,
    lambda g, weight, padding: channels_first(
        correlate_winograd(channels_last(g), turned(weight), tuple(2 - p for p in padding))
    ),
    lambda g, input, padding: winograd_kernels_gradient(channels_last(input), channels_last(g), padding),
    lambda g: channel_sums(channels_last(g)),
)


def winograd_operations(tiles, channels, outputs):
    """Additions and multiplications for so many tiles of 4x4 outputs, and the kernels' transform."""
    each = 36 * 36 * channels + 36 * channels * outputs + 16 * 36 * outputs
    return 2 * (tiles * each + 36 * 9 * channels * outputs)


def tiles_in(out_shape):
    """How many tiles of 4x4 a result (N, O, H, W) has."""
    return out_shape[0] * ceil(out_shape[2] / 4) * ceil(out_shape[3] / 4)


flop_rules[winograd] = lambda out, input, weight, bias, padding: winograd_operations(
    tiles_in(out.shape), weight.shape[1], len(weight)
)


def conv2d_winograd(input, weight, bias=None, padding=0):
    """conv2d with a 3x3 kernel and stride 1: (N, C, H, W), (O, C, 3, 3), bias (O,) -> (N, O, Ho, Wo).

    padding: 0, 1 or 2, a pair of them, "valid" or "same". float32 or float64. The transforms multiply by
    numbers from 1/576 to 64, so that rounding errors grow: in float32, to some 1e-5 of the largest.
    Raises ValueError for other kernels and sizes, TypeError for other dtypes.
    """
    check_weight("conv2d_winograd", batched("conv2d_winograd", input, lambda x: x), weight, 1, 1)
    if weight.shape[2:] != (3, 3):
        raise ValueError(f"conv2d_winograd: 3x3 kernels are needed, {weight.shape} came; use conv2d")
    if not input.dtype == weight.dtype in (float32, float64):
        came = f"{input.dtype} and {weight.dtype}"
        raise TypeError(f"conv2d_winograd: float32 or float64 is needed for both, {came} came")
    window = window_of(3, 1, padding, 1)
    window.output_size(input.shape[-2:])
    around = tuple(before for before, _ in window.padding)
    if max(around) > 2:
        raise ValueError(f"conv2d_winograd: padding is at most 2, {padding} came; use conv2d")
    return batched("conv2d_winograd", input, lambda x: winograd(x, weight, bias, around))


class WinogradConv2d(Conv2d):
    """A Conv2d that runs by Winograd: the same settings, parameters and state-dict keys."""

    def forward(self, input):
        return conv2d_winograd(input, self.weight, self.bias, self.padding)


def runs_by_winograd(layer, share=0.5):
    """Can this layer, and does it need at most this share of the operations for 64 tiles? One half from about
    60 channels on both sides.
    """
    if type(layer) is not Conv2d or (layer.kernel_size, layer.stride) != ((3, 3), (1, 1)):
        return False
    if layer.weight.dtype not in (float32, float64):
        return False
    if layer.dilation != (1, 1) or layer.groups != 1 or max(window_of(3, 1, layer.padding, 1).padding)[0] > 2:
        return False
    sizes = layer.in_channels, layer.out_channels
    return winograd_operations(64, *sizes) <= share * 64 * 2 * 16 * 9 * prod(sizes)


def accelerate(model):
    """A copy of a model whose 3x3 convolutions of stride 1 run by Winograd, where that halves the operations.

    It trains as before, its state dict fits the model's. Raises ValueError where there is no such layer.
    """
    faster = copy.deepcopy(model)
    layers = [layer for layer in faster.modules() if runs_by_winograd(layer)]
    if not layers:
        raise ValueError(
            f"accelerate: {type(model).__name__} has no Conv2d with a 3x3 kernel, stride 1 and many channels"
        )
    for layer in layers:
        layer.__class__ = WinogradConv2d  # the same attributes, another forward
    return faster


# A whole network in evaluation mode.


def scale_of(norm):
    """By what a BatchNorm2d in evaluation mode multiplies each channel, (C,)."""
    a = 1 / np.sqrt(norm.running_var.array + norm.eps)
    return a if norm.weight is None else a * norm.weight.array


def folded(layer, norm):
    """(weight, bias) of a convolution that does what `layer` does and then `norm`, in evaluation mode:

    a (w * x + b - mean) + c = (a w) * x + a (b - mean) + c        a = norm.weight / sqrt(var + eps)
    """
    weight = layer.weight.array
    bias = np.zeros_like(weight, shape=len(weight)) if layer.bias is None else layer.bias.array
    if norm is None:
        return weight, bias
    a = scale_of(norm)
    bias = a * (bias - norm.running_mean.array)
    return weight * a[:, None, None, None], bias if norm.bias is None else bias + norm.bias.array


class FusedConv2d:
    """A convolution with the max pooling, batch norm and ReLU that follow it, on arrays (N, H, W, C).

    Neither a bias nor ReLU changes which number is the largest: so pooling goes first, and leaves them less.
    """

    def __init__(self, layer, pool=None, norm=None, relu=False):
        weight, self.bias = folded(layer, norm)
        self.pool, self.relu = pool, relu
        self.winograd = runs_by_winograd(layer, share=0.7)  # the kernels' transform is done once, here
        self.window = window_of(layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        self.kernels = winograd_kernels(weight) if self.winograd else as_kernels(weight, layer.groups)

    def __call__(self, x):
        if self.winograd:
            out = correlate_tiles(x, self.kernels, tuple(before for before, _ in self.window.padding))
        else:
            out = correlate(x, self.kernels, self.window)
        if self.pool is not None:
            out = channels_last(self.pool(wrap(channels_first(out))).array)
        rows = out.reshape(-1, out.shape[2] * out.shape[3])
        rows += np.tile(self.bias, out.shape[2])  # NumPy is slow at rows as short as the channels are
        return np.maximum(out, 0, out=out) if self.relu else out


def fused_steps(layers):
    """The layers of a Sequential, from Conv2d to ReLU in one FusedConv2d each, and the others as they are.

    They are known by the names of their classes: most are made of functions in tinytorch.nn, above the core.
    """
    rest, steps = list(layers), []

    def follows(kind):
        return rest.pop(0) if rest and type(rest[0]).__name__ == kind else None

    while rest:
        layer = rest.pop(0)
        if type(layer) is Conv2d:
            pool, norm = follows("MaxPool2d"), follows("BatchNorm2d")
            # What is the largest stays the largest unless it is multiplied by a negative number.
            if pool is not None and norm is not None and (scale_of(norm) < 0).any():
                rest, pool, norm = [pool, norm, *rest], None, None
            layer = FusedConv2d(layer, pool, norm, follows("ReLU") is not None)
        steps.append(layer)
    return steps


class FusedNetwork:
    """A Sequential for evaluation: see `fuse`."""

    training = False

    def __init__(self, model, block):
        self.steps, self.block = fused_steps(copy.deepcopy(model).eval()), block

    def eval(self):
        """It is always in evaluation mode. Returns itself."""
        return self

    def __call__(self, input):
        """(N, ...) to what the Sequential gives, without gradients."""
        x = input.array
        size, outputs = self.block if isinstance(x, np.ndarray) else len(x), {}

        def work(start, stop):
            with no_grad():
                for first in range(start, stop, size):
                    outputs[first] = self.run(x[first : min(first + size, stop)])

        parallel(work, len(x), size)
        return wrap(np.concatenate([outputs[first] for first in sorted(outputs)]))

    def run(self, x):
        """One block through all layers."""
        for step in self.steps:
            x = channels_first(step(channels_last(x))) if type(step) is FusedConv2d else step(wrap(x)).array
        return x


def fuse(model, block=64):
    """A Sequential in evaluation mode as a function of a Tensor (N, ...) with N >= 1, for NumPy and CuPy.

    Batch norms are folded into the convolutions before them, bias and ReLU follow while the numbers are in
    the cache, kernels are transformed once, 3x3 convolutions run by Winograd where `accelerate` would have
    them so. `block` images at a time go through all layers, in threads, so that what one layer writes is
    still in the cache when the next one reads it. The weights are copied: what is trained later does not
    arrive here. Raises TypeError for what is no Sequential, ValueError where no Conv2d is in it.
    """
    if type(model) is not Sequential:
        raise TypeError(f"fuse: a Sequential is needed, {type(model).__name__} came")
    if not any(type(layer) is Conv2d for layer in model):
        raise ValueError("fuse: there is no Conv2d in this Sequential")
    for layer in model:
        if isinstance(layer, BatchNorm2d) and layer.running_var is None:
            raise ValueError("fuse: a BatchNorm2d without running statistics depends on the whole batch")
    return FusedNetwork(model, block)


# Measuring the ladder.


@contextmanager
def threads(count):
    """Ops use this many threads inside the block."""
    before = get_num_threads()
    set_num_threads(count)
    try:
        yield
    finally:
        set_num_threads(before)


def interleaved(functions, repeat=9):
    """{name: Timing} of functions that are called in turns, so that a machine that is busy for a while slows
    down all of them. Each is called once before.
    """
    for function in functions.values():
        function()
    seconds: dict[str, list] = {name: [] for name in functions}
    for _ in range(repeat):
        for name, function in functions.items():
            seconds[name].append(measure(function, 1, 0).median)
    return {name: Timing(float(np.median(s)), min(s), max(s)) for name, s in seconds.items()}


class Rung(NamedTuple):
    """One way to compute, and what came of it."""

    name: str
    seconds: float  # median; nan if it was skipped
    flops: int  # operations of the convolution as it is defined, whatever the rung does
    bound: float  # seconds at least, by the roofline: operations and bytes that this rung cannot avoid
    note: str = ""  # why it was skipped

    @property
    def gflops(self):
        """10^9 operations of the definition a second."""
        return self.flops / self.seconds / 1e9

    @property
    def bound_gflops(self):
        """What the roofline allows; more than the peak, where a rung needs fewer operations."""
        return self.flops / self.bound / 1e9


def on_gpu(x, weight, bias):
    """The fused rung with CuPy's arrays, as a function. RuntimeError or ImportError without a GPU."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError("GPU: CuPy is not installed; pip install 'tinytorch[gpu]'") from error
    if not cupy.cuda.is_available():
        raise RuntimeError("GPU: CuPy sees none")
    arrays = [cupy.asarray(a) for a in (x, weight, bias)]

    def run():
        out = fused(*arrays)
        cupy.cuda.get_current_stream().synchronize()
        return out

    return run


def convolution_rungs(x, weight, bias, count=None):
    """{name: function of no arguments that gives relu(conv(x) + bias), or why there is none} of every rung.

    x (N, H, W, C), weight (O, C, 3, 3), bias (O,). count: how many threads the upper rungs use.
    """
    count = count or get_num_threads()
    ways: dict[str, Callable] = {
        "loops": by_loops, "vectorized": vectorized, "blocked": blocked, "fused": fused,
        "Winograd": lambda x, w, b: correlate_winograd(x, w, (1, 1), b, True),
    }  # fmt: skip

    def run(way, threads_used):
        with threads(threads_used):
            return way(x, weight, bias)

    rungs: dict = {name: partial(run, way, 1) for name, way in ways.items()}
    rungs["threads"] = (
        partial(run, ways["Winograd"], count)
        if count > 1
        else "there is one processor, or one thread allowed"
    )
    for name, make in (
        ("compiled", lambda: partial(run, partial(by_loops, loops=compiled()), count)),
        ("GPU", lambda: on_gpu(x, weight, bias)),
    ):
        try:
            rungs[name] = make()
        except (ImportError, RuntimeError) as error:
            rungs[name] = str(error).removeprefix(f"{name}: ")
    return rungs


def ladder(images=4, channels=64, outputs=64, size=32, repeat=9, count=None):
    """The Rungs of one convolution, 3x3 with padding 1, bias and ReLU, in float32, measured in turns.

    The loops do one row of one image with one kernel, and are scaled to the whole. count: the threads of the
    upper rungs. What is not installed is skipped, and its note says why.
    """
    draws = np.random.default_rng(0)
    x = draws.standard_normal((images, size, size, channels), np.float32)
    weight = draws.standard_normal((outputs, channels, 3, 3), np.float32) / (9 * channels) ** 0.5
    bias = draws.standard_normal(outputs, np.float32)
    count = count or get_num_threads()
    rungs = convolution_rungs(x, weight, bias, count)
    rungs["loops"] = partial(by_loops, x[:1, :1], weight[:1], bias[:1])
    timings = interleaved({name: way for name, way in rungs.items() if callable(way)}, repeat)

    flops = 2 * 9 * images * size * size * channels * outputs
    result = 4 * images * size * size * outputs  # bytes
    least = x.nbytes + weight.nbytes + result
    fewer = winograd_operations(images * ceil(size / 4) ** 2, channels, outputs)
    # Windows are written and read; bias and ReLU read and write the result.
    nbytes = {"vectorized": least + 18 * x.nbytes + 4 * result, "blocked": least + 4 * result}
    machines = {}
    for used in {1, count}:
        with threads(used):
            machines[used] = measure_machine((64, 128, 512), 1 << 24, 3)
    rows = []
    for name, way in rungs.items():
        machine = machines[count if name in ("threads", "compiled") else 1]
        operations = fewer if name in ("Winograd", "threads") else flops
        bound = max(operations / machine.peak, nbytes.get(name, least) / machine.bandwidth)
        if name == "GPU":
            bound = float("nan")  # another machine, which `measure_machine` does not know
        scale = images * size * outputs if name == "loops" else 1
        seconds = timings[name].median * scale if name in timings else float("nan")
        rows.append(Rung(name, seconds, flops, bound, "" if callable(way) else way))
    return rows


def ladder_table(rungs):
    """The rungs as text."""
    lines = ["rung                ms   GFLOP/s     bound  times as fast as the first"]
    first = None
    for r in rungs:
        if r.note:
            lines.append(f"{r.name:11} skipped: {r.note}")
            continue
        first = first or r.seconds
        bound = "" if np.isnan(r.bound) else f"{r.bound_gflops:.3f}"
        times = f"{first / r.seconds:,.1f}"
        lines.append(f"{r.name:11} {r.seconds * 1e3:10.2f} {r.gflops:9.3f} {bound:>9} {times:>13}")
    return "\n".join(lines)


# Whole models: what the modules before this one gain in time.


class Variant(NamedTuple):
    """A model that was changed: seconds of one pass, bytes of its numbers, and how far its outputs moved."""

    name: str
    seconds: float
    nbytes: int
    difference: float


def compare_variants(model, *inputs, repeat=9):
    """What quantization (15), compression (16) and Winograd change in a model's speed: a list of Variants.

    Compression is half the channels of a Sequential; elsewhere Linear layers of low rank with 90 % of the
    energy. A change that the model has no layers for is left out. The outputs move as no training mends them.
    """
    changes: dict[str, Callable] = {
        "int8 weights": quantize,
        "int4 weights": partial(quantize, bits=4),
        "half the channels": prune_channels,
        "low rank": low_rank,
        "Winograd": accelerate,
    }
    models = {"as it is": model}
    for name, change in changes.items():
        try:
            changed = change(model)
        except (TypeError, ValueError):
            continue
        if name != "low rank" or count_parameters(changed) < count_parameters(model):
            models[name] = changed
    with no_grad():
        outputs = {name: first_of(m(*inputs)) for name, m in models.items()}
        times = interleaved({name: partial(m, *inputs) for name, m in models.items()}, repeat)
    right = outputs["as it is"].array
    return [
        Variant(
            name, times[name].median, model_nbytes(m), float(abs(outputs[name].array - right).max(initial=0))
        )
        for name, m in models.items()
    ]


def first_of(out):
    """The logits of a model that gives a loss as well."""
    return out[0] if isinstance(out, tuple) else out


def step_ladder(model, length=64, repeat=9):
    """{name: Timing} of one more token after `length` others, for a GPT: the whole text again; with caches
    (17); with caches and a Decoder (17); the same with weights of 8 bits (15).
    """
    ids = zeros(1, length + 1, dtype=int64)

    def one_more(way, caches):
        for kept in caches:
            kept.crop(length)
        return way(ids[:, length:], cache=caches)

    steps = {"all again": lambda: model(ids)}
    with no_grad():
        for name, way in (
            ("caches", model),
            ("decoder", Decoder(model)),
            ("decoder, int8", Decoder(quantize(model))),
        ):
            caches = make_caches(model)
            way(ids[:, :length], cache=caches)
            steps[name] = partial(one_more, way, caches)
        return interleaved(steps, repeat)
