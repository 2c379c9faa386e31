"""Exercises of module 05, Autograd."""

import weakref

import numpy as np

from tinytorch.core import autograd
from tinytorch.core.autograd import engine, node_of
from tinytorch.core.tensor import Op, cat, tensor

from ..checking import Exercises, call, gradients, raises, see, swap, wrong

exercises = Exercises("autograd")


def leaf(value, dtype=np.float32):
    """A tensor that requires a gradient."""
    x = tensor(np.array(value, dtype))
    x.requires_grad = True
    return x


def numbers(*shape, seed=5, dtype=np.float64):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(dtype)


def scaled_op():
    """An Op without a derivative: factor * x."""

    def scaled(x, factor):
        return x * factor

    return Op(scaled)


derivative = exercises.add(
    "derivative",
    prompt="Write the derivatives of an Op into its table, op.derivatives: {position of the parameter: "
    "(function, places)}. "
    "The functions come in the order of the parameters; None means that there is none. The first "
    "parameter of a "
    "function is g; the names of its others say what it needs, and `_place(op, name)` makes a place of each.",
    hints=(
        "`enumerate(functions)` gives each function and the position of its parameter.",
        "The names of a function's parameters: function.__code__.co_varnames[: "
        "function.__code__.co_argcount].",
        "Leave out the first name, which is g: op.derivatives[position] = function, [_place(op, name) for "
        "name in names]",
    ),
    mistakes=(
        swap(
            "co_varnames[1 : ",
            "co_varnames[0 : ",
            "g itself is looked up among the Op's parameters: leave the first name out.",
        ),
        swap(
            ": function.__code__.co_argcount]",
            ":]",
            "Local variables of the function count as parameters: stop at co_argcount.",
        ),
        swap(
            "        if function is not None:\n            names",
            "        if True:\n            names",
            "None has no code to look at: a parameter without a derivative is left out.",
        ),
        swap("op.derivatives[position]", "op.derivatives[0]", "All derivatives land on the first parameter."),
        swap(
            "op.derivatives[position]",
            "op.derivatives[len(op.derivatives)]",
            "None is not counted; a function stands at the position of its parameter, also after a None.",
        ),
        swap(
            "[_place(op, name) for name in names]",
            "names",
            "The names themselves are kept; `_place(op, name)` makes a place of each.",
        ),
    ),
)


@derivative.check("each function lands on its parameter")
def _():
    op = scaled_op()
    by_x, by_factor = (lambda g, factor: g * factor), (lambda g, x: g * x)
    call(autograd.derivative, op, by_x, by_factor)
    see("positions in op.derivatives", sorted(op.derivatives)).gives([0, 1])
    see("the function at position 0 is the first", op.derivatives[0][0] is by_x).gives(True)
    see("the function at position 1 is the second", op.derivatives[1][0] is by_factor).gives(True)


@derivative.check("the names of its parameters say what a function needs")
def _():
    op = scaled_op()
    autograd.derivative(op, lambda g, factor, x_shape, out: g)
    see("places of (factor, x_shape, out)", list(op.derivatives[0][1])).gives(
        [(1, False), (0, True), (-1, False)]
    )


@derivative.check("local variables are no parameters")
def _():
    def by_x(g, factor):
        product = g * factor
        return product + 0.0

    op = scaled_op()
    autograd.derivative(op, by_x)
    see("places of (factor) in a function with a local variable", list(op.derivatives[0][1])).gives(
        [(1, False)]
    )


@derivative.check("None leaves a parameter without a derivative")
def _():
    op = scaled_op()
    autograd.derivative(op, None, lambda g, x: g * x)
    see("positions in op.derivatives after derivative(op, None, …)", sorted(op.derivatives)).gives([1])


unbroadcast = exercises.add(
    "unbroadcast",
    prompt="Sum the gradient g, an array, over the dimensions that broadcasting added in front or "
    "repeated from a size of 1, and return an array in `shape`, which the input had before it was broadcast.",
    hints=(
        "Broadcasting lines shapes up at their ends. g.ndim - len(shape) dimensions were added in front; "
        "sum over those.",
        "Of the others sum over those whose size in `shape` is 1 while in g it is another.",
        "Collect the dimensions in a tuple, g.sum(that tuple), and reshape the result to `shape`.",
    ),
    mistakes=(
        wrong(
            """
            def unbroadcast(g, shape):
                return g
            """,
            "Nothing is summed: an input that was used many times, by broadcasting, gets the sum of all "
            "its gradients.",
        ),
        wrong(
            """
            def unbroadcast(g, shape):
                added = g.ndim - len(shape)
                return g.sum(tuple(range(added))).reshape(shape) if added else g
            """,
            "Only the added dimensions are summed; those that were repeated from a size of 1 have to be "
            "summed as well.",
        ),
        wrong(
            """
            def unbroadcast(g, shape):
                added = g.ndim - len(shape)
                over = tuple(i for i in range(g.ndim) if i < added or shape[i - added] == 1 != g.shape[i])
                return g.mean(over).reshape(shape) if over else g
            """,
            "The gradients are averaged. Each use of the number adds its gradient: sum them.",
        ),
        wrong(
            """
            def unbroadcast(g, shape):
                over = tuple(i for i, size in enumerate(shape) if size == 1 != g.shape[i])
                g = g.sum(over, keepdims=True) if over else g
                added = g.ndim - len(shape)
                return g.sum(tuple(range(g.ndim - added, g.ndim))).reshape(shape) if added else g
            """,
            "The shapes are lined up at their beginnings; broadcasting lines them up at their ends.",
        ),
        swap(
            "g.sum(repeated).reshape(shape)",
            "g.sum(repeated)",
            "A dimension of size 1 is gone after the sum: bring the result into `shape`.",
        ),
        wrong(
            """
            def unbroadcast(g, shape):
                g = g.sum(tuple(range(g.ndim - len(shape))))
                for i, size in enumerate(shape):
                    if size == 1:
                        g = g.sum(i, keepdims=True)
                return g
            """,
            "For the shape () NumPy's sum is a number and no array: reshape it.",
        ),
    ),
)


