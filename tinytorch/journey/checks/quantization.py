"""Exercises of module 15, Quantization."""

import numpy as np

from tinytorch.core import quantization
from tinytorch.core.activations import relu
from tinytorch.core.autograd import is_grad_enabled
from tinytorch.core.embeddings import Embedding
from tinytorch.core.layers import Dropout, Linear, Module, Sequential
from tinytorch.core.spatial import Conv2d
from tinytorch.core.tensor import tensor

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("quantization")


def float32s(*numbers):
    return np.array(numbers, np.float32)


def grid(*shape):
    """Numbers of both signs, float32."""
    return np.random.default_rng(15).normal(0, 1, shape).astype(np.float32)


choose_qparams = exercises.add(
    "choose_qparams",
    prompt=(
        "Return (scale, zero_point), float32 and int32 in the shape that low and high have together. With "
        "n = quant_max - quant_min steps the scale is (high - low) / n, once the range is widened to hold 0, "
        "and the zero point is the integer for 0, within the limits, so that low becomes quant_min. "
        "Symmetric: the zero point is 0, and the larger of -low and high is n / 2 steps. No scale is below "
        "SMALLEST_SCALE."
    ),
    hints=(
        "First complain about a wrong range, then widen it: low is at most 0 and high at least 0.",
        "`limits(bits)` gives quant_min and quant_max. np.minimum and np.maximum work on numbers and arrays "
        "alike; `np.broadcast_arrays` makes low and high equal in shape.",
        "low is low / scale steps from 0, a negative number: zero_point = quant_min - np.rint(low / scale), "
        "clipped to the limits.",
    ),
    mistakes=(
        swap(
            "low, high = np.minimum(low, 0), np.maximum(high, 0)",
            "pass",
            "The range is not widened to hold 0, so a range on one side of 0 has no integer for 0 itself.",
        ),
        swap(
            "np.float32(quant_max - quant_min)",
            "np.float32(quant_max - quant_min + 1)",
            "Between the 256 integers from -128 to 127 there are 255 steps, not 256.",
        ),
        swap(
            "quant_min - np.rint(low / scale)",
            "quant_min + np.rint(low / scale)",
            "The zero point lies above quant_min, by as many steps as low lies below 0: the sign is wrong.",
        ),
        swap(
            "np.maximum(-low, high) / (steps / 2)",
            "high / (steps / 2)",
            "For a symmetric range the number further from 0 decides, and that may be the lowest one.",
        ),
        swap(
            "np.maximum((high / 2 - low / 2) / steps * 2, np.float32(SMALLEST_SCALE))",
            "(high / 2 - low / 2) / steps * 2",
            "A range of 0 gets a scale of 0 here, and nothing can be divided by that: SMALLEST_SCALE is the "
            "least.",
        ),
        swap("limits(bits)", "limits(8)", "The argument bits is not used: 4 bits have 15 steps."),
        swap(
            "np.rint(low / scale).astype(np.int32)",
            "low / scale",
            "The zero point is cut off to an integer; round low / scale to the nearest one.",
        ),
        swap(
            "return scale, np.clip(zero_point, quant_min, quant_max).astype(np.int32)",
            "return scale.astype(np.float64), zero_point",
            "The scale came as float64; it is float32, which is what is stored with the integers.",
        ),
    ),
)


def seen_qparams(low, high, **settings):
    given = "".join(f", {name}={value}" for name, value in settings.items())
    result = quantization.choose_qparams(low, high, **settings)
    words = f"choose_qparams({low}, {high}{given})"
    see(words, result).satisfies(isinstance(result, tuple) and len(result) == 2, "(scale, zero_point)")
    return see(words, tuple(np.asarray(each) for each in result))


def qparams(scale, zero_point):
    return np.array(scale, np.float32), np.array(zero_point, np.int32)


@choose_qparams.check("-1 to 2 is covered by 255 steps")
def _():
    seen_qparams(-1.0, 2.0).gives(qparams(3 / 255, -43))


@choose_qparams.check("-1 is 36.4 steps below 0 where 255 steps are 7: the zero point is rounded")
def _():
    seen_qparams(-1.0, 6.0).gives(qparams(7 / 255, -92))


@choose_qparams.check("0 always has its integer, also if the numbers are all on one side")
def _():
    seen_qparams(2.0, 6.0).gives(qparams(6 / 255, -128))
    seen_qparams(-6.0, -2.0).gives(qparams(6 / 255, 127))


@choose_qparams.check("a symmetric range has its zero point at 0")
def _():
    seen_qparams(-1.0, 2.0, symmetric=True).gives(qparams(2 / 127.5, 0))
    seen_qparams(-3.0, 2.0, symmetric=True).gives(qparams(3 / 127.5, 0))


@choose_qparams.check("fewer bits have fewer steps")
def _():
    seen_qparams(-1.0, 2.0, bits=4).gives(qparams(0.2, -3))
    seen_qparams(-1.5, 1.0, symmetric=True, bits=4).gives(qparams(0.2, 0))


@choose_qparams.check("arrays give a scale for each range, and a range of 0 gets the smallest one")
def _():
    low, high = float32s(-1, 0, 0), float32s(2, 5.1, 0)
    result = quantization.choose_qparams(low, high)
    least = quantization.SMALLEST_SCALE
    expected = qparams([3 / 255, 0.02, least], [-43, -128, -128])
    see("choose_qparams([-1, 0, 0], [2, 5.1, 0])", tuple(np.asarray(x) for x in result)).gives(
        expected, atol=0
    )
    result = quantization.choose_qparams(float32s(-1, 0), float32s(2, 0), symmetric=True)
    see("choose_qparams([-1, 0], [2, 0], symmetric=True)", tuple(np.asarray(x) for x in result)).gives(
        qparams([2 / 127.5, least], [0, 0]), atol=0
    )


@choose_qparams.check("a range that is not finite or upside down is an error")
def _():
    raises(ValueError, quantization.choose_qparams, 0.0, np.inf)
    raises(ValueError, quantization.choose_qparams, np.nan, 1.0)
    raises(ValueError, quantization.choose_qparams, 2.0, 1.0)


