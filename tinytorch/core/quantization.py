"""15 Quantization: numbers as small integers, with a scale that says how large one step is.

    affine      q = clamp(round(x / scale) + zero_point, quant_min, quant_max)      x ~ (q - zero_point) scale
    symmetric   the same with zero_point = 0
    per channel a scale for each output of a layer, not one for the whole weight
    4 bits      a scale for each group of 32 weights, two weights in a byte

An int8 takes one byte where a float32 takes four, and no number within the range moves by more than half a
step. The layers here keep their weights as integers and make floats of them a few rows at a time, while they
multiply: NumPy hands float products to BLAS, and integer products to a plain loop. So the gain is memory.

Jacob et al. 2017, https://arxiv.org/abs/1712.05877. Formulas and names follow torch.ao.quantization:
https://docs.pytorch.org/docs/stable/quantization.html
"""

import copy
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..utils.threads import parallel
from .autograd import derivative, no_grad
from .embeddings import Embedding, LearnedPositions, check_ids, check_positions
from .layers import Linear, Module, rows_of
from .profiling import flop_rules, measure, model_nbytes
from .spatial import WORTH_A_THREAD, Conv2d, buffer, conv2d
from .tensor import float16, int8, op, uint8, wrap

SMALLEST_SCALE = float(np.finfo(np.float32).eps)  # as in PyTorch: a range of 0 would have a scale of 0
TILE = 1 << 16  # weights at a time that become floats and stay in the cache until they are multiplied

# Numbers to integers and back.


def limits(bits):
    """(quant_min, quant_max) of signed integers: (-128, 127) for 8 bits, (-8, 7) for 4."""
    if bits not in range(2, 9):
        raise ValueError(f"quantization: 2 to 8 bits are possible, {bits} came")
    return -(1 << bits - 1), (1 << bits - 1) - 1


def choose_qparams(low, high, symmetric=False, bits=8):
    """(scale, zero_point), arrays float32 and int32, for numbers from `low` to `high`, numbers or arrays.

    The range is widened to hold 0, which is then represented exactly: padding and what ReLU cut off stay 0.
    Raises ValueError for a range that is not finite or upside down.
    """
    low, high = np.broadcast_arrays(np.float32(low), np.float32(high))
    wrong = ~(np.isfinite(low) & np.isfinite(high) & (low <= high))
    if wrong.any():
        came = f"{low[wrong][0]} to {high[wrong][0]}"
        raise ValueError(f"choose_qparams: a finite range, low <= high, is needed; {came} came")
    quant_min, quant_max = limits(bits)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    steps = np.float32(quant_max - quant_min)
    if symmetric:
        scale = np.maximum(np.maximum(-low, high) / (steps / 2), np.float32(SMALLEST_SCALE))
        return scale, np.zeros(scale.shape, np.int32)
    # Halves, for the difference of two large float32 numbers may be too large for one.
    scale = np.maximum((high / 2 - low / 2) / steps * 2, np.float32(SMALLEST_SCALE))
    zero_point = quant_min - np.rint(low / scale).astype(np.int32)
    return scale, np.clip(zero_point, quant_min, quant_max).astype(np.int32)


@op
def quantize_per_tensor(input, scale, zero_point=0, bits=8):
    """clamp(round(x / scale) + zero_point) as int8, in the input's shape. A half is rounded to even.

    torch.quantize_per_tensor's `int_repr()`; fewer bits have a smaller range and still take a byte each.
    """
    return quantized(input, scale, zero_point, bits)


@op
def quantize_per_channel(input, scales, zero_points, axis, bits=8):
    """quantize_per_tensor with a scale and a zero point (C,) for each place along dimension `axis`."""
    scales, zero_points = along(input, scales, axis), along(input, zero_points, axis)
    return quantized(input, scales, zero_points, bits)


