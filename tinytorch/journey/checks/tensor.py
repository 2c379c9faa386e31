"""Exercises of module 01, Tensor."""

import numpy as np

from tinytorch.core import tensor as core
from tinytorch.core.tensor import Op, flattened, tensor

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("tensor")


def grid(*shape, seed=1):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


class Listener:
    """An engine that keeps what it is told: (op, args, arrays, result) of each call."""

    def __init__(self):
        self.told = []

    def record(self, *call):
        self.told.append(call)

    def is_recording(self, *values):
        return False

    def rebind(self, tensor, result):
        return False


def told(function):
    """What function() returns, and what an engine is told while it runs."""
    engine, Op.engine = Op.engine, Listener()
    try:
        return function(), Op.engine.told
    finally:
        Op.engine = engine


def connected(function, x):
    """Whether Ops lead from x to function(x): gradients go back along them, and along nothing else."""
    out, calls = told(lambda: function(x))
    reached = [x]
    for _, args, _, result in calls:
        if any(arg is known for arg in flattened(args) for known in reached):
            reached.append(result)
    return any(out is known for known in reached)


new_tensor = exercises.add(
    "tensor",
    prompt=(
        "Return a new Tensor of a number, nested lists, an array or a Tensor, whose numbers are copied. "
        "Python floats give float32, ints int64 and bools bool, arrays and Tensors keep their dtype, and a "
        "given `dtype` decides, without a detour through float32. Ragged lists are a ValueError, and what "
        "holds no numbers or bools is a TypeError."
    ),
    hints=(
        "`to_array(data)` gives a Tensor's array and leaves lists as they are; np.array makes an array "
        "of them.",
        "array.dtype.kind is 'f' for floats, 'i' or 'u' for ints, 'b' for bools; `astype` changes the dtype.",
        "Copy what came as an array, then `return finish(array, dtype, device, requires_grad)`.",
    ),
    mistakes=(
        swap(
            "array = array.astype({",
            "array.astype({",
            "Lists of Python floats stay float64, as NumPy makes them; a tensor of them is float32.",
        ),
        swap(
            'array.copy() if hasattr(data, "dtype") else array',
            "array",
            "The tensor lies on the memory of the array it was made of; its numbers have to be copied.",
        ),
        swap(
            'finish(array.copy() if hasattr(data, "dtype") else array, dtype,',
            "finish(array.copy(), None,",
            "The argument dtype is ignored.",
        ),
        swap(
            'array.copy() if hasattr(data, "dtype") else array, dtype,',
            "array.copy(), dtype or float32,",
            "Everything becomes float32: ints give int64, and arrays keep the dtype that they have.",
        ),
        swap(
            '{"f": float32, "i": int64}',
            '{"f": float32, "i": int64, "b": int64}',
            "A bool has become an integer; bools stay bools.",
        ),
        swap(
            'array.copy() if hasattr(data, "dtype") else array',
            "array.copy() if isinstance(data, np.ndarray) else array",
            "Arrays are copied and Tensors are not: two Tensors lie on one memory now.",
        ),
        swap(
            "if dtype is None:",
            "if True:",
            "With a dtype given, the numbers go through float32 first and lose their digits.",
        ),
        swap(
            "device, requires_grad)",
            "device)",
            "requires_grad does not arrive; `finish` takes it as its last argument.",
        ),
    ),
)


@new_tensor.check("a list of floats becomes float32, ints int64, bools bool")
def _():
    call(tensor, [1.0, 2.5]).gives(np.array([1.0, 2.5], np.float32))
    call(tensor, [[1, 2], [3, 4]]).gives(np.array([[1, 2], [3, 4]], np.int64))
    call(tensor, True).gives(np.array(True))


@new_tensor.check("arrays keep their dtype")
def _():
    call(tensor, np.array([1.0, 2.0])).gives(np.array([1.0, 2.0]))
    call(tensor, np.array([1, 2], np.uint8)).gives(np.array([1, 2], np.uint8))


