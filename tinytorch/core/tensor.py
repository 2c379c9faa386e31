"""01 Tensor: an n-dimensional array that knows its dtype, its device and, later, its gradient.

A Tensor wraps one NumPy array (a CuPy array on a GPU). Everything it can compute is an `Op`: a plain
function from arrays to one array, which unwraps Tensors on the way in and wraps the result on the way
out. The Op is also the one place where later modules listen: autograd (05) puts its engine into
`Op.engine`, and nothing in this file has to change.

Names, argument order and defaults follow PyTorch 2: https://docs.pytorch.org/docs/stable/torch.html
"""

import operator
from math import prod
from types import MethodType
from typing import Any

import numpy as np

from ..utils.threads import product

float16, float32, float64 = (np.dtype(name) for name in ("float16", "float32", "float64"))
uint8, int8, int16, int32, int64 = (np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))
bool_ = np.dtype("bool")

# NumPy answers float64 (and, where a C long has 32 bits, int32) when no operand asked for it.
_unasked = {float64: float32, int32: int64}


class Op:
    """A function on arrays that Tensors can call: `op(fn)(tensor, …)` is `Tensor(fn(array, …))`.

    `fn` takes arrays, numbers, sequences of arrays and settings, and returns one array. `Op.engine` is
    None until module 05 sets it; then `engine.record(op, args, arrays, result)` follows every call.
    """

    engine: Any = None

    def __init__(self, fn, exact_dtype=False):
        self.fn, self.exact_dtype = fn, exact_dtype
        self.__name__, self.__doc__, self.__module__ = fn.__name__, fn.__doc__, fn.__module__
        self.__wrapped__ = fn  # inspect.signature and help() look here
        self.params = fn.__code__.co_varnames[: fn.__code__.co_argcount]
        self.defaults = fn.__defaults__ or ()
        self.derivatives = {}

    def __repr__(self):
        return f"<op {self.__name__}>"

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args, **kwargs):
        if kwargs or len(args) != len(self.params):
            args = self.bind(args, kwargs)
        arrays = [to_array(arg) for arg in args]
        try:
            out = self.fn(*arrays)
        except (IndexError, TypeError, ValueError) as error:
            kind = next(kind for kind in (IndexError, TypeError, ValueError) if isinstance(error, kind))
            raise kind(f"{self.describe(arrays)}: {str(error).strip()}") from None
        if out.__class__ is not np.ndarray and isinstance(out, np.generic):
            out = np.asarray(out)
        if out.dtype in _unasked and not self.exact_dtype and not _asked_for(out.dtype, arrays):
            out = out.astype(_unasked[out.dtype])
        result = wrap(out)
        if out.base is not None or out is arrays[0]:
            share_memory(result, args)
        if Op.engine is not None:
            Op.engine.record(self, args, arrays, result)
        return result

    def bind(self, args, kwargs):
        """Every parameter's value, in order, from a call's positional and keyword arguments."""
        bound = list(args)
        for position in range(len(args), len(self.params)):
            name, default = self.params[position], position - len(self.params) + len(self.defaults)
            if name in kwargs:
                bound.append(kwargs.pop(name))
            elif default >= 0:
                bound.append(self.defaults[default])
            else:
                raise TypeError(f"{self.__name__}: argument '{name}' is missing")
        if kwargs or len(args) > len(self.params):
            extra = ", ".join(kwargs) or f"{len(args)} positional arguments"
            raise TypeError(f"{self.__name__}({', '.join(self.params)}) does not take {extra}")
        return bound

    def describe(self, arrays):
        """The call, with shapes in the place of arrays: matmul((2, 3), (4, 5))."""
        return f"{self.__name__}({', '.join(map(shown, arrays))})"


def op(fn=None, *, exact_dtype=False):
    """Decorator: make an Op of a function on arrays. `exact_dtype` keeps a dtype that fn chose itself."""
    return Op(fn, exact_dtype) if fn is not None else lambda fn: Op(fn, exact_dtype)


def _asked_for(dtype, arrays):
    """Is there an operand of this dtype? 0-d operands count only where no other of their kind is there."""
    same_kind = [a for a in flattened(arrays) if hasattr(a, "dtype") and a.dtype.kind == dtype.kind]
    deciding = [a for a in same_kind if a.ndim] or same_kind
    return any(a.dtype == dtype for a in deciding)


