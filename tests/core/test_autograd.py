"""The engine: what is recorded, what backward adds where, what it refuses, and that its cost is linear."""

import gc
import threading

import numpy as np
import pytest

import tinytorch as torch
from tinytorch.autograd import Function, grad, gradcheck
from tinytorch.core.autograd import Edge, Node, newest_first
from tinytorch.core.tensor import Op


def leaf(*numbers, **settings):
    return torch.tensor(list(numbers), requires_grad=True, **settings)


# What is recorded.


def test_a_result_is_recorded_when_an_input_requires_grad():
    x, constant = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    y = x * constant
    assert y.requires_grad
    assert not y.is_leaf
    assert repr(y.grad_fn) == "<mul backward>"
    assert not (constant * constant).requires_grad
    assert not (x > 1).requires_grad
    assert not x.argmax().requires_grad
    assert not x.long().requires_grad
    assert not x.detach().requires_grad


def test_only_what_a_derivative_names_is_saved():
    x, y = leaf(1.0), leaf(2.0)
    assert all(edge.values == [] for edge in (x + y).grad_fn.edges)
    assert [
        edge.values[0] is array for edge, array in zip((x * y).grad_fn.edges, (y.array, x.array), strict=True)
    ] == [True, True]


def test_no_grad_enable_grad_and_set_grad_enabled_nest():
    x = leaf(1.0)
    with torch.no_grad():
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
            with torch.set_grad_enabled(False):
                assert not torch.is_grad_enabled()
            assert torch.is_grad_enabled()
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_recording_is_on_again_after_an_exception():
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        raise ZeroDivisionError
    assert torch.is_grad_enabled()


def test_set_grad_enabled_as_a_call_lasts():
    torch.set_grad_enabled(False)
    try:
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    assert torch.is_grad_enabled()


def test_switches_decorate_functions_with_and_without_parentheses():
    x = leaf(1.0)

    @torch.no_grad
    def double(value):
        """Twice the value."""
        return value * 2

    @torch.no_grad()
    def triple(value):
        return value * 3

    @torch.enable_grad()
    def fourfold(value):
        return value * 4

    assert not double(x).requires_grad
    assert not triple(x).requires_grad
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice the value."
    with torch.no_grad():
        assert fourfold(x).requires_grad
    assert torch.is_grad_enabled()


def test_one_switch_object_can_be_entered_twice():
    switch = torch.no_grad()
    with switch, switch:
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_each_thread_has_its_own_switch():
    seen = []
    try:
        thread = threading.Thread(target=lambda: seen.append(torch.is_grad_enabled()))
        with torch.no_grad():
            thread.start()
            thread.join()
    except RuntimeError:
        pytest.skip("this Python cannot start threads")
    assert seen == [True]


# What backward adds, and where.


def test_gradients_accumulate_until_they_are_cleared():
    x = leaf(2.0)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    assert x.grad.tolist() == [7]
    x.grad = None
    (x * 5).sum().backward()
    assert x.grad.tolist() == [5]


def test_a_tensor_used_in_many_places_gets_the_sum():
    x = leaf(3.0)
    square = x * x
    (square + square * x + x).sum().backward()  # d(x² + x³ + x) = 2x + 3x² + 1
    assert x.grad.tolist() == [34]


def test_a_diamond_is_passed_once_per_node():
    x = leaf(1.5)
    y = x
    for _ in range(40):  # 2^40 paths lead back to x
        y = y + y
    y.sum().backward()
    assert x.grad.tolist() == [2.0**40]


def test_leaves_that_the_result_does_not_use_get_no_gradient():
    x, unused = leaf(1.0), leaf(1.0)
    (x * 2).sum().backward()
    assert unused.grad is None


def test_the_gradients_of_two_leaves_are_never_one_array():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    x.grad.fill_(7)
    assert y.grad.tolist() == [1, 1]
    start = torch.ones(2)
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).backward(start)
    a.grad.zero_()
    assert b.grad.tolist() == [1, 1]
    assert start.tolist() == [1, 1]


