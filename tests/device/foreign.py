"""A stand-in for CuPy where there is no GPU: arrays that are not NumPy's and can do only what CuPy's can.

`Foreign` keeps its numbers in a NumPy array that nobody else sees. It takes part in NumPy's dispatch
(NEP 13 and 18) as CuPy 14.2 does: the functions and parameters in cupy_functions.txt, ufuncs without
`where`, the methods below with CuPy's parameters, every result an array, 0-d ones included. What CuPy refuses
is an error here: to become a NumPy array unasked, to meet one in an operation or an assignment. Two things
are refused here that CuPy does, with a copy to the GPU at each call: NumPy arrays as an index, and lists.

What it can't show: CUDA kernels, their rounding and speed, memory, streams, the wrapping of positions that
are out of range, and which of two values stays when one place is assigned twice.
"""

import inspect
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

NUMBERS = (bool, int, float, np.generic)
MISSING_UFUNCS = {"isnat", "matvec", "spacing", "vecdot", "vecmat"}
REDUCTIONS = {"reduce": ("add", "multiply"), "accumulate": ("add", "multiply"), "reduceat": ("add",)}
ATOMIC = {np.dtype(name) for name in ("int32", "int64", "uint32", "uint64", "float16", "float32", "float64")}

METHODS = """
all(axis=None, out=None, keepdims=False)
any(axis=None, out=None, keepdims=False)
argmax(axis=None, out=None, dtype=None, keepdims=False)
argmin(axis=None, out=None, dtype=None, keepdims=False)
argpartition(kth, axis=-1)
argsort(axis=-1, kind=None)
choose(choices, out=None, mode="raise")
clip(min=None, max=None, out=None)
compress(condition, axis=None, out=None)
conj()
copy(order="C")
cumprod(axis=None, dtype=None, out=None)
cumsum(axis=None, dtype=None, out=None)
diagonal(offset=0, axis1=0, axis2=1)
dot(b, out=None)
flatten(order="C")
max(axis=None, out=None, keepdims=False)
mean(axis=None, dtype=None, out=None, keepdims=False)
min(axis=None, out=None, keepdims=False)
nonzero()
partition(kth, axis=-1)
prod(axis=None, dtype=None, out=None, keepdims=False)
ravel(order="C")
repeat(repeats, axis=None)
reshape(*shape, order="C")
round(decimals=0, out=None)
searchsorted(v, side="left", sorter=None)
sort(axis=-1, kind=None)
squeeze(axis=None)
std(axis=None, dtype=None, out=None, ddof=0, keepdims=False)
sum(axis=None, dtype=None, out=None, keepdims=False)
swapaxes(axis1, axis2)
take(indices, axis=None, out=None)
trace(offset=0, axis1=0, axis2=1, dtype=None, out=None)
transpose(*axes)
var(axis=None, dtype=None, out=None, ddof=0, keepdims=False)
view(dtype=None)
"""


def table(lines):
    """{name: signature} of lines such as sum(a, axis=None)."""
    split = [line.rstrip(")").partition("(")[::2] for line in lines.split("\n") if line]
    return {name: inspect.signature(eval(f"lambda {parameters}: None")) for name, parameters in split}


FUNCTIONS = table(Path(__file__).with_name("cupy_functions.txt").read_text())