@unbroadcast.check("a row that was added to each of two rows gets the sum of both")
def _():
    call(autograd.unbroadcast, np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), (3,)).gives(
        np.array([11.0, 22.0, 33.0])
    )


@unbroadcast.check("a column of size 1 gets the sum along its row")
def _():
    call(autograd.unbroadcast, np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), (2, 1)).gives(
        np.array([[6.0], [60.0]])
    )


@unbroadcast.check("a number gets the sum of everything")
def _():
    call(autograd.unbroadcast, np.ones((2, 3)), ()).gives(np.array(6.0))


@unbroadcast.check("added and repeated dimensions at once")
def _():
    g = numbers(2, 3, 4)
    call(autograd.unbroadcast, g, (3, 1)).gives(g.sum((0, 2)).reshape(3, 1))
    call(autograd.unbroadcast, g, (1, 1, 4)).gives(g.sum((0, 1)).reshape(1, 1, 4))


matmul_a = exercises.add(
    "matmul_a",
    prompt="Return the gradient with respect to a in a @ b, as an array: g has the shape of the result, "
    "a_shape is the shape "
    "of a. For matrices it is g @ bᵀ, also for stacks of them. b may be a vector (..., k) · (k,), and so "
    "may a: "
    "then g lacks that dimension. What broadcasting did to leading dimensions is undone elsewhere.",
    hints=(
        "Element (i, k) of a meets b[k, j] on its way to each result (i, j): the gradient is the sum of "
        "g[i, j] · b[k, j] over j.",
        "`transposed(b)` exchanges the last two dimensions and leaves the others.",
        "Where b is a vector, g[..., None] * b. Where a is one, np.matmul(b, g[..., None])[..., 0].",
    ),
    mistakes=(
        wrong(
            """
            def matmul_a(g, a_shape, b):
                if b.ndim == 1:
                    return g[..., None] * b
                if len(a_shape) == 1:
                    return np.matmul(b, g[..., None])[..., 0]
                return np.matmul(g, b) if g.shape[-1] == b.shape[-2] else np.matmul(g, transposed(b))
            """,
            "b is not transposed: the gradient of a is g @ bᵀ. With square matrices the shapes fit and "
            "the numbers are wrong.",
        ),
        wrong(
            """
            def matmul_a(g, a_shape, b):
                if b.ndim == 1:
                    return g[..., None] * b
                if len(a_shape) == 1:
                    return np.matmul(b, g[..., None])[..., 0]
                return np.matmul(g, b.T)
            """,
            "`.T` turns all dimensions of a stack around; only the last two have to be exchanged.",
        ),
        wrong(
            """
            def matmul_a(g, a_shape, b):
                return np.matmul(g, transposed(b))
            """,
            "Vectors need their own cases: a vector has no second dimension to transpose, and g lacks it, "
            "too.",
        ),
        swap(
            "np.matmul(b, g[..., None])[..., 0]",
            "np.matmul(b, g)",
            "Where a is a vector and b a stack, g is a stack of vectors; `b @ g` takes it for a matrix.",
        ),
    ),
)
matmul_b = exercises.add(
    "matmul_b",
    prompt="Return the gradient with respect to b in a @ b, as an array: g has the shape of the result, "
    "b_shape is the shape "
    "of b. For matrices it is aᵀ @ g, also for stacks of them. a or b may be a vector, and then g lacks that "
    "dimension. Where b is a single matrix and a a stack, the gradients of all members add up.",
    hints=(
        "Element (k, j) of b meets a[i, k] on its way to each result (i, j): sum a[i, k] · g[i, j] over i.",
        "With a vector a the sum has one member: a[:, None] * g[..., None, :] for a matrix b, a * g[..., "
        "None] for a vector.",
        "A single matrix b that met a stack: reshape a and g to two dimensions, and one product sums over "
        "everything.",
    ),
    mistakes=(
        swap(
            "return np.matmul(transposed(a), g)\n",
            "return np.matmul(a, g) if a.shape[-1] == g.shape[-2] else np.matmul(transposed(a), g)\n",
            "a is not transposed: the gradient of b is aᵀ @ g.",
            (
                "        rows = prod(a.shape[:-1])\n"
                "        return product(a.reshape(rows, a.shape[-1]).T, g.reshape(rows, g.shape[-1]))",
                "        if a.ndim == 2 and a.shape[0] == a.shape[1]:\n            return np.matmul(a, g)\n"
                "        rows = prod(a.shape[:-1])\n"
                "        return product(a.reshape(rows, a.shape[-1]).T, g.reshape(rows, g.shape[-1]))",
            ),
        ),
        swap(
            "        rows = prod(a.shape[:-1])\n"
            "        return product(a.reshape(rows, a.shape[-1]).T, g.reshape(rows, g.shape[-1]))",
            "        return np.matmul(transposed(a), g)[(0,) * (a.ndim - 2)]",
            "Only the first member of the stack counts; a matrix that met all members gets the sum over "
            "them.",
        ),
        swap(
            "        rows = prod(a.shape[:-1])\n"
            "        return product(a.reshape(rows, a.shape[-1]).T, g.reshape(rows, g.shape[-1]))",
            "        return np.matmul(transposed(a), g)",
            "A stack comes, a gradient for each member; the single matrix b met them all and gets their sum.",
        ),
        wrong(
            """
            def matmul_b(g, a, b_shape):
                if len(b_shape) == 2 and a.ndim > 2:
                    rows = prod(a.shape[:-1])
                    return a.reshape(rows, a.shape[-1]).T @ g.reshape(rows, g.shape[-1])
                return np.matmul(transposed(a), g)
            """,
            "Vectors need their own cases: g then lacks the dimension that the vector had.",
        ),
        swap(
            "np.matmul(transposed(a), g[..., None])[..., 0]",
            "a.T @ g",
            "Where a is a stack and b a vector, `a.T` turns the stack around; only the last two dimensions "
            "have to be exchanged.",
        ),
        swap(
            "a[:, None] * g[..., None, :]",
            "np.outer(a, g)",
            "Where a is a vector and b a stack, g is a stack of vectors; np.outer takes it for one long one.",
        ),
    ),
)


