"""Where weights begin: each function fills a tensor in place, unseen by autograd, and returns it.

Random ones draw from `generator`, or from the generator that tinytorch.manual_seed seeds. A weight has shape
(fan_out, fan_in), or (out, in, …) for a convolution, whose fans count each place of the kernel.

Names and arguments follow torch.nn.init: https://docs.pytorch.org/docs/stable/nn.init.html
"""

from math import erf, prod, sqrt

import numpy as np

from ..core.layers import fill, uniform_
from ..core.tensor import default_generator

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Normal random numbers."""
    return fill(tensor, _rng(generator).normal(mean, std, tensor.shape))


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Normal random numbers, those outside [a, b] drawn again. [a, b] must hold 1 in 1000 of them or more."""
    share = (erf((b - mean) / (std * sqrt(2))) - erf((a - mean) / (std * sqrt(2)))) / 2
    if not share >= 1e-3:
        raise ValueError(f"trunc_normal_: [{a}, {b}] holds only {share:.1e} of the normal {mean} ± {std}")
    drawn = _rng(generator).normal(mean, std, tensor.shape)
    while (outside := (drawn < a) | (drawn > b)).any():
        drawn[outside] = _rng(generator).normal(mean, std, int(outside.sum()))
    return fill(tensor, drawn)


def constant_(tensor, val):
    """The same number everywhere."""
    return fill(tensor, val)


def zeros_(tensor):
    """Zeros."""
    return fill(tensor, 0)


def ones_(tensor):
    """Ones."""
    return fill(tensor, 1)


def eye_(tensor):
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: a matrix is needed, this tensor has shape {tensor.shape}")
    return fill(tensor, np.eye(*tensor.shape))


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Uniform with standard deviation gain * sqrt(2 / (fan_in + fan_out)), which keeps the spread both ways.

    Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """
    bound = sqrt(3) * _xavier_std("xavier_uniform_", tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, _xavier_std("xavier_normal_", tensor, gain), generator)


def kaiming_uniform_(tensor, a=0.0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Uniform with standard deviation gain / sqrt(fan), which keeps the spread through `nonlinearity`.

    `a` is the slope of leaky_relu; mode "fan_in" keeps the spread forward, "fan_out" backward.
    He et al. 2015, https://arxiv.org/abs/1502.01852
    """
    bound = sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a=0.0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Normal with standard deviation gain / sqrt(fan); arguments as in kaiming_uniform_."""
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor, gain=1.0, generator=None):
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain`: (out, in * …).

    Saxe et al. 2013, https://arxiv.org/abs/1312.6120
    """
    _check_matrix("orthogonal_", tensor)
    rows, columns = tensor.shape[0], prod(tensor.shape[1:])
    q, r = np.linalg.qr(_rng(generator).standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without this q is not uniform over the orthogonal matrices
    return fill(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def calculate_gain(nonlinearity, param=None):
    """By how much weights must be larger before a nonlinearity; `param` is the slope of leaky_relu."""
    if nonlinearity == "leaky_relu":
        return sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1, "conv2d": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": sqrt(2), "selu": 3 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: {nonlinearity!r} is none of {', '.join(gains)}, leaky_relu")
    return gains[nonlinearity]


def _xavier_std(name, tensor, gain):
    return gain * sqrt(2 / (sum(_fans(name, tensor)) or 1))


def _kaiming_std(name, tensor, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode is 'fan_in' or 'fan_out', {mode!r} came")
    return calculate_gain(nonlinearity, a) / sqrt(_fans(name, tensor)[mode == "fan_out"] or 1)


def _fans(name, tensor):
    """(fan_in, fan_out): how many numbers an output sums over, and how many outputs an input goes into."""
    _check_matrix(name, tensor)
    kernel = prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def _check_matrix(name, tensor):
    if tensor.ndim < 2:
        raise ValueError(f"{name}: two or more dimensions are needed, this tensor has shape {tensor.shape}")


def _rng(generator):
    return (generator or default_generator).numpy