def quantized(x, scale, zero_point, bits=8):
    """Integers for an array of floats; scale and zero_point broadcast to it."""
    if x.dtype.kind != "f":
        raise TypeError(f"floats are quantized, {x.dtype} came")
    scale = np.asarray(scale, np.float32, like=x)
    if not (scale > 0).all():
        raise ValueError(f"a scale is above 0, {scale.min()} came")
    quant_min, quant_max = limits(bits)
    q = np.empty_like(x, dtype=np.result_type(x.dtype, scale.dtype))
    np.multiply(x, 1 / scale, out=q)  # PyTorch multiplies by 1 / scale too: the same halves
    np.rint(q, out=q)
    q += zero_point
    if q.size and np.isnan(q.min()):
        raise ValueError("nan has no place among the integers")
    return np.clip(q, quant_min, quant_max, out=q).astype(int8)


@op
def dequantize(input, scale, zero_point=0, axis=None):
    """(q - zero_point) scale as float32; with an axis, scale and zero_point are (C,) along it."""
    if axis is not None:
        scale, zero_point = along(input, scale, axis), along(input, zero_point, axis)
    out = input.astype(np.float32)
    out -= np.asarray(zero_point, np.float32, like=input)
    out *= np.asarray(scale, np.float32, like=input)
    return out


def along(x, values, axis):
    """(C,) as (1, …, C, …, 1), so that it broadcasts along dimension `axis` of x."""
    values = np.asarray(values, like=x)
    if values.shape != x.shape[axis : axis + 1 or None]:
        raise ValueError(f"{values.shape} values do not fit dimension {axis} of {x.shape}")
    return values.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


# Observers: which range do the numbers need?


class MinMaxObserver(Module):
    """Looks at the tensors that pass, returns them as they are, and keeps the least and the largest number.

    symmetric and bits are those of `choose_qparams`.
    """

    def __init__(self, symmetric=False, bits=8):
        super().__init__()
        limits(bits)
        self.symmetric, self.bits = symmetric, bits
        self.min_val: Any = None
        self.max_val: Any = None

    def forward(self, input):
        if prod(input.shape):
            self.observe(input.array)
        return input

    def observe(self, x):
        """Take the numbers of an array, which has some, into account."""
        low, high = float(x.min()), float(x.max())
        if self.min_val is None:
            self.min_val, self.max_val = low, high
        else:
            self.min_val, self.max_val = self.combined(low, high)

    def combined(self, low, high):
        """The range so far, and another."""
        return min(self.min_val, low), max(self.max_val, high)

    def range(self):
        """(low, high) of what is worth representing."""
        if self.min_val is None:
            raise RuntimeError(f"{type(self).__name__} has seen no numbers; run data through it first")
        return self.min_val, self.max_val

    def calculate_qparams(self):
        """(scale, zero_point) for what was seen."""
        low, high = self.range()
        return choose_qparams(low, high, self.symmetric, self.bits)


class MovingAverageMinMaxObserver(MinMaxObserver):
    """An average of each batch's least and largest number, moved by averaging_constant: one wild batch counts
    little.
    """

    def __init__(self, averaging_constant=0.01, symmetric=False, bits=8):
        super().__init__(symmetric, bits)
        if not 0 < averaging_constant <= 1:
            raise ValueError(f"averaging_constant is above 0 and at most 1, {averaging_constant} came")
        self.averaging_constant = averaging_constant

    def combined(self, low, high):
        c = self.averaging_constant
        return self.min_val + c * (low - self.min_val), self.max_val + c * (high - self.max_val)


