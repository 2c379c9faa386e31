"""05 Autograd: every Op is recorded as it runs, and the record is walked backwards.

Forward, `Engine.record` gives each result a `Node`: one edge per input that needs a gradient, holding
the derivative function and just the values that it names. Backward, the nodes are visited from the
newest to the oldest, so every gradient is complete before it is passed on. The second half of the file
is the derivative table for the Ops of modules 01 to 04.

Reverse-mode differentiation: Baydin et al. 2018, https://arxiv.org/abs/1502.05767. The table follows
the idea of PyTorch's derivatives.yaml.
"""

import threading
import weakref
from contextlib import contextmanager
from functools import wraps
from itertools import count
from math import pi, prod, sqrt

import numpy as np

from ..utils.threads import product
from . import activations, layers, losses
from . import tensor as t
from .tensor import Op, Tensor, flattened, wrap

OUT = -1  # the place of an Op's result among its parameters
_order = count()


class Here(threading.local):
    """What each thread has for itself: is recording on, and the histories that it is letting go of."""

    enabled = True
    dropped: list | None = None


here = Here()


class Node:
    """How one tensor came about. `edges` is None once a backward pass has freed it."""

    __slots__ = ("edges", "op", "order", "retained")
    leaf = False

    def __init__(self, op, edges):
        self.op, self.edges, self.order, self.retained = op, edges, next(_order), None

    def __del__(self):
        """Let go of the parents one by one: deleted from here, a long history is a deep recursion."""
        if not self.edges:
            return
        edges, self.edges = self.edges, None
        if here.dropped is not None:
            here.dropped.append(edges)
            return
        here.dropped = [edges]
        del edges
        while here.dropped:
            here.dropped.pop()
        here.dropped = None

    def __repr__(self):
        return f"<{self.op} backward>"

    def parents(self):
        return [edge.parent for edge in self.edges or ()]

    def gradients(self, g):
        """Pairs (parent node, gradient with respect to that parent), given the gradient g of the result."""
        self.check_alive()
        for edge in self.edges:
            yield edge.parent, edge.gradient(g, self.op)

    def check_alive(self):
        if self.edges is None:
            raise RuntimeError(
                f"backward: the graph behind {self.op} was freed by an earlier backward(); "
                "run the forward pass again, or call backward(retain_graph=True) the first time"
            )


class Edge:
    """One input of a recorded Op: its derivative function, and the values that function asked for."""

    __slots__ = ("derivative", "dtype", "parent", "shape", "values", "watched")

    def __init__(self, parent, derivative, values, watched, array):
        self.parent, self.derivative, self.values, self.watched = parent, derivative, values, watched
        self.shape, self.dtype = array.shape, array.dtype

    def gradient(self, g, op):
        for memory, writes in self.watched:
            if memory.writes != writes:
                raise RuntimeError(
                    f"backward: a tensor that {op} saved was changed in place after it was used; "
                    "change a clone() of it, or call backward() before the change"
                )
        d = self.derivative(g, *self.values)
        d = d if d.shape == self.shape else unbroadcast(d, self.shape)
        d = d if d.dtype == self.dtype else d.astype(self.dtype)
        return np.asarray(d) if isinstance(d, np.generic) else d  # NumPy answers 0-d arrays with scalars


class Shares:
    """The derivative of a list of tensors: computed once for all the members, then handed out."""

    __slots__ = ("derivative", "g", "waiting")

    def __init__(self, derivative):
        self.derivative, self.g, self.waiting = derivative, None, {}

    def of(self, index):
        """The derivative function of one member."""

        def share(g, *values):
            if g is not self.g or index not in self.waiting:
                self.g, self.waiting = g, dict(enumerate(self.derivative(g, *values)))
            return self.waiting.pop(index)

        return share


class Leaf(Node):
    """Where a gradient arrives: a tensor that the user made."""

    __slots__ = ("tensor",)
    leaf = True

    def __init__(self, tensor):
        super().__init__("leaf", ())
        self.tensor = weakref.ref(tensor)