def flattened(values):
    """The values, with the members of lists and tuples in their place."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from flattened(value)
        else:
            yield value


def shown(value):
    """An argument as an error message shows it: the shape of an array, the first members of a long list."""
    if isinstance(value, (list, tuple)):
        members = [shown(member) for member in value[:6]] + ["…"] * (len(value) > 6)
        inside = ", ".join(members)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(members) == 1)})"
    return str(value.shape) if hasattr(value, "shape") else repr(value)


def to_array(value):
    """A Tensor's array; NumPy scalars as Python numbers, which never widen a dtype; others unchanged."""
    if isinstance(value, Tensor):
        return value.array
    if value.__class__ is list or value.__class__ is tuple:
        return value.__class__([to_array(v) for v in value])
    return value.item() if isinstance(value, np.generic) else value


class Memory:
    """What the views of one array share: how often it was written, and whether there are views at all."""

    __slots__ = ("viewed", "writes")

    def __init__(self):
        self.writes, self.viewed = 0, False


def wrap(array):
    """A Tensor around `array`, without a copy and without any conversion."""
    tensor = Tensor.__new__(Tensor)
    tensor.array, tensor.requires_grad, tensor.grad, tensor.node = array, False, None, None
    tensor.memory = Memory()
    return tensor


def share_memory(result, args):
    """If the result is a view of one of the arguments, let them share their Memory."""
    for arg in flattened(args):
        if isinstance(arg, Tensor):
            owner = arg.array if arg.array.base is None else arg.array.base
            if result.array is arg.array or result.array.base is owner:
                result.memory = arg.memory
                result.memory.viewed = True
                return


# Arithmetic and comparison. NumPy broadcasts: (2, 3) with (3,) gives (2, 3).


def elementwise(name, ufunc):
    """An Op of one of NumPy's universal functions; inf and nan come without a warning, as in PyTorch."""

    def unary(a):
        with np.errstate(all="ignore"):
            out = ufunc(a)
            # NumPy answers small integers in float16, PyTorch in float32.
            return ufunc(a, dtype=float32) if out.dtype == float16 and a.dtype != float16 else out

    def binary(a, b):
        with np.errstate(all="ignore"):
            return ufunc(a, b)

    fn = unary if ufunc.nin == 1 else binary
    fn.__name__, fn.__doc__ = name, f"Elementwise: NumPy's {ufunc.__name__}."
    return Op(fn)


add, sub = elementwise("add", np.add), elementwise("sub", np.subtract)
mul, div = elementwise("mul", np.multiply), elementwise("div", np.true_divide)
neg, exp = elementwise("neg", np.negative), elementwise("exp", np.exp)
log, sqrt = elementwise("log", np.log), elementwise("sqrt", np.sqrt)
eq, ne = elementwise("eq", np.equal), elementwise("ne", np.not_equal)
lt, le = elementwise("lt", np.less), elementwise("le", np.less_equal)
gt, ge = elementwise("gt", np.greater), elementwise("ge", np.greater_equal)


@op
def pow(a, exponent):
    """Elementwise a to the power of `exponent`; NumPy's ** makes a product of a square, unlike np.power."""
    with np.errstate(all="ignore"):
        return a**exponent


@op
def where(condition, a, b):
    """Elementwise a where `condition` holds, else b."""
    return np.where(condition, a, b)


@op
def matmul(a, b):
    """Matrix product: (..., m, k) @ (..., k, n) -> (..., m, n); a 1-d operand is a vector."""
    if not a.ndim or not b.ndim:
        raise ValueError("a 0-d tensor is neither a vector nor a matrix; * multiplies by a number")
    inner_a, inner_b = a.shape[-1], b.shape[-2 if b.ndim > 1 else -1]
    if inner_a != inner_b:
        raise ValueError(f"inner sizes {inner_a} and {inner_b} differ")
    return product(a, b) if a.ndim == b.ndim == 2 else np.matmul(a, b)


# Shapes: the same numbers seen another way. NumPy gives a view wherever it can.