quantized = exercises.add(
    "quantized",
    prompt=(
        "Return clamp(round(x / scale) + zero_point) to the limits of `bits` as int8, for an array x of "
        "floats. A half is rounded to the even neighbour; an infinite number is clamped like a large one. "
        "TypeError if x holds no floats; ValueError if a scale is not above 0 or if x holds nan. x stays as "
        "it is."
    ),
    hints=(
        "The order counts: divide, round, shift by the zero point, clamp, and only then make integers of it.",
        "`np.rint` rounds halves to even, `np.clip` clamps, `.astype(int8)` makes the integers; "
        "`limits(bits)` tells where to clamp.",
        "x.dtype.kind is 'f' for floats. np.isnan(x).any() tells whether there is a nan.",
    ),
    mistakes=(
        swap(
            "return np.clip(q, quant_min, quant_max, out=q).astype(int8)",
            "return np.clip(q, -1e9, 1e9).astype(np.int64).astype(int8)",
            "Nothing is clamped: 128 does not fit into an int8 and comes out as -128.",
        ),
        swap(
            "q += zero_point",
            "q = np.clip(q, quant_min, quant_max)",
            "The zero point is added after clamping, so the sum leaves the range: clamp last.",
            (
                "return np.clip(q, quant_min, quant_max, out=q).astype(int8)",
                "return (q + zero_point).astype(np.int64).astype(int8)",
            ),
        ),
        swap(
            "np.rint(q, out=q)",
            "np.trunc(q, out=q)",
            "The digits are cut off, not rounded: 1.75 steps are nearer to 2 than to 1.",
        ),
        swap(
            "np.rint(q, out=q)",
            "np.floor(q + 0.5, out=q)",
            "Halves are always rounded up; to the even neighbour, they push the sum neither up nor down.",
        ),
        swap(
            "np.rint(q, out=q)\n    q += zero_point",
            "q += zero_point\n    np.rint(q, out=q)",
            "The sum is rounded, so that an odd zero point turns the halves round: round first, then add.",
        ),
        swap(
            "np.multiply(x, 1 / scale, out=q)",
            "np.multiply(x, scale, out=q)",
            "The numbers are multiplied by the scale; divide by it, to count the steps.",
        ),
        swap("q += zero_point", "q -= zero_point", "The zero point is added here; going back subtracts it."),
        swap("limits(bits)", "limits(8)", "The argument bits is not used: 4 bits end at -8 and 7."),
        swap(
            "np.isnan(q.min())",
            "False",
            "A nan becomes some integer, and nobody will notice: raise a ValueError.",
            ("np.clip(q, quant_min, quant_max, out=q)", "np.nan_to_num(np.clip(q, quant_min, quant_max))"),
        ),
    ),
)


@quantized.check("numbers become steps, rounded")
def _():
    x = float32s(0.0, 0.125, 0.875, -0.875)
    call(quantization.quantized, x, 0.5, 0).gives(np.array([0, 0, 2, -2], np.int8))


@quantized.check("halves go to the even neighbour")
def _():
    x = float32s(0.5, 1.5, 2.5, -0.5, -1.5)
    call(quantization.quantized, x, 1.0, 0).gives(np.array([0, 2, 2, 0, -2], np.int8))
    call(quantization.quantized, x, 1.0, 1).gives(np.array([1, 3, 3, 1, -1], np.int8))


@quantized.check("the zero point is where 0 lands, and what lies outside is clamped")
def _():
    x = float32s(0.0, 1.0, 60.0, -100.0, np.inf)
    call(quantization.quantized, x, 0.5, 10).gives(np.array([10, 12, 127, -128, 127], np.int8))


@quantized.check("scales and zero points broadcast; 4 bits end at -8 and 7")
def _():
    x = float32s(1, 2, 1, 20).reshape(2, 2)
    scale, zero_point = float32s(1, 4).reshape(2, 1), np.array([[0], [-3]], np.int32)
    expected = np.array([[1, 2], [-3, 2]], np.int8)
    call(quantization.quantized, x, scale, zero_point).gives(expected)
    call(quantization.quantized, float32s(-9, 3, 9), 1.0, 0, bits=4).gives(np.array([-8, 3, 7], np.int8))


@quantized.check("float64 and arrays of size 0 work, and x stays as it is")
def _():
    x = np.array([0.25, -3.0])
    call(quantization.quantized, x, 0.25, 0).gives(np.array([1, -12], np.int8))
    see("x after quantized(x, 0.25, 0)", x).gives(np.array([0.25, -3.0]))
    call(quantization.quantized, np.zeros((0, 2), np.float32), 1.0, 0).gives(np.zeros((0, 2), np.int8))


@quantized.check("nan, integers and a scale of 0 or below are errors")
def _():
    raises(ValueError, quantization.quantized, float32s(1, np.nan), 1.0, 0)
    raises(TypeError, quantization.quantized, np.array([1, 2]), 1.0, 0)
    raises(ValueError, quantization.quantized, float32s(1), 0.0, 0)
    raises(ValueError, quantization.quantized, float32s(1), -1.0, 0)
    raises(ValueError, quantization.quantized, float32s(1, 2), float32s(1, 0), 0)


quantize_per_channel = exercises.add(
    "quantize_per_channel",
    prompt=(
        "Return the input as int8 where each place along dimension `axis` has its own scale and zero point: "
        "both are arrays (C,), and dimension `axis`, which may be negative, has the size C. Rounding and "
        "clamping are those of `quantized`."
    ),
    hints=(
        "`quantized` takes scales that broadcast. What shape must (C,) have to lie along the axis?",
        "`along(x, values, axis)` makes (1, …, C, …, 1) of (C,), for scales and zero points alike.",
    ),
    mistakes=(
        swap(
            "scales, zero_points = along(input, scales, axis), along(input, zero_points, axis)",
            "scales, zero_points = np.asarray(scales), np.asarray(zero_points)",
            "The scales lie along the last dimension, whatever axis says; they belong along dimension axis.",
        ),
        swap(
            "along(input, zero_points, axis)",
            "0",
            "The zero points are not used: 0 has to land on the zero point of its channel.",
        ),
        swap(
            "quantized(input, scales, zero_points, bits)",
            "quantized(input, scales, zero_points)",
            "The argument bits has to go on to quantized.",
        ),
        swap(
            "along(input, scales, axis)",
            "np.max(scales)",
            "All channels are measured with the largest scale; each has its own.",
        ),
    ),
)


@quantize_per_channel.check("each row has its own scale")
def _():
    x = tensor(float32s(1, 2, 1, 2).reshape(2, 2))
    call(quantization.quantize_per_channel, x, float32s(1, 0.5), np.array([0, 10]), 0).gives(
        np.array([[1, 2], [12, 14]], np.int8)
    )


