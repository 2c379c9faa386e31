"""What a Tensor tells about itself, and how it meets Python and NumPy: f"{x:.2f}", np.asarray(x), copies."""

from copy import deepcopy

import numpy as np

from ..core.tensor import Tensor, wrap
from .placement import device_of


def is_leaf(a):
    """Did the user make this tensor, or does it need no gradient? Only leaves get a `.grad` by themselves."""
    return a.node is None or a.node.leaf


def grad_fn(a):
    """The autograd node of a result; None for a leaf."""
    return None if is_leaf(a) else a.node


def device(a):
    """Where the numbers are: device("cpu") or device("cuda")."""
    return device_of(a.array)


def is_cuda(a):
    """Are the numbers on a GPU?"""
    return device_of(a.array).type == "cuda"


def nbytes(a):
    """How many bytes the numbers take."""
    return a.array.nbytes


def data(a):
    """The same memory without the history; assigning a tensor gives this one its numbers."""
    return a.detach()


def set_data(a, value):
    if not isinstance(value, Tensor):
        raise TypeError(f"data: a Tensor is needed, not {type(value).__name__}")
    a.array, a.memory = value.array, value.memory
    a.memory.writes += 1


def size(a, dim=None):
    """The shape as a tuple, or the size of one dimension."""
    return a.shape if dim is None else a.shape[dim]


def numel(a):
    """How many numbers there are."""
    return a.array.size


def dim(a):
    """How many dimensions there are."""
    return a.array.ndim


def element_size(a):
    """How many bytes one number takes."""
    return a.array.itemsize


def is_contiguous(a):
    """Do the numbers lie row by row in memory?"""
    return a.array.flags.c_contiguous


def is_tensor(value):
    """Is this a Tensor?"""
    return isinstance(value, Tensor)


def is_floating_point(a):
    """Are the numbers floats, which can have gradients?"""
    return a.dtype.kind == "f"


def tolist(a):
    """The numbers as nested Python lists; a 0-d tensor as a number."""
    return a.array.tolist()


def as_array(a, dtype=None, copy=None):
    """NumPy asks for this: np.asarray(tensor), plt.plot(tensor)."""
    return np.array(a.numpy(), dtype, copy=copy)


def index(a):
    """Python asks for this where only an int will do: range(n), some_list[i]."""
    if a.dtype.kind not in "iu":
        raise TypeError(f"index: an integer tensor is needed, this one is {a.dtype}")
    return int(a.item())


def formatted(a, spec):
    """f"{loss:.4f}" formats the number of a 0-d tensor; other tensors know no format."""
    if not spec:
        return str(a)
    if a.ndim:
        raise TypeError(f"format: '{spec}' needs a 0-d tensor, this one has shape {a.shape}")
    return format(a.item(), spec)


def deepcopied(a, memo):
    """copy.deepcopy: a new leaf of the same class with its own numbers and its own gradient."""
    if not is_leaf(a):
        raise RuntimeError("deepcopy: only leaves can be copied; use clone() or detach() for a result")
    result = memo[id(a)] = object.__new__(type(a))
    own = wrap(a.array.copy())
    result.array, result.memory, result.node, result.requires_grad = (
        own.array,
        own.memory,
        None,
        a.requires_grad,
    )
    result.grad = None if a.grad is None else deepcopied(a.grad, memo)
    for name, value in getattr(a, "__dict__", {}).items():
        setattr(result, name, deepcopy(value, memo))
    return result