@op
def reshape(a, shape):
    """The same numbers, row by row, in another shape; one size may be -1."""
    return np.reshape(a, shape)


@op
def permute(a, dims):
    """The dimensions in another order: permute((2, 3, 4), (2, 0, 1)) has shape (4, 2, 3)."""
    return np.transpose(a, dims)


@op
def expand(a, shape):
    """A view in a larger shape that repeats dimensions of size 1; -1 keeps a size."""
    kept = (1,) * (len(shape) - a.ndim) + a.shape
    return np.broadcast_to(a, tuple(k if size == -1 else size for size, k in zip(shape, kept, strict=True)))


@op
def cat(tensors, dim=0):
    """Join tensors along an existing dimension; the other sizes are equal."""
    return np.concatenate(tensors, axis=dim)


def transpose(a, dim0, dim1):
    """Swap two dimensions (a view)."""
    dims = list(range(a.ndim))
    dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return permute(a, tuple(dims))


@op
def getitem(a, index):
    """a[index]: a view for ints, slices, None and Ellipsis; a copy for arrays of ints or bools."""
    return a[full_index(index, a)]


@op
def setitem(a, index, value):
    """A copy of a in which a[index] is `value`."""
    out = a.copy()
    out[full_index(index, a)] = value
    return out


def full_index(index, a):
    """The index as a tuple with an Ellipsis, so that a single number comes back as a 0-d view of a."""
    index = index if index.__class__ is tuple else (index,)
    index = tuple(np.asarray(i, like=a) if i.__class__ is list else i for i in index)
    return index if any(i is Ellipsis for i in index) else (*index, Ellipsis)


# Reductions: `dim` is an int, a tuple or list, or None for all; `keepdim` leaves a size 1 in its place.


@op
def sum(a, dim=None, keepdim=False):
    """Sum over `dim`; integers and bools give int64."""
    return np.sum(a, axis=axes(dim), keepdims=keepdim, dtype=int64 if a.dtype.kind in "iub" else None)


@op
def mean(a, dim=None, keepdim=False):
    """Mean over `dim`; nan over nothing, without a warning."""
    return np.sum(a, axis=axes(dim), keepdims=keepdim) / (reduced_size(a.shape, dim) or np.nan)


@op
def var(a, dim=None, correction=1, keepdim=False):
    """Variance over `dim`, divided by n - correction: 1 is the unbiased estimate, 0 the population's."""
    centered = a - mean.fn(a, dim, keepdim=True)
    spread = np.sum(np.square(centered), axis=axes(dim), keepdims=keepdim)
    degrees = reduced_size(a.shape, dim) - correction
    return spread / (degrees if degrees > 0 else np.nan)


@op
def amax(a, dim=None, keepdim=False):
    """Largest value over `dim`; ties share the gradient evenly."""
    return np.max(a, axis=axes(dim), keepdims=keepdim)


@op
def argmax(a, dim=None, keepdim=False):
    """Position of the first largest value: int64, of the flattened tensor when `dim` is None."""
    return np.argmax(a, axis=dim, keepdims=keepdim).astype(int64, copy=False)


def reduced_size(shape, dim):
    """How many values one result of a reduction over `dim` takes in."""
    dims = range(len(shape)) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    return prod(shape[d] for d in dims)


def axes(dim):
    """`dim` as NumPy takes it: an int, a tuple or None."""
    return tuple(dim) if dim.__class__ is list else dim


