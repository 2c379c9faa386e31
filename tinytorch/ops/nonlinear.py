"""Activation functions beyond those of core module 02, with PyTorch's names, arguments and kinks.

Names and arguments follow torch.nn.functional: https://docs.pytorch.org/docs/stable/nn.functional.html
"""

import numpy as np

from ..core.activations import floating, sigmoid, softmax, softplus, tanh
from ..core.autograd import derivative
from ..core.tensor import op, where
from .elementwise import abs
from .shapes import position, split

# With these two, mean 0 and variance 1 reproduce themselves: https://arxiv.org/abs/1706.02515, theorem 1.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934


@op
def elu(input, alpha=1.0):
    """x where x > 0, else alpha * (exp(x) - 1): Clevert et al. 2015, https://arxiv.org/abs/1511.07289"""
    x = floating(input)
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * alpha)


@op
def hardtanh(input, min_val=-1.0, max_val=1.0):
    """x, held between min_val and max_val. At both the gradient is 0, unlike that of clamp."""
    if min_val > max_val:
        raise ValueError(f"min_val {min_val} is above max_val {max_val}")
    return np.clip(input, min_val, max_val)


@op
def logsigmoid(input):
    """log(1 / (1 + exp(-x))) = min(x, 0) - log(1 + exp(-|x|)), in which no exponent is above 0."""
    x = floating(input)
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


derivative(elu, lambda g, input, alpha: np.where(input > 0, g, g * (np.exp(np.minimum(input, 0)) * alpha)))
derivative(hardtanh, lambda g, input, min_val, max_val: g * ((input > min_val) & (input < max_val)))
derivative(logsigmoid, lambda g, input: g * sigmoid.fn(-input))


def selu(input):
    """`elu`, scaled so that deep networks keep mean 0 and variance 1: https://arxiv.org/abs/1706.02515"""
    return elu(input, SELU_ALPHA) * SELU_SCALE


def relu6(input):
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0)


def hardsigmoid(input):
    """Three straight lines like sigmoid: relu6(x + 3) / 6."""
    return relu6(input + 3) / 6


def hardswish(input):
    """x * hardsigmoid(x): Howard et al. 2019, https://arxiv.org/abs/1905.02244"""
    return input * hardsigmoid(input)


def mish(input):
    """x * tanh(softplus(x)): Misra 2019, https://arxiv.org/abs/1908.08681"""
    return input * tanh(softplus(input))


def softsign(input):
    """x / (1 + |x|)."""
    return input / (abs(input) + 1)


def softmin(input, dim):
    """softmax(-x) along `dim`: the smallest number gets the largest share."""
    return softmax(-input, dim)


def prelu(input, weight):
    """x where x > 0, else weight * x; `weight` has one number, or one for each channel (dimension 1).

    He et al. 2015, https://arxiv.org/abs/1502.01852
    """
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.shape not in ((), (1,), (channels,)):
        raise ValueError(
            f"prelu: weight is {weight.shape}; (1,) or one number for {channels} channels is needed"
        )
    slope = weight if weight.numel() == 1 else weight.reshape(-1, *(1,) * (input.ndim - 2))  # (C, 1, …)
    return where(input > 0, input, slope * input)


def glu(input, dim=-1):
    """a * sigmoid(b) for the halves a, b of `dim`: Dauphin et al. 2016, https://arxiv.org/abs/1612.08083"""
    half, odd = divmod(input.shape[position(dim, input.ndim, "glu")], 2)
    if odd:
        raise ValueError(f"glu: dimension {dim} of {input.shape} has no two equal halves")
    a, b = split(input, [half, half], dim)
    return a * sigmoid(b)