@new_tensor.check("the argument dtype decides")
def _():
    call(tensor, [1, 2], dtype=np.dtype("float64")).gives(np.array([1.0, 2.0]))
    call(tensor, [2.0**24 + 1], dtype=np.dtype("int64")).gives(np.array([2**24 + 1], np.int64))


@new_tensor.check("the numbers are copied")
def _():
    array = np.array([1.0, 2.0])
    x = tensor(array)
    array[0] = 5
    see("x after x = tensor(array); array[0] = 5", x).gives(np.array([1.0, 2.0]))
    y = tensor(x)
    x.array[0] = 7
    see("y after y = tensor(x); x.array[0] = 7", y).gives(np.array([1.0, 2.0]))


@new_tensor.check("requires_grad is passed on")
def _():
    see(
        "tensor([1.0], requires_grad=True).requires_grad", tensor([1.0], requires_grad=True).requires_grad
    ).gives(True)
    see("tensor([1.0]).requires_grad", tensor([1.0]).requires_grad).gives(False)


@new_tensor.check("ragged lists and words are errors")
def _():
    raises(ValueError, tensor, [[1, 2], [3]])
    raises(TypeError, tensor, ["one"])


op_call = exercises.add(
    "Op.__call__",
    prompt=(
        "Run self.fn on the arguments' arrays and return its array as a Tensor. Arguments by name or left "
        "out are put in order by self.bind(args, kwargs). float64 that no operand asked for becomes float32 "
        "(`_unasked`, `_asked_for`), unless self.exact_dtype; an IndexError, TypeError or ValueError of fn "
        "is raised again as the same kind, with self.describe(arrays) added to its message; a result that "
        "is a view, or the first array itself, goes through share_memory(result, args). At the end, if "
        "Op.engine is not None, call Op.engine.record(self, args, arrays, result), with the args in order."
    ),
    hints=(
        "The steps: bind, `to_array` for each argument, self.fn, np.asarray for a NumPy scalar, dtype, "
        "`wrap`, memory, engine.",
        "An array is a view if its `base` is not None.",
        "`if out.dtype in _unasked and not self.exact_dtype and not _asked_for(out.dtype, arrays): out = "
        "out.astype(_unasked[out.dtype])`",
    ),
    mistakes=(
        swap(
            "out.dtype in _unasked and not self.exact_dtype and not _asked_for(out.dtype, arrays)",
            "False",
            "float64 creeps in: NumPy answered in it although no operand is float64. It has to become "
            "float32.",
        ),
        swap(
            "not self.exact_dtype and not _asked_for(out.dtype, arrays)",
            "not self.exact_dtype",
            "float64 becomes float32 also where an operand is float64, which asks for it.",
        ),
        swap(
            "not self.exact_dtype and not",
            "not",
            "self.exact_dtype says that fn chose the dtype itself; it has to stay then.",
        ),
        swap(
            "if out.base is not None or out is arrays[0]:",
            "if False:",
            "A view does not share the Memory of what it looks at: share_memory has to be called.",
        ),
        swap(
            "if kwargs or len(args) != len(self.params):",
            "if False:",
            "Arguments by name and defaults do not reach fn: self.bind puts all of them in order.",
        ),
        swap(
            "{self.describe(arrays)}: ",
            "",
            "The error does not say which call it was; self.describe(arrays) names it, with the shapes.",
        ),
        swap(
            ": {str(error).strip()}",
            "",
            "What fn said is lost: the message is self.describe(arrays) and the words of the error.",
        ),
        swap(
            "raise kind(",
            "raise ValueError(",
            "Every error becomes a ValueError; an IndexError stays an IndexError, a TypeError a TypeError.",
        ),
        swap(
            "[to_array(arg) for arg in args]",
            "[arg.array if isinstance(arg, Tensor) else arg for arg in args]",
            "Tensors in a list reach fn as Tensors; to_array unwraps those, too.",
        ),
        swap(
            " or out is arrays[0]",
            "",
            "An fn that returns its first array itself shares memory, too, although no `base` says so.",
        ),
        swap(
            "out = np.asarray(out)",
            "pass",
            "One of NumPy's single numbers went into the Tensor; np.asarray makes an array of it.",
        ),
        swap(
            "if Op.engine is not None:",
            "if False:",
            "The engine is not told of the call; autograd (05) will learn nothing without it.",
        ),
        swap(
            "Op.engine.record(self, args, arrays, result)",
            "result = Op.engine.record(self, args, arrays, result)",
            "The answer is what `record` returned; return your result, whatever the engine says.",
        ),
    ),
)