def test_a_gradient_is_never_the_memory_of_a_value():
    for result in (
        lambda a, b: a * b,
        lambda a, b: a @ b,
        lambda a, b: (a + b).exp(),
        lambda a, b: torch.cat([a, b]),
    ):
        a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
        out = result(a, b)
        out.sum().backward()
        for gradient in (a.grad, b.grad):
            gradient.mul_(100)
        assert a.tolist() == [1, 2]
        assert b.tolist() == [3, 4]


def test_the_gradient_of_a_single_number_is_a_tensor_that_can_be_changed():
    x = torch.tensor(2.0, requires_grad=True)
    (x * x * x).backward()
    assert isinstance(x.grad.array, np.ndarray)
    x.grad.mul_(0)
    assert x.grad.item() == 0


def test_backward_starts_from_the_given_gradient():
    x = leaf(1.0, 2.0)
    (x * 3).backward(torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [3, 30]


def test_backward_from_a_leaf_gives_ones():
    x = torch.tensor(4.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1


def test_retain_grad_keeps_the_gradient_of_a_result():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [12]
    assert x.grad.tolist() == [36]
    z = x * 3
    (z * z).sum().backward()
    assert z.grad is None


def test_a_leaf_that_stops_requiring_grad_is_left_alone():
    x, y = leaf(1.0), leaf(1.0)
    out = (x * y).sum()
    x.requires_grad_(False)
    out.backward()
    assert x.grad is None
    assert y.grad.tolist() == [1]


def test_float32_stays_float32_through_a_training_step():
    torch.manual_seed(0)
    x, target = torch.randn(8, 4), torch.randint(0, 3, (8,))
    w, b = torch.randn(4, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    logits = (x @ w + b).relu() / 2 - 0.5
    picked = logits.log_softmax(-1).gather(1, target.unsqueeze(1))
    loss = -picked.mean() + 1e-2 * w.norm() + logits.var() * 0.1 + logits.std() ** 2
    seen = newest_first([loss.grad_fn])
    assert {edge.dtype for node in seen if not node.leaf for edge in node.edges} == {torch.float32}
    loss.backward()
    assert (loss.dtype, w.grad.dtype, b.grad.dtype) == (torch.float32,) * 3


def test_a_gradient_takes_the_dtype_of_its_tensor():
    x = leaf(1.0, 2.0)
    (x.double() * torch.ones(2, dtype=torch.float64)).sum().backward()
    assert x.grad.dtype == torch.float32


# In-place changes.


def test_the_sum_of_losses_takes_on_their_history():
    x, total = leaf(2.0), torch.tensor(0.0)
    for factor in (1.0, 2.0, 3.0):
        total += (x * factor).sum()
    total.backward()
    assert x.grad.tolist() == [6]
    loss = (x * x).sum()
    loss += 10 * x.sum()
    loss *= 2
    x.grad = None
    loss.backward()
    assert x.grad.tolist() == [28]


def test_a_leaf_that_requires_grad_refuses_a_change_while_recording():
    w = leaf(1.0, 2.0)
    for change in (
        lambda: w.add_(1),
        lambda: w.zero_(),
        lambda: w.__setitem__(0, 5.0),
        lambda: w.__imul__(2),
    ):
        with pytest.raises(
            RuntimeError, match=r"in-place: this tensor is a leaf that requires grad; .* no_grad"
        ):
            change()
    assert w.tolist() == [1, 2]
    with torch.no_grad():
        w -= 0.5
        w[0] = 9
    assert w.tolist() == [9, 1.5]
    assert w.requires_grad
    assert w.is_leaf


def test_writing_a_recorded_value_into_a_tensor_gives_it_a_history():
    x, out = leaf(2.0, 3.0), torch.zeros(3)
    out[1:] = x * x
    assert out.requires_grad
    (out * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [40, 600]


def test_a_recorded_tensor_with_views_refuses_a_change():
    y = leaf(1.0, 2.0) * 2
    view = y[0]
    with pytest.raises(RuntimeError, match="in-place: this tensor has views"):
        y += 1
    assert view.item() == 2


SAVED = {
    "an operand": lambda x, w: (x * w, w),
    "the result": lambda x, w: (out := x.exp(), out),
    "an operand, through a view": lambda x, w: (x * w, w.reshape(2, 1)),
    "an operand, through an index": lambda x, w: (x * w, w[0]),
    "an operand, through detach": lambda x, w: (x * w, w.detach()),
    "an operand, through data": lambda x, w: (x * w, w.data),
    "a view that was saved, through its base": lambda x, w: (x * w.reshape(2), w),
    "a member of a matrix product": lambda x, w: (x @ w, w),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_tensor_that_was_changed_in_place_is_noticed(name):
    x, w = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    result, changed = SAVED[name](x, w)
    with torch.no_grad():
        changed.add_(1)
    with pytest.raises(RuntimeError, match=r"backward: a tensor that \w+ saved was changed in place"):
        result.sum().backward()


def test_a_change_of_a_tensor_that_was_not_saved_does_no_harm():
    x, w = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    result = x + w
    w.zero_()
    result.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_a_parameter_can_change_after_backward():
    w = leaf(1.0, 2.0)
    for _ in range(3):
        (w * w).sum().backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            w.grad.zero_()
    assert w.tolist() == pytest.approx([0.512, 1.024])


# A second backward.


def test_a_second_backward_is_an_error_that_says_what_to_do():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"the graph behind \w+ was freed .*retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2]


def test_retain_graph_allows_a_second_backward():
    x, y = leaf(3.0), leaf(2.0)
    total = (torch.cat([x, y, x]) ** 2).sum()
    start = torch.tensor(1.0)
    for times in (1, 2, 3):
        total.backward(start, retain_graph=True)
        assert x.grad.tolist() == [12 * times]
        assert y.grad.tolist() == [4 * times]
    total.backward()
    assert x.grad.tolist() == [48]


def test_a_freed_part_of_a_graph_is_noticed_from_another_result():
    x = leaf(2.0)
    shared = x * x
    (shared * 2).sum().backward()
    with pytest.raises(RuntimeError, match="the graph behind mul was freed"):
        (shared * 3).sum().backward()


# Refusals.

REFUSED = {
    "nothing requires grad": (
        lambda: torch.ones(1).backward(),
        "does not require grad and no history leads to it",
    ),
    "a result made under no_grad": (lambda: made_without_grad().backward(), "does not require grad"),
    "many numbers": (lambda: (leaf(1.0, 2.0) * 2).backward(), r"shape \(2,\) needs a gradient of that shape"),
    "ints": (lambda: (leaf(1.0) * 2).long().backward(), "does not require grad"),
}


def made_without_grad():
    with torch.no_grad():
        return (leaf(1.0) * 2).sum()


@pytest.mark.parametrize("name", REFUSED)
def test_backward_says_why_it_cannot_start(name):
    call, message = REFUSED[name]
    with pytest.raises(RuntimeError, match=message):
        call()


def test_a_first_gradient_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"the gradient has shape \(3,\) and the tensor \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(torch.ones(3))


# grad, Function, gradcheck.


def test_grad_gives_gradients_and_touches_no_leaf():
    x, y = leaf(2.0), leaf(5.0)
    product = x * y
    gradients = grad((product * product).sum(), [x, y, product])
    assert [g.tolist() for g in gradients] == [[100], [40], [20]]
    assert x.grad is None
    assert y.grad is None


def test_grad_of_one_input_and_with_a_first_gradient():
    x = leaf(1.0, 2.0)
    (g,) = grad(x * x, x, torch.tensor([1.0, 10.0]))
    assert g.tolist() == [2, 40]


def test_grad_of_an_unused_input_is_an_error_or_none():
    x, unused = leaf(1.0), leaf(1.0)
    with pytest.raises(
        RuntimeError, match="the outputs do not depend on an input; allow_unused=True gives None"
    ):
        grad((x * 2).sum(), [x, unused])
    found = grad((x * 2).sum(), [x, unused], allow_unused=True)
    assert found[0].tolist() == [2]
    assert found[1] is None


def test_grad_of_an_input_without_grad_is_an_error():
    x = torch.ones(1)
    with pytest.raises(RuntimeError, match="one of the inputs does not require grad"):
        grad(leaf(1.0).sum(), x)


class Cube(Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * x * x * scale

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x * ctx.scale, None


def test_a_function_brings_its_own_gradient():
    x = leaf(2.0, 3.0)
    y = Cube.apply(x * 1, 2.0)
    assert repr(y.grad_fn) == "<Cube backward>"
    y.sum().backward()
    assert x.grad.tolist() == [24, 54]
    assert gradcheck(lambda x: Cube.apply(x, 0.5), leaf(1.0, -2.0, dtype=torch.float64))


def test_a_function_knows_which_inputs_need_a_gradient():
    seen = []

    class Sum(Function):
        @staticmethod
        def forward(ctx, a, b):
            seen.append(ctx.needs_input_grad)
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g, None

    Sum.apply(leaf(1.0), torch.ones(1)).backward()
    assert seen == [(True, False)]


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        (lambda g: (g, g), "returned 2 gradients for 1 inputs"),
        (lambda g: None, r"returned None for an input of shape \(2,\)"),
        (lambda g: g[0], r"returned shape \(\) for an input of shape \(2,\)"),
    ],
)
def test_a_function_with_a_wrong_backward_is_named(gradients, message):
    class Wrong(Function):
        forward = staticmethod(lambda ctx, x: x * 2)
        backward = staticmethod(lambda ctx, g: gradients(g))

    with pytest.raises(RuntimeError, match=f"Wrong.backward {message}"):
        Wrong.apply(leaf(1.0, 2.0)).sum().backward()


def test_a_tensor_saved_by_a_function_and_changed_in_place_is_noticed():
    x = leaf(1.0, 2.0)
    base = x * 1
    result = Cube.apply(base, 1.0).sum()
    with torch.no_grad():
        base.zero_()
    with pytest.raises(RuntimeError, match="saved by save_for_backward was changed in place"):
        result.backward()


def test_gradcheck_finds_a_wrong_derivative_and_names_the_element():
    class Forgetful(Function):
        forward = staticmethod(lambda ctx, x: x * x)
        backward = staticmethod(lambda ctx, g: g * 2)

    with pytest.raises(AssertionError, match=r"gradcheck: input 0, element \(1,\): analytic .* numeric"):
        gradcheck(Forgetful.apply, leaf(1.0, 3.0, dtype=torch.float64))


def test_gradcheck_wants_float64():
    with pytest.raises(TypeError, match="float32 is too coarse"):
        gradcheck(lambda x: x * 2, leaf(1.0))


# Gradients at special points.


@pytest.mark.parametrize(
    ("function", "numbers", "gradient"),
    [
        (lambda x: x.amax(), [1.0, 3.0, 3.0], [0, 0.5, 0.5]),
        (lambda x: x.max(0).values, [1.0, 3.0, 3.0], [0, 1, 0]),
        (lambda x: torch.maximum(x, torch.tensor([1.0, 3.0, 5.0])).sum(), [1.0, 4.0, 3.0], [0.5, 1, 0]),
        (lambda x: x.clamp(1, 3).sum(), [1.0, 3.0, 4.0], [1, 1, 0]),
        (lambda x: x.abs().sum(), [0.0, -2.0, 3.0], [0, -1, 1]),
        (lambda x: x.norm(), [0.0, 0.0, 0.0], [0, 0, 0]),
        (lambda x: x.std(), [2.0, 2.0, 2.0], [0, 0, 0]),
        (lambda x: x.prod(), [0.0, 2.0, 3.0], [6, 0, 0]),
        (lambda x: x.prod(), [0.0, 2.0, 0.0], [0, 0, 0]),
        (lambda x: (x**2).sum(), [0.0, 1.0, -1.0], [0, 2, -2]),
        (lambda x: (x**0).sum(), [0.0, 1.0, -1.0], [0, 0, 0]),
        (lambda x: x.relu().sum(), [0.0, 1.0, -1.0], [0, 1, 0]),
        (lambda x: x.logsumexp(0), [-float("inf"), 0.0, 0.0], [0, 0.5, 0.5]),
        (lambda x: x[[0, 0, 2]].sum(), [1.0, 2.0, 3.0], [2, 0, 1]),
        (lambda x: torch.where(x > 0, x, 0.0).sum(), [float("nan"), 1.0, -1.0], [0, 1, 0]),
        (lambda x: x.masked_fill(torch.tensor([True, False, False]), -1e9).sum(), [1.0, 2.0, 3.0], [0, 1, 1]),
    ],
)
def test_gradients_at_ties_zeros_and_bounds(function, numbers, gradient):
    x = leaf(*numbers)
    function(x).backward()
    assert x.grad.tolist() == gradient


# The cost.


class Counter:
    """Counts how often the engine evaluates an edge."""

    def __init__(self, monkeypatch):
        self.edges, original = 0, Edge.gradient

        def counted(edge, g, op):
            self.edges += 1
            return original(edge, g, op)

        monkeypatch.setattr(Edge, "gradient", counted)


def chain(length):
    x = y = leaf(1.0)
    for _ in range(length):
        y = y * 1.0
    return x, y.sum()


def transformer_shaped(layers):
    """A residual stream with attention and a feed-forward part in each layer, as in a transformer."""
    torch.manual_seed(0)
    weights = [torch.randn(8, 8, requires_grad=True) for _ in range(4)]
    x = start = torch.randn(2, 5, 8, requires_grad=True)
    for _ in range(layers):
        q, k, v = (x @ w for w in weights[:3])
        x = x + (q @ k.mT * 0.3).softmax(-1) @ v
        x = x + (x @ weights[3]).relu() * 0.1
        x = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    return start, x.sum()


@pytest.mark.parametrize("graph", [chain, transformer_shaped])
def test_backward_evaluates_each_edge_once(graph, monkeypatch):
    counter = Counter(monkeypatch)
    work = []
    for size in (6, 12, 24):
        counter.edges = 0
        start, out = graph(size)
        recorded = sum(len(node.edges) for node in newest_first([out.grad_fn]) if not node.leaf)
        out.backward()
        assert counter.edges == recorded
        assert start.grad is not None
        work.append(counter.edges)
    assert work[2] - work[1] == 2 * (work[1] - work[0])  # linear in the size


def test_ten_thousand_operations_in_a_row_need_no_recursion():
    x, out = chain(10_000)
    out.backward()
    assert x.grad.tolist() == [1]


@pytest.mark.parametrize("finished", [True, False], ids=["after backward", "never run backward"])
def test_a_long_graph_is_let_go_without_recursion(finished):
    x, out = chain(30_000)
    if finished:
        out.backward()
    del out
    gc.collect()
    assert not [
        node for node in gc.get_objects() if issubclass(type(node), Node) and node.order > x.node.order
    ]


def test_a_graph_is_freed_as_soon_as_its_result_is_dropped():
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0)
        y = (x * 2).exp()
        order = y.node.order
        del y
        assert not [
            node for node in gc.get_objects() if issubclass(type(node), Node) and node.order >= order - 1
        ]
    finally:
        gc.enable()


def test_joining_many_tensors_costs_no_more_than_linear_work(monkeypatch):
    calls = []
    position, (function, wanted) = 0, torch.cat.derivatives[0]

    def counted(g, *values):
        calls.append(len(g))
        return function(g, *values)

    monkeypatch.setitem(torch.cat.derivatives, position, (counted, wanted))
    parts = [leaf(float(i)) for i in range(500)]
    torch.cat(parts).sum().backward()
    assert calls == [500]
    assert all(part.grad.tolist() == [1] for part in parts)


def test_the_engine_is_in_its_slot():
    assert type(Op.engine).__module__ == "tinytorch.core.autograd"
