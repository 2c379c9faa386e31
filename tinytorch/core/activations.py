"""02 Activations: the bends between the matrices, and softmax, which makes probabilities of numbers.

    relu(x)       = max(x, 0)                leaky_relu(x) = x for x > 0, else slope * x
    sigmoid(x)    = 1 / (1 + exp(-x))        tanh(x)       = 2 sigmoid(2x) - 1
    silu(x)       = x sigmoid(x)             softplus(x)   = log(1 + exp(x))
    gelu(x)       = x Phi(x), where Phi is the normal distribution function
    softmax(x)_i  = exp(x_i) / sum_j exp(x_j)

Each is an Op: a function of one array, as large as its input. An activation does little arithmetic and much
walking through memory, so most of them work with `out=` in the memory of their first intermediate result.

Names and arguments follow torch.nn.functional: https://docs.pytorch.org/docs/stable/nn.functional.html
"""

from functools import cache
from math import erfc, pi, prod, sqrt

import numpy as np

from ..utils.threads import parallel
from .tensor import float32, op

# The ones that bend.


@op
def relu(input):
    """max(x, 0), elementwise. nan stays nan.

    Nair and Hinton 2010, https://www.cs.toronto.edu/~fritz/absps/reluICML.pdf
    """
    return np.maximum(input, zeros_beside(input))


@op
def leaky_relu(input, negative_slope=0.01):
    """x where x > 0, else negative_slope * x: the larger of the two, or the smaller for a slope above 1."""
    larger = np.maximum if negative_slope <= 1 else np.minimum
    return larger(input, input * negative_slope)


# The ones that squash.


@op
def sigmoid(input):
    """1 / (1 + exp(-x)): any number to one between 0 and 1.

    Far on the left exp(-x) overflows to inf, and 1 / (1 + inf) = 0 is the right answer: the overflow is
    harmless, so it is silenced rather than avoided.
    """
    x = floating(input)
    out = np.negative(x, out=np.empty_like(x))
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


@op
def tanh(input):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)): any number to one between -1 and 1."""
    return np.tanh(input)


# The smooth bends.


@op
def silu(input):
    """x * sigmoid(x), also called swish: Elfwing et al. 2017, https://arxiv.org/abs/1702.03118"""
    x = floating(input)
    out = np.negative(x, out=np.empty_like(x))
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.divide(x, out, out=out)