def scaled(a, factor=2):
    return a * factor


def halves(a):
    return np.full(a.shape, 0.5)


def everything(a):
    return a[...]


def itself(a):
    return a


def total(a):
    return np.sum(a)


def arrays_in(values):
    return np.array([isinstance(value, np.ndarray) for value in values])


def refuse(a, kind=ValueError):
    raise kind("not today")


@op_call.check("arrays go in, a tensor comes out")
def _():
    see("Op(scaled)(tensor([1, 2]), 3)", Op(scaled)(tensor([1.0, 2.0]), 3)).gives(tensor([3.0, 6.0]))


@op_call.check("also out of a list, and a single number")
def _():
    x = tensor([1.0, 2.0])
    see("which of [x, 3, x] are arrays in fn", Op(arrays_in)([x, 3, x])).gives(tensor([True, False, True]))
    see("Op(total)(x), the sum of x = [1, 2]", Op(total)(x)).gives(tensor(3.0))


@op_call.check("arguments by name, and defaults")
def _():
    double = Op(scaled)
    see("Op(scaled)(x, factor=5) for x = [1, 2]", double(tensor([1.0, 2.0]), factor=5)).gives(
        tensor([5.0, 10.0])
    )
    see("Op(scaled)(x) for x = [1, 2]", double(tensor([1.0, 2.0]))).gives(tensor([2.0, 4.0]))


@op_call.check("float64 only where an operand is float64")
def _():
    x = tensor([1.0, 2.0])
    see("a float64 result of float32 operands", Op(halves)(x)).gives(np.array([0.5, 0.5], np.float32))
    x = tensor(np.array([1.0, 2.0]))
    see("a float64 result of float64 operands", Op(halves)(x)).gives(np.array([0.5, 0.5]))


@op_call.check("exact_dtype keeps the dtype that fn chose")
def _():
    exact = Op(halves, exact_dtype=True)
    see("a float64 result with exact_dtype=True", exact(tensor([1.0]))).gives(np.array([0.5]))


@op_call.check("a view shares its Memory, a copy does not")
def _():
    x = tensor([1.0, 2.0])
    see("Op(everything)(x).memory is x.memory", Op(everything)(x).memory is x.memory).gives(True)
    see("Op(itself)(x).memory is x.memory", Op(itself)(x).memory is x.memory).gives(True)
    see("Op(scaled)(x).memory is x.memory", Op(scaled)(x).memory is x.memory).gives(False)


@op_call.check("an error says which call it was, and keeps its kind and words")
def _():
    x = tensor([1.0, 2.0])
    raises(ValueError, Op(refuse), x, says="refuse((2,)")
    raises(ValueError, Op(refuse), x, says="not today")
    raises(IndexError, Op(refuse), x, IndexError)
    raises(TypeError, Op(refuse), x, TypeError)


