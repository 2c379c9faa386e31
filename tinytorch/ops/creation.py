"""More ways to make a tensor: from arrays, from a pattern, like another one, at random."""

import numpy as np

from ..core.tensor import (
    Tensor,
    _random,
    as_size,
    bool_,
    default_generator,
    finish,
    float32,
    int64,
    tensor,
    to_array,
    wrap,
)
from .placement import to


def from_numpy(array):
    """A tensor on the same memory as a NumPy array: a change of one is seen in the other."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise TypeError(f"from_numpy: an array of numbers or bools is needed, not {type(array).__name__}")
    return wrap(array)


def as_tensor(data, dtype=None, device=None):
    """`tensor`, without a copy where data is a tensor or an array and nothing has to be converted."""
    if isinstance(data, Tensor):
        return to(data, dtype=dtype, device=device)
    if isinstance(data, np.ndarray):
        return finish(from_numpy(data).array, dtype, device)
    return tensor(data, dtype, device)


def dtype_of_number(value):
    """The default dtype for a number: float32, int64 or bool."""
    array = to_array(value)
    return {"f": float32, "i": int64, "b": bool_}[np.asarray(array).dtype.kind]


def full(size, fill_value, dtype=None, device=None, requires_grad=False):
    """A tensor in which every number is `fill_value`."""
    dtype = dtype_of_number(fill_value) if dtype is None else dtype
    return finish(np.full(as_size((size,)), to_array(fill_value), dtype), None, device, requires_grad)


def empty(*size, dtype=float32, device=None, requires_grad=False):
    """A tensor of whatever numbers are in memory, to be overwritten."""
    return finish(np.empty(as_size(size), dtype), None, device, requires_grad)


def arange(start, end=None, step=1, dtype=None, device=None, requires_grad=False):
    """start, start + step, … before `end`: int64 for ints, else float32; arange(n) starts at 0."""
    start, end = (0, start) if end is None else (start, end)
    ends = [to_array(n) for n in (start, end, step)]
    if not ends[2]:
        raise ValueError("arange: step must not be 0")
    dtype = dtype or (int64 if all(isinstance(n, int) for n in ends) else float32)
    return finish(np.arange(*ends).astype(dtype), None, device, requires_grad)


def linspace(start, end, steps, dtype=float32, device=None, requires_grad=False):
    """`steps` numbers at equal distances, from `start` to `end`, both included."""
    return finish(np.linspace(to_array(start), to_array(end), steps), dtype, device, requires_grad)


def eye(n, m=None, dtype=float32, device=None, requires_grad=False):
    """The identity matrix of n rows and m (by default n) columns."""
    return finish(np.eye(n, m, dtype=dtype), None, device, requires_grad)


# Like another tensor: its shape, and unless told otherwise its dtype and device.


def zeros_like(a, dtype=None, device=None, requires_grad=False):
    """Zeros in the shape, dtype and device of a."""
    return finish(np.zeros_like(a.array, dtype), None, device, requires_grad)


def ones_like(a, dtype=None, device=None, requires_grad=False):
    """Ones in the shape, dtype and device of a."""
    return finish(np.ones_like(a.array, dtype), None, device, requires_grad)


def full_like(a, fill_value, dtype=None, device=None, requires_grad=False):
    """`fill_value` in the shape, dtype and device of a."""
    return finish(np.full_like(a.array, to_array(fill_value), dtype), None, device, requires_grad)


def empty_like(a, dtype=None, device=None, requires_grad=False):
    """Whatever is in memory, in the shape, dtype and device of a."""
    return finish(np.empty_like(a.array, dtype), None, device, requires_grad)


def rand_like(a, generator=None, dtype=None, device=None, requires_grad=False):
    """Uniform random numbers from [0, 1) in the shape, dtype and device of a."""
    return _random("random", a.shape, generator, dtype or a.dtype, device or a.device, requires_grad)


def randn_like(a, generator=None, dtype=None, device=None, requires_grad=False):
    """Normal random numbers in the shape, dtype and device of a."""
    return _random("standard_normal", a.shape, generator, dtype or a.dtype, device or a.device, requires_grad)


# Methods: of the same kind as another tensor, with a shape of their own.


def new_zeros(a, *size, dtype=None, device=None, requires_grad=False):
    """Zeros of this shape in the dtype and on the device of a."""
    return new_full(a, as_size(size), 0, dtype, device, requires_grad)


def new_ones(a, *size, dtype=None, device=None, requires_grad=False):
    """Ones of this shape in the dtype and on the device of a."""
    return new_full(a, as_size(size), 1, dtype, device, requires_grad)


def new_empty(a, *size, dtype=None, device=None, requires_grad=False):
    """Whatever is in memory, in this shape and in the dtype and on the device of a."""
    return empty(*size, dtype=dtype or a.dtype, device=device or a.device, requires_grad=requires_grad)


def new_full(a, size, fill_value, dtype=None, device=None, requires_grad=False):
    """`fill_value` in this shape and in the dtype and on the device of a."""
    return full(size, fill_value, dtype or a.dtype, device or a.device, requires_grad)


def new_tensor(a, data, dtype=None, device=None, requires_grad=False):
    """A copy of `data` in the dtype and on the device of a."""
    return tensor(data, dtype or a.dtype, device or a.device, requires_grad)


# At random. Every function draws from its `generator`, or from the one that manual_seed seeds.


def randint(*bounds, size=None, generator=None, dtype=int64, device=None, requires_grad=False):
    """Random integers from [low, high): randint(high, size) or randint(low, high, size)."""
    *ends, size = bounds if size is None else (*bounds, size)
    low, high = ends if len(ends) == 2 else (0, *ends)
    if low >= high:
        raise ValueError(f"randint: low {low} must be below high {high}")
    drawn = (generator or default_generator).numpy.integers(low, high, as_size((size,)), np.int64)
    return finish(np.asarray(drawn), dtype, device, requires_grad)


def randperm(n, generator=None, dtype=int64, device=None):
    """The numbers 0 to n - 1 in random order."""
    return finish((generator or default_generator).numpy.permutation(n), dtype, device)


def normal(mean=0.0, std=1.0, size=None, generator=None, dtype=None, device=None, requires_grad=False):
    """Normal random numbers with this mean and standard deviation (numbers, or tensors that broadcast)."""
    mean, std = to_array(mean), to_array(std)
    if np.any(np.less(std, 0)):
        raise ValueError("normal: std must not be negative")
    size = np.broadcast_shapes(np.shape(mean), np.shape(std)) if size is None else as_size((size,))
    drawn = _random("standard_normal", size, generator, dtype or float32, None, False).array
    for given in (mean, std):
        drawn = np.asarray(drawn, like=given) if hasattr(given, "dtype") else drawn
    return finish((drawn * std + mean).astype(drawn.dtype, copy=False), None, device, requires_grad)


def bernoulli(a, p=None, generator=None):
    """1 with the probability that a (or the number p) says, else 0, in a's shape and dtype."""
    probabilities = a.detach() if p is None else full_like(a, p)
    if bool(((probabilities.array < 0) | (probabilities.array > 1)).any()):
        raise ValueError("bernoulli: probabilities must lie between 0 and 1")
    return wrap((rand_like(probabilities, generator).array < probabilities.array).astype(a.dtype))


