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
from math import erfc, pi, sqrt

import numpy as np

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
    out = normal_cdf(x, approximate)
    return np.multiply(x, out, out=out)


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


def normal_cdf(x, approximate="none"):
    """Phi(x), the normal distribution function: to 2e-7 for float32, through math.erfc for other dtypes."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is 'none' or 'tanh', {approximate!r} came")
    if approximate == "none" and x.dtype != float32:
        cdf = [erfc(-sqrt(0.5) * number) / 2 for number in x.ravel().tolist()]
        return np.array(cdf, x.dtype, like=x).reshape(x.shape)
    *lower, highest = _exact_exponent if approximate == "none" else _tanh_exponent
    out = np.full_like(x, highest)
    with np.errstate(over="ignore"):
        square = x * x
        for coefficient in reversed(lower):
            out *= square
            out += coefficient
        out *= x
        np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


# Softmax: numbers into probabilities.


@op
def softmax(input, dim):
    """exp(x_i) / sum_j exp(x_j) along `dim`: positive numbers that sum to 1.

    A constant added to all x cancels, so the largest x is taken away first and no exponent is above 0.
    Where all of them are -inf the answer is nan, as in PyTorch.
    """
    out = below_largest(input, dim)
    np.exp(out, out=out)
    out /= out.sum(dim, keepdims=True)
    return out


@op
def log_softmax(input, dim):
    """The logarithm of softmax, x_i - log sum_j exp(x_j): finite where softmax itself rounds to 0."""
    out = below_largest(input, dim)
    if out.size:  # the logarithm of no sum would warn
        out -= np.log(np.exp(out).sum(dim, keepdims=True))
    return out


def below_largest(x, dim):
    """x - max(x) along `dim`; in a row of -inf, nan without a warning."""
    x = floating(x)
    with np.errstate(invalid="ignore"):
        return np.subtract(x, x.max(dim, keepdims=True, initial=-np.inf), out=np.empty_like(x))


# What they share.


def floating(x):
    """x, or float32 if it holds integers or bools."""
    return x if x.dtype.kind == "f" else x.astype(float32)


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