@op_call.check("the engine, if there is one, is told of every call")
def _():
    x, triple = tensor([1.0, 2.0]), Op(scaled)
    y, calls = told(lambda: triple(x, factor=3))
    see("Op(scaled)(x, factor=3) while there is an engine", y).gives(tensor([3.0, 6.0]))
    see("calls of engine.record", len(calls)).gives(1)
    op, args, arrays, result = calls[0]
    see("whether record got the Op itself", op is triple).gives(True)
    see("the args that record got, in numbers", len(args)).gives(2)
    see("whether they are x and 3", args[0] is x and args[1] == 3).gives(True)
    see("the first of the arrays that record got", arrays[0]).gives(x.array)
    see("whether record got the result that is returned", result is y).gives(True)


matmul = exercises.add(
    "matmul",
    prompt=(
        "Return the matrix product of two arrays, (..., m, k) and (..., k, n), as (..., m, n); the leading "
        "dimensions broadcast and a 1-d operand is a vector. Inner sizes that differ and 0-d operands "
        "are a ValueError."
    ),
    hints=(
        "Each element is a row of a times a column of b. NumPy does that for whole stacks of matrices.",
        "np.matmul, or the operator @, has all of these rules; np.dot has others above two dimensions.",
        "For two matrices, `product(a, b)`, imported above, does what np.matmul does, on several threads.",
    ),
    mistakes=(
        wrong(
            "def matmul(a, b):\n    return a * b",
            "This multiplies element by element; a matrix product sums rows times columns.",
        ),
        wrong(
            "def matmul(a, b):\n    return np.dot(a, b)",
            "np.dot multiplies each matrix of a stack with each of the other; matmul takes them in pairs.",
        ),
        wrong(
            "def matmul(a, b):\n    return np.matmul(a, b.swapaxes(-1, -2) if b.ndim > 1 else b)",
            "The second operand is transposed: its rows, not its columns, are multiplied with the rows of a.",
        ),
    ),
)


@matmul.check("rows times columns")
def _():
    a, b = tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[0.0, 1.0], [2.0, 0.0]])
    call(core.matmul, a, b).gives(tensor([[4.0, 1.0], [8.0, 3.0]]))


@matmul.check("other sizes, and vectors")
def _():
    call(core.matmul, tensor([[1.0, 2.0, 3.0]]), tensor([[1.0], [0.0], [2.0]])).gives(tensor([[7.0]]))
    call(core.matmul, tensor([1.0, 2.0]), tensor([3.0, 4.0])).gives(tensor(11.0))
    call(core.matmul, tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, -1.0])).gives(tensor([-1.0, -1.0]))


@matmul.check("stacks of matrices, in pairs and broadcast")
def _():
    a, b = grid(2, 2, 3), grid(2, 3, 2, seed=2)
    expected = np.array(
        [[[sum_of(a[i, r] * b[i, :, c]) for c in range(2)] for r in range(2)] for i in range(2)]
    )
    call(core.matmul, tensor(a), tensor(b)).gives(expected.astype(np.float32))
    expected = np.array(
        [[[sum_of(a[i, r] * b[0, :, c]) for c in range(2)] for r in range(2)] for i in range(2)]
    )
    call(core.matmul, tensor(a), tensor(b[0])).gives(expected.astype(np.float32))


def sum_of(numbers):
    return float(np.sum(numbers, dtype=np.float64))


@matmul.check("inner sizes that differ, and single numbers, are errors")
def _():
    raises(ValueError, core.matmul, tensor(grid(2, 3)), tensor(grid(2, 3)))
    raises(ValueError, core.matmul, tensor(grid(2, 3)), tensor(grid(1, 2)))
    raises(ValueError, core.matmul, tensor(2.0), tensor([1.0]))


