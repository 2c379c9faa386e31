"""PyTorch as the oracle: the same call on the same numbers gives the same values, dtypes and gradients."""

import numpy as np
import pytest

import tinytorch
from tests.ops.optable import TABLE, make

SEED = 20


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch, the oracle of these tests, is not installed")


def results(value):
    """The results of a row's call as a flat list."""
    return [r for v in value for r in results(v)] if isinstance(value, (list, tuple)) else [value]


def assert_same(ours, theirs, rtol, where):
    assert len(ours) == len(theirs), where
    for place, (mine, oracle) in enumerate(zip(ours, theirs, strict=True)):
        label = f"{where}, result {place}"
        assert tuple(mine.shape) == tuple(oracle.shape), label
        assert str(mine.dtype) == str(oracle.dtype).removeprefix("torch."), label
        np.testing.assert_allclose(mine.detach().numpy(), oracle.detach().numpy(), rtol, rtol, err_msg=label)


FLOATS, INTS = ["float32", "float64"], ["int64", "int32"]


@pytest.mark.parametrize(
    ("row", "dtype"),
    [
        pytest.param(row, dtype, id=f"{row.name}, {dtype}")
        for row in TABLE
        for dtype in (FLOATS + INTS if row.ints else FLOATS)
    ],
)
def test_values_and_dtypes_are_those_of_pytorch(row, dtype, torch):
    for specs in row.inputs:
        for strided in (False, True):
            rng = np.random.default_rng(SEED)
            arrays = [make(spec, dtype, rng, row.low, row.high, strided) for spec in specs]
            ours = results(row.call(tinytorch, *map(tinytorch.tensor, arrays)))
            theirs = results(row.call(torch, *(torch.tensor(a.copy()) for a in arrays)))
            assert_same(ours, theirs, row.rtol, f"{specs}, strided {strided}, seed {SEED}")


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.gradient and row.oracle_gradient], ids=lambda row: row.name
)
def test_gradients_are_those_of_pytorch(row, torch):
    for specs in row.inputs:
        rng = np.random.default_rng(SEED)
        arrays = [make(spec, "float64", rng, row.low, row.high) for spec in specs]
        mine = [tinytorch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        oracle = [torch.tensor(a.copy(), requires_grad=a.dtype.kind == "f") for a in arrays]
        for T, leaves in ((tinytorch, mine), (torch, oracle)):
            weigh = np.random.default_rng(SEED)
            total = 0
            for result in results(row.call(T, *leaves)):
                if "float" in str(result.dtype):
                    total = total + (result * T.tensor(weigh.standard_normal(tuple(result.shape)))).sum()
            total.backward()
        for place, (leaf, other) in enumerate(zip(mine, oracle, strict=True)):
            if leaf.requires_grad and other.grad is not None:
                label = f"{specs}, input {place}, seed {SEED}"
                assert leaf.grad is not None, label
                assert leaf.grad.dtype == leaf.dtype, label
                assert leaf.grad.shape == leaf.shape, label
                np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), 1e-7, 1e-9, err_msg=label)