@quantize_per_channel.check("or each column, or what a negative axis says")
def _():
    x = tensor(float32s(1, 2, 3, 4, 5, 6).reshape(2, 3))
    scales, zeros = float32s(1, 0.5, 0.25), np.array([0, 1, 2])
    for axis in (1, -1):
        call(quantization.quantize_per_channel, x, scales, zeros, axis).gives(
            np.array([[1, 5, 14], [4, 11, 26]], np.int8)
        )


@quantize_per_channel.check("the kernels of a convolution, (O, C, H, W), in 4 bits")
def _():
    x, scales = grid(2, 2, 2, 1), float32s(0.5, 0.125)
    expected = np.clip(np.rint(x / scales.reshape(2, 1, 1, 1)), -8, 7).astype(np.int8)
    call(quantization.quantize_per_channel, tensor(x), scales, np.array([0, 0]), 0, bits=4).gives(expected)
    x = tensor(float32s(100, -100).reshape(1, 2))
    call(quantization.quantize_per_channel, x, float32s(1), np.array([0]), 0, bits=4).gives(
        np.array([[7, -8]], np.int8)
    )


dequantize = exercises.add(
    "dequantize",
    prompt=(
        "Return (q - zero_point) * scale as float32, in the input's shape, for a tensor q of int8. Without "
        "an axis, scale and zero_point are numbers or broadcast; with one they are (C,) along that dimension."
    ),
    hints=(
        "Careful with the difference: 127 - (-128) is no int8.",
        "Make float32 of q first, then subtract and multiply. `along` lays scale and zero_point along an "
        "axis.",
    ),
    mistakes=(
        wrong(
            """
            def dequantize(input, scale, zero_point=0, axis=None):
                if axis is not None:
                    scale, zero_point = along(input, scale, axis), along(input, zero_point, axis)
                return (input - np.asarray(zero_point).astype(input.dtype)) * np.float32(scale)
            """,
            "q - zero_point is computed as int8, where 100 - (-100) does not fit and wraps around: make "
            "floats of q first.",
        ),
        wrong(
            """
            def dequantize(input, scale, zero_point=0, axis=None):
                if axis is not None:
                    scale, zero_point = along(input, scale, axis), along(input, zero_point, axis)
                return (input.astype(np.float32) * scale - zero_point).astype(np.float32)
            """,
            "The zero point is a number of steps: subtract it before you multiply by the scale.",
        ),
        swap(
            "if axis is not None:",
            "if False:",
            "The axis is not used: scale and zero_point are (C,) along it, here they broadcast along the "
            "last one.",
        ),
        swap("out -=", "out +=", "The zero point was added on the way there; here it is subtracted."),
    ),
)


@dequantize.check("steps become numbers again")
def _():
    q = tensor(np.array([10, 12, 9], np.int8))
    call(quantization.dequantize, q, 0.5, 10).gives(float32s(0, 1, -0.5))


@dequantize.check("the whole range of int8")
def _():
    q = tensor(np.array([-128, 100], np.int8))
    call(quantization.dequantize, q, 0.25, np.int32(-100)).gives(float32s(-7, 50))
    call(quantization.dequantize, q, np.float32(0.5)).gives(float32s(-64, 50))


@dequantize.check("with an axis each channel has its own scale and zero point")
def _():
    q = tensor(np.array([[1, 2], [3, 4]], np.int8))
    scale, zero_point = float32s(1, 0.5), np.array([0, 1], np.int32)
    call(quantization.dequantize, q, scale, zero_point, 0).gives(float32s(1, 2, 1, 1.5).reshape(2, 2))
    call(quantization.dequantize, q, scale, zero_point, axis=1).gives(float32s(1, 0.5, 3, 1.5).reshape(2, 2))


observe = exercises.add(
    "MinMaxObserver.observe",
    prompt=(
        "Take an array of numbers into account: self.min_val and self.max_val become floats, the least and "
        "the largest of the first array (before it they are None). From the second one on, they become what "
        "self.combined(low, high) gives for the array's own least and largest number, so that a subclass "
        "can combine otherwise."
    ),
    hints=(
        "Two cases: nothing has been seen so far, or something has.",
        "float(x.min()) and float(x.max()); self.min_val, self.max_val = self.combined(low, high).",
    ),
    mistakes=(
        swap(
            "self.min_val, self.max_val = self.combined(low, high)",
            "self.min_val, self.max_val = low, high",
            "The last array alone decides here; what was seen before it counts, too.",
        ),
        swap(
            "self.combined(low, high)",
            "min(self.min_val, low), max(self.max_val, high)",
            "This is right for this class alone: the moving average has a self.combined of its own, so call "
            "it.",
        ),
        wrong(
            """
            def observe(self, x):
                low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
                if self.min_val is not None:
                    low, high = self.combined(low, high)
                self.min_val, self.max_val = low, high
            """,
            "The range begins at 0 here. It begins with the first array; choose_qparams will widen it.",
        ),
        swap(
            "float(x.min()), float(x.max())",
            "float(x.flat[0]), float(x.flat[-1])",
            "The first and last number are not the least and the largest one.",
        ),
        swap(
            "if self.min_val is None:",
            "if not self.min_val:",
            "A least number of 0 is taken for nothing seen so far: compare with None.",
        ),
    ),
)


def seen_range(words, observer):
    return see(f"(min_val, max_val) after {words}", (observer.min_val, observer.max_val))


@observe.check("the first array sets the range")
def _():
    observer = quantization.MinMaxObserver()
    observer.observe(float32s(3, 1, 2))
    seen_range("observe([3, 1, 2])", observer).gives((1.0, 3.0))


@observe.check("further arrays can only widen it")
def _():
    observer = quantization.MinMaxObserver()
    observer.observe(float32s(-1, 2).reshape(1, 2))
    observer.observe(float32s(0, 5))
    seen_range("observe([[-1, 2]]) and observe([0, 5])", observer).gives((-1.0, 5.0))
    observer.observe(float32s(1, 1))
    seen_range("a third one, observe([1, 1])", observer).gives((-1.0, 5.0))
    observer = quantization.MinMaxObserver()
    observer.observe(float32s(0, 1))
    observer.observe(float32s(2, 3))
    seen_range("observe([0, 1]) and observe([2, 3])", observer).gives((0.0, 3.0))