transpose = exercises.add(
    "transpose",
    prompt=(
        "Return the Tensor with dimensions dim0 and dim1 swapped, the others in their place; negative "
        "ones count from the end. The result is a view of the same memory, made by an Op."
    ),
    hints=(
        "It is a permutation of the dimensions: all in order, but two.",
        "Swap two members of list(range(a.ndim)) and hand the tuple to `permute`.",
    ),
    mistakes=(
        wrong(
            "def transpose(a, dim0, dim1):\n    return permute(a, tuple(range(a.ndim))[::-1])",
            "All dimensions are turned round; only dim0 and dim1 change places.",
        ),
        wrong(
            """
            def transpose(a, dim0, dim1):
                shape = list(a.shape)
                shape[dim0], shape[dim1] = shape[dim1], shape[dim0]
                return reshape(a, tuple(shape))
            """,
            "Reshaping leaves the numbers in their order in memory; a transpose moves element (i, j) "
            "to (j, i).",
        ),
        wrong(
            """
            def transpose(a, dim0, dim1):
                dims = list(range(a.ndim))
                dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
                return tensor(a.array.transpose(dims))
            """,
            "This copies the numbers; a transpose is a view, which `permute` gives.",
        ),
        wrong(
            "def transpose(a, dim0, dim1):\n    return wrap(np.swapaxes(a.array, dim0, dim1))",
            "The view is made behind the back of the Ops: its Memory is not shared, and no engine is told. "
            "`permute` is an Op.",
        ),
        wrong(
            """
            def transpose(a, dim0, dim1):
                return permute(a, tuple({dim0: dim1, dim1: dim0}.get(d, d) for d in range(a.ndim)))
            """,
            "Negative dimensions are not found in range(a.ndim), and nothing is swapped.",
        ),
    ),
)


@transpose.check("rows become columns")
def _():
    x = tensor([[1, 2, 3], [4, 5, 6]])
    call(core.transpose, x, 0, 1).gives(tensor([[1, 4], [2, 5], [3, 6]]))


@transpose.check("two of three dimensions, also counted from the end")
def _():
    x = grid(2, 3, 4)
    call(core.transpose, tensor(x), 0, 1).gives(np.array([[x[j, i] for j in range(2)] for i in range(3)]))
    call(core.transpose, tensor(x), -1, -2).gives(np.array([m.T for m in x]))
    call(core.transpose, tensor(x), 0, -1).gives(x.T)


@transpose.check("it is a view")
def _():
    x = tensor([[1, 2], [3, 4]])
    y = core.transpose(x, 0, 1)
    see("whether x and transpose(x, 0, 1) share memory", bool(np.shares_memory(x.array, y.array))).gives(True)
    see("transpose(x, 0, 1).memory is x.memory", y.memory is x.memory).gives(True)


@transpose.check("an Op does it")
def _():
    done = connected(lambda x: core.transpose(x, 0, 1), tensor([[1, 2], [3, 4]]))
    see("whether Ops lead from x to transpose(x, 0, 1)", done).gives(True)


expand = exercises.add(
    "expand",
    prompt=(
        "Return a view of array a in a larger shape: dimensions of size 1 are repeated, new ones come in "
        "front, and -1 keeps the size that is there. A size that does not fit is a ValueError."
    ),
    hints=(
        "Line the two shapes up from the right, with 1 where a has no dimension.",
        "Put the size of a in the place of each -1; np.broadcast_to(a, shape) does the rest without a copy.",
    ),
    mistakes=(
        wrong(
            "def expand(a, shape):\n    return np.broadcast_to(a, shape)",
            "-1 is not a size: it stands for the size that the dimension has already.",
        ),
        swap(
            "np.broadcast_to(a, tuple(k if size == -1 else size for size, k in zip(shape, kept, "
            "strict=True)))",
            "np.array(np.broadcast_to(a, tuple(k if s == -1 else s for s, k in zip(shape, kept, "
            "strict=True))))",
            "This copies the numbers; expand is a view, which repeats without memory.",
        ),
        swap(
            "(1,) * (len(shape) - a.ndim) + a.shape",
            "a.shape + (1,) * (len(shape) - a.ndim)",
            "New dimensions come in front: line the shapes up from the right.",
        ),
        swap(
            "k if size == -1 else size for",
            "max(k, size) for",
            "A smaller size than the one that is there is passed over; only -1 keeps a size.",
        ),
    ),
)


