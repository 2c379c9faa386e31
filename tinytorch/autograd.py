"""Names in PyTorch's shape: `tinytorch.autograd`, the automatic differentiation of core module 05."""

from .core.autograd import (
    enable_grad,
    grad,
    gradcheck,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .ops.function import Function

__all__ = [
    "Function",
    "enable_grad",
    "grad",
    "gradcheck",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
