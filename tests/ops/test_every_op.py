"""No gradient is dropped in silence: every Op has derivatives, or refuses in backward, or gives no floats."""

import importlib
import pkgutil
import sys
from contextlib import contextmanager

import numpy as np
import pytest

import tinytorch
from tests.ops.optable import TABLE, make
from tests.ops.test_against_torch import results
from tinytorch.core import quantization
from tinytorch.core.tensor import Op

# Ops whose result is a float without a derivative in it: backward refuses.
REFUSING = {"cumprod", "dequantize", "distinct", "floor_divide"}


def every_op():
    """The Ops that the package's modules hold, by module and name."""
    for info in pkgutil.walk_packages(tinytorch.__path__, "tinytorch."):
        if not info.name.startswith("tinytorch.tito"):  # the command line has none, and needs click and rich
            importlib.import_module(info.name)
    found = {}
    for name, module in list(sys.modules.items()):
        if name == "tinytorch" or name.startswith("tinytorch."):
            found.update((id(value), value) for value in vars(module).values() if isinstance(value, Op))
    return sorted(found.values(), key=lambda op: (op.__module__, op.__name__))


EVERY_OP = every_op()


class Listener(type(Op.engine)):
    """The engine, noting which Ops are called and which of their results are floats."""

    def __init__(self):
        self.called, self.floats = set(), set()

    def record(self, op, args, arrays, result):
        self.called.add(op)
        if result.is_floating_point():
            self.floats.add(op)
        super().record(op, args, arrays, result)


@contextmanager
def listening():
    engine, Op.engine = Op.engine, Listener()
    try:
        yield Op.engine
    finally:
        Op.engine = engine


@pytest.fixture(scope="module")
def heard():
    """What the engine hears while the whole table runs on floats and on ints."""
    with listening() as engine:
        for row in TABLE:
            for specs in row.inputs:
                for dtype in ("float32", "int64") if row.ints else ("float32",):
                    arrays = [make(s, dtype, np.random.default_rng(0), row.low, row.high) for s in specs]
                    row.call(tinytorch, *map(tinytorch.tensor, arrays))
        # Module 15's have other names in PyTorch, so they are no rows of the table.
        quantization.quantize_per_tensor(tinytorch.ones(2, 3), 0.5)
        quantization.quantize_per_channel(tinytorch.ones(2, 3), tinytorch.ones(2), tinytorch.zeros(2), 0)
    return engine


BREADTH = [op for op in EVERY_OP if op.__module__.startswith("tinytorch.ops")]


@pytest.mark.parametrize("op", BREADTH, ids=repr)
def test_the_table_covers_the_op(op, heard):
    assert op in heard.called or op.__module__.endswith("placement"), f"no row of the table calls {op}"


@pytest.mark.parametrize("op", [op for op in EVERY_OP if not op.derivatives], ids=repr)
def test_an_op_without_derivatives_gives_no_floats_or_is_known_to_refuse(op, heard):
    assert op.__name__ in REFUSING or (op in heard.called and op not in heard.floats)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.cumprod(0),
        lambda x: x // 2,
        lambda x: x.unique(),
        lambda x: tinytorch.unique(x, return_counts=True)[0],
    ],
    ids=["cumprod", "//", "unique", "unique with counts"],
)
def test_an_op_without_a_derivative_refuses_in_backward_and_names_itself(call):
    x = tinytorch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    result = call(x)
    assert result.requires_grad
    with pytest.raises(NotImplementedError, match=r"backward: \w+ has no derivative with respect to 'a'"):
        result.sum().backward()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tinytorch.where(x, 1.0, 0.0), "where has no derivative with respect to 'condition'"),
        (lambda x: tinytorch.zeros(3).index_add(0, tinytorch.tensor([0]), tinytorch.ones(1), x), "'alpha'"),
        (lambda x: quantization.dequantize(tinytorch.ones(3, dtype=tinytorch.int8), x), "'scale'"),
    ],
    ids=["condition", "alpha", "scale"],
)
def test_a_parameter_without_a_derivative_refuses_when_a_gradient_would_flow_into_it(call, message):
    x = tinytorch.tensor([2.0], requires_grad=True)
    with pytest.raises(NotImplementedError, match=message):
        call(x).sum().backward()


@pytest.mark.parametrize("row", [row for row in TABLE if not row.gradient], ids=lambda row: row.name)
def test_a_row_without_a_gradient_gives_no_floats_that_forget_their_history(row):
    for specs in row.inputs:
        arrays = [make(s, "float32", np.random.default_rng(0), row.low, row.high) for s in specs]
        inputs = [tinytorch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        if any(x.requires_grad for x in inputs):
            for result in results(row.call(tinytorch, *inputs)):
                assert result.requires_grad or not result.is_floating_point()