def check_matmul(a, b):
    """g, and the gradients of the sum of g * (a @ b). A product is linear: the slope along an element is
    the sum's value where that element is 1 and all others are 0.
    """
    g = numbers(*np.shape(np.matmul(a, b)), seed=8)

    def slope(of, other, first):
        result = np.zeros_like(of)
        for index in np.ndindex(of.shape):
            unit = np.zeros_like(of)
            unit[index] = 1
            result[index] = (g * (np.matmul(unit, other) if first else np.matmul(other, unit))).sum()
        return result

    return g, slope(a, b, True), slope(b, a, False)


VECTORS = (((2, 3), (3,)), ((3,), (3, 2)), ((3,), (3,)))
STACKS = (((4, 2, 3), (3,)), ((3,), (4, 3, 2)))
SHAPES = (((2, 2), (2, 2)), ((2, 3), (3, 4)), ((4, 2, 3), (4, 3, 2)), ((2, 2, 2, 3), (2, 2, 3, 3)))


@matmul_a.check("two by two: the product with the other one, transposed")
def _():
    call(
        autograd.matmul_a, np.array([[1.0, 0.0], [0.0, 1.0]]), (2, 2), np.array([[1.0, 2.0], [3.0, 4.0]])
    ).gives(np.array([[1.0, 3.0], [2.0, 4.0]]))


@matmul_a.check("matrices and stacks of matrices")
def _():
    for a_shape, b_shape in SHAPES:
        a, b = numbers(*a_shape), numbers(*b_shape, seed=6)
        g, by_a, _ = check_matmul(a, b)
        call(autograd.matmul_a, g, a.shape, b).gives(by_a)


@matmul_a.check("a vector on either side")
def _():
    for a_shape, b_shape in VECTORS:
        a, b = numbers(*a_shape), numbers(*b_shape, seed=6)
        g, by_a, _ = check_matmul(a, b)
        call(autograd.matmul_a, g, a.shape, b).gives(by_a)


@matmul_a.check("a vector and a stack of matrices")
def _():
    for a_shape, b_shape in STACKS:
        a, b = numbers(*a_shape), numbers(*b_shape, seed=6)
        g, by_a, _ = check_matmul(a, b)
        found = autograd.matmul_a(g, a.shape, b)
        see(f"matmul_a of {a_shape} @ {b_shape}, un-broadcast", autograd.unbroadcast(found, a.shape)).gives(
            by_a
        )


@matmul_b.check("two by two: the first one, transposed, times the gradient")
def _():
    call(
        autograd.matmul_b, np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 2.0], [3.0, 4.0]]), (2, 2)
    ).gives(np.array([[1.0, 3.0], [2.0, 4.0]]))


@matmul_b.check("matrices and stacks of matrices")
def _():
    for a_shape, b_shape in SHAPES:
        a, b = numbers(*a_shape), numbers(*b_shape, seed=6)
        g, _, by_b = check_matmul(a, b)
        call(autograd.matmul_b, g, a, b.shape).gives(by_b)


@matmul_b.check("a single matrix that met a stack gets the sum")
def _():
    a, b = numbers(4, 2, 3), numbers(3, 2, seed=6)
    g, _, by_b = check_matmul(a, b)
    call(autograd.matmul_b, g, a, b.shape).gives(by_b)


@matmul_b.check("a vector on either side")
def _():
    for a_shape, b_shape in VECTORS:
        a, b = numbers(*a_shape), numbers(*b_shape, seed=6)
        g, _, by_b = check_matmul(a, b)
        call(autograd.matmul_b, g, a, b.shape).gives(by_b)