@observe.check("a subclass combines in its own way")
def _():
    observer = quantization.MovingAverageMinMaxObserver(averaging_constant=0.5)
    observer.observe(float32s(-1, 2))
    observer.observe(float32s(-3, 4))
    seen_range("a moving average by 0.5 of [-1, 2] and [-3, 4]", observer).gives((-2.0, 3.0))


percentile_range = exercises.add(
    "PercentileObserver.range",
    prompt=(
        "Return (low, high) from the histogram: self.counts are the numbers in each of its bins of equal "
        "width over [-self.r, self.r]. Of all counted numbers, (100 - percentile) / 2 per cent may be cut "
        "off at each end, whole bins only, as many as can go. low and high are the outer edges of the bins "
        "that remain, but never outside of the least and largest number, which `super().range()` gives (it "
        "also complains if there are none)."
    ),
    hints=(
        "Count from the left until more than the allowed number has gone by; that bin is the first that "
        "stays. The same from the right.",
        "`np.cumsum(self.counts)` tells how many numbers lie up to each bin's end, and `np.searchsorted` "
        "finds where that passes a number.",
        "A bin is 2 * self.r / len(self.counts) wide; bin i goes from i * width - r to (i + 1) * width - r.",
    ),
    mistakes=(
        swap(
            ', side="right"',
            "",
            "A bin that may be cut off stays at the lower end: it goes if no more than the allowed number "
            "is in it and below it.",
        ),
        swap(
            "/ 200", "/ 100", "This is cut off at each end; half of it is, and the other half at the other."
        ),
        swap(
            "(last + 1) * width", "last * width", "The last bin that stays is cut off: take its right edge."
        ),
        swap(
            "(last + 1) * width",
            "last * width",
            "The first and the last bin that stay are cut off: take their outer edges.",
            ("first * width", "(first + 1) * width"),
        ),
        swap(
            "return max(low, first * width - self.r), min(high, (last + 1) * width - self.r)",
            "return first * width - self.r, (last + 1) * width - self.r",
            "The bins' edges lie outside of what was seen: low is never below the least number, high never "
            "above the largest.",
        ),
        swap(
            "2 * self.r / len",
            "self.r / len",
            "The bins cover [-r, r], so all of them together are 2 r wide, not r.",
        ),
    ),
)


def percentile_observer(percentile, *numbers):
    observer = quantization.PercentileObserver(percentile, bins=8)
    observer.observe(float32s(*numbers))
    return observer


def seen_percentiles(percentile, *numbers):
    result = percentile_observer(percentile, *numbers).range()
    see("range()", result).satisfies(isinstance(result, tuple) and len(result) == 2, "(low, high)")
    return see(
        f"range() for {percentile} per cent of {list(numbers)}, 8 bins", tuple(float(x) for x in result)
    )


@percentile_range.check("75 per cent of eight numbers: one goes at each end")
def _():
    numbers = (-3.5, -1.5, -1.25, -0.5, 0.5, 1.5, 2.5, 4.0)
    seen_percentiles(75, *numbers).gives((-2.0, 3.0))  # and so does the empty bin from -3 to -2


@percentile_range.check("a bin with more than what may go stays")
def _():
    numbers = (-3.5, -3.25, -3.125, -0.5, 0.5, 1.5, 3.5, 4.0)
    seen_percentiles(75, *numbers).gives((-3.5, 4.0))
    seen_percentiles(50, *numbers).gives((-3.5, 2.0))


@percentile_range.check("100 per cent is all that was seen, and no more")
def _():
    seen_percentiles(100, -0.5, 1.25, 3.75).gives((-0.5, 3.75))
    seen_percentiles(100, 2.25, 3.75).gives((2.25, 3.75))


@percentile_range.check("before any number came there is no range")
def _():
    raises(RuntimeError, quantization.PercentileObserver(75, bins=8).range)


int8_rows = exercises.add(
    "Int8Weight.rows",
    prompt=(
        "Return the rows at `index`, a slice or an array of row numbers, as float32 of shape (rows, numbers "
        "in one row): (q - zero_point) * scale, where zero_point may be None. self.scale has one number for "
        "each row, or none at all in its shape if the weight has a single scale; so does self.zero_point. "
        "The array is a new one; with a key it is new_or_buffer(key, shape, q). The stored integers stay as "
        "they are."
    ),
    hints=(
        "Take the rows of self.values.array, make a matrix of them, and floats of that; then subtract and "
        "multiply.",
        "`self.of_rows(self.scale, index)` gives the scales of these rows in a shape that broadcasts, for a "
        "single scale, too. prod(self.shape[1:]) is how many numbers a row has.",
        "`out = new_or_buffer(key, q.shape, q)` and `np.copyto(out, q)` make float32 numbers of q, with a "
        "key or without.",
    ),
    mistakes=(
        swap(
            "if self.zero_point is not None:",
            "if False:",
            "The zero point is not subtracted; a weight that is not symmetric has one.",
        ),
        swap(
            "self.of_rows(self.scale, index)",
            "self.of_rows(self.scale, slice(0, len(q)))",
            "These are the scales of the first rows, not of those at index.",
        ),
        swap(
            "q = q.reshape(len(q), prod(self.shape[1:]))",
            "q = q.reshape(-1, self.shape[-1])",
            "A row is all that belongs to one output, with every dimension but the first in it.",
        ),
        wrong(
            """
            def rows(self, index, key=None):
                q = self.values.array[index]
                q = q.reshape(len(q), prod(self.shape[1:]))
                if self.zero_point is not None:
                    q = q - self.of_rows(self.zero_point, index)
                return q * self.of_rows(self.scale, index)
            """,
            "q - zero_point is computed as int8, where large differences wrap around: make q float first.",
        ),
        swap("out *= self.of_rows(self.scale, index)", "pass", "The steps are not multiplied by the scale."),
        swap(
            "new_or_buffer(key, q.shape, q)",
            "new_or_buffer(None, q.shape, q)",
            "The key is not used: with one, new_or_buffer gives the same memory again.",
        ),
    ),
)


def int8_weight(values, scale, zero_point=None):
    """An Int8Weight with these numbers in it."""
    values, scale = np.array(values, np.int8), np.array(scale, np.float32)
    stored = quantization.Int8Weight(
        tensor(np.zeros(values.shape, np.float32)), scale.ndim > 0, zero_point is None
    )
    stored.values.array[...], stored.scale.array[...] = values, scale
    if zero_point is not None:
        stored.zero_point.array[...] = zero_point
    return stored


