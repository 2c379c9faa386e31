"""Picking, placing and ordering elements by position or by condition, with the derivatives beside the Ops."""

from collections import namedtuple

import numpy as np

from ..core.autograd import added_up, derivative
from ..core.tensor import Tensor, getitem, int64, op, prod, where, wrap

# Along one dimension, `index` names a position for every element of the result.


def covered(shape, dim, index):
    """The part of a tensor of `shape` that `index` runs over along `dim`, as slices; an error if it can't."""
    if len(shape) != index.ndim:
        raise ValueError(f"index has {index.ndim} dimensions and the tensor {len(shape)}; they must agree")
    if index.size and (index.max() >= shape[dim] or index.min() < 0):
        span = f"index runs from {index.min()} to {index.max()}"
        raise IndexError(f"{span}, dimension {dim} of size {shape[dim]} allows 0 to {shape[dim] - 1}")
    return tuple(slice(None) if d == dim % len(shape) else slice(n) for d, n in enumerate(index.shape))


def places_of(shape, dim, index):
    """For each element of `index` the row-major place in `shape` that gather reads and scatter writes."""
    part = covered(shape, dim, index)
    return np.take_along_axis(np.arange(prod(shape), like=index).reshape(shape)[part], index, axis=dim)


@op
def gather(a, dim, index):
    """Pick along one dimension: out[i][j] = a[i][index[i][j]] for dim=1. `index` is int64, of a's rank."""
    return np.take_along_axis(a[covered(a.shape, dim, index)], index, axis=dim)


@op
def scatter(a, dim, index, src):
    """A copy of a with out[i][index[i][j]] = src[i][j] for dim=1; `src` is a tensor or a number.

    Where `index` repeats a position, the last value stays and only unique positions have a right gradient.
    """
    places = places_of(a.shape, dim, index)
    out = a.copy()
    out.reshape(-1)[places] = covered_by(src, index.shape)
    return out


@op
def scatter_add(a, dim, index, src):
    """A copy of a with src[i][j] added to out[i][index[i][j]] for dim=1."""
    places = places_of(a.shape, dim, index)
    out = a.copy()
    np.add.at(out.reshape(-1), places.reshape(-1), covered_by(src, index.shape).reshape(-1))
    return out


def covered_by(src, shape):
    """The part of `src` that an index of this shape uses; a number serves every position."""
    return src[tuple(slice(n) for n in shape)] if getattr(src, "ndim", 0) else src


def uncovered(g, src_shape, index):
    """A gradient of covered_by(src) in the shape of src."""
    d = np.zeros_like(g, shape=src_shape)
    d[tuple(slice(n) for n in index.shape)] = g
    return d


def picked(g, dim, index, src_shape):
    d = gather.fn(g, dim, index)
    return d if not src_shape else uncovered(d, src_shape, index)


def unscattered(g, dim, index):
    d = g.copy()
    d.reshape(-1)[places_of(g.shape, dim, index)] = 0
    return d


derivative(gather, lambda g, a_shape, dim, index: added_up(places_of(a_shape, dim, index), g, a_shape))
derivative(scatter, unscattered, None, None, picked)
derivative(scatter_add, lambda g: g, None, None, picked)


# Whole slices along one dimension, named by a 1-d index.


@op
def index_select(a, dim, index):
    """The slices of a at the positions in `index`, in that order."""
    return np.take(a, vector(index), axis=dim)


@op
def index_add(a, dim, index, source, alpha=1):
    """A copy of a in which alpha·source[i] is added to the slice number index[i] along `dim`."""
    out = a.copy()
    np.add.at(np.moveaxis(out, dim, 0), vector(index), np.moveaxis(source, dim, 0) * alpha)
    return out


@op
def index_fill(a, dim, index, value):
    """A copy of a with a number in the slices at the positions in `index`."""
    out = a.copy()
    np.moveaxis(out, dim, 0)[vector(index)] = value
    return out


def vector(index):
    if index.ndim > 1:
        raise ValueError(f"index needs one dimension, it has {index.ndim}")
    return index


def summed_slices(g, a_shape, dim, index):
    places = np.arange(prod(a_shape), like=index).reshape(a_shape)
    return added_up(np.take(places, index, axis=dim), g, a_shape)


derivative(index_select, summed_slices)
derivative(
    index_add, lambda g: g, None, None, lambda g, dim, index, alpha: np.take(g, index, axis=dim) * alpha
)
derivative(index_fill, lambda g, dim, index: index_fill.fn(g, dim, index, 0))