@expand.check("a row three times")
def _():
    call(core.expand, tensor([[1, 2]]), (3, 2)).gives(tensor([[1, 2]] * 3))


@expand.check("-1 keeps a size, and new dimensions come in front")
def _():
    call(core.expand, tensor([[1], [2]]), (-1, 2)).gives(tensor([[1, 1], [2, 2]]))
    call(core.expand, tensor([1, 2]), (2, -1)).gives(tensor([[1, 2], [1, 2]]))


@expand.check("it is a view")
def _():
    x = tensor([[1, 2]])
    y = core.expand(x, (3, 2))
    see("whether x and expand(x, (3, 2)) share memory", bool(np.shares_memory(x.array, y.array))).gives(True)


@expand.check("a size that does not fit is an error")
def _():
    raises(ValueError, core.expand, tensor([1, 2, 3]), (2,))
    raises(ValueError, core.expand, tensor([1, 2]), (4,))


cat = exercises.add(
    "cat",
    prompt=(
        "Join a list of arrays along the dimension `dim`, which they have already: the sizes add up "
        "there and are equal elsewhere, else it is a ValueError."
    ),
    hints=("No new dimension appears; NumPy calls this concatenating.", "np.concatenate(arrays, axis=…)"),
    mistakes=(
        swap("axis=dim", "axis=0", "The arrays are joined along dimension 0 whatever `dim` says."),
        swap(
            "np.concatenate", "np.stack", "Stacking makes a new dimension; cat joins along one that is there."
        ),
        swap(
            "concatenate(tensors",
            "concatenate(tensors[:2]",
            "Only the first two are joined; the list may be of any length.",
        ),
    ),
)


@cat.check("two lists end to end")
def _():
    call(core.cat, [tensor([1, 2]), tensor([3])]).gives(tensor([1, 2, 3]))


@cat.check("one, or three of them")
def _():
    call(core.cat, [tensor([1, 2])]).gives(tensor([1, 2]))
    call(core.cat, [tensor([1]), tensor([2, 3]), tensor([4])]).gives(tensor([1, 2, 3, 4]))


@cat.check("along any dimension")
def _():
    a, b = tensor([[1], [2]]), tensor([[3, 4], [5, 6]])
    call(core.cat, [a, b], 1).gives(tensor([[1, 3, 4], [2, 5, 6]]))
    call(core.cat, (b, b), dim=-2).gives(tensor([[3, 4], [5, 6], [3, 4], [5, 6]]))
    call(core.cat, (b, b), dim=-1).gives(tensor([[3, 4, 3, 4], [5, 6, 5, 6]]))


@cat.check("sizes that do not fit are an error")
def _():
    raises(ValueError, core.cat, [tensor([[1, 2]]), tensor([[1, 2, 3]])])


sum_ = exercises.add(
    "sum",
    prompt=(
        "Return the sum of array a over `dim`: an int, a tuple or list of them, or None for all. keepdim "
        "leaves a size of 1 in their place. Integers and bools give int64, floats keep their dtype."
    ),
    hints=(
        "np.sum has all of this under other names: axis, keepdims, dtype.",
        "`axes(dim)` turns a list into the tuple that NumPy wants; a.dtype.kind is 'i', 'u' or 'b' for "
        "int64.",
    ),
    mistakes=(
        swap(
            "keepdims=keepdim",
            "keepdims=False",
            "keepdim is ignored: a size of 1 has to stay in the place of dim.",
        ),
        swap(
            'int64 if a.dtype.kind in "iub" else None',
            "a.dtype",
            "The sum of small integers overflows in their own dtype: integers and bools are summed in int64.",
        ),
        swap("axis=axes(dim)", "axis=None", "`dim` is ignored: this sums over the whole array."),
        swap(
            "axis=axes(dim)",
            "axis=axes(dim) if dim else None",
            "Dimension 0 counts as false, and the sum runs over all; ask whether `dim is None`.",
        ),
        swap("axis=axes(dim)", "axis=dim", "NumPy's axis takes no list; `axes(dim)` makes a tuple of it."),
        swap(
            ', dtype=int64 if a.dtype.kind in "iub" else None',
            "",
            "NumPy sums unsigned integers as uint64; integers and bools give int64: say so with dtype=.",
        ),
        swap(
            "else None",
            "else float32",
            "Every float becomes float32; floats keep the dtype that they have.",
        ),
    ),
)


