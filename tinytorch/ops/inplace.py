"""The in-place twins: every method whose name ends in an underscore, and the operators += -= *= and so on.

They all end in `Tensor.overwrite`, which knows the rules: without recording, the memory is written; a
leaf that requires grad refuses; any other tensor takes on the result together with its history.
"""

from ..core.activations import relu, sigmoid, tanh
from ..core.tensor import _random, exp, log, neg, pow, sqrt, wrap
from . import elementwise as e
from .creation import bernoulli, normal
from .selection import index_add, index_fill, masked_fill, scatter, scatter_add
from .shapes import tril, triu


def twin(function):
    """A method that overwrites a tensor with function(tensor, …) and returns it."""

    def method(a, *args, **kwargs):
        return a.overwrite(function(a, *args, **kwargs))

    method.__name__ = f"{function.__name__}_"
    method.__doc__ = f"In place: {function.__doc__}"
    return method


def copy_(a, src):
    """Take the numbers of `src`, which broadcasts and is converted to this dtype."""
    a[...] = src
    return a


def fill_(a, value):
    """Make every number `value`."""
    a[...] = value
    return a


def zero_(a):
    """Make every number 0."""
    return fill_(a, 0)


def detach_(a):
    """Forget the history: this tensor becomes a leaf that needs no gradient."""
    a.node, a.requires_grad = None, False
    return a


def normal_(a, mean=0.0, std=1.0, generator=None):
    """Fill with normal random numbers."""
    return a.overwrite(normal(mean, std, a.shape, generator, a.dtype, a.device))


def uniform_(a, low=0.0, to=1.0, generator=None):
    """Fill with uniform random numbers from [low, to)."""
    drawn = _random("random", a.shape, generator, a.dtype, a.device, False)
    return a.overwrite(wrap((drawn.array * (to - low) + low).astype(a.dtype, copy=False)))


def bernoulli_(a, p=0.5, generator=None):
    """Fill with 1 with probability p (a number, or a tensor of this shape), else 0."""
    return copy_(a, bernoulli(p, generator=generator) if hasattr(p, "array") else bernoulli(a, p, generator))


FUNCTIONS = {
    "add": e.add, "sub": e.sub, "mul": e.mul, "div": e.divide, "pow": pow, "neg": neg,
    "exp": exp, "expm1": e.expm1, "log": log, "log1p": e.log1p, "log2": e.log2, "log10": e.log10,
    "sqrt": sqrt, "rsqrt": e.rsqrt, "reciprocal": e.reciprocal, "square": e.square, "abs": e.abs,
    "sin": e.sin, "cos": e.cos, "tan": e.tan, "sign": e.sign,
    "relu": relu, "sigmoid": sigmoid, "tanh": tanh,
    "floor": e.floor, "ceil": e.ceil, "round": e.round, "trunc": e.trunc,
    "fmod": e.fmod, "remainder": e.remainder, "floor_divide": e.floor_divide,
    "clamp": e.clamp, "lerp": e.lerp, "addcmul": e.addcmul, "addcdiv": e.addcdiv,
    "logical_and": e.logical_and, "logical_or": e.logical_or,
    "logical_xor": e.logical_xor, "logical_not": e.logical_not,
    "masked_fill": masked_fill, "index_add": index_add, "index_fill": index_fill,
    "scatter": scatter, "scatter_add": scatter_add, "tril": tril, "triu": triu,
}  # fmt: skip

OPERATORS = {
    "__iadd__": e.add, "__isub__": e.sub, "__imul__": e.mul, "__itruediv__": e.divide, "__ipow__": pow,
    "__ifloordiv__": e.floor_divide, "__imod__": e.remainder,
    "__iand__": e.bitwise_and, "__ior__": e.bitwise_or, "__ixor__": e.bitwise_xor,
}  # fmt: skip

METHODS = {
    **{f"{name}_": twin(function) for name, function in FUNCTIONS.items()},
    **{name: twin(function) for name, function in OPERATORS.items()},
    **{f.__name__: f for f in (copy_, fill_, zero_, detach_, normal_, uniform_, bernoulli_)},
}