@op
def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta * x)) / beta, a smooth relu; x itself where beta * x > threshold.

    log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), in which no exponent is above 0.
    """
    x = floating(input)
    z = x * beta
    smooth = (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))) / beta
    return np.where(z > threshold, x, smooth)


@op
def gelu(input, approximate="none"):
    """x * Phi(x): each number weighted with the probability that a normal variable is below it.

    approximate="tanh" replaces Phi(x) by (1 + tanh(z)) / 2 with z = sqrt(2 / pi) (x + 0.044715 x^3).
    Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415
    """
    x = floating(input)
    return in_tiles(lambda out, x: np.multiply(x, normal_cdf(x, approximate, out), out=out), x)


# (1 + tanh z) / 2 is 1 / (1 + exp(-2z)), and with a few more powers of x in z it is Phi to the accuracy of
# float32. Below, -2z / x in powers of x^2: two coefficients for "tanh", and the seven that make the largest
# error of Phi on [-5.5, 5.5] as small as it can be, 3e-8. Beyond 5.5 both go to 0 and 1 as Phi does.
_tanh_exponent = -2 * sqrt(2 / pi), -2 * sqrt(2 / pi) * 0.044715
_exact_exponent = (
    -1.595769883,
    -7.266616913e-2,
    6.518993323e-5,
    1.106123934e-4,
    -7.929489656e-6,
    2.645267277e-7,
    -3.512342483e-9,
)


def normal_cdf(x, approximate="none", out=None):
    """Phi(x), the normal distribution function: to 2e-7 for float32, through math.erfc for other dtypes."""
    out = np.empty_like(x) if out is None else out
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is 'none' or 'tanh', {approximate!r} came")
    if approximate == "none" and x.dtype != float32:
        cdf = [erfc(-sqrt(0.5) * number) / 2 for number in x.ravel().tolist()]
        out[...] = np.array(cdf, x.dtype, like=x).reshape(x.shape)
        return out
    *lower, highest = _exact_exponent if approximate == "none" else _tanh_exponent
    square = x * x
    np.multiply(square, highest, out=out)
    for coefficient in lower[:0:-1]:
        out += coefficient
        out *= square
    out += lower[0]
    out *= x
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


# Softmax: numbers into probabilities.


@op
def softmax(input, dim):
    """exp(x_i) / sum_j exp(x_j) along `dim`: positive numbers that sum to 1.

    Where all x are -inf the answer is nan, as in PyTorch.
    """

    def divided(rows, out):
        sums, _ = exponentials(rows, out)
        in_row_tiles(lambda out, sums: np.multiply(out, 1 / sums, out=out), out, sums)

    return along(dim, divided, floating(input))


@op
def log_softmax(input, dim):
    """The logarithm of softmax, x_i - log sum_j exp(x_j): finite where softmax itself rounds to 0."""

    def without(out, x, s, m):
        np.subtract(x, m, out=out)  # first: beside a large m the digits of log(s) would be lost
        out -= np.log(s)

    def subtracted(rows, out):
        sums, largest = exponentials(rows, out)
        in_row_tiles(without, out, rows, sums, largest)

    return along(dim, subtracted, floating(input))


def exponentials(x, out):
    """exp(x - m) for each row of a matrix, in `out`; returns its row sums and m, both (rows, 1).

    A constant m taken from all x of a row cancels in softmax. The largest x keeps exp from overflowing, but
    looking for it takes longer than exp. So m is 0 at first, and the largest x only if a sum shows that
    this went out of range: in between nothing is lost, a float being as exact at one size as at another.
    """
    sums, largest = np.empty_like(x, shape=(len(x), 1)), np.zeros_like(x, shape=(len(x), 1))

    def exp(x, out, sums):
        np.exp(x, out=out)
        sums[...] = row_sums(out)

    in_row_tiles(exp, x, out, sums)
    if not ((sums > 1e-4) & (sums < 1e30)).all():
        with np.errstate(invalid="ignore"):  # -inf - -inf
            largest = x.max(-1, keepdims=True) if x.shape[-1] else largest
            np.exp(np.subtract(x, largest, out=out), out=out)
        sums = row_sums(out)
    return sums, largest


def row_sums(x):
    """The sum of each row, (rows, 1): as a product with ones, which runs at the speed of memory."""
    if x.dtype.itemsize < 4:
        return x.sum(-1, keepdims=True)
    return x @ (ones_of(x.dtype, x.shape[1]) if isinstance(x, np.ndarray) else np.ones_like(x[:1]).T)


def along(dim, function, *arrays):
    """A new array in which function(*rows, out) writes, for arrays of one shape: rows and out are matrices
    that have the numbers along `dim` as their rows.
    """
    first = arrays[0]
    if first.ndim and dim not in (-1, first.ndim - 1):
        moved = along(-1, function, *(np.moveaxis(a, dim, -1) for a in arrays))
        return np.ascontiguousarray(np.moveaxis(moved, -1, dim), like=moved)
    out, shape = (
        np.empty_like(first, order="C"),
        (prod(first.shape[:-1]), first.shape[-1] if first.ndim else 1),
    )
    function(*(np.ascontiguousarray(a, like=a).reshape(shape) for a in arrays), out.reshape(shape))
    return out


# What they share.


def floating(x):
    """x, or float32 if it holds integers or bools."""
    return x if x.dtype.kind == "f" else x.astype(float32)


def in_tiles(function, x, *others):
    """A new array in which function(out, x, *others) writes, for arrays of one shape; see in_row_tiles."""
    out = np.empty_like(x)  # lies in memory as x does, whose dimensions may be permuted
    order = sorted(range(x.ndim), key=lambda dim: -out.strides[dim])
    in_row_tiles(function, *(a.transpose(order).reshape(-1, 1) for a in (out, x, *others)))
    return out


def in_row_tiles(function, *matrices):
    """Call function on the same rows of each matrix, half a megabyte at a time: what several passes go over
    stays in the cache. Threads share the work. inf and nan come without a warning.
    """
    rows, width = len(matrices[0]), max(matrix.shape[1] for matrix in matrices)
    step = max(1, tile_size // max(width, 1)) if isinstance(matrices[0], np.ndarray) else max(rows, 1)

    def work(start, stop):
        with np.errstate(all="ignore"):
            for i in range(start, stop, step):
                part = slice(i, min(i + step, stop))
                function(*[matrix[part] for matrix in matrices])

    parallel(work, rows, grain=step)


tile_size = 131072  # numbers


def zeros_beside(x):
    """The 0 to compare x with: a row of zeros where rows are wide, which np.maximum takes 2 times as fast."""
    width = x.size // len(x) if x.ndim > 1 and len(x) else 0
    if not 256 <= width <= zeros_size or not isinstance(x, np.ndarray):
        return 0
    # The zeros lie in memory as the row does, whose dimensions may be permuted.
    order = sorted(range(x.ndim - 1), key=lambda dim: -x.strides[dim + 1])
    row = zeros_of(x.dtype)[:width].reshape([x.shape[dim + 1] for dim in order])
    return row.transpose(np.argsort(order))


zeros_size = 65536


@cache
def zeros_of(dtype):
    return np.zeros(zeros_size, dtype)


@cache
def ones_of(dtype, size):
    return np.ones((size, 1), dtype)
