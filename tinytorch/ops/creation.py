"""More ways to make a tensor."""

import numpy as np

from ..core.tensor import as_size, finish, float32, int64, tensor


def full(size, fill_value, dtype=None, device=None, requires_grad=False):
    """A tensor in which every number is `fill_value`."""
    return finish(np.full(as_size((size,)), tensor(fill_value, dtype).array), None, device, requires_grad)


def arange(start, end=None, step=1, dtype=None, device=None, requires_grad=False):
    """The numbers start, start + step, … below `end`: int64 for ints, else float32; arange(n) starts at 0."""
    start, end = (0, start) if end is None else (start, end)
    dtype = dtype or (int64 if all(isinstance(n, int) for n in (start, end, step)) else float32)
    return finish(np.arange(start, end, step).astype(dtype), None, device, requires_grad)
