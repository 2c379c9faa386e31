"""What is done with all the parameters of a model at once.

Names and arguments follow torch.nn.utils: https://docs.pytorch.org/docs/stable/nn.html#utilities
"""

import numpy as np

from ..core.layers import fill
from ..core.tensor import Tensor, cat
from ..core.training import clip_grad_norm_

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def clip_grad_value_(parameters, clip_value):
    """Hold every number of the gradients between -clip_value and clip_value, in place."""
    for parameter in [parameters] if isinstance(parameters, Tensor) else parameters:
        if parameter.grad is not None:
            fill(parameter.grad, np.clip(parameter.grad.array, -clip_value, clip_value))


def parameters_to_vector(parameters):
    """All parameters, one after another, as one vector; gradients flow through it."""
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec, parameters):
    """Write a vector, cut into the parameters' shapes, into the parameters."""
    parameters = list(parameters)
    needed = sum(parameter.numel() for parameter in parameters)
    if vec.shape != (needed,):
        raise ValueError(f"vector_to_parameters: a vector of {needed} numbers is needed, {vec.shape} came")
    start = 0
    for parameter in parameters:
        fill(parameter, vec.array[start : start + parameter.numel()].reshape(parameter.shape))
        start += parameter.numel()
