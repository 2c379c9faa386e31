"""Where a tensor's numbers are and what kind they are: dtype, device, copies."""

import numpy as np

from ..core.autograd import derivative
from ..core.tensor import Tensor, bool_, float16, float32, float64, int32, int64, op


class device(str):  # noqa: N801 (PyTorch's name)
    """Where a tensor's numbers are: "cpu", or "cuda" for the GPU through CuPy."""

    def __new__(cls, name="cpu", index=None):
        kind = str(name).split(":")[0]
        if kind not in ("cpu", "cuda"):
            raise ValueError(f"device '{name}' is unknown; there are 'cpu' and 'cuda'")
        return super().__new__(cls, kind)

    @property
    def type(self):
        return str(self)


def place(array, where):
    """The array on a device; an array that is already there is returned as it is."""
    if device(where) == "cpu":
        return array if isinstance(array, np.ndarray) else array.get()
    try:
        import cupy
    except ImportError:
        raise RuntimeError("device 'cuda' needs a GPU and CuPy; install the extra: tinytorch[gpu]") from None
    try:
        return cupy.asarray(array)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"device 'cuda': CuPy can use no GPU here: {error}") from None


def device_of(array):
    """The device that an array is on."""
    return device("cpu" if isinstance(array, np.ndarray) else "cuda")


@op
def clone(a):
    """A copy, through which gradients flow."""
    return a.copy()


@op(exact_dtype=True)
def cast(a, dtype):
    """The same numbers in another dtype."""
    return a.astype(dtype)


@op(exact_dtype=True)
def move(a, where):
    """The same numbers on another device."""
    return place(a, where)


derivative(clone, lambda g: g)
derivative(cast, lambda g: g)  # the engine casts a gradient to its tensor's dtype
derivative(move, lambda g, a: place(g, device_of(a)))


def to(a, *targets, dtype=None, device=None, non_blocking=False, copy=False):
    """In another dtype, on another device ("cpu", "cuda"), or both as another tensor has them.

    Where nothing has to change the result is the tensor itself, unless `copy`. `non_blocking` is ignored.
    """
    for target in targets:
        if isinstance(target, Tensor):
            dtype, device = target.dtype, device_of(target.array)
        elif isinstance(target, str):
            device = target
        else:
            dtype = target
    result = a if dtype is None or a.dtype == dtype else cast(a, np.dtype(dtype))
    result = result if device is None or device_of(a.array) == device else move(result, device)
    return clone(a) if copy and result is a else result


def casting_to(dtype):
    """A method that casts to one dtype."""

    def method(a):
        return to(a, dtype)

    method.__doc__ = f"As {dtype}."
    return method


half, float_, double = casting_to(float16), casting_to(float32), casting_to(float64)
int_, long, bool_of = casting_to(int32), casting_to(int64), casting_to(bool_)


def type_as(a, other):
    """In the dtype of `other`."""
    return to(a, other.dtype)


def cpu(a):
    """In the computer's memory."""
    return to(a, device="cpu")


def cuda(a):
    """On the GPU."""
    return to(a, device="cuda")


def contiguous(a):
    """The same numbers, row by row in memory; the tensor itself where they lie so already."""
    return a if a.array.flags.c_contiguous else clone(a)