class Foreign(NDArrayOperatorsMixin):
    """An array of another library; `get()` brings its numbers back."""

    __array_priority__ = 100
    __hash__ = None
    __imatmul__ = None  # CuPy has none

    def __init__(self, held, base=None):
        self.held, self.base = held, base

    # NumPy's dispatch.

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get()")

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        name, out = ufunc.__name__, settings.pop("out", (None,))[0]
        if name in MISSING_UFUNCS or not all(isinstance(x, (Foreign, np.ndarray, *NUMBERS)) for x in inputs):
            return NotImplemented
        if method == "at":
            return add_at(name, *inputs)
        allowed = {"dtype", "casting"} if method == "__call__" else {"axis", "dtype", "keepdims"}
        if settings.keys() - allowed:
            raise TypeError(f"Wrong arguments {settings}")
        if method != "__call__" and name not in REDUCTIONS[method]:
            raise NotImplementedError(f"cupy_{name}.{method} is not supported yet")
        if ufunc.signature is None and ufunc.nout == 1 and ufunc.nin == 2 and name in COMPARISONS:
            inputs = [x.item() if isinstance(x, np.ndarray) and not x.ndim else x for x in inputs]
        settings |= {} if out is None else {"out": within(out)}
        result = getattr(ufunc, method)(*map(within, inputs), **settings)
        return out if out is not None else around(result, inputs)

    def __array_function__(self, function, types, args, kwargs):
        name = f"{function.__module__}.{function.__name__}"
        if name not in FUNCTIONS or not all(issubclass(t, (Foreign, np.ndarray)) for t in types):
            return NotImplemented
        try:
            FUNCTIONS[name].bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"CuPy's {function.__name__}{FUNCTIONS[name]}: {error}") from None
        if function in (np.asarray, np.array, np.ascontiguousarray):
            return moved(function, *args, **kwargs)
        check_arguments(function.__name__, args, kwargs)
        with np.errstate(all="ignore"):
            result = function(*map(within, args), **{name: within(x) for name, x in kwargs.items()})
        out = kwargs.get("out")
        return out if out is not None else around(result, [*args, *kwargs.values()])

    # What an array says about itself.

    dtype = property(lambda self: self.held.dtype)
    shape = property(lambda self: self.held.shape)
    ndim = property(lambda self: self.held.ndim)
    size = property(lambda self: self.held.size)
    itemsize = property(lambda self: self.held.itemsize)
    nbytes = property(lambda self: self.held.nbytes)
    strides = property(lambda self: self.held.strides)
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))  # noqa: N815 (NumPy's name)

    @property
    def flags(self):
        held = self.held.flags
        return SimpleNamespace(
            c_contiguous=held.c_contiguous, f_contiguous=held.f_contiguous, owndata=self.base is None
        )

    def get(self):
        return self.held.copy()

    def item(self):
        return self.held.item()

    def tolist(self):
        return self.held.tolist()

    def tobytes(self, order="C"):
        return self.held.tobytes(order)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == dtype:
            return self
        with np.errstate(all="ignore"):
            return Foreign(self.held.astype(dtype, order))

    def fill(self, value):
        if isinstance(value, (Foreign, list, tuple)) or getattr(value, "shape", ()):
            raise ValueError(f"non-scalar {type(value).__name__} cannot be used for fill")
        self.held.fill(value)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return len(self.held)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.held)

    def __int__(self):
        return int(self.held)

    def __float__(self):
        return float(self.held)

    def __repr__(self):
        return f"Foreign({self.held!r})"

    def __getitem__(self, index):
        found = self.held[place(index)]
        found = self.held[(*place(index), Ellipsis)] if isinstance(found, np.generic) else found
        return around(found, [self])

    def __setitem__(self, index, value):
        at = place(index)
        if isinstance(value, (np.ndarray, list, tuple)) and np.ndim(value):
            raise ValueError(f"non-scalar {type(value).__name__} cannot be used for fill")
        self.held[at] = value.held if isinstance(value, Foreign) else value


COMPARISONS = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}


def add_method(name, signature):
    def method(self, *args, **kwargs):
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"CuPy's ndarray.{name}{signature}: {error}") from None
        check_arguments(name, (self, *args), kwargs)
        settings = {key: within(x) for key, x in kwargs.items()}
        with np.errstate(all="ignore"):
            result = getattr(self.held, name)(*map(within, args), **settings)
        out = kwargs.get("out")
        return out if out is not None else around(result, [self])

    method.__name__ = name
    setattr(Foreign, name, method)


for method_name, method_signature in table(METHODS).items():
    add_method(method_name, method_signature)