def unbroadcast(g, shape):
    """Sum a gradient over the dimensions that broadcasting added or repeated, back to `shape`."""
    added = g.ndim - len(shape)
    if g.shape[added:] == shape and g.size and g.dtype.kind == "f" and added:
        rows = g.reshape(-1, prod(shape))
        return (np.ones_like(rows, shape=(1, len(rows))) @ rows).reshape(shape)  # a GEMM beats sum(0)
    repeated = tuple(i for i in range(g.ndim) if i < added or shape[i - added] == 1 != g.shape[i])
    return g.sum(repeated).reshape(shape)


class Engine:
    """What `Op.engine` is from now on."""

    def is_recording(self, *values):
        """Would an Op on these values be recorded?"""
        return here.enabled and any(v.requires_grad for v in flattened(values) if isinstance(v, Tensor))

    def record(self, op, args, arrays, result):
        """Give `result` its node, if recording is on and an input needs a gradient."""
        if not here.enabled or result.array.dtype.kind != "f":
            return
        edges = []
        for position, arg in enumerate(args):
            if arg.__class__ is list or arg.__class__ is tuple:
                followed = [i for i, x in enumerate(arg) if isinstance(x, Tensor) and x.requires_grad]
                if followed:
                    function, values, watched = self._saved(op, position, args, arrays, result)
                    shares = Shares(function)
                    edges += [
                        Edge(node_of(arg[i]), shares.of(i), values, watched, arg[i].array) for i in followed
                    ]
            elif isinstance(arg, Tensor) and arg.requires_grad:
                function, values, watched = self._saved(op, position, args, arrays, result)
                edges.append(Edge(node_of(arg), function, values, watched, arg.array))
        if edges:
            result.requires_grad, result.node = True, Node(op.__name__, edges)

    def _saved(self, op, position, args, arrays, result):
        """The derivative with respect to one parameter, the values it asks for, and the Memory to watch."""
        if position not in op.derivatives:
            return refuse(op, position), (), ()
        function, wanted = op.derivatives[position]
        values, watched = [], []
        for place, only_shape in wanted:
            value = result.array if place is OUT else arrays[place]
            if only_shape:
                value = [np.shape(v) for v in value] if isinstance(value, (list, tuple)) else np.shape(value)
            else:
                tensors = (result,) if place is OUT else flattened((args[place],))
                watched += [(v.memory, v.memory.writes) for v in tensors if isinstance(v, Tensor)]
            values.append(value)
        return function, values, watched

    def rebind(self, tensor, result):
        """Let `tensor` become `result`, history and all; False where nothing is recorded."""
        if not here.enabled or not (tensor.requires_grad or result.requires_grad):
            return False
        if tensor.requires_grad and tensor.is_leaf:
            raise RuntimeError("in-place: this tensor is a leaf that requires grad; use no_grad()")
        if tensor.memory.viewed:
            raise RuntimeError("in-place: this tensor has views, which would lose their history")
        tensor.array, tensor.memory = result.array.astype(tensor.dtype, copy=False), result.memory
        tensor.node, tensor.requires_grad = result.node, result.requires_grad
        return True

    def backward(self, tensor, gradient=None, retain_graph=False):
        """Add the gradient of `tensor` with respect to every leaf into that leaf's `.grad`."""
        with np.errstate(all="ignore"):  # inf and nan come without a warning, as in the forward pass
            for node, (g, owned) in self.walk([tensor], [gradient], retain_graph):
                holder = node.tensor() if node.leaf else node.retained and node.retained()
                if holder is None or (node.leaf and not holder.requires_grad):
                    continue
                if holder.grad is None:
                    holder.grad = wrap(g if owned else g.copy())
                else:
                    holder.grad.array += g
                    holder.grad.memory.writes += 1

    def walk(self, outputs, gradients, retain_graph):
        """Visit the nodes behind `outputs`, newest first; yield each with its finished gradient."""
        received: dict[Node, tuple] = {}
        for output, gradient in zip(outputs, gradients, strict=True):
            start = first_gradient(output, gradient)
            receive(received, node_of(output), start, False)
        for node in newest_first(received):
            if node not in received:
                continue
            g, owned = received.pop(node)
            if node.leaf or node.retained:
                yield node, (g, owned and node.leaf)
            if node.leaf:
                continue
            for parent, d in node.gradients(g):
                receive(received, parent, d, d is not g and d.base is None)
            if not retain_graph:
                node.edges = None


def receive(received, node, gradient, owned):
    """Keep a gradient for `node`, added to what came before."""
    if node in received:
        total = received[node][0] + gradient
        gradient, owned = np.asarray(total) if isinstance(total, np.generic) else total, True
    received[node] = gradient, owned