def reuses_memory(stored):
    """Whether rows(…) gives the same memory twice: without a key, and with one."""
    return [
        bool(np.shares_memory(stored.rows(slice(None), key), stored.rows(slice(None), key)))
        for key in (None, "key")
    ]


def seen_rows(words, array):
    """A copy: buffers are overwritten."""
    return see(words, array.copy() if isinstance(array, np.ndarray) else array)


@int8_rows.check("integers times the scale of their row")
def _():
    stored = int8_weight([[1, 2], [3, 4], [5, -6]], [0.5, 2.0, 10.0])
    words = "q [[1, 2], [3, 4], [5, -6]], scale [0.5, 2, 10]: rows"
    seen_rows(f"{words}(slice(None))", stored.rows(slice(None))).gives(
        float32s(0.5, 1, 6, 8, 50, -60).reshape(3, 2)
    )
    seen_rows(f"{words}(slice(1, 3))", stored.rows(slice(1, 3))).gives(float32s(6, 8, 50, -60).reshape(2, 2))
    seen_rows(f"{words}([2, 0, 2])", stored.rows(np.array([2, 0, 2]))).gives(
        float32s(50, -60, 0.5, 1, 50, -60).reshape(3, 2)
    )


@int8_rows.check("a zero point is subtracted, over the whole range of int8")
def _():
    stored = int8_weight([[10, 12], [-128, 100]], [0.5, 0.25], [10, 100])
    seen_rows(
        "q [[10, 12], [-128, 100]], zero points [10, 100], scale [0.5, 0.25]: rows(slice(None))",
        stored.rows(slice(None)),
    ).gives(float32s(0, 1, -57, 0).reshape(2, 2))


@int8_rows.check("a single scale and zero point serve all rows")
def _():
    stored = int8_weight([[1, 2], [3, 5]], 0.5, 1)
    seen_rows("q [[1, 2], [3, 5]], scale 0.5, zero point 1: rows([1])", stored.rows(np.array([1]))).gives(
        float32s(1, 2).reshape(1, 2)
    )


@int8_rows.check("a row holds all dimensions but the first, with a key or without")
def _():
    stored = int8_weight(np.arange(12).reshape(2, 3, 2), [1.0, 0.5])
    expected = np.arange(12, dtype=np.float32).reshape(2, 6) * float32s(1, 0.5)[:, None]
    seen_rows("a weight (2, 3, 2): rows(slice(0, 2))", stored.rows(slice(0, 2))).gives(expected)
    for _ in range(2):
        seen_rows("rows(slice(0, 2), 'key')", stored.rows(slice(0, 2), "key")).gives(expected)
    see("values after rows(…)", stored.values.array.ravel()).gives(np.arange(12, dtype=np.int8))


@int8_rows.check("new memory without a key, the same buffer with one")
def _():
    seen = see(
        "a second call gives the same memory: without a key, with one", reuses_memory(int8_weight([[1]], [1]))
    )
    seen.gives([False, True])


quantized_linear = exercises.add(
    "quantized_linear",
    prompt=(
        "Return x W^T + b in float32: input (..., in), weight an Int8Weight (out, in) whose "
        "`weight.rows(index)` gives rows as float32, bias (out,) or None, result (..., out). A last "
        "dimension that does not fit the weight is a ValueError. Get the rows a tile at a time if you like: "
        "that saves memory, the result is the same."
    ),
    hints=(
        "Without tiles it is linear with `weight.rows(slice(None))` for the weight: a matrix (out, in).",
        "`rows_of(input)` makes a matrix (rows, in) of any leading dimensions; reshape the result back at "
        "the end.",
        "With tiles: for rows = slice(first, last), `weight.rows(rows)` makes the outputs[:, rows] of x.",
    ),
    mistakes=(
        wrong(
            """
            def quantized_linear(input, weight, bias=None):
                out = input @ weight.rows(slice(None))
                return out if bias is None else out + bias
            """,
            "The weight is (out, in), as in Linear: multiply by its transpose.",
        ),
        wrong(
            """
            def quantized_linear(input, weight, bias=None):
                return input @ weight.rows(slice(None)).T
            """,
            "The bias is not added; each output has one.",
        ),
        wrong(
            """
            def quantized_linear(input, weight, bias=None):
                out = input @ weight.values.array.astype(np.float32).T
                return out if bias is None else out + bias
            """,
            "These are the stored integers; weight.rows makes numbers of them, with scale and zero point.",
        ),
        wrong(
            """
            def quantized_linear(input, weight, bias=None):
                out = input @ weight.values.array.astype(np.float32).T * weight.scale.array
                return out if bias is None else out + bias
            """,
            "This forgets the zero point, and 4 bits have no values: weight.rows gives the numbers of both.",
        ),
        swap(
            "return out.reshape(*input.shape[:-1], outputs)",
            "return out",
            "The leading dimensions came out as one: give the result the input's shape, with out at its end.",
        ),
    ),
)


@quantized_linear.check("a row of two by a weight of two rows")
def _():
    weight = int8_weight([[1, 2], [3, 4]], [1.0, 0.5])
    words = "W = [[1, 2], [1.5, 2]]: quantized_linear([[1, 10]], W)"
    see(words, quantization.quantized_linear(tensor(float32s(1, 10).reshape(1, 2)), weight)).gives(
        float32s(21, 21.5).reshape(1, 2)
    )


def dense(x, weight, bias=0.0):
    w = weight.values.array.astype(np.float64) * weight.scale.array.astype(np.float64)[:, None]
    return (x.astype(np.float64) @ w.T + bias).astype(np.float32)


@quantized_linear.check("with a bias, one for each output")
def _():
    weight = int8_weight([[1, -2], [100, 4], [5, 6]], [1.0, 0.5, 0.25])
    x, bias = grid(2, 2), float32s(1, 2, 3)
    see(
        "quantized_linear of x (2, 2), W (3, 2) and b [1, 2, 3]",
        quantization.quantized_linear(tensor(x), weight, tensor(bias)),
    ).gives(dense(x, weight, bias), atol=1e-5)


@quantized_linear.check("a weight with zero points")
def _():
    weight = int8_weight([[1, 2], [3, 4]], [1.0, 0.5], [1, 2])
    words = "W = [[0, 1], [0.5, 1]]: quantized_linear([[1, 10]], W)"
    see(words, quantization.quantized_linear(tensor(float32s(1, 10).reshape(1, 2)), weight)).gives(
        float32s(10, 10.5).reshape(1, 2)
    )


