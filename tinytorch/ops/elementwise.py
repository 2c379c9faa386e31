"""Elementwise Ops beyond the ones that module 01 builds, with their derivatives beside them.

Two inputs broadcast. A derivative that is zero wherever it exists (floor, sign, …) is zero, as in PyTorch.
"""

import numpy as np

from ..core import tensor as t
from ..core.autograd import derivative
from ..core.tensor import div, elementwise, mul, op


def zero(g):
    return np.zeros_like(g)


abs = elementwise("abs", np.absolute)
sin, cos, tan = elementwise("sin", np.sin), elementwise("cos", np.cos), elementwise("tan", np.tan)
asin, acos = elementwise("asin", np.arcsin), elementwise("acos", np.arccos)
atan, sinh = elementwise("atan", np.arctan), elementwise("sinh", np.sinh)
cosh = elementwise("cosh", np.cosh)
expm1, log1p = elementwise("expm1", np.expm1), elementwise("log1p", np.log1p)
log2, log10 = elementwise("log2", np.log2), elementwise("log10", np.log10)
square = elementwise("square", np.square)
sign, floor, ceil = elementwise("sign", np.sign), elementwise("floor", np.floor), elementwise("ceil", np.ceil)
trunc = elementwise("trunc", np.trunc)
isnan, isinf = elementwise("isnan", np.isnan), elementwise("isinf", np.isinf)
isfinite = elementwise("isfinite", np.isfinite)

derivative(abs, lambda g, a: g * np.sign(a))
derivative(sin, lambda g, a: g * np.cos(a))
derivative(cos, lambda g, a: g * -np.sin(a))
derivative(tan, lambda g, out: g * (1 + np.square(out)))
derivative(asin, lambda g, a: g / np.sqrt(1 - a * a))
derivative(acos, lambda g, a: -g / np.sqrt(1 - a * a))
derivative(atan, lambda g, a: g / (1 + a * a))
derivative(sinh, lambda g, a: g * np.cosh(a))
derivative(cosh, lambda g, a: g * np.sinh(a))
derivative(expm1, lambda g, out: g * (out + 1))
derivative(log1p, lambda g, a: g / (a + 1))
derivative(log2, lambda g, a: g / (a * float(np.log(2))))
derivative(log10, lambda g, a: g / (a * float(np.log(10))))
derivative(square, lambda g, a: g * (2 * a))
for step in (sign, floor, ceil, trunc):
    derivative(step, zero)


@op
def rsqrt(a):
    """Elementwise 1 / sqrt(a)."""
    with np.errstate(all="ignore"):
        return 1 / t.sqrt.fn(a)


@op
def reciprocal(a):
    """Elementwise 1 / a."""
    with np.errstate(all="ignore"):
        return 1 / a


@op
def round(a, decimals=0):
    """Elementwise nearest number with `decimals` places after the point; halves go to the even neighbour."""
    return np.round(a, decimals)


derivative(rsqrt, lambda g, out: g * (-0.5 * out * out * out))
derivative(reciprocal, lambda g, out: -g * out * out)
derivative(round, zero)

# Two operands.

atan2 = elementwise("atan2", np.arctan2)
fmod, remainder = elementwise("fmod", np.fmod), elementwise("remainder", np.remainder)
floor_divide = elementwise("floor_divide", np.floor_divide)
maximum, minimum = elementwise("maximum", np.maximum), elementwise("minimum", np.minimum)
logical_and, logical_or = elementwise("logical_and", np.logical_and), elementwise("logical_or", np.logical_or)
logical_xor = elementwise("logical_xor", np.logical_xor)
logical_not = elementwise("logical_not", np.logical_not)
bitwise_and, bitwise_or = elementwise("bitwise_and", np.bitwise_and), elementwise("bitwise_or", np.bitwise_or)
bitwise_xor, bitwise_not = elementwise("bitwise_xor", np.bitwise_xor), elementwise("bitwise_not", np.invert)

derivative(atan2, lambda g, a, b: g * (b / (a * a + b * b)), lambda g, a, b: g * (-a / (a * a + b * b)))
derivative(fmod, lambda g: g, lambda g, a, b: -g * np.trunc(a / b))
derivative(remainder, lambda g: g, lambda g, a, b: -g * np.floor(a / b))


def winner(wins):
    """The derivative of a maximum or minimum with respect to `mine`; a tie is shared, as in PyTorch."""

    def share(g, mine, other):
        return g * (wins(mine, other) + 0.5 * np.equal(mine, other)).astype(g.dtype)

    return share


larger, smaller = winner(np.greater), winner(np.less)
derivative(maximum, lambda g, a, b: larger(g, a, b), lambda g, a, b: larger(g, b, a))
derivative(minimum, lambda g, a, b: smaller(g, a, b), lambda g, a, b: smaller(g, b, a))


@op
def clamp(a, min=None, max=None):
    """Elementwise a, held between `min` and `max` (numbers or Tensors; None leaves a side open).

    Where min > max the result is max. At the bounds themselves the gradient belongs to a.
    """
    if min is None and max is None:
        raise ValueError("at least one of min and max must be given")
    held = a if min is None else np.maximum(a, min)
    return held if max is None else np.minimum(held, max)


def clamp_a(g, a, min, max):
    inside = True if min is None else np.greater_equal(a, min)
    return g * (inside if max is None else inside & np.less_equal(a, max))


def clamp_min(g, a, min, max):
    used = np.less(a, min)
    return g * (used if max is None else used & np.less(min, max))


def clamp_max(g, a, min, max):
    return g * np.greater(a if min is None else np.maximum(a, min), max)


derivative(clamp, clamp_a, clamp_min, clamp_max)


@op
def isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Elementwise |a - b| <= atol + rtol·|b|, as bools."""
    return np.isclose(a, b, rtol, atol, equal_nan)


def allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Are all elements close (`isclose`)? A Python bool."""
    return bool(isclose(a, b, rtol, atol, equal_nan).array.all())


def equal(a, b):
    """Have two tensors the same shape and the same numbers? A Python bool."""
    return a.shape == b.shape and bool(t.eq(a, b).array.all())


# PyTorch's forms of module 01's arithmetic with a factor or a rounding.


def add(a, other, alpha=1):
    """a + alpha·other."""
    return t.add(a, other if alpha == 1 else mul(other, alpha))


def sub(a, other, alpha=1):
    """a - alpha·other."""
    return t.sub(a, other if alpha == 1 else mul(other, alpha))


def divide(a, other, rounding_mode=None):
    """a / other; `rounding_mode` "floor" or "trunc" rounds down or towards zero."""
    if rounding_mode not in (None, "floor", "trunc"):
        raise ValueError(f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}")
    if rounding_mode == "floor":
        return floor_divide(a, other)
    if rounding_mode is None:
        return div(a, other)
    rest = fmod(a, other)
    return trunc(div(a, other)) if rest.dtype.kind == "f" else floor_divide(t.sub(a, rest), other)


def addcmul(a, tensor1, tensor2, value=1):
    """a + value·tensor1·tensor2."""
    return add(a, mul(tensor1, tensor2), value)


def addcdiv(a, tensor1, tensor2, value=1):
    """a + value·tensor1/tensor2."""
    return add(a, div(tensor1, tensor2), value)


def lerp(a, end, weight):
    """a + weight·(end - a): a at weight 0, `end` at weight 1."""
    return t.add(a, mul(t.sub(end, a), weight))