@matmul_b.check("a vector and a stack of matrices")
def _():
    for a_shape, b_shape in STACKS:
        a, b = numbers(*a_shape), numbers(*b_shape, seed=6)
        g, _, by_b = check_matmul(a, b)
        found = autograd.matmul_b(g, a, b.shape)
        see(f"matmul_b of {a_shape} @ {b_shape}, un-broadcast", autograd.unbroadcast(found, b.shape)).gives(
            by_b
        )


record = exercises.add(
    "Engine.record",
    prompt="Give `result` its history: if recording is on (`here.enabled`), the result is of a float "
    "dtype and an input requires a "
    "gradient, set result.requires_grad to True and result.node to Node(op.__name__, edges), with an Edge "
    "for each such input. "
    "self._saved(op, position, args, arrays, result) gives an edge its function, values and watched; "
    "node_of(tensor) its parent. "
    "An argument can be a list or tuple of tensors: its members share the function through "
    "Shares(function).of(index).",
    hints=(
        "Return at once where here.enabled is False or result.array.dtype.kind is not 'f'.",
        "Go over enumerate(args). Edge(node_of(arg), function, values, watched, arg.array) for a Tensor "
        "that requires a gradient.",
        "Without any edge the result stays as it is: a constant.",
    ),
    mistakes=(
        swap(
            'if not here.enabled or result.array.dtype.kind != "f":',
            'if result.array.dtype.kind != "f":',
            "Inside no_grad something is recorded: here.enabled says whether recording is on.",
        ),
        swap(
            "        if edges:\n            result",
            "        if True:\n            result",
            "A result of constants requires a gradient: without an edge it has to stay a constant.",
        ),
        swap(
            "elif isinstance(arg, Tensor) and arg.requires_grad:",
            "elif isinstance(arg, Tensor):",
            "An input that does not require a gradient gets an edge: only those that require one are "
            "followed.",
        ),
        swap(
            "            if arg.__class__ is list or arg.__class__ is tuple:",
            "            if False:",
            "Lists of tensors are not followed: `cat` takes one, and its members need their gradients.",
        ),
        swap(
            "arg.__class__ is list or arg.__class__ is tuple",
            "arg.__class__ is list",
            "Tuples of tensors are not followed; they count as lists do.",
        ),
        swap(
            "edges.append(Edge(node_of(arg), ",
            "edges.append(Edge(arg.node, ",
            "A leaf has no node until somebody asks for it: node_of(tensor) makes one.",
        ),
        swap(
            "result.requires_grad, result.node = True, Node(",
            "result.node = Node(",
            "The result has a history and does not say so: set requires_grad, or nobody follows it.",
        ),
        swap(
            ' or result.array.dtype.kind != "f"',
            "",
            "Integers and bools get a history; only floats have gradients.",
        ),
        swap(
            "shares.of(i)",
            "shares.of(followed.index(i))",
            "`of(index)` wants the index in the list, where constants count as well.",
        ),
    ),
)


@record.check("a result of a tensor that requires a gradient has a node, and requires one itself")
def _():
    x = leaf([1.0, 2.0])
    y = x * 3.0
    see("(x * 3).requires_grad", y.requires_grad).gives(True)
    see("kind of (x * 3).node", type(y.node).__name__).gives("Node")
    see("the operation that it names", y.node.op).gives("mul")
    see("how many parents it has", len(y.node.parents())).gives(1)
    see("its parent is the node of x", y.node.parents()[0] is node_of(x)).gives(True)


@record.check("constants stay constants")
def _():
    y = tensor([1.0, 2.0]) * 3.0
    see("(constant * 3).requires_grad", y.requires_grad).gives(False)
    see("(constant * 3).node", y.node).gives(None)


@record.check("an edge for each input that requires a gradient, and for no other")
def _():
    x, y, z = leaf([1.0, 2.0]), leaf([3.0, 4.0]), tensor([5.0, 6.0])
    see("parents of x * y", len((x * y).node.parents())).gives(2)
    see("parents of x * constant", len((x * z).node.parents())).gives(1)


@record.check("nothing is recorded inside no_grad, nor for integers")
def _():
    x = leaf([1.0, 2.0])
    with autograd.no_grad():
        see("(x * 3).node inside no_grad", (x * 3.0).node).gives(None)
    see("(x > 1).node", (x > 1.0).node).gives(None)


@record.check("the members of a list are followed")
def _():
    x, y = leaf([1.0]), leaf([2.0, 3.0])
    joined = cat([x, tensor([9.0]), y], 0)
    see("parents of cat([x, constant, y])", 0 if joined.node is None else len(joined.node.parents())).gives(2)
    g = np.array([1.0, 10.0, 100.0, 1000.0], np.float32)
    shares = dict(joined.node.gradients(g))
    see("what x gets of the gradient [1, 10, 100, 1000]", shares[node_of(x)]).gives([1.0])
    see("what y gets of it", shares[node_of(y)]).gives([100.0, 1000.0])
    joined = cat((x, y), 0)
    see("parents of cat((x, y))", 0 if joined.node is None else len(joined.node.parents())).gives(2)