def newest_first(roots):
    """Every node behind `roots`, each after all the nodes that use it: younger nodes use older ones."""
    seen, waiting = set(roots), list(roots)
    while waiting:
        for parent in waiting.pop().parents():
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return sorted(seen, key=lambda node: node.order, reverse=True)


def node_of(tensor):
    """The tensor's node; a leaf gets one at its first use."""
    if tensor.node is None:
        if tensor.dtype.kind != "f":
            raise TypeError(f"autograd: a tensor of {tensor.dtype} has no gradient, only floats have")
        tensor.node = Leaf(tensor)
    return tensor.node


def first_gradient(output, gradient):
    """The gradient that a backward pass starts with: 1 for a scalar, else what the caller gives."""
    if not output.requires_grad:
        raise RuntimeError("backward: this tensor does not require grad and no history leads to it")
    if gradient is None:
        if output.array.size != 1:
            raise RuntimeError(f"backward: a tensor of shape {output.shape} needs a gradient of that shape")
        return np.ones_like(output.array)
    gradient = np.asarray(t.to_array(gradient), output.dtype, like=output.array)
    if gradient.shape != output.shape:
        raise ValueError(f"backward: the gradient has shape {gradient.shape} and the tensor {output.shape}")
    return gradient


def grad(outputs, inputs, grad_outputs=None, retain_graph=False, allow_unused=False):
    """Gradients of `outputs` with respect to `inputs`, as a tuple of Tensors; no `.grad` is touched.

    An input that the outputs do not depend on is an error, or None with `allow_unused`.
    """
    outputs, inputs = ([x] if isinstance(x, Tensor) else list(x) for x in (outputs, inputs))
    starts = [grad_outputs] if isinstance(grad_outputs, Tensor) else grad_outputs or [None] * len(outputs)
    for x in inputs:
        if not x.requires_grad:
            raise RuntimeError("grad: one of the inputs does not require grad")
    wanted = [node_of(x) for x in inputs]
    before = [(node, node.retained) for node in wanted]
    for node in wanted:
        node.retained = node.retained or (lambda: None)
    try:
        with np.errstate(all="ignore"):
            found = {node: g for node, (g, _) in engine.walk(outputs, starts, retain_graph)}
    finally:
        for node, retained in before:
            node.retained = retained
    if not allow_unused and any(node not in found for node in wanted):
        raise RuntimeError("grad: the outputs do not depend on an input; allow_unused=True gives None")
    return tuple(wrap(found[node].copy()) if node in found else None for node in wanted)


def retain_grad(tensor):
    """Keep the gradient of a result, too, in its `.grad`, in the next backward passes."""
    if not tensor.is_leaf:
        tensor.node.retained = weakref.ref(tensor)


class _Switch:
    """Recording on or off inside a `with` block or a decorated function; switches nest."""

    enabled: bool
    before: list[bool]

    def __new__(cls, function=None):
        return cls()(function) if callable(function) else super().__new__(cls)

    def __enter__(self):
        self.before = [*getattr(self, "before", ()), here.enabled]
        here.enabled = self.enabled
        return self

    def __exit__(self, *error):
        here.enabled = self.before.pop()

    def __call__(self, function):
        @wraps(function)
        def switched(*args, **kwargs):
            with type(self)():
                return function(*args, **kwargs)

        return switched


class no_grad(_Switch):  # noqa: N801 (PyTorch's name)
    """Nothing is recorded: for evaluation and for changing parameters in place."""

    enabled = False


class enable_grad(_Switch):  # noqa: N801 (PyTorch's name)
    """Recording is on, also inside `no_grad`."""

    enabled = True


def set_grad_enabled(enabled):
    """Recording on or off from this call on; in a `with` block, until its end."""
    before, here.enabled = here.enabled, enabled
    return _until_exit(before)


@contextmanager
def _until_exit(before):
    try:
        yield
    finally:
        here.enabled = before


def is_grad_enabled():
    """Is recording on in this thread?"""
    return here.enabled


