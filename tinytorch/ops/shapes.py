"""Other ways to see and to combine the same numbers: all made of module 01's reshape, permute, cat and getitem."""

import numpy as np

from ..core.tensor import cat, reshape


def flatten(a, start_dim=0, end_dim=-1):
    """Merge the dimensions from `start_dim` to `end_dim`, both included, into one."""
    start, end = (range(max(a.ndim, 1))[d] for d in (start_dim, end_dim))
    size = a.shape[start : end + 1]
    return reshape(a, (*a.shape[:start], int(np.prod(size)), *a.shape[end + 1 :]))


def squeeze(a, dim=None):
    """Drop the dimensions of size 1: all of them, or only those named."""
    named = range(a.ndim) if dim is None else {range(a.ndim)[d] for d in (dim if isinstance(dim, tuple) else (dim,))}
    return reshape(a, tuple(size for i, size in enumerate(a.shape) if size != 1 or i not in named))


def unsqueeze(a, dim):
    """Insert a dimension of size 1 before position `dim`."""
    position = range(a.ndim + 1)[dim]
    return reshape(a, (*a.shape[:position], 1, *a.shape[position:]))


def stack(tensors, dim=0):
    """Join tensors of one shape along a new dimension."""
    return cat([unsqueeze(t, dim) for t in tensors], dim)