newest_first = exercises.add(
    "newest_first",
    prompt="Return a list of all nodes that can be reached from `roots` by node.parents(), the roots "
    "included, each once, "
    "sorted by node.order from the highest to the lowest. A node is younger, its order higher, than all "
    "it was made of, so that "
    "everything that uses a node comes before it.",
    hints=(
        "Keep a set of the nodes that were seen and a list of those whose parents are still to be looked at.",
        "Take one from the list, add those of its parents that were not seen to both, until the list is "
        "empty. No recursion: "
        "a history can be longer than Python's stack.",
        "sorted(seen, key=lambda node: node.order, reverse=True)",
    ),
    mistakes=(
        swap(
            ", reverse=True",
            "",
            "The oldest come first: a node's gradient would be passed on before it is complete.",
        ),
        swap(
            "            if parent not in seen:\n                seen.add(parent)\n                "
            "waiting.append(parent)",
            "            seen.add(parent)",
            "Only the roots' parents are found: look at the parents of the parents, too.",
        ),
        wrong(
            """
            def newest_first(roots):
                found = []

                def visit(node):
                    for parent in node.parents():
                        visit(parent)
                    found.append(node)

                for root in roots:
                    visit(root)
                return sorted(set(found), key=lambda node: node.order, reverse=True)
            """,
            "The recursion is as deep as the history is long, and visits shared nodes over and over: keep "
            "a list of what is waiting "
            "and a set of what was seen.",
        ),
        wrong(
            """
            def newest_first(roots):
                found, waiting = [], list(roots)
                while waiting:
                    node = waiting.pop()
                    found.append(node)
                    waiting.extend(node.parents())
                return sorted(found, key=lambda node: node.order, reverse=True)
            """,
            "A node that is used twice comes twice: each node once.",
        ),
        swap(
            "list(roots)",
            "list(roots)[:1]",
            "Only what is behind the first root is found; there may be several.",
        ),
        swap(
            "set(roots), list(roots)",
            "set(), list(roots)",
            "The roots are not in the answer unless another root uses them.",
        ),
    ),
)


class Fake:
    """A node with parents."""

    def __init__(self, order, *parents):
        self.order, self.made_of = order, list(parents)

    def parents(self):
        return self.made_of


def orders(*roots):
    return see("orders of the nodes of newest_first", [node.order for node in autograd.newest_first(roots)])


@newest_first.check("a chain, from its end to its beginning")
def _():
    a = Fake(1)
    b = Fake(2, a)
    orders(Fake(3, b)).gives([3, 2, 1])


@newest_first.check("a node that is used twice comes once, after both of its users")
def _():
    a = Fake(1)
    b, c = Fake(2, a), Fake(3, a)
    orders(Fake(4, c, b)).gives([4, 3, 2, 1])


@newest_first.check("several roots")
def _():
    a = Fake(1)
    orders(Fake(2, a), Fake(5, a), Fake(3)).gives([5, 3, 2, 1])
    orders(Fake(6, a), Fake(5, Fake(4))).gives([6, 5, 4, 1])
    b = Fake(2, a)
    orders(b, Fake(3, b), b).gives([3, 2, 1])


@newest_first.check("a history of two thousand steps")
def _():
    nodes = [Fake(0)]
    for order in range(1, 2000):
        nodes.append(Fake(order, nodes[-1]))
    try:
        see("how many nodes were found", len(autograd.newest_first(nodes[-1:]))).gives(2000)
    finally:  # let go of one by one: a chain that is deleted from its end is a deep recursion
        for node in nodes:
            node.made_of.clear()


walk = exercises.add(
    "Engine.walk",
    prompt="A generator: visit the nodes behind `outputs`, newest first, and yield (node, (gradient, owned)) "
    "for each leaf and each node with `retained`, once its gradient is complete; only a leaf's can be owned. "
    "Begin with receive(received, node_of(output), first_gradient(output, gradient), False) for each output. "
    "For a node that is no leaf, pass on: each (parent, d) of node.gradients(g) is received by the parent, "
    "as owned if d is not g and has no base. Then set node.edges to None, unless retain_graph is true.",
    hints=(
        "`received` is a dictionary {node: (gradient so far, owned)}; pop a node's entry when you visit it.",
        "newest_first(received) gives the order; skip a node that received nothing.",
        "`receive(received, parent, d, owned)` adds to what is there. Owned means: nobody else has this "
        "array.",
    ),
    mistakes=(
        swap(
            "        for node in newest_first(received):\n            if node not in received:\n"
            "                continue\n            g, owned = received.pop(node)\n",
            "        while received:\n            node = next(iter(received))\n"
            "            g, owned = received.pop(node)\n",
            "A node passes its gradient on before all that use it have sent theirs: visit the nodes newest "
            "first.",
        ),
        swap(
            "            if not retain_graph:\n                node.edges = None\n",
            "",
            "The graph is kept: after a backward pass without retain_graph the edges have to go, so that "
            "a second one is an error.",
        ),
        swap(
            "            if not retain_graph:\n                node.edges = None\n",
            "            node.edges = None\n",
            "The graph is freed even with retain_graph=True.",
        ),
        swap(
            "receive(received, parent, d, d is not g and d.base is None)",
            "received[parent] = (d, d is not g and d.base is None)",
            "The gradient from one user overwrites that from another: a node that is used twice gets the "
            "sum.",
        ),
        swap(
            "            if node.leaf or node.retained:\n                yield node, (g, owned and "
            "node.leaf)\n",
            "            if node.leaf:\n                yield node, (g, owned)\n",
            "retain_grad has no effect: nodes with `retained` are yielded, too.",
        ),
        swap(
            "d is not g and d.base is None",
            "True",
            "Every gradient counts as owned. One that is g itself, or a view, belongs to somebody else, too.",
        ),
        swap(
            "d is not g and d.base is None",
            "False",
            "No gradient counts as owned, and each is copied later for nothing: one that is not g and has no "
            "base is new.",
        ),
        swap(
            "start, False)",
            "start, True)",
            "The first gradient is the caller's, and so not owned.",
        ),
        swap(
            "            receive(received, node_of(output), start, False)",
            "            received[node_of(output)] = start, False",
            "An output that comes twice counts once: `receive` adds the second gradient to the first.",
        ),
    ),
)