@quantized_linear.check("any leading dimensions, none too")
def _():
    weight = int8_weight([[1, -2, 3], [100, 4, -6]], [1.0, 0.5])
    for shape in ((2, 2, 3), (3,), (0, 3)):
        x = grid(*shape)
        see(
            f"quantized_linear of x {shape} and W (2, 3)", quantization.quantized_linear(tensor(x), weight)
        ).gives(dense(x, weight), atol=1e-5)


@quantized_linear.check("an input that does not fit is an error")
def _():
    weight = int8_weight([[1, -2, 3], [100, 4, -6]], [1.0, 0.5])
    raises(ValueError, quantization.quantized_linear, tensor(grid(4, 2)), weight)


int4_rows = exercises.add(
    "Int4Weight.rows",
    prompt=(
        "Return the rows at `index`, a slice or an array of row numbers, as float32 of shape (rows, numbers "
        "in one row). self.packed (O, half) holds two numbers in each byte, as the class says: byte i has "
        "number i in its low four bits and number half + i in the high ones, each plus 8. self.scale "
        "(O, groups) is float16; each serves self.group_size neighbours. The zeros that fill the last group "
        "up are cut off. With a key the array is new_or_buffer(key, shape, like)."
    ),
    hints=(
        "Unpack both halves, put them side by side, subtract 8, multiply group by group, cut off the end.",
        "packed & 15 is the low four bits, packed >> 4 the high ones. Both are unsigned: make floats of "
        "them before you subtract 8.",
        "Seen as (rows, groups, group_size), the numbers are multiplied by scale[:, :, None]. "
        "prod(self.shape[1:]) numbers of each row are the weight's own.",
    ),
    mistakes=(
        swap(
            "out[:, :half], out[:, half:] = packed & 15, packed >> 4",
            "out[:, ::2], out[:, 1::2] = packed & 15, packed >> 4",
            "The two numbers of a byte are put side by side; the low ones are the row's first half, the "
            "high ones its second.",
        ),
        swap(
            "out[:, :half], out[:, half:] = packed & 15, packed >> 4",
            "out[:, half:], out[:, :half] = packed & 15, packed >> 4",
            "The halves are exchanged: the low four bits hold the first half of a row.",
        ),
        swap("out -= 8", "pass", "Each number was stored plus 8: subtract it."),
        swap(
            "out[:, :half], out[:, half:] = packed & 15, packed >> 4\n        out -= 8",
            "out[:, :half], out[:, half:] = (packed & 15) - 8, (packed >> 4) - 8",
            "The 8 is subtracted from unsigned bytes, where 3 - 8 is 251: make floats of them first.",
        ),
        swap(
            "return out[:, : prod(self.shape[1:])]",
            "return out",
            "The zeros that fill the last group up are still there; cut them off.",
        ),
        swap(
            "groups = out.reshape(*scale.shape, self.group_size)",
            "groups = out.reshape(len(scale), self.group_size, -1).swapaxes(1, 2)",
            "A scale serves group_size neighbours, not every so-manyth number.",
        ),
    ),
)


def int4_weight(numbers, scale, group_size, columns=None):
    """An Int4Weight with these numbers from -8 to 7 in it, in whole groups, of which `columns` count."""
    numbers = np.array(numbers)
    shape = len(numbers), columns or numbers.shape[1]
    stored = quantization.Int4Weight(tensor(np.zeros(shape, np.float32)), group_size)
    low, high = np.split((numbers + 8).astype(np.uint8), 2, axis=1)
    stored.packed.array[...], stored.scale.array[...] = low + 16 * high, scale
    return stored


@int4_rows.check("two bytes are four numbers")
def _():
    stored = int4_weight([[1, -2, 3, -8]], [[1.0]], 4)
    seen_rows(
        f"packed {stored.packed.array.tolist()}, one group with scale 1: rows(slice(None))",
        stored.rows(slice(None)),
    ).gives(float32s(1, -2, 3, -8).reshape(1, 4))


@int4_rows.check("a scale that float16 cannot multiply exactly")
def _():
    stored, numbers = int4_weight([[3, -7, 5, 1]], [[0.1]], 4), float32s(3, -7, 5, 1).reshape(1, 4)
    expected = numbers * np.float32(np.float16(0.1))
    seen_rows("3, -7, 5, 1 with the scale 0.1: rows(slice(None))", stored.rows(slice(None))).gives(expected)


@int4_rows.check("each group has its scale, each row its groups")
def _():
    numbers = [[1, -2, 3, -4, 5, -6, 7, -8], [2, 2, 2, 2, -1, -1, -1, -1], [0, 1, 0, 1, 0, 1, 0, 1]]
    stored = int4_weight(numbers, [[0.5, 2.0], [1.0, 4.0], [8.0, 16.0]], 4)
    first = [0.5, -1, 1.5, -2, 10, -12, 14, -16]
    second, third = [2, 2, 2, 2, -4, -4, -4, -4], [0, 8, 0, 8, 0, 16, 0, 16]
    words = "group_size 4, scale [[0.5, 2], [1, 4], [8, 16]]: rows"
    seen_rows(f"{words}(slice(0, 1))", stored.rows(slice(0, 1))).gives(float32s(*first).reshape(1, 8))
    seen_rows(f"{words}([2, 1])", stored.rows(np.array([2, 1]))).gives(
        float32s(*third, *second).reshape(2, 8)
    )


@int4_rows.check("what fills the last group up is cut off, with a key or without")
def _():
    stored = int4_weight([[1, 2, 3, 0], [4, 5, 6, 0]], [[1.0, 0.5], [1.0, 2.0]], 2, columns=3)
    expected = float32s(1, 2, 1.5, 4, 5, 12).reshape(2, 3)
    seen_rows("a weight (2, 3), group_size 2: rows(slice(None))", stored.rows(slice(None))).gives(expected)
    for _ in range(2):
        seen_rows("rows(slice(None), 'key')", stored.rows(slice(None), "key")).gives(expected)


@int4_rows.check("new memory without a key, the same buffer with one")
def _():
    memory = reuses_memory(int4_weight([[1, 2]], [[1.0]], 2))
    see("a second call gives the same memory: without a key, with one", memory).gives([False, True])