def within(value):
    """The NumPy array inside; a NumPy array is refused, as CuPy refuses it."""
    if isinstance(value, Foreign):
        return value.held
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}, of shape {value.shape}")
    if isinstance(value, (list, tuple)):
        return type(value)(map(within, value))
    return value


def around(result, sources):
    """A result of NumPy's as Foreign; a view keeps the array that owns its memory as its base."""
    if isinstance(result, np.generic):
        return Foreign(np.asarray(result))
    if isinstance(result, np.ndarray):
        if result.base is None:
            return Foreign(result)
        arrays = [x for x in sources if isinstance(x, Foreign)]
        owners = [x if x.base is None else x.base for x in arrays if np.may_share_memory(x.held, result)]
        return Foreign(result, owners[0] if owners else None)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*[around(x, sources) for x in result])
    if isinstance(result, (list, tuple)) and any(isinstance(x, np.ndarray) for x in result):
        return type(result)(around(x, sources) for x in result)
    return result


def moved(function, value, *args, **kwargs):
    """np.asarray and its kin, the way onto the device: numbers, lists and NumPy arrays are copied there."""
    if isinstance(value, Foreign):
        return around(function(value.held, *args, **kwargs), [value])
    return Foreign(np.array(function(value, *args, **kwargs)))


def place(index):
    """An index: numbers, slices, None, … and Foreign arrays, no more than one of them of bools."""
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, (np.ndarray, list)):
            raise TypeError(f"an index of {type(part).__name__} is copied to the GPU at every call")
    if sum(isinstance(part, Foreign) and part.dtype == bool for part in parts) > 1:
        raise IndexError("more than one array of bools in an index is not supported")
    return within(tuple(parts))


def check_arguments(name, args, kwargs):
    """What CuPy asks of the arguments of single functions."""
    if name in ("sort", "argsort") and kwargs.get("kind") not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    if name in ("concatenate", "stack", "vstack", "hstack") and not all(
        isinstance(x, Foreign) for x in args[0]
    ):
        raise TypeError(f"Only cupy arrays can be joined; {[type(x).__name__ for x in args[0]]} came")
    if name == "expand_dims" and isinstance(args[1], list):
        raise TypeError("Argument 'axis' has incorrect type (expected tuple, got list)")
    if name == "where" and not isinstance(args[0], Foreign):
        raise AttributeError(f"'{type(args[0]).__name__}' object has no attribute 'astype'")
    if name == "searchsorted" and not isinstance(args[1], (Foreign, int, float)):
        raise NotImplementedError("Only python scalars or ndarrays are supported for v")
    if name in ("take", "take_along_axis", "isin") and not isinstance(args[1], (Foreign, int)):
        raise TypeError(f"{name}: {type(args[1]).__name__} is copied to the GPU at every call")


def add_at(name, array, indices, values):
    """ufunc.at, which CuPy has for numbers that the GPU adds in one step."""
    if name != "add" or array.dtype not in ATOMIC:
        raise NotImplementedError(f"cupy.{name}.at is not supported for {array.dtype}")
    np.add.at(array.held, place(indices), within(values))


def cupy_module():
    """What `import cupy` gives in its place: as much of CuPy as TinyTorch calls by name."""

    class CUDARuntimeError(RuntimeError):
        pass

    module = ModuleType("cupy")
    module.ndarray, module.asarray = Foreign, lambda array: moved(np.asarray, array)
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=CUDARuntimeError)
    stream = SimpleNamespace(synchronize=lambda: None)
    module.cuda = SimpleNamespace(runtime=runtime, get_current_stream=lambda: stream)
    return module


@contextmanager
def in_cupys_place():
    """`import cupy` finds the stand-in, so that the device "cuda" is one of Foreign arrays."""
    before, sys.modules["cupy"] = sys.modules.get("cupy"), cupy_module()
    try:
        yield sys.modules["cupy"]
    finally:
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before
