"""Pooling to a given size and resizing, against PyTorch and central differences."""

import numpy as np
import pytest

import tinytorch as tt
from tests.core.test_spatial import assert_like_torch, normal
from tinytorch import nn
from tinytorch.core.autograd import gradcheck
from tinytorch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, interpolate


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


@pytest.mark.parametrize("size", [1, 2, 3, 7, (4, 3), (None, 5), (8, 9)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (3, 8, 9), (0, 2, 8, 9)], ids=str)
def test_adaptive_pooling_is_pytorchs(size, shape, torch):
    x = normal(*shape)
    assert_like_torch(torch, lambda T, x: T.nn.functional.adaptive_avg_pool2d(x, size), x)
    if 0 not in shape:
        assert_like_torch(torch, lambda T, x: T.nn.functional.adaptive_max_pool2d(x, size), x)


@pytest.mark.parametrize("pool", [adaptive_avg_pool2d, adaptive_max_pool2d])
@pytest.mark.parametrize("size", [2, 3])
def test_the_gradient_of_adaptive_pooling_agrees_with_central_differences(pool, size):
    assert gradcheck(lambda x: pool(x, size), [tt.tensor(normal(1, 2, 4, 5), requires_grad=True)])


SIZES = [
    {"size": (7, 9)},
    {"size": 3},
    {"scale_factor": 2},
    {"scale_factor": 1.5},
    {"scale_factor": (0.4, 3.0)},
]
MODES = [{"mode": "nearest"}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True}]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_resizing_is_pytorchs(size, mode, torch):
    x = normal(2, 3, 5, 6)
    assert_like_torch(torch, lambda T, x: T.nn.functional.interpolate(x, **size, **mode), x)
    oracle = torch.nn.Upsample(**size, **mode)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(nn.Upsample(**size, **mode)(tt.tensor(x)).numpy(), oracle, 1e-10, 1e-10)


def test_resizing_keeps_float32():
    assert interpolate(tt.zeros(1, 1, 2, 2), scale_factor=2, mode="bilinear").dtype == tt.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: adaptive_avg_pool2d(x, 0), "sizes are at least 1"),
        (lambda x: interpolate(x), "either size or scale_factor are needed"),
        (lambda x: interpolate(x, 2, 2), "either size or scale_factor are needed"),
        (lambda x: interpolate(x[0], 2), r"\(3, 4, 5\) came"),
        (lambda x: interpolate(x, 2, mode="cubic"), "mode is 'nearest' or 'bilinear', 'cubic' came"),
        (lambda x: interpolate(x, scale_factor=0.1), "sizes are at least 1"),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call(tt.tensor(normal(2, 3, 4, 5)))