def gradcheck(function, inputs, eps=1e-6, atol=1e-5, rtol=1e-3):
    """Does autograd agree with central differences for `function` at `inputs` (float64 Tensors)? True, or
    an AssertionError that names the first wrong element.

    The output is weighted with fixed random numbers, so that one backward pass checks every element.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    if not checked or any(x.dtype != t.float64 for x in checked):
        raise TypeError("gradcheck: give float64 tensors that require grad; float32 is too coarse")
    out = function(*inputs)
    weights = np.random.default_rng(0).standard_normal(out.shape)
    analytic = grad(out, checked, wrap(weights), allow_unused=True)
    for position, (x, got) in enumerate(zip(checked, analytic, strict=True)):
        for index in np.ndindex(x.shape):
            kept, ends = x.array[index], []
            for moved in (kept + eps, kept - eps):
                x.array[index] = moved
                with no_grad():
                    ends.append(float((function(*inputs).array * weights).sum()))
            x.array[index] = kept
            numeric, value = (ends[0] - ends[1]) / (2 * eps), 0.0 if got is None else got.array[index]
            if not np.isclose(value, numeric, rtol, atol):
                found = f"analytic {value:.6g}, numeric {numeric:.6g}"
                raise AssertionError(f"gradcheck: input {position}, element {index}: {found}")
    return True


# The derivative table: one function per input. Its parameter names say what it needs: `g` is the incoming
# gradient, `out` the Op's result, NAME an argument of the Op, NAME_shape only that argument's shape.


def derivative(op, *functions):
    """Set the derivatives of `op` with respect to its first, second, … parameter; None for none."""
    for position, function in enumerate(functions):
        if function is not None:
            names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
            op.derivatives[position] = function, [_place(op, name) for name in names]


def _place(op, name):
    """(position of a parameter or OUT, only its shape?) for a name in the derivative's signature."""
    if name == "out":
        return OUT, False
    only_shape = name not in op.params
    name = name.removesuffix("_shape") if only_shape else name
    if name not in op.params:
        raise NameError(f"derivative of {op.__name__}: '{name}' is none of g, out, {', '.join(op.params)}")
    return op.params.index(name), only_shape


def refuse(op, position):
    """The derivative of an input that has none: backward says so instead of dropping the gradient."""

    def refused(g):
        name = op.params[position]
        raise NotImplementedError(f"backward: {op.__name__} has no derivative with respect to '{name}'")

    return refused


def matmul_a(g, a_shape, b):
    """The gradient of a in a @ b."""
    if b.ndim == 1:
        return g[..., None] * b
    if len(a_shape) == 1:
        return np.matmul(b, g[..., None])[..., 0]
    return product(g, b.T) if g.ndim == b.ndim == 2 else np.matmul(g, transposed(b))


def matmul_b(g, a, b_shape):
    """The gradient of b in a @ b; one large product where b is a single matrix."""
    if a.ndim == 1:
        return a * g[..., None] if len(b_shape) == 1 else a[:, None] * g[..., None, :]
    if len(b_shape) == 1:
        return np.matmul(transposed(a), g[..., None])[..., 0]
    if len(b_shape) == 2:
        rows = prod(a.shape[:-1])
        return product(a.reshape(rows, a.shape[-1]).T, g.reshape(rows, g.shape[-1]))
    return np.matmul(transposed(a), g)


def transposed(a):
    return np.swapaxes(a, -1, -2)


def spread(g, a_shape, index):
    """The gradient of a[index]: g at the places that were read, added up where one was read twice."""
    index = t.full_index(index, g)
    if all(not hasattr(i, "dtype") or i.dtype == bool for i in index):
        d = np.zeros_like(g, shape=a_shape)
        d[index] = g
        return d
    return added_up(np.arange(prod(a_shape), like=g).reshape(a_shape)[index], g, a_shape)


def added_up(places, g, shape):
    """Zeros of `shape` to which each number of g is added at its place in row-major order."""
    return np.bincount(places.ravel(), g.ravel(), prod(shape)).astype(g.dtype).reshape(shape)


def set_value(g, index, value_shape):
    """The gradient of the value in a[index] = value, which may have had leading sizes of 1."""
    d = g[t.full_index(index, g)]
    return d.reshape((1,) * (len(value_shape) - d.ndim) + d.shape)


def unset(g, index):
    """The gradient of what a[index] = value left of a."""
    d = g.copy()
    d[t.full_index(index, g)] = 0
    return d