# By condition.


@op
def masked_fill(a, mask, value):
    """a with `value` (a number or a 0-d tensor) wherever the bools of `mask` hold."""
    if mask.dtype != bool:
        raise TypeError(f"mask needs bools, it is {mask.dtype}")
    out = np.broadcast_to(a, np.broadcast_shapes(a.shape, mask.shape)).copy()
    np.copyto(out, value, where=mask, casting="same_kind")
    return out


derivative(
    masked_fill,
    lambda g, mask: masked_fill.fn(g, mask, 0),
    None,
    lambda g, mask: masked_fill.fn(g, ~mask, 0),
)


def masked_select(a, mask):
    """The elements where `mask` holds, as a vector; a and mask broadcast."""
    shape = np.broadcast_shapes(a.shape, mask.shape)
    return getitem(a.expand(shape), mask.expand(shape))


def where_of(condition, a=None, b=None):
    """Elementwise a where `condition` holds, else b; the positions where it holds when given alone."""
    return nonzero(condition, as_tuple=True) if a is None and b is None else where(condition, a, b)


def where_method(a, condition, other):
    """a where `condition` holds, else `other`."""
    return where(condition, a, other)


@op
def positions(a):
    """The indices of the elements that are not zero, one row each."""
    return np.argwhere(a).astype(int64, copy=False)


def nonzero(a, as_tuple=False):
    """The indices of the elements that are not zero: (n, ndim), or a tuple of one vector a dimension."""
    rows = positions(a)
    return tuple(rows[:, d] for d in range(a.ndim)) if as_tuple else rows


# In order.

Ordered = namedtuple("Ordered", "values indices")


@op
def argsort(a, dim=-1, descending=False, stable=True):
    """The positions that would sort a along `dim`; equal elements keep their order, nan is the largest."""
    if not descending:
        return np.argsort(a, axis=dim, kind="stable").astype(int64, copy=False)
    last = (a.shape[dim] if a.ndim else 1) - 1
    backwards = np.argsort(np.flip(a, dim if a.ndim else None), axis=dim, kind="stable")
    return np.flip(last - backwards, dim if a.ndim else None).astype(int64)


def sort(a, dim=-1, descending=False, stable=True):
    """(values, indices) of a in order along `dim`."""
    indices = argsort(a, dim, descending)
    return Ordered(gather(a, dim, indices) if a.ndim else a, indices)


@op
def positions_of_extremes(a, k, dim=-1, largest=True):
    """The positions of the k largest, or smallest, elements along `dim`, in no order."""
    if not a.ndim or not 0 <= k <= a.shape[dim]:
        raise ValueError(f"k must be between 0 and the size of dimension {dim}")
    if k in (0, a.shape[dim]):
        order = np.argsort(a, axis=dim, kind="stable")
    else:
        order = np.argpartition(a, -k if largest else k - 1, axis=dim)
    order = np.moveaxis(order, dim, 0)
    return np.moveaxis(order[len(order) - k :] if largest else order[:k], 0, dim).astype(int64)


def topk(a, k, dim=-1, largest=True, sorted=True):
    """(values, indices) of the k largest, or smallest, elements along `dim`, the most extreme first."""
    found = positions_of_extremes(a, k, dim, largest)
    indices = gather(found, dim, argsort(gather(wrap(a.array), dim, found), dim, descending=largest))
    return Ordered(gather(a, dim, indices), indices)


@op
def distinct(a, dim=None):
    """The distinct elements in order; with `dim`, the distinct slices."""
    return np.unique(a, axis=dim)


def unique(a, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements in order; if asked, the position of each element among them and the counts."""
    values = distinct(a, dim)
    if not return_inverse and not return_counts:
        return values
    _, inverse, counts = np.unique(a.array, return_inverse=True, return_counts=True, axis=dim)
    extras = [(return_inverse, inverse), (return_counts, counts)]
    return (values, *(wrap(extra.astype(int64)) for wanted, extra in extras if wanted))


def contains(a, element):
    """Is `element` (a number or a tensor that broadcasts) somewhere in a?"""
    if not isinstance(element, (Tensor, int, float)):
        raise TypeError(f"in: a number or a tensor is needed, not {type(element).__name__}")
    return bool((wrap(a.array) == element).array.any())