def multinomial(a, num_samples, replacement=False, generator=None):
    """Positions drawn with probabilities in proportion to a's last dimension: int64, (…, num_samples).

    The rows need not sum to 1. Without replacement no position comes twice.
    """
    weights = a.array.astype(np.float64)
    if weights.ndim not in (1, 2):
        raise ValueError(f"multinomial: a vector or a matrix is needed, the shape is {a.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(-1) > 0).all()):
        raise ValueError("multinomial: weights must be finite, not negative, and not all zero")
    draw = (generator or default_generator).numpy
    if replacement or num_samples == 1:
        steps = np.cumsum(weights, -1)
        drawn = draw.random((*weights.shape[:-1], num_samples))
        at = np.asarray(drawn, like=steps) * steps[..., -1:]
        if weights.ndim == 1:
            drawn = np.searchsorted(steps, at, side="right")
        else:
            drawn = np.stack([np.searchsorted(*row, side="right") for row in zip(steps, at, strict=True)])
    else:
        if num_samples > np.count_nonzero(weights, -1).min():
            raise ValueError(
                f"multinomial: {num_samples} draws without replacement from fewer positive weights"
            )
        with np.errstate(
            divide="ignore"
        ):  # the smallest of Exp(1) / weight win: a race of exponential clocks
            clocks = np.asarray(draw.standard_exponential(weights.shape), like=weights) / weights
        drawn = np.argsort(clocks, -1)[..., :num_samples]
    return wrap(drawn.astype(int64))
