"""Reductions beyond sum, mean, var, amax and argmax, and running ones, with their derivatives beside them."""

from collections import namedtuple

import numpy as np

from ..core.autograd import among_ties, derivative, restored, var_a
from ..core.tensor import Tensor, amax, argmax, axes, int64, op
from ..core.tensor import var as variance
from .elementwise import maximum, minimum
from .selection import gather
from .shapes import squeeze


def accumulator(a):
    """The dtype in which sums and products of a are held: int64 for integers and bools."""
    return int64 if a.dtype.kind in "iub" else None


@op
def amin(a, dim=None, keepdim=False):
    """Smallest value over `dim`; ties share the gradient evenly."""
    return np.min(a, axis=axes(dim), keepdims=keepdim)


@op
def argmin(a, dim=None, keepdim=False):
    """Position of the first smallest value: int64, of the flattened tensor when `dim` is None."""
    return np.argmin(a, axis=dim, keepdims=keepdim).astype(int64, copy=False)


@op
def any(a, dim=None, keepdim=False):
    """Is at least one value over `dim` not zero?"""
    return np.any(a, axis=axes(dim), keepdims=keepdim)


@op
def all(a, dim=None, keepdim=False):
    """Are all values over `dim` different from zero? True over nothing."""
    return np.all(a, axis=axes(dim), keepdims=keepdim)


@op
def deviation(a, dim, correction, keepdim):
    """The square root of `variance`; its gradient at 0 is 0."""
    return np.sqrt(variance.fn(a, dim, correction, keepdim))


@op
def prod(a, dim=None, keepdim=False):
    """Product over `dim` (an int, or None for all); integers and bools give int64."""
    return np.prod(a, axis=dim, keepdims=keepdim, dtype=accumulator(a))


@op
def cumsum(a, dim):
    """Running sum along one dimension."""
    return np.cumsum(a, axis=required(dim), dtype=accumulator(a))


@op
def cumprod(a, dim):
    """Running product along one dimension."""
    return np.cumprod(a, axis=required(dim), dtype=accumulator(a))


@op
def logsumexp(a, dim, keepdim=False):
    """log(sum(exp(a))) over `dim`, without overflow."""
    dim = axes(required(dim))
    largest = np.max(a, axis=dim, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0).astype(largest.dtype, copy=False)
    with np.errstate(divide="ignore"):
        out = np.log(np.sum(np.exp(a - shift), axis=dim, keepdims=True)) + shift
    return out if keepdim else np.squeeze(out, dim)


@op
def norm(a, p="fro", dim=None, keepdim=False):
    """The p-norm (sum |a|^p)^(1/p) over `dim`: "fro" is 2; ±inf give the extreme, 0 counts non-zeros."""
    p, dim = exponent_of(p), axes(dim)
    if p == 2:
        return np.sqrt(np.sum(np.square(a), axis=dim, keepdims=keepdim))
    size = np.abs(a)
    if abs(p) == np.inf:
        return (np.max if p > 0 else np.min)(size, axis=dim, keepdims=keepdim)
    if p == 0:
        return np.sum(a != 0, axis=dim, keepdims=keepdim).astype(a.dtype)
    return np.sum(size**p, axis=dim, keepdims=keepdim) ** (1 / p)


def required(dim):
    if dim is None:
        raise TypeError("dim is needed: an int")
    return dim


def exponent_of(p):
    """The number behind a norm's name."""
    if p != "fro" and not isinstance(p, (int, float)):
        raise ValueError(f"p is a number or 'fro', not {p!r}")
    return 2.0 if p == "fro" else float(p)


def deviation_a(g, out, a, dim, correction, keepdim):
    return var_a(np.where(out == 0, 0, g / (2 * out)), a, dim, correction, keepdim)


def products_of_others(a, axis):
    """For each element the product of all others along `axis`; without a division, zeros are no exception."""
    if not a.size:
        return a.copy()
    ones = np.ones_like(a, shape=(*a.shape[:axis], 1, *a.shape[axis + 1 :]))
    but_last, but_first = ([slice(None)] * a.ndim for _ in range(2))
    but_last[axis], but_first[axis] = slice(None, -1), slice(1, None)
    before = np.cumprod(np.concatenate([ones, a[tuple(but_last)]], axis), axis)
    after = np.cumprod(np.concatenate([ones, np.flip(a[tuple(but_first)], axis)], axis), axis)
    return before * np.flip(after, axis)


def prod_a(g, a, dim, keepdim):
    if dim is None:
        return g.reshape((1,) * a.ndim) * products_of_others(a.reshape(-1), 0).reshape(a.shape)
    return restored(g, a.shape, dim, keepdim) * products_of_others(a, dim % a.ndim)


def reversed_cumsum(g, dim):
    return np.flip(np.cumsum(np.flip(g, dim), axis=dim), dim)


def norm_a(g, out, a, p, dim, keepdim):
    p, dim = exponent_of(p), axes(dim)
    if abs(p) == np.inf:
        return np.sign(a) * among_ties(g, out, np.abs(a), dim, keepdim)
    out, g = restored(out, a.shape, dim, keepdim), restored(g, a.shape, dim, keepdim)
    if p == 0:
        return np.zeros_like(a)
    if p == 1:
        return np.sign(a) * g
    slope = a if p == 2 else np.sign(a) * np.abs(a) ** (p - 1)
    return slope * np.where(out == 0, 0, g / out ** (p - 1))


derivative(amin, among_ties)
derivative(deviation, deviation_a)
derivative(prod, prod_a)
derivative(cumsum, reversed_cumsum)
derivative(
    logsumexp,
    lambda g, out, a, dim, keepdim: (
        restored(g, a.shape, axes(dim), keepdim) * np.exp(a - restored(out, a.shape, axes(dim), keepdim))
    ),
)
derivative(norm, norm_a)


# PyTorch's other ways to call: `unbiased` for the correction, max and min in three forms.


def var(a, dim=None, unbiased=True, keepdim=False, correction=None):
    """Variance over `dim`, divided by n - correction; `unbiased` False is correction 0."""
    return variance(a, dim, int(unbiased) if correction is None else correction, keepdim)


def std(a, dim=None, unbiased=True, keepdim=False, correction=None):
    """Standard deviation over `dim`: the square root of `var`; its gradient at 0 is 0."""
    return deviation(a, dim, int(unbiased) if correction is None else correction, keepdim)


Extremum = namedtuple("Extremum", "values indices")


def max(a, dim=None, keepdim=False):
    """Largest value of all; with `dim` an int, (values, indices) along it; with a Tensor, `maximum`."""
    return _extremum(amax, argmax, maximum, a, dim, keepdim)


def min(a, dim=None, keepdim=False):
    """Smallest value of all; with `dim` an int, (values, indices) along it; with a Tensor, `minimum`."""
    return _extremum(amin, argmin, minimum, a, dim, keepdim)


def _extremum(reduce, position, elementwise, a, dim, keepdim):
    if dim is None:
        return reduce(a)
    if isinstance(dim, Tensor):
        return elementwise(a, dim)
    indices = position(a, dim, True)
    values = gather(a, dim, indices)
    return Extremum(values, indices) if keepdim else Extremum(squeeze(values, dim), squeeze(indices, dim))