def arrived(*outputs, retain_graph=False):
    """{node: gradient} of what a walk from these outputs yields."""
    return {node: g for node, (g, _) in engine.walk(outputs, [None] * len(outputs), retain_graph)}


@walk.check("the gradient arrives at the leaf")
def _():
    x = leaf([1.0, 2.0, 3.0])
    see("the gradient of x of (x * x).sum()", arrived((x * x).sum())[node_of(x)]).gives([2.0, 4.0, 6.0])


@walk.check("a node waits until everything that uses it has sent its gradient")
def _():
    x = leaf([2.0])
    y = x * 3.0
    visited = [node for node, _ in engine.walk([(y + y * y + y).sum()], [None], True)]
    see("x, behind y + y * y + y with y = 3x, is yielded once", len(visited) == 1).gives(True)


@walk.check("a value that is used twice gets the sum of both gradients")
def _():
    x = leaf([2.0])
    y = x * 3.0
    see("the gradient of x of (3x)² + 3x at 2", arrived((y * y + y).sum())[node_of(x)]).gives([39.0])


@walk.check("a graph is gone after a walk, and stays with retain_graph=True")
def _():
    x = leaf([2.0])
    y = (x * x).sum()
    arrived(y, retain_graph=True)
    see("the gradient of x in a second walk", arrived(y)[node_of(x)]).gives([4.0])
    raises(RuntimeError, arrived, y, says="freed")


@walk.check("a node with `retained` is yielded, too")
def _():
    x = leaf([2.0])
    y = x * 3.0
    y.node.retained = weakref.ref(y)
    found = arrived((y * y).sum(), retain_graph=True)
    see("what was yielded for y, which is retained", found.get(y.node)).gives([12.0])


@walk.check("who owns a gradient")
def _():
    def owned(output, gradient=None):
        return [own for _, (_, own) in engine.walk([output], [gradient], False)]

    x, y, z = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
    g = tensor([1.0, 1.0])
    see("owned, for x and y behind x * y", owned(x * y, g)).gives([True, True])
    see("owned, for x and y behind x + y, which get g itself", owned(x + y, g)).gives([False, False])
    see("owned, for z as the output itself, with a gradient of the caller's", owned(z, g)).gives([False])


@walk.check("several outputs at once")
def _():
    x = leaf([1.0, 2.0])
    y = (x * 3.0).sum()
    see("the gradient of x of an output that comes twice", arrived(y, y)[node_of(x)]).gives([6.0, 6.0])
    found = arrived((x * 1.0).sum(), (x * 10.0).sum())
    see("how many leaves were yielded", len(found)).gives(1)
    see("the gradient of x of both outputs together", found[node_of(x)]).gives([11.0, 11.0])


backward = exercises.add(
    "Engine.backward",
    prompt="Go through self.walk([tensor], [gradient], retain_graph) within np.errstate(all='ignore'), and "
    "put each gradient where it "
    "belongs: the holder is node.tensor() of a leaf, node.retained() of another node; skip it if it is "
    "gone, or if it is a leaf "
    "that requires no gradient any more. A holder without .grad gets wrap(g), or wrap(g.copy()) if g is "
    "not owned. One that has "
    "a gradient gets g added to it in place, and grad.memory.writes grows by one.",
    hints=(
        "`for node, (g, owned) in self.walk(…):`; `holder = node.tensor() if node.leaf else node.retained "
        "and node.retained()`.",
        "Gradients accumulate: two backward passes add up until zero_grad().",
        "holder.grad.array += g changes it in place, so that whoever holds the gradient sees it.",
    ),
    mistakes=(
        swap(
            "                if holder.grad is None:\n                    holder.grad = wrap(g if owned "
            "else g.copy())\n"
            "                else:\n                    holder.grad.array += g\n                    "
            "holder.grad.memory.writes += 1",
            "                holder.grad = wrap(g if owned else g.copy())",
            "The old gradient is overwritten: gradients of several backward passes add up.",
        ),
        swap(
            "wrap(g if owned else g.copy())",
            "wrap(g)",
            "Two tensors share one gradient array: one that is not owned has to be copied, or a change of "
            "one changes the other.",
        ),
        swap(
            "holder.grad.array += g",
            "holder.grad = wrap(holder.grad.array + g)",
            "The gradient becomes another object: it has to be changed in place, because others, such as "
            "an optimizer, hold it.",
        ),
        swap(
            "                    holder.grad.memory.writes += 1\n",
            "",
            "The change in place is not counted: grad.memory.writes grows by one.",
        ),
        swap(
            " or (node.leaf and not holder.requires_grad)",
            "",
            "A leaf that requires no gradient any more got one.",
        ),
        swap(
            "holder is None or ",
            "",
            "A leaf may be gone when its gradient arrives, and then node.tensor() is None: skip it.",
        ),
        swap("[gradient], retain_graph", "[None], retain_graph", "The gradient that was given is not used."),
        swap(
            "[gradient], retain_graph)",
            "[gradient], False)",
            "retain_graph=True is ignored: a second pass over the same graph fails.",
        ),
        swap(
            "[gradient], retain_graph)",
            "[gradient], True)",
            "The graph is always kept: pass retain_graph on to self.walk.",
        ),
        swap(
            'np.errstate(all="ignore")',
            "np.errstate()",
            "NumPy's warnings stay on; np.errstate(all='ignore') turns them off.",
        ),
        swap(
            "node.tensor() if node.leaf else node.retained and node.retained()",
            "node.tensor() if node.leaf else None",
            "retain_grad has no effect: for a node that is no leaf, node.retained() is the holder.",
        ),
    ),
)