class PercentileObserver(MinMaxObserver):
    """The range that holds `percentile` per cent of the numbers, as many cut off below as above: an outlier
    is clamped, and everything else has finer steps.

    A histogram with `bins` bins over [-r, r] counts. Where a number is outside, r is doubled, and two bins
    become one: that is exact. The range is as exact as a bin is wide.
    """

    def __init__(self, percentile=99.9, bins=2048, symmetric=False, bits=8):
        super().__init__(symmetric, bits)
        if not 0 < percentile <= 100 or bins < 4 or bins % 4:
            raise ValueError(
                f"PercentileObserver: 0 < percentile <= 100 and a number of bins that 4 divides are needed; "
                f"{percentile}, {bins} came"
            )
        self.percentile, self.r, self.counts = percentile, 0.0, np.zeros(bins, np.int64)

    def observe(self, x):
        super().observe(x)
        largest, bins = max(-self.min_val, self.max_val), len(self.counts)
        if not np.isfinite(largest):
            raise ValueError(f"PercentileObserver: finite numbers are needed, {largest} came")
        if not self.r:
            self.r = 2.0 ** np.ceil(np.log2(max(largest, SMALLEST_SCALE)))
        while largest > self.r:
            self.counts = np.pad(self.counts.reshape(-1, 2).sum(1), bins // 4)
            self.r *= 2
        self.counts += np.histogram(on_host(x), bins, (-self.r, self.r))[0]

    def range(self):
        low, high = super().range()
        reached, cut = np.cumsum(self.counts), self.counts.sum() * (100 - self.percentile) / 200
        first = np.searchsorted(reached, cut, side="right")  # bins before it hold no more than `cut`
        last = np.searchsorted(reached, reached[-1] - cut)
        width = 2 * self.r / len(self.counts)
        return max(low, first * width - self.r), min(high, (last + 1) * width - self.r)


# Weights that are stored as integers. A weight is a matrix here: a row for each output.


class Int8Weight(Module):
    """A weight (O, …) as int8. Buffers: `values` int8 in its shape, `scale` float32 (O,), or () for a single
    one; `zero_point` int8 in the scale's shape, None if symmetric.
    """

    def __init__(self, weight, per_channel=True, symmetric=True):
        super().__init__()
        w = on_host(weight.array)
        over = tuple(range(1 if per_channel else 0, w.ndim))
        scale, zero_point = choose_qparams(w.min(over, initial=0), w.max(over, initial=0), symmetric)
        per_row = (-1 if per_channel else 1,) + (1,) * (w.ndim - 1)
        q = quantized(w, scale.reshape(per_row), zero_point.reshape(per_row))
        self.shape = w.shape
        self.register_buffer("values", beside(weight, q))
        self.register_buffer("scale", beside(weight, scale))
        self.register_buffer("zero_point", None if symmetric else beside(weight, zero_point.astype(int8)))

    def rows(self, index, key=None):
        """Some rows as float32 (rows, numbers in one): fresh, or, with a key, in this thread's buffer."""
        q = self.values.array[index]
        q = q.reshape(len(q), prod(self.shape[1:]))
        out = new_or_buffer(key, q.shape, q)
        np.copyto(out, q)
        if self.zero_point is not None:
            out -= self.of_rows(self.zero_point, index)
        out *= self.of_rows(self.scale, index)
        return out

    def of_rows(self, numbers, index):
        return numbers.array[index][:, None] if numbers.ndim else numbers.array

    def dequantize(self):
        """The whole weight as a float32 Tensor, in its shape."""
        return wrap(self.rows(slice(None)).reshape(self.shape))

    def extra_repr(self):
        return f"{self.shape}, {'symmetric' if self.zero_point is None else 'affine'}"


class Int4Weight(Module):
    """A weight (O, …) in 4 bits, symmetric, with a scale for each `group_size` numbers of a row.

    Buffers: `packed` uint8 (O, half), where a row, filled up with zeros to whole groups, is two halves;
    `scale` float16 (O, groups). Byte i of a row holds its number i in the low four bits and its number
    half + i in the high ones, each plus 8.
    """

    def __init__(self, weight, group_size=32):
        super().__init__()
        if not isinstance(group_size, int) or group_size < 2 or group_size % 2:
            raise ValueError(f"Int4Weight: group_size is even and at least 2, {group_size!r} came")
        self.shape, self.group_size = weight.shape, group_size
        count = prod(self.shape[1:])
        groups = -(-count // group_size)
        w = np.zeros((len(weight), groups * group_size), np.float32)
        w[:, :count] = on_host(weight.array).reshape(len(weight), count)
        w = w.reshape(len(w), groups, group_size)
        scale = choose_qparams(w.min(2, initial=0), w.max(2, initial=0), symmetric=True, bits=4)[0]
        scale = rounded_up(scale)
        q = quantized(w, scale[:, :, None], 0, bits=4) + np.int8(8)  # 0 to 15
        low, high = np.split(q.astype(uint8).reshape(len(w), groups * group_size), 2, axis=1)
        self.register_buffer("packed", beside(weight, low | high << 4))
        self.register_buffer("scale", beside(weight, scale))

    def rows(self, index, key=None):
        """Some rows as float32 (rows, numbers in one): fresh, or, with a key, in this thread's buffer."""
        packed, scale = self.packed.array[index], self.scale.array[index]  # (rows, half), (rows, groups)
        count, half = packed.shape
        out = new_or_buffer(key, (count, 2 * half), packed)
        out[:, :half], out[:, half:] = packed & 15, packed >> 4
        out -= 8
        groups = out.reshape(*scale.shape, self.group_size)
        groups *= scale.astype(np.float32)[:, :, None]
        return out[:, : prod(self.shape[1:])]

    def dequantize(self):
        """The whole weight as a float32 Tensor, in its shape."""
        return wrap(self.rows(slice(None)).reshape(self.shape))

    def extra_repr(self):
        return f"{self.shape}, group_size={self.group_size}"


def new_or_buffer(key, shape, like):
    """float32 to be overwritten: new memory, or with a key the thread's own."""
    if key is None or not isinstance(like, np.ndarray):
        return np.empty_like(like, shape=shape, dtype=np.float32)
    return buffer(key, shape, np.empty(0, np.float32))


def beside(tensor, array):
    """A Tensor of a NumPy array, on another Tensor's device."""
    return wrap(np.asarray(array, like=tensor.array))


def on_host(array):
    """A NumPy array of one on any device."""
    return array if isinstance(array, np.ndarray) else array.get()


def rounded_up(scale):
    """float16 that is not below the float32: a smaller scale would clamp the largest weight."""
    with np.errstate(over="ignore"):
        near = scale.astype(float16)
    above = np.where(near < scale, np.nextafter(near, float16.type(np.inf)), near)
    if not np.isfinite(above).all():
        raise ValueError(f"Int4Weight: a scale of {scale.max():.3g} is too large for float16; use 8 bits")
    return above


# Layers that keep their weights as integers.


@op
def quantized_linear(input, weight, bias=None):
    """x W^T + b: (..., in), an Int8Weight or Int4Weight (out, in), (out,) -> (..., out), in float32.

    The weight becomes floats a tile of rows at a time, in a buffer that stays in the cache.
    """
    if input.shape[-1:] != weight.shape[1:]:
        size = input.shape[-1] if input.ndim else "no size at all"
        raise ValueError(f"the input's last dimension is {size}, and the weight (out, in) is {weight.shape}")
    x = rows_of(input)
    outputs, inputs = weight.shape
    out = np.empty_like(x, order="C", shape=(len(x), outputs))
    on_cpu = isinstance(x, np.ndarray)
    step = max(1, TILE // max(inputs, 1)) if on_cpu else outputs

    def work(start, stop):
        for first in range(start, stop, step):
            rows = slice(first, min(first + step, stop))
            np.matmul(x, weight.rows(rows, "dequantized").T, out=out[:, rows])  # (rows, in) @ (in, tile)

    parallel(work, outputs, 1 + WORTH_A_THREAD // max(x.size, 1) if on_cpu else outputs)
    if bias is not None:
        out += bias
    return out.reshape(*input.shape[:-1], outputs)


def quantized_linear_input(g, weight):
    d = rows_of(g) @ weight.rows(slice(None))  # (rows, out) @ (out, in)
    return d.reshape(*g.shape[:-1], weight.shape[1])


derivative(quantized_linear, quantized_linear_input)
flop_rules[quantized_linear] = lambda out, input, weight, bias: 2 * out.size * weight.shape[1]


class QuantizedLayer(Module):
    """What the layers share: a quantized weight, a float32 bias as a buffer, and, where an observer saw the
    layer's inputs, the scale and zero point with which these are quantized, too. Nothing here is trained.
    """

    def __init__(self, layer, weight=None, observer=None):
        """layer: the float layer; weight: an Int8Weight (also the default) or Int4Weight of its weight."""
        super().__init__()
        self.weight = Int8Weight(layer.weight) if weight is None else weight
        bias = getattr(layer, "bias", None)
        self.register_buffer("bias", None if bias is None else wrap(bias.array.copy()))
        self.settings, self.training = layer.extra_repr(), layer.training
        scale, zero_point = (None, None) if observer is None else observer.calculate_qparams()
        for name, value in (("input_scale", scale), ("input_zero_point", zero_point)):
            self.register_buffer(name, None if value is None else beside(layer.weight, value))

    def quantized_input(self, input):
        """The input after it was int8, if the layer knows a scale for it: the numbers int8 can tell apart."""
        if self.input_scale is None:
            return input
        settings = self.input_scale.array, self.input_zero_point.array
        return dequantize(quantize_per_tensor(input, *settings), *settings)

    def extra_repr(self):
        return self.settings + ("" if self.input_scale is None else ", quantized input")


class QuantizedLinear(QuantizedLayer):
    """A Linear whose weight is stored as integers: (..., in_features) -> (..., out_features)."""

    def forward(self, input):
        return quantized_linear(self.quantized_input(input), self.weight, self.bias)


class QuantizedConv2d(QuantizedLayer):
    """A Conv2d whose kernels are stored as integers: (N, C, H, W) -> (N, O, Ho, Wo)."""

    def __init__(self, layer, weight=None, observer=None):
        super().__init__(layer, weight, observer)
        self.geometry = layer.stride, layer.padding, layer.dilation, layer.groups

    def forward(self, input):
        return conv2d(self.quantized_input(input), self.weight.dequantize(), self.bias, *self.geometry)


class QuantizedEmbedding(QuantizedLayer):
    """An Embedding whose table is stored as integers: only the rows that are looked up become floats."""

    def forward(self, input):
        ids = input.array
        if ids.dtype.kind not in "iu":
            raise TypeError(f"QuantizedEmbedding: ids are integers, {ids.dtype} came")
        check_ids(ids, self.weight.shape[0])
        return wrap(self.weight.rows(ids.reshape(-1)).reshape(*ids.shape, self.weight.shape[1]))


class QuantizedPositions(QuantizedLayer):
    """LearnedPositions whose table is stored as integers: the vectors of the positions from `offset` on."""

    def forward(self, length, offset=0):
        check_positions(length, offset, self.weight.shape[0])
        return wrap(self.weight.rows(slice(offset, offset + length)))


replacements = {
    Linear: QuantizedLinear,
    Conv2d: QuantizedConv2d,
    Embedding: QuantizedEmbedding,
    LearnedPositions: QuantizedPositions,
}

# A whole model.


def quantize(
    model, bits=8, per_channel=True, symmetric=True, group_size=32, batches=None, observer=MinMaxObserver,
    skip=(),
):  # fmt: skip
    """A copy of a model in which each Linear, Conv2d and Embedding keeps its weight as integers.

    bits: 8, or 4 with a scale for each `group_size` weights, where per_channel and symmetric have no meaning.
    batches: data to calibrate with, see `calibrate`; then the inputs of Linear and Conv2d are quantized too,
    to 8 bits. skip: paths of layers that stay as they are. Layers that share a weight share the integers.
    The model itself is not changed. Raises ValueError where there is nothing to quantize.

    A file of the result is loaded into a model that was quantized with the same settings.
    """
    if bits not in (4, 8):
        raise ValueError(f"quantize: bits is 8 or 4, {bits!r} came")
    make: Any = partial(Int8Weight, per_channel=per_channel, symmetric=symmetric)
    if bits == 4:
        make = partial(Int4Weight, group_size=group_size)
    layers = layers_to_quantize(model, skip)
    observers = {} if batches is None else calibrate(model, batches, observer)
    weights = {weight: make(weight) for weight in {layer.weight for layer in layers.values()}}
    # deepcopy takes what it finds in its memo for copied: wherever the model refers to a layer, its
    # replacement will stand, and no float weight is copied.
    memo = {
        id(layer): replacements[type(layer)](layer, weights[layer.weight], observers.get(path))
        for path, layer in layers.items()
    }
    return copy.deepcopy(model, memo)


def layers_to_quantize(model, skip=()):
    """{path: layer} of the layers that have a replacement. A subclass may compute otherwise: it stays."""
    found = {path: layer for path, layer in model.named_modules() if type(layer) in replacements}
    unknown = sorted(set(skip) - set(found))
    if unknown:
        raise ValueError(f"quantize: there is no layer at {unknown} to skip; there are {list(found)}")
    found = {path: layer for path, layer in found.items() if path not in skip}
    if not found:
        kinds = ", ".join(kind.__name__ for kind in replacements)
        raise ValueError(f"quantize: no layer to quantize in {type(model).__name__}; it has no {kinds}")
    return found


class Observed(Module):
    """A layer whose inputs an observer sees. The layer is no part of the tree: no walk changes it."""

    def __init__(self, layer, observer):
        super().__init__()
        self.observer, self.compute = observer, layer.forward

    def forward(self, input):
        return self.compute(self.observer(input))


def calibrate(model, batches, observer=MinMaxObserver):
    """{path: observer} of each Linear and Conv2d, after `batches` went through the model in evaluation mode.

    batches: inputs, or sequences that begin with the inputs, such as a DataLoader gives. observer: called
    without arguments, it makes one, such as lambda: PercentileObserver(99.9).
    """
    layers = {
        path: layer for path, layer in layers_to_quantize(model).items() if type(layer) in (Linear, Conv2d)
    }
    observed = {path: Observed(layer, observer()) for path, layer in layers.items()}
    copied = copy.deepcopy(model, {id(layer): observed[path] for path, layer in layers.items()}).eval()
    count = 0
    with no_grad():
        for count, batch in enumerate(batches, 1):  # noqa: B007 (the last one tells how many)
            copied(batch[0] if isinstance(batch, (list, tuple)) else batch)
    if not count:
        raise ValueError("calibrate: no batches came; a few that are like the later inputs are needed")
    return {path: wrapper.observer for path, wrapper in observed.items()}


class Comparison(NamedTuple):
    """Two models on the same inputs: bytes, seconds for a pass (medians) and the outputs' largest
    difference."""

    nbytes: tuple
    seconds: tuple
    difference: float

    @property
    def ratio(self):
        """How many times smaller the second one is."""
        return self.nbytes[0] / self.nbytes[1]


def compare(model, other, *inputs, repeat=9):
    """A Comparison of two models that take the same inputs. Of a tuple of outputs the first counts."""

    def run(m):
        out = m(*inputs)
        return out[0] if isinstance(out, tuple) else out

    with no_grad():
        first, second = run(model), run(other)
        # In turns, so that a machine that is busy for a while slows down both.
        rounds = [[measure(partial(run, m), 1).median for m in (model, other)] for _ in range(repeat)]
    seconds = tuple(np.median(rounds, 0).tolist())
    difference = np.abs(first.array - second.array).max(initial=0)
    return Comparison((model_nbytes(model), model_nbytes(other)), seconds, float(difference))