def split_back(g, tensors_shape, dim):
    """The gradients of cat: g cut at the seams."""
    return np.split(g, np.cumsum([shape[dim] for shape in tensors_shape])[:-1].tolist(), dim)


def restored(g, a_shape, dim, keepdim):
    """A reduction's gradient with the reduced dimensions back, as size 1."""
    if dim is None:
        return g.reshape((1,) * len(a_shape))
    return g if keepdim else np.expand_dims(g, t.axes(dim))


def among_ties(g, out, a, dim, keepdim):
    """The gradient of a largest or smallest value, shared evenly by the elements that attain it."""
    chosen = a == restored(out, a.shape, dim, keepdim)
    ties = chosen.sum(axis=t.axes(dim), keepdims=True, dtype=g.dtype)
    return chosen * (restored(g, a.shape, dim, keepdim) / ties)


def sum_a(g, a_shape, dim, keepdim):
    return np.broadcast_to(restored(g, a_shape, dim, keepdim), a_shape)


def mean_a(g, a_shape, dim, keepdim):
    return sum_a(g / t.reduced_size(a_shape, dim), a_shape, dim, keepdim)


def var_a(g, a, dim, correction, keepdim):
    centered = a - t.mean.fn(a, dim, keepdim=True)
    return centered * restored(g * (2 / (t.reduced_size(a.shape, dim) - correction)), a.shape, dim, keepdim)


def pow_a(g, a, exponent):
    if np.ndim(exponent):
        return g * np.where(exponent == 0, 0, exponent * a ** (exponent - 1))
    return g * (exponent * a ** (exponent - 1)) if exponent != 0 else np.zeros_like(g)


def pow_exponent(g, out, a, exponent):
    return g * np.where((a == 0) & (exponent >= 0), 0, out * np.log(a))


derivative(t.add, lambda g: g, lambda g: g)
derivative(t.sub, lambda g: g, lambda g: -g)
derivative(t.mul, lambda g, b: g * b, lambda g, a: g * a)
derivative(t.div, lambda g, b: g / b, lambda g, out, b: -g * out / b)
derivative(t.neg, lambda g: -g)
derivative(t.exp, lambda g, out: g * out)
derivative(t.log, lambda g, a: g / a)
derivative(t.sqrt, lambda g, out: g / (2 * out))
derivative(t.pow, pow_a, pow_exponent)
derivative(
    t.where,
    None,
    lambda g, condition: np.where(condition, g, 0),
    lambda g, condition: np.where(condition, 0, g),
)
derivative(t.matmul, matmul_a, matmul_b)
derivative(t.reshape, lambda g, a_shape: g.reshape(a_shape))
derivative(t.permute, lambda g, dims: np.transpose(g, sorted(range(g.ndim), key=lambda i: dims[i] % g.ndim)))
derivative(t.expand, lambda g: g)
derivative(t.cat, split_back)
derivative(t.getitem, spread)
derivative(t.setitem, unset, None, set_value)
derivative(t.sum, sum_a)
derivative(t.mean, mean_a)
derivative(t.var, var_a)
derivative(t.amax, among_ties)

# 02 Activations.


def sigmoid_input(g, out):
    d = 1 - out
    d *= out
    d *= g
    return d


def tanh_input(g, out):
    d = 1 - out * out
    d *= g
    return d


def silu_input(g, input):
    """s + x s (1 - s) with s = sigmoid(x)."""
    s = activations.sigmoid.fn(input)
    d = 1 - s
    d *= input
    d += 1
    d *= s
    d *= g
    return d


def softplus_input(g, input, beta, threshold):
    return np.where(input * beta > threshold, g, g * activations.sigmoid.fn(input * beta))


def gelu_input(g, out, input, approximate):
    """Phi(x) + x Phi'(x), where Phi' is the normal density, or the derivative of what stands for Phi. The
    forward pass has left Phi(x) as out / x."""

    def work(d, x, g, out):
        cdf = out / x
        np.multiply(x, x, out=d)
        around_0 = d == 0
        if around_0.any():
            cdf[around_0] = 0.5
        if approximate == "none":
            d *= -0.5
            np.exp(d, out=d)
            d *= 1 / sqrt(2 * pi)
            d *= x
        else:
            d *= 3 * 0.044715 * 2 * sqrt(2 / pi)
            d += 2 * sqrt(2 / pi)
            d *= out
            d *= 1 - cdf
        d += cdf
        d *= g

    return activations.in_tiles(work, input, g, out)