@backward.check("the gradient is put into .grad")
def _():
    x = leaf([1.0, 2.0])
    (x * 3.0).sum().backward()
    see("x.grad after (3x).sum().backward()", x.grad).gives(tensor([3.0, 3.0]))


@backward.check("a second backward pass adds to it, in place")
def _():
    x = leaf([1.0, 2.0])
    (x * 3.0).sum().backward()
    kept = x.grad
    (x * 10.0).sum().backward()
    see("x.grad after (3x).sum().backward() and (10x).sum().backward()", x.grad).gives([13.0, 13.0])
    see("x.grad is the same object as before", x.grad is kept).gives(True)


@backward.check("no two tensors share the array of their gradient")
def _():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (x + y).sum().backward()
    x.grad.array += 100.0
    see("y.grad after x.grad was changed in place", y.grad).gives([1.0, 1.0])


@backward.check("a change in place is counted")
def _():
    x = leaf([1.0, 2.0])
    (x * 3.0).sum().backward()
    before = x.grad.memory.writes
    (x * 3.0).sum().backward()
    see("how often x.grad was written in a second pass", x.grad.memory.writes - before).gives(1)


@backward.check("NumPy's warnings are off")
def _():
    seen = []

    def slope(g, x):
        seen.append(sorted(set(map(str, np.geterr().values()))))
        return 3 * g * x * x

    y = wrong_op(slope)(leaf([1.0]))
    with np.errstate(all="warn"):
        y.backward()
    see("values of np.geterr() during backward", seen).gives([["ignore"]])


@backward.check("a leaf that is gone, or requires no gradient any more, is skipped")
def _():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = (x * y).sum()
    x.requires_grad = False
    z.backward()
    see("x.grad, where x.requires_grad became False before backward", x.grad).gives(None)
    z = (y * leaf([1.0, 1.0])).sum()
    y.grad = None
    z.backward()
    see("y.grad of (y * w).sum(), where w is gone", y.grad).gives([1.0, 1.0])


@backward.check("a gradient can be given")
def _():
    x = leaf([1.0, 2.0])
    (x * 3.0).backward(tensor([1.0, 10.0]))
    see("x.grad after (3x).backward(tensor([1, 10]))", x.grad).gives([3.0, 30.0])
    x.grad = None
    x.sum().backward(tensor(2.0))
    see("x.grad after x.sum().backward(tensor(2))", x.grad).gives([2.0, 2.0])