calibrate = exercises.add(
    "calibrate",
    prompt=(
        "Let the batches go through the model in evaluation mode and without gradients, while an observer "
        "of its own (`observer()`) sees the inputs of each Linear and Conv2d. Return {path: observer}. A "
        "batch is the inputs, or a list or tuple that begins with them. No batches are a ValueError. The "
        "model stays as it is: its layers, its modes."
    ),
    hints=(
        "`layers_to_quantize(model)` gives {path: layer}; leave out what is no Linear and no Conv2d.",
        "`Observed(layer, observer)` computes what the layer computes and shows its inputs to the observer. "
        "It has to stand in the layer's place, in a copy of the model.",
        "`copy.deepcopy(model, {id(layer): replacement})` makes a copy in which the replacement stands for "
        "the layer. Count the batches.",
    ),
    mistakes=(
        swap(
            "observed = {",
            "one = observer()\n    observed = {",
            "All layers share one observer; each needs its own, for their inputs have different ranges.",
            ("Observed(layer, observer())", "Observed(layer, one)"),
        ),
        swap(
            ".eval()",
            ".train()",
            "The model is in training mode, where Dropout changes the inputs; later they will be those of "
            "evaluation.",
        ),
        swap(
            "copied(batch[0] if isinstance(batch, (list, tuple)) else batch)",
            "copied(batch)",
            "A batch of a DataLoader is a list: the inputs, then the targets. The model takes the inputs.",
        ),
        swap(
            "if not count:",
            "if False:",
            "Without batches the observers have seen nothing: raise a ValueError.",
        ),
        swap(
            "with no_grad():",
            "if True:",
            "The model records a history for gradients that nobody asks for: no_grad is missing.",
        ),
        swap(
            "layers_to_quantize(model).items() if type(layer) in (Linear, Conv2d)",
            "layers_to_quantize(model).items()",
            "The inputs of an Embedding are ids, not numbers to be rounded: Linear and Conv2d only.",
        ),
        wrong(
            """
            def calibrate(model, batches, observer=MinMaxObserver):
                found = layers_to_quantize(model)
                found = {path: layer for path, layer in found.items() if type(layer) in (Linear, Conv2d)}
                observers = {path: observer() for path in found}
                copied, count = model.eval(), 0
                for path, layer in found.items():
                    parent, _, name = path.rpartition(".")
                    copied.get_submodule(parent)._modules[name] = Observed(layer, observers[path])
                with no_grad():
                    for batch in batches:
                        copied(batch[0] if isinstance(batch, (list, tuple)) else batch)
                        count += 1
                if not count:
                    raise ValueError("no batches")
                return observers
            """,
            "The model itself was changed: it keeps its layers and its mode, so observe a copy.",
        ),
    ),
)


class ReLU(Module):
    def forward(self, input):
        return relu(input)


def layer_with(weight, bias=None):
    weight = np.array(weight, np.float32)
    layer = Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.array[...] = weight
    if layer.bias is not None:
        layer.bias.array[...] = bias
    return layer


def small_model():
    """(1, 2) -> (1, 1): the second layer sees 10 times the sum of what is above 0."""
    return Sequential(layer_with([[10, 10], [-10, -10]]), ReLU(), layer_with([[1, 2]]))


def seen_ranges(words, observers):
    found = sorted((path, o.min_val, o.max_val) for path, o in observers.items())
    return see(f"(path, min_val, max_val) after calibrate({words})", found)


@calibrate.check("each layer's observer sees the range of that layer's inputs")
def _():
    batches = [tensor(float32s(1, 2).reshape(1, 2)), tensor(float32s(0.5, 3).reshape(1, 2))]
    seen_ranges("model, [[[1, 2]], [[0.5, 3]]]", quantization.calibrate(small_model(), batches)).gives(
        [("0", 0.5, 3.0), ("2", 0.0, 35.0)]
    )


@calibrate.check("a batch may be a list or tuple that begins with the inputs")
def _():
    x, y = tensor(float32s(1, 2).reshape(1, 2)), tensor(np.array([7]))
    expected = [("0", 1.0, 2.0), ("2", 0.0, 30.0)]
    seen_ranges("model, [(x, y)]", quantization.calibrate(small_model(), [(x, y)])).gives(expected)
    batches = iter([[x, y]])
    seen_ranges("model, iterator of [x, y]", quantization.calibrate(small_model(), batches)).gives(expected)


@calibrate.check("in evaluation mode, and the model stays as it was")
def _():
    model = Sequential(Dropout(0.5), layer_with([[1, 1]]))
    layer = model[1]
    observers = quantization.calibrate(model, [tensor(np.ones((4, 2), np.float32))])
    seen_ranges("Sequential(Dropout, Linear), ones", observers).gives([("1", 1.0, 1.0)])
    see("the model's layer is what it was", model[1] is layer).gives(True)
    see("the model is in training mode, as before", model.training and model[0].training).gives(True)


class Noting(quantization.MinMaxObserver):
    """Notes whether gradients are recorded while it observes."""

    def observe(self, x):
        super().observe(x)
        self.recorded = is_grad_enabled()


@calibrate.check("without gradients")
def _():
    batches = [tensor(float32s(1, 2).reshape(1, 2))]
    observers = quantization.calibrate(small_model(), batches, Noting)
    recorded = {path: observer.recorded for path, observer in observers.items()}
    see("whether gradients were recorded, layer by layer", recorded).gives({"0": False, "2": False})


@calibrate.check("convolutions are observed, embeddings are not, and the observer is the caller's")
def _():
    model = Sequential(Embedding(5, 2), layer_with([[1, 2]]))
    table = model[0].weight.array
    table[...] = np.arange(10).reshape(5, 2)

    def make():
        return quantization.MovingAverageMinMaxObserver(0.5)

    batches = [tensor(np.array([0, 1])), tensor(np.array([2, 3]))]
    seen_ranges(
        "Sequential(Embedding, Linear), moving averages", quantization.calibrate(model, batches, make)
    ).gives([("1", 2.0, 5.0)])
    observers = quantization.calibrate(
        Sequential(Conv2d(1, 1, 1)), [tensor(float32s(-1, 4).reshape(1, 1, 1, 2))]
    )
    seen_ranges("Sequential(Conv2d), [[[[-1, 4]]]]", observers).gives([("0", -1.0, 4.0)])


@calibrate.check("no batches are an error")
def _():
    raises(ValueError, quantization.calibrate, small_model(), [])
    raises(ValueError, quantization.calibrate, small_model(), iter([]))


