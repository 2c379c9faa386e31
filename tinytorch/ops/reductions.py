"""Reductions beyond sum, mean, var, amax and argmax, with their derivatives beside them."""

from collections import namedtuple

import numpy as np

from ..core.autograd import among_ties, derivative
from ..core.tensor import Tensor, amax, argmax, op, sqrt, var
from .elementwise import maximum, minimum
from .shapes import squeeze


@op
def amin(a, dim=None, keepdim=False):
    """Smallest value over `dim`; ties share the gradient evenly."""
    return np.min(a, axis=dim, keepdims=keepdim)


@op
def argmin(a, dim=None, keepdim=False):
    """Position of the first smallest value: int64, of the flattened tensor when `dim` is None."""
    return np.argmin(a, axis=dim, keepdims=keepdim)


@op
def gather(a, dim, index):
    """Pick along one dimension: out[i][j] = a[i][index[i][j]] for dim=1. `index` is int64, of a's rank."""
    if a.ndim != index.ndim:
        raise ValueError(f"index has {index.ndim} dimensions and the input {a.ndim}; they must agree")
    trimmed = a[tuple(slice(None) if d == dim % a.ndim else slice(n) for d, n in enumerate(index.shape))]
    return np.take_along_axis(trimmed, index, axis=dim)


def std(a, dim=None, correction=1, keepdim=False):
    """Standard deviation over `dim`: the square root of `var`."""
    return sqrt(var(a, dim, correction, keepdim))


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