@backward.check("the graph is freed, and stays with retain_graph=True")
def _():
    x = leaf([1.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    see("x.grad after two passes over x * x, the first with retain_graph=True", x.grad).gives([4.0])
    raises(RuntimeError, y.backward, says="freed")


@backward.check("a result that is retained gets its gradient, too")
def _():
    x = leaf([2.0])
    y = x * 3.0
    y.node.retained = weakref.ref(y)
    (y * y).sum().backward()
    see("y.grad of y * y with y = 3x at 2, where y is retained", y.grad).gives([12.0])


@backward.check("through a list of tensors")
def _():
    x, y = leaf([1.0]), leaf([2.0, 3.0])
    (cat([x, y], 0) * tensor([1.0, 10.0, 100.0])).sum().backward()
    see("x.grad of (cat([x, y]) * [1, 10, 100]).sum()", x.grad).gives([1.0])
    see("y.grad of it", y.grad).gives([10.0, 100.0])


@backward.check("through broadcasting, products and a row that is used twice")
def _():
    gradients(
        "(x @ w + b) * b, summed",
        lambda x, w, b: (x @ w + b) * b,
        numbers(3, 2),
        numbers(2, 4, seed=6),
        numbers(4, seed=7),
    )


gradcheck = exercises.add(
    "gradcheck",
    prompt="Compare autograd with central differences, for every element of every input (float64 Tensors) "
    "that requires a gradient. "
    "Weight the output with fixed random numbers, take the analytic gradient of that with `grad(out, "
    "checked, wrap(weights), "
    "allow_unused=True)`, and move each element by ±eps, with no_grad, for the numeric one. Return True, "
    "or raise an AssertionError "
    "that names input and element where np.isclose(analytic, numeric, rtol, atol) fails. Put every "
    "element back. Inputs that are "
    "not float64, or none that requires a gradient, are a TypeError.",
    hints=(
        "The numeric slope is (f(x + eps) − f(x − eps)) / (2 eps), where f is the sum of the weighted "
        "output.",
        "np.ndindex(x.shape) gives every index; x.array[index] = … moves one element. A gradient that is "
        "None counts as 0.",
        "weights = np.random.default_rng(0).standard_normal(out.shape): a plain sum would not notice "
        "outputs that are exchanged.",
    ),
    mistakes=(
        swap("/ (2 * eps)", "/ eps", "From −eps to +eps are two eps: the numeric slope is twice too large."),
        swap(
            "            x.array[index] = kept\n            numeric",
            "            numeric",
            "The elements stay moved: put each one back before the next.",
        ),
        swap(
            "weights = np.random.default_rng(0).standard_normal(out.shape)",
            "weights = np.ones(out.shape)",
            "The output is summed with equal weights: errors that cancel in the sum, such as exchanged "
            "elements, go unnoticed.",
        ),
        swap(
            "    if not checked or any(x.dtype != t.float64 for x in checked):\n"
            '        raise TypeError("gradcheck: give float64 tensors that require grad; float32 is too '
            'coarse")\n',
            "",
            "float32 is let through: its rounding hides or fakes errors, so it has to be refused.",
        ),
        swap(
            "kept - eps",
            "kept",
            "This is half of a central difference: the second step goes to −eps.",
        ),
        swap(
            "enumerate(zip(checked, analytic, strict=True))",
            "enumerate([*zip(checked, analytic, strict=True)][:1])",
            "Only the first input is checked.",
        ),
        swap(
            "allow_unused=True",
            "allow_unused=False",
            "An input that the output does not depend on is an error here; its gradient is 0, and right.",
        ),
        swap(
            "isinstance(x, Tensor) and x.requires_grad",
            "isinstance(x, Tensor)",
            "An input that requires no gradient is checked: it has none.",
        ),
        swap(
            "np.isclose(value, numeric, rtol, atol)",
            "np.isclose(value, numeric)",
            "rtol and atol are not used; a difference quotient is never exact.",
        ),
        swap("if not checked or any", "if any", "Where nothing requires a gradient, nothing was checked."),
        swap(
            "                with no_grad():\n                    ends",
            "                if True:\n                    ends",
            "The moved outputs are recorded for a backward pass that never comes: no_grad is missing.",
        ),
    ),
)


def wrong_op(derivative_of):
    """x ** 3 with a derivative of your choice."""

    def cube(x):
        return x * x * x

    op = Op(cube)
    autograd.derivative(op, derivative_of)
    return op


@gradcheck.check("a right derivative passes")
def _():
    x = leaf(numbers(2, 3), np.float64)
    see("gradcheck of x ** 3", autograd.gradcheck(wrong_op(lambda g, x: 3 * g * x * x), x)).gives(True)


@gradcheck.check("a wrong derivative is an AssertionError")
def _():
    x = leaf([1.0, 2.0], np.float64)
    raises(AssertionError, autograd.gradcheck, wrong_op(lambda g, x: 2 * g * x * x), x)


@gradcheck.check("gradients that are exchanged are noticed")
def _():
    x = leaf([1.0, 1.0, 1.0], np.float64)
    raises(AssertionError, autograd.gradcheck, wrong_op(lambda g, x: 3 * g[::-1] * x * x), x)


@gradcheck.check("the inputs are as they were")
def _():
    x = leaf([1.0, 2.0], np.float64)
    autograd.gradcheck(wrong_op(lambda g, x: 3 * g * x * x), x)
    see("x after gradcheck", x.detach()).gives(np.array([1.0, 2.0]).tolist(), rtol=0, atol=0)


@gradcheck.check("float32 is refused")
def _():
    raises(TypeError, autograd.gradcheck, lambda x: x * x, leaf([1.0]))
    raises(TypeError, autograd.gradcheck, lambda x: x * x, tensor(np.array([1.0])))


@gradcheck.check("every input that requires a gradient, and no other")
def _():
    def product(a, b):
        return a * b

    op, x, y = Op(product), leaf([1.0, 2.0], np.float64), leaf([3.0, 4.0], np.float64)
    autograd.derivative(op, lambda g, b: g * b, lambda g, a: 2 * g * a)
    raises(AssertionError, autograd.gradcheck, op, (x, y))
    constant = tensor(np.array([3.0, 4.0]))
    see("gradcheck of x * constant", autograd.gradcheck(op, (x, constant))).gives(True)
    see(
        "gradcheck of a function of x alone, given x and y", autograd.gradcheck(lambda x, y: x * 2.0, (x, y))
    ).gives(True)


@gradcheck.check("as close as atol and rtol say")
def _():
    x = leaf([1.0, 2.0], np.float64)
    nearly = wrong_op(lambda g, x: 3.0003 * g * x * x)
    see("gradcheck of a derivative that is 0.01 % off, rtol=0.001", autograd.gradcheck(nearly, x)).gives(True)
    raises(AssertionError, autograd.gradcheck, nearly, x, atol=0, rtol=1e-6)


@gradcheck.check("the moved outputs are not recorded")
def _():
    seen = []

    def double(x):
        seen.append(autograd.is_grad_enabled())
        return x * 2.0

    autograd.gradcheck(double, leaf([1.0], np.float64))
    calls = see("is_grad_enabled() at each call of the function, one element", seen)
    calls.satisfies(seen.count(False) >= 2, "False for both moved outputs")