class Tensor:
    """An array with a dtype and, once module 05 is there, a gradient.

    Attributes: `array`, the NumPy or CuPy array; `requires_grad`; `grad`, a Tensor or None; `node`, the
    autograd engine's record of how this value came about; `memory`, shared with every view.
    """

    __slots__ = ("__weakref__", "array", "grad", "memory", "node", "requires_grad")
    __array_ufunc__ = None  # array + tensor becomes Tensor.__radd__, not an array of Tensors
    __hash__ = object.__hash__

    def __init__(self, data, dtype=None, device=None, requires_grad=False):
        source = tensor(data, dtype, device, requires_grad)
        self.array, self.requires_grad, self.memory = source.array, source.requires_grad, source.memory
        self.grad = self.node = None

    __add__ = __radd__ = add
    __mul__ = __rmul__ = mul
    __sub__, __truediv__, __pow__, __neg__, __matmul__, __getitem__ = sub, div, pow, neg, matmul, getitem
    __eq__, __ne__, __lt__, __le__, __gt__, __ge__ = eq, ne, lt, le, gt, ge
    add, sub, mul, div, pow, neg, matmul = add, sub, mul, div, pow, neg, matmul
    eq, ne, lt, le, gt, ge = eq, ne, lt, le, gt, ge
    exp, log, sqrt, sum, mean, var, amax, argmax = exp, log, sqrt, sum, mean, var, amax, argmax
    transpose = transpose

    def __rsub__(self, other):
        return sub(other, self)

    def __rtruediv__(self, other):
        return div(other, self)

    def __rpow__(self, base):
        return pow(base, self)

    def __rmatmul__(self, other):
        return matmul(other, self)

    def reshape(self, *shape):
        """The same numbers in another shape: reshape(2, -1) or reshape((2, -1))."""
        return reshape(self, as_size(shape))

    view = reshape

    def permute(self, *dims):
        """The dimensions in another order: permute(2, 0, 1) or permute((2, 0, 1))."""
        return permute(self, as_size(dims))

    def expand(self, *shape):
        """A view in a larger shape: expand(2, -1) or expand((2, -1))."""
        return expand(self, as_size(shape))

    @property
    def T(self):  # noqa: N802 (PyTorch's name)
        """The transpose of a matrix: all dimensions in reverse order."""
        return permute(self, tuple(range(self.ndim))[::-1])

    @property
    def shape(self):
        return self.array.shape

    @property
    def ndim(self):
        return self.array.ndim

    @property
    def dtype(self):
        return self.array.dtype

    def item(self):
        """The Python number in a tensor of one element."""
        if self.array.size != 1:
            raise ValueError(f"item: a tensor of one element is needed, this one has shape {self.shape}")
        return self.array.item()

    def numpy(self):
        """The NumPy array, on the same memory; only for a tensor on the CPU that needs no gradient."""
        if self.requires_grad:
            raise RuntimeError("numpy: this tensor requires grad; call detach() first")
        if not isinstance(self.array, np.ndarray):
            raise TypeError("numpy: this tensor is on the GPU; call cpu() first")
        return self.array

    def detach(self):
        """The same memory without the history: no gradient flows through it."""
        result = wrap(self.array)
        result.memory, self.memory.viewed = self.memory, True
        return result

    def requires_grad_(self, requires_grad=True):
        """Say whether autograd follows this tensor; only floating-point tensors can be followed."""
        if requires_grad and self.dtype.kind != "f":
            raise TypeError(f"requires_grad: only floating-point tensors have one, this one is {self.dtype}")
        self.requires_grad = requires_grad
        return self

    def backward(self, gradient=None, retain_graph=False):
        """Gradients of this tensor with respect to every leaf behind it, added into their `.grad`."""
        if Op.engine is None:
            raise RuntimeError("backward: there is no autograd engine yet; importing module 05 sets it")
        Op.engine.backward(self, gradient, retain_graph)

    def overwrite(self, result):
        """Take the value of `result` in place: what every method with a trailing underscore ends with."""
        if result.shape != self.shape:
            raise ValueError(f"in-place: the result has shape {result.shape} and the tensor {self.shape}")
        if result.dtype != self.dtype and not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise TypeError(f"in-place: a result of {result.dtype} does not fit a tensor of {self.dtype}")
        if Op.engine is None or not Op.engine.rebind(self, result):
            try:
                self.array[...] = result.array
            except ValueError:
                raise ValueError("in-place: read-only memory, as after expand(); change a clone()") from None
            self.memory.writes += 1
        return self

    def __setitem__(self, index, value):
        if Op.engine is not None and Op.engine.is_recording(self, value):
            self.overwrite(setitem(self, index, value))
            return
        try:
            self.array[full_index(to_array(index), self.array)] = to_array(value)
        except (ValueError, IndexError) as error:
            shown = getattr(value, "shape", value)
            raise type(error)(f"setitem: tensor{self.shape}[...] = {shown}: {error}") from None
        self.memory.writes += 1

    def __len__(self):
        if not self.ndim:
            raise TypeError("len: a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.item())

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __repr__(self):
        array = self.array if isinstance(self.array, np.ndarray) else self.array.get()
        largest = np.max(np.abs(array), initial=0, where=np.isfinite(array))
        numbers = np.array2string(
            array, separator=", ", prefix="tensor(", precision=4, suppress_small=bool(1e-3 <= largest < 1e6)
        )
        notes = [] if array.size or array.ndim == 1 else [f"size={self.shape}"]
        notes += [] if self.dtype in (float32, int64, bool_) else [f"dtype={self.dtype}"]
        notes += [] if array is self.array else ["device='cuda'"]
        if self.requires_grad:
            recorded = self.node is not None and not self.node.leaf
            notes += [f"grad_fn={self.node}"] if recorded else ["requires_grad=True"]
        return f"tensor({', '.join([numbers, *notes])})"


def as_size(sizes):
    """A shape given as numbers or as one sequence, as a tuple: as_size((2, 3)) == as_size(((2, 3),))."""
    sizes = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    return tuple(operator.index(size) for size in sizes)


def finish(array, dtype=None, device=None, requires_grad=False):
    """The last step of everything that creates a tensor: dtype, device, requires_grad."""
    result = wrap(array if dtype is None else array.astype(dtype, copy=False))
    result = result if device is None else result.to(device)
    return result.requires_grad_() if requires_grad else result


def tensor(data, dtype=None, device=None, requires_grad=False):
    """A new tensor from numbers, nested lists, an array or a tensor; the numbers are copied.

    Python floats give float32, ints int64, bools bool; arrays and tensors keep their dtype.
    """
    array = np.asarray(data) if isinstance(data, np.generic) else to_array(data)
    if not hasattr(array, "dtype"):
        try:
            array = np.array(array)
        except ValueError:
            raise ValueError("tensor: the nested lists are ragged; their rows need equal lengths") from None
        if dtype is None:  # on the way to another dtype, float32 would round
            array = array.astype({"f": float32, "i": int64}.get(array.dtype.kind, array.dtype), copy=False)
    if array.dtype.kind not in "fiub":
        came = f"{data.__class__.__name__} of {array.dtype}"
        raise TypeError(f"tensor: numbers or bools are needed, {came} came")
    return finish(array.copy() if hasattr(data, "dtype") else array, dtype, device, requires_grad)


def zeros(*size, dtype=float32, device=None, requires_grad=False):
    """A tensor of zeros: zeros(2, 3) or zeros((2, 3))."""
    return finish(np.zeros(as_size(size)), dtype, device, requires_grad)


def ones(*size, dtype=float32, device=None, requires_grad=False):
    """A tensor of ones: ones(2, 3) or ones((2, 3))."""
    return finish(np.ones(as_size(size), dtype), None, device, requires_grad)


class Generator:
    """A stream of random numbers with a seed of its own: NumPy's PCG64."""

    def __init__(self, seed=None):
        self.manual_seed(seed)

    def manual_seed(self, seed):
        """Begin again from `seed` (an int; None takes fresh entropy). Returns the generator."""
        self._seed, self._numpy = seed, None
        return self

    @property
    def numpy(self):
        """The numpy.random.Generator, made at its first use."""
        if self._numpy is None:
            self._numpy = np.random.default_rng(self._seed)
        return self._numpy


default_generator = Generator()


def manual_seed(seed):
    """Seed the generator that every random function uses unless it is given its own. Returns it."""
    return default_generator.manual_seed(seed)


def rand(*size, generator=None, dtype=float32, device=None, requires_grad=False):
    """Uniform random numbers from [0, 1)."""
    return _random("random", size, generator, dtype, device, requires_grad)


def randn(*size, generator=None, dtype=float32, device=None, requires_grad=False):
    """Normal random numbers: mean 0, variance 1."""
    return _random("standard_normal", size, generator, dtype, device, requires_grad)


def _random(distribution, size, generator, dtype, device, requires_grad):
    draw = getattr((generator or default_generator).numpy, distribution)
    drawn = draw(as_size(size), dtype=float64 if dtype == float64 else float32)
    return finish(np.asarray(drawn), dtype, device, requires_grad)
