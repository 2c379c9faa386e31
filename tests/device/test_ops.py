"""Every row of the table of operations on the device "cuda": arrays stay there, with the CPU's numbers."""

import numpy as np
import pytest

import tinytorch
from tests.ops.optable import TABLE, make
from tests.ops.test_against_torch import results

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def run(row, arrays, device):
    """The results of a row and the gradients of its floating-point inputs, as Tensors."""
    inputs = [tinytorch.tensor(a, device=device, requires_grad=a.dtype.kind == "f") for a in arrays]
    found = results(row.call(tinytorch, *inputs))
    floats = [x for x in found if x.requires_grad]
    gradients = []
    if row.gradient and floats:
        rng = np.random.default_rng(1)
        weights = [tinytorch.tensor(rng.uniform(0.5, 2, x.shape), x.dtype, device) for x in floats]
        sum((x * w).sum() for x, w in zip(floats, weights, strict=True)).backward()
        gradients = [x.grad for x in inputs if x.grad is not None]
    return [x.detach() for x in found], gradients


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_row_of_the_table_gives_the_cpus_numbers(row, cuda):
    for specs in row.inputs:
        for dtype in ("float32", "int64") if row.ints else ("float32",):
            arrays = [make(s, dtype, np.random.default_rng(0), row.low, row.high) for s in specs]
            for ours, expected in zip(run(row, arrays, "cuda"), run(row, arrays, "cpu"), strict=True):
                assert len(ours) == len(expected)
                for x, y in zip(ours, expected, strict=True):
                    assert type(x.array) is cuda
                    assert (x.shape, x.dtype) == (y.shape, y.dtype)
                    np.testing.assert_allclose(x.cpu().numpy(), y.numpy(), **CLOSE)
