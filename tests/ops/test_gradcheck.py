"""Every gradient of the table against central differences: this oracle is there wherever NumPy is."""

import numpy as np
import pytest

import tinytorch
from tests.ops.optable import TABLE, make
from tests.ops.test_against_torch import results

SEED = 21


@pytest.mark.parametrize("row", [row for row in TABLE if row.gradient], ids=lambda row: row.name)
def test_the_gradient_agrees_with_central_differences(row):
    for specs in row.inputs:
        rng = np.random.default_rng(SEED)
        arrays = [make(spec, "float64", rng, row.low, row.high) for spec in specs]
        inputs = [tinytorch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]

        def total(*inputs):
            floats = [r.flatten() for r in results(row.call(tinytorch, *inputs)) if r.is_floating_point()]
            return tinytorch.cat(floats)

        assert tinytorch.autograd.gradcheck(total, inputs), f"{specs}, seed {SEED}"