@sum_.check("over rows, over columns, over all")
def _():
    x = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    call(core.sum, x, 0).gives(tensor([5.0, 7.0, 9.0]))
    call(core.sum, x, -1).gives(tensor([6.0, 15.0]))
    call(core.sum, x).gives(tensor(21.0))


@sum_.check("several dimensions, and keepdim")
def _():
    x = tensor(np.ones((2, 3, 4), np.float32))
    call(core.sum, x, (0, 2)).gives(tensor([8.0, 8.0, 8.0]))
    call(core.sum, x, [1, 2]).gives(tensor([12.0, 12.0]))
    call(core.sum, tensor([[1.0, 2.0]]), 1, keepdim=True).gives(tensor([[3.0]]))


@sum_.check("integers and bools give int64")
def _():
    call(core.sum, tensor(np.array([200, 100], np.uint8))).gives(tensor(300))
    call(core.sum, tensor([True, True, False])).gives(tensor(2))


@sum_.check("floats keep their dtype")
def _():
    call(core.sum, tensor(np.array([0.5, 1.0]))).gives(np.array(1.5))


mean = exercises.add(
    "mean",
    prompt=(
        "Return the mean of array a over `dim`, which is given as in sum; keepdim leaves a size of 1. "
        "float32 stays float32, integers give float32, and the mean over nothing is nan."
    ),
    hints=(
        "The sum, divided by how many numbers one result takes in.",
        "`reduced_size(a.shape, dim)` counts them. np.mean would do as well, with axis and keepdims.",
    ),
    mistakes=(
        swap(
            "(reduced_size(a.shape, dim) or np.nan)",
            "(a.size or np.nan)",
            "Each sum is divided by the size of the whole array; divide by the size of the dimensions "
            "summed over.",
        ),
        swap(
            "keepdims=keepdim",
            "keepdims=False",
            "keepdim is ignored: a size of 1 has to stay in the place of dim.",
        ),
        swap("axis=axes(dim)", "axis=None", "`dim` is ignored in the sum, which runs over the whole array."),
        swap(
            "(reduced_size(a.shape, dim) or np.nan)",
            "(len(a) or np.nan)",
            "len(a) is the size of dimension 0, whatever `dim` says.",
        ),
        swap(
            "(reduced_size(a.shape, dim) or np.nan)",
            "max(1, reduced_size(a.shape, dim))",
            "The mean over nothing came out as a number; 0 / 0 is nan.",
        ),
    ),
)