def softmax_input(g, out, dim):
    """s_i (g_i - sum_j g_j s_j) for s = softmax(x)."""

    def work(g, s, d):
        np.multiply(g, s, out=d)
        np.subtract(g, activations.row_sums(d), out=d)
        d *= s

    return activations.along(dim, lambda *rows: activations.in_row_tiles(work, *rows), g, out)


def log_softmax_input(g, out, dim):
    """g_i - s_i sum_j g_j for s = softmax(x)."""

    def work(g, log_s, d):
        np.exp(log_s, out=d)
        d *= -activations.row_sums(g)
        d += g

    return activations.along(dim, lambda *rows: activations.in_row_tiles(work, *rows), g, out)


derivative(activations.relu, lambda g, out: g * (out > 0))
derivative(
    activations.leaky_relu, lambda g, input, negative_slope: np.where(input > 0, g, g * negative_slope)
)
derivative(activations.sigmoid, sigmoid_input)
derivative(activations.tanh, tanh_input)
derivative(activations.silu, silu_input)
derivative(activations.softplus, softplus_input)
derivative(activations.gelu, gelu_input)
derivative(activations.softmax, softmax_input)
derivative(activations.log_softmax, log_softmax_input)

# 03 Layers. The bias was added to every row: un-broadcasting sums its gradient.

rows_of = layers.rows_of
derivative(
    layers.linear,
    lambda g, input_shape, weight: product(rows_of(g), weight).reshape(input_shape),
    lambda g, input: product(rows_of(g).T, rows_of(input)),
    lambda g: g,
)

# 04 Losses.


def scaled(g, scale):
    """The gradient of the sum of the losses; 0 where a mean over nothing made the scale nan."""
    return g * (scale if scale == scale else 0)


def class_share(g, row_weight, scale):
    """The gradient of each row's loss, as a column."""
    g = g if scale is None else scaled(g, scale)
    return np.reshape(g if row_weight is None else g * row_weight, (-1, 1))


def class_cross_entropy_input(g, input_shape, classes, row_weight, scale, softmax):
    """softmax(x) - 1 at the true class: what the network said minus what was true."""
    rows, share = np.empty_like(softmax.exponentials), class_share(g, row_weight, scale)
    each = np.broadcast_to(share.astype(rows.dtype), softmax.sums.shape)
    activations.in_row_tiles(
        lambda d, e, total, share: np.multiply(e, share / total, out=d),
        rows, softmax.exponentials, softmax.sums, each,
    )  # fmt: skip
    rows.reshape(-1)[losses.true_places(rows, classes)] -= each[:, 0]
    return unrowed(rows, input_shape)


def class_nll_input(g, input_shape, classes, row_weight, scale):
    axis = 1 if len(input_shape) > 1 else 0
    rows = np.zeros_like(g, shape=(classes.size, input_shape[axis]))
    rows[np.arange(len(rows), like=rows), classes.ravel()] = -class_share(g, row_weight, scale)[:, 0]
    return unrowed(rows, input_shape)


def unrowed(rows, shape):
    """The rows that losses.class_rows made of logits, as logits again."""
    if len(shape) == 2:
        return rows
    axis = 1 if len(shape) > 1 else 0
    return np.moveaxis(rows.reshape(*shape[:axis], *shape[axis + 1 :], shape[axis]), -1, axis)


def distribution_share(g, scale, axis):
    """The gradient of each row's loss, against all classes."""
    return np.expand_dims(g, axis) if scale is None else scaled(g, scale)


def distribution_input(g, input, distribution, scale):
    """softmax(x) sum_c q_c - q."""
    axis = losses.class_axis(input)
    d = activations.softmax.fn(input, axis)
    d *= distribution.sum(axis, keepdims=True)
    d -= distribution
    d *= distribution_share(g, scale, axis)
    return d


def distribution_target(g, input, scale):
    axis = losses.class_axis(input)
    return -activations.log_softmax.fn(input, axis) * distribution_share(g, scale, axis)


derivative(losses.class_cross_entropy, class_cross_entropy_input)
derivative(losses.class_nll, class_nll_input)
derivative(losses.distribution_cross_entropy, distribution_input, distribution_target)

Op.engine = engine = Engine()