quantize = exercises.add(
    "quantize",
    prompt=(
        "Return a copy of the model in which replacements[type(layer)](layer, weight, observer) stands for "
        "each layer of `layers_to_quantize(model, skip)`, with an Int8Weight or, for 4 bits, an Int4Weight "
        "of its weight, made with the settings that are for it. Layers that share a weight share the object "
        "with the integers. With batches, the observers are those of `calibrate`; a layer without one, and "
        "all of them without batches, get None. Bits other than 4 and 8 are a ValueError."
    ),
    hints=(
        "Four steps: check, find the layers, make a stored weight for each different weight, put the new "
        "layers into a copy.",
        "A dictionary {weight: Int8Weight} of the different weights finds what layers share. "
        "`observers.get(path)` is None where there is no observer.",
        "`copy.deepcopy(model, {id(layer): replacement})` makes the copy in which each replacement stands "
        "wherever the model refers to its layer.",
    ),
    mistakes=(
        swap(
            "layers_to_quantize(model, skip)",
            "layers_to_quantize(model)",
            "The layers in skip are quantized, too; they stay as they are.",
        ),
        swap(
            "replacements[type(layer)](layer, weights[layer.weight], observers.get(path))",
            "replacements[type(layer)](layer, make(layer.weight), observers.get(path))",
            "Layers that share a weight got integers of their own each; they share one object.",
        ),
        swap(
            "observers = {} if batches is None else calibrate(model, batches, observer)",
            "observers: dict = {}",
            "The batches are not used: calibrate with them, so that the inputs get a scale, too.",
        ),
        swap(
            "calibrate(model, batches, observer)",
            "calibrate(model, batches)",
            "The argument observer is not used: it goes on to calibrate.",
        ),
        swap(
            "partial(Int8Weight, per_channel=per_channel, symmetric=symmetric)",
            "Int8Weight",
            "per_channel and symmetric do not arrive at Int8Weight.",
        ),
        swap(
            "partial(Int4Weight, group_size=group_size)",
            "Int4Weight",
            "group_size does not arrive at Int4Weight.",
        ),
        wrong(
            """
            def quantize(
                model, bits=8, per_channel=True, symmetric=True, group_size=32, batches=None,
                observer=MinMaxObserver, skip=(),
            ):
                if bits not in (4, 8):
                    raise ValueError("bits")
                make = partial(Int8Weight, per_channel=per_channel, symmetric=symmetric)
                if bits == 4:
                    make = partial(Int4Weight, group_size=group_size)
                layers = layers_to_quantize(model, skip)
                observers = {} if batches is None else calibrate(model, batches, observer)
                weights = {weight: make(weight) for weight in {layer.weight for layer in layers.values()}}
                for path, layer in layers.items():
                    parent, _, name = path.rpartition(".")
                    new = replacements[type(layer)](layer, weights[layer.weight], observers.get(path))
                    model.get_submodule(parent)._modules[name] = new
                return model
            """,
            "The model itself was changed; the quantized one is a copy, and the old one stays as it is.",
        ),
    ),
)


def kinds_of(model):
    return [type(layer).__name__ for layer in model]


@quantize.check("a copy with integers in its layers computes nearly the same, the model stays")
def _():
    model = Sequential(layer_with(grid(3, 2), [1, 2, 3]), ReLU(), layer_with(grid(1, 3)))
    x = tensor(float32s(1, 2, 3, 4).reshape(2, 2))
    before = model(x).array.copy()
    made = quantization.quantize(model)
    see("layers of quantize(Sequential(Linear, ReLU, Linear))", kinds_of(made)).gives(
        ["QuantizedLinear", "ReLU", "QuantizedLinear"]
    )
    see("layers of the model itself afterwards", kinds_of(model)).gives(["Linear", "ReLU", "Linear"])
    see("what the copy computes", made(x)).gives(before, rtol=0.03, atol=0.03)


@quantize.check("8 bits, per channel or not, symmetric or not")
def _():
    for settings, scales, symmetric in (
        ({}, (3,), True),
        ({"per_channel": False}, (), True),
        ({"symmetric": False}, (3,), False),
    ):
        weight = quantization.quantize(Sequential(layer_with(grid(3, 2))), **settings)[0].weight
        found = type(weight).__name__, weight.scale.shape, weight.zero_point is None
        see(f"quantize(model, {settings}): (kind of weight, shape of scale, symmetric)", found).gives(
            ("Int8Weight", scales, symmetric)
        )


@quantize.check("4 bits, in groups, and no other number of bits")
def _():
    weight = quantization.quantize(Sequential(layer_with(grid(3, 8))), bits=4, group_size=4)[0].weight
    found = type(weight).__name__, weight.scale.shape
    see("quantize(model, bits=4, group_size=4): (kind of weight, shape of scale)", found).gives(
        ("Int4Weight", (3, 2))
    )
    raises(ValueError, quantization.quantize, small_model(), bits=5)


class Tied(Module):
    """An embedding whose table is the weight of the last layer, too, which stands a level deeper."""

    def __init__(self):
        super().__init__()
        self.table, self.rest = Embedding(4, 2), Sequential(layer_with(grid(2, 2)), layer_with(grid(4, 2)))
        self.rest[1].weight = self.table.weight

    def forward(self, input):
        return self.rest(self.table(input))


@quantize.check("shared weights stay shared, and layers in skip stay as they are")
def _():
    made = quantization.quantize(Tied(), skip=["rest.0"])
    kinds = [type(layer).__name__ for layer in (made.table, made.rest[0], made.rest[1])]
    see("kinds of (table, rest.0, rest.1) with skip=['rest.0']", kinds).gives(
        ["QuantizedEmbedding", "Linear", "QuantizedLinear"]
    )
    see("table and rest.1 share their integers", made.table.weight is made.rest[1].weight).gives(True)


@quantize.check("with batches the inputs get a scale, from the observer that is asked for")
def _():
    batches = [tensor(float32s(0, 5.1).reshape(1, 2)), tensor(float32s(0, 10.2).reshape(1, 2))]
    made = quantization.quantize(small_model(), batches=batches)
    see("input_scale after inputs from 0 to 10.2", made[0].input_scale).gives(np.array(0.04, np.float32))

    def make():
        return quantization.MovingAverageMinMaxObserver(0.5)

    made = quantization.quantize(small_model(), batches=batches, observer=make)
    see("input_scale of a moving average", made[0].input_scale).gives(np.array(0.03, np.float32))
    made = quantization.quantize(small_model())
    see("input_scale without batches", made[0].input_scale).gives(None)