@mean.check("over all, over rows, over columns")
def _():
    x = tensor([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    call(core.mean, x).gives(tensor(4.0))
    call(core.mean, x, 1).gives(tensor([2.0, 6.0]))
    call(core.mean, x, 0).gives(tensor([3.0, 4.0, 5.0]))
    call(core.mean, x, (0,)).gives(tensor([3.0, 4.0, 5.0]))
    call(core.mean, x, [0, 1]).gives(tensor(4.0))


@mean.check("keepdim leaves a size of 1")
def _():
    call(core.mean, tensor([[1.0, 2.0], [3.0, 5.0]]), -1, keepdim=True).gives(tensor([[1.5], [4.0]]))


@mean.check("integers give float32, nothing gives nan")
def _():
    call(core.mean, tensor([1, 2])).gives(tensor(1.5))
    call(core.mean, tensor(np.zeros(0, np.float32))).gives(tensor(float("nan")))


var = exercises.add(
    "var",
    prompt=(
        "Return the variance of array a over `dim`: the squared distances from the mean, summed and divided "
        "by n - correction. keepdim leaves a size of 1; where n - correction is not above 0, it is nan."
    ),
    hints=(
        "The mean needs keepdim=True so that a - mean broadcasts. `mean.fn` is the mean of an array.",
        "Subtract, square, sum over `axes(dim)`, divide by reduced_size(a.shape, dim) - correction.",
        "The mean of squares minus the square of the mean loses its digits where the mean is large.",
    ),
    mistakes=(
        swap(
            "reduced_size(a.shape, dim) - correction",
            "reduced_size(a.shape, dim)",
            "This divides by n, the biased estimate; the divisor is n - correction.",
        ),
        swap(
            "reduced_size(a.shape, dim) - correction",
            "reduced_size(a.shape, dim) - 1",
            "The divisor is always n - 1; use the argument correction.",
        ),
        swap(
            "centered = a - mean.fn(a, dim, keepdim=True)",
            "centered = a",
            "The mean is not subtracted before squaring.",
        ),
        swap(
            "return spread / (degrees if degrees > 0 else np.nan)",
            "return np.sqrt(spread / (degrees if degrees > 0 else np.nan))",
            "This is the standard deviation: the variance has no square root.",
        ),
        swap(
            "keepdims=keepdim",
            "keepdims=False",
            "keepdim is ignored: a size of 1 stays in the place of dim.",
        ),
        swap(
            "mean.fn(a, dim, keepdim=True)",
            "mean.fn(a)",
            "The distances are those from the mean of the whole array; take the mean over `dim`.",
        ),
        swap(
            "degrees if degrees > 0 else np.nan",
            "degrees or np.nan",
            "A divisor below 0 makes a negative variance; the answer there is nan.",
        ),
        wrong(
            """
            def var(a, dim=None, correction=1, keepdim=False):
                over, n = axes(dim), reduced_size(a.shape, dim)
                mean_of_squares = np.sum(a * a, axis=over, keepdims=keepdim) / n
                spread = mean_of_squares - (np.sum(a, axis=over, keepdims=keepdim) / n) ** 2
                return spread * n / (n - correction if n > correction else np.nan)
            """,
            "The mean of squares minus the square of the mean loses its digits where the mean is large; "
            "subtract the mean first.",
        ),
        swap(
            "centered = a - mean.fn(a, dim, keepdim=True)",
            "a -= mean.fn(a, dim, keepdim=True); centered = a",
            "The argument itself was changed: `a -= …` writes into the caller's memory.",
        ),
    ),
)


@var.check("the squared distances from the mean, divided by n - 1")
def _():
    call(core.var, tensor([1.0, 2.0, 6.0])).gives(tensor(7.0))


@var.check("correction=0 divides by n")
def _():
    call(core.var, tensor([1.0, 2.0, 6.0]), correction=0).gives(tensor(14 / 3))


@var.check("along a dimension, with keepdim")
def _():
    call(core.var, tensor([[1.0, 3.0], [2.0, 8.0]]), 1, keepdim=True).gives(tensor([[2.0], [18.0]]))
    call(core.var, tensor([[1.0, 3.0], [2.0, 8.0]]), 0).gives(tensor([0.5, 12.5]))


@var.check("one number has no variance")
def _():
    call(core.var, tensor([3.0])).gives(tensor(float("nan")))
    call(core.var, tensor([3.0, 5.0]), correction=3).gives(tensor(float("nan")))


@var.check("numbers far from zero")
def _():
    call(core.var, tensor([10001.0, 10002.0, 10006.0])).gives(tensor(7.0), rtol=1e-3)


@var.check("the argument stays as it is")
def _():
    x = tensor([1.0, 2.0, 6.0])
    core.var(x)
    see("x after var(x)", x).gives(tensor([1.0, 2.0, 6.0]))
