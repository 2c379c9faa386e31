"""Where weights begin: the spread that each scheme promises, PyTorch's gains, and seeds."""

import math

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.nn import init

SHAPES = [(300, 200), (40, 20, 3, 3)]
RANDOM = [
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
    "kaiming_normal_", "orthogonal_",
]  # fmt: skip


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def drawn(name, shape, *arguments, **settings):
    return getattr(init, name)(tt.empty(*shape), *arguments, **settings).numpy()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uniform_", {"a": -2.0, "b": 1.0}),
        ("normal_", {"mean": 1.0, "std": 0.2}),
        ("trunc_normal_", {"mean": 0.5, "std": 1.0, "a": 0.0, "b": 2.0}),
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": math.sqrt(5)}),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "tanh"}),
        ("kaiming_normal_", {"nonlinearity": "relu"}),
    ],
    ids=str,
)
def test_mean_spread_and_ends_are_pytorchs(torch, name, arguments, shape):
    tt.manual_seed(0)
    torch.manual_seed(0)
    ours = drawn(name, shape, **arguments)
    theirs = getattr(torch.nn.init, name)(torch.empty(shape), **arguments).numpy()
    spread = float(theirs.std())
    assert ours.dtype == np.float32
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.06 * spread)
    assert ours.std() == pytest.approx(spread, rel=0.04)
    if "normal" not in name or "trunc" in name:
        assert ours.min() == pytest.approx(theirs.min(), abs=0.02 * spread)
        assert ours.max() == pytest.approx(theirs.max(), abs=0.02 * spread)


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_decides_the_numbers(name):
    tt.manual_seed(1)
    first, second = drawn(name, (6, 5)), drawn(name, (6, 5))
    assert not np.array_equal(first, second)
    tt.manual_seed(1)
    np.testing.assert_array_equal(drawn(name, (6, 5)), first)
    one, other = (drawn(name, (6, 5), generator=tt.Generator().manual_seed(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_constants():
    assert drawn("constant_", (2,), 0.3).tolist() == [np.float32(0.3)] * 2
    assert drawn("zeros_", (2,)).tolist() == [0, 0]
    assert drawn("ones_", (2,)).tolist() == [1, 1]
    np.testing.assert_array_equal(drawn("eye_", (2, 3)), np.eye(2, 3))


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (2, 3, 2, 2)], ids=str)
def test_orthogonal_has_orthonormal_rows_or_columns(shape):
    tt.manual_seed(0)
    q = drawn("orthogonal_", shape, gain=2.0).reshape(shape[0], -1) / 2
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6)


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "selu"])
def test_gains_are_pytorchs(torch, name):
    assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))


@pytest.mark.parametrize("slope", [None, 0.0, 0.3])
def test_the_gain_of_leaky_relu_is_pytorchs(torch, slope):
    expected = torch.nn.init.calculate_gain("leaky_relu", slope)
    assert init.calculate_gain("leaky_relu", slope) == pytest.approx(expected)


@pytest.mark.parametrize("name", RANDOM)
def test_empty_weights_stay_empty(name):
    assert drawn(name, (0, 3)).shape == (0, 3)


def test_a_parameter_is_filled_in_place_without_history():
    weight = tt.nn.Parameter(tt.zeros(3, 2))
    assert init.ones_(weight) is weight
    assert weight.array.tolist() == [[1, 1]] * 3
    assert weight.is_leaf
    loss = (weight * weight).sum()
    init.zeros_(weight)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: init.xavier_uniform_(tt.zeros(3)), r"xavier_uniform_: two or more .* shape \(3,\)"),
        (lambda: init.orthogonal_(tt.zeros(3)), "orthogonal_: two or more dimensions"),
        (lambda: init.kaiming_normal_(tt.zeros(3, 2), mode="fan"), "mode is 'fan_in' or 'fan_out', 'fan'"),
        (lambda: init.calculate_gain("swish"), "'swish' is none of linear, .*, leaky_relu"),
        (lambda: init.eye_(tt.zeros(2, 2, 2)), r"a matrix is needed, this tensor has shape \(2, 2, 2\)"),
        (lambda: init.trunc_normal_(tt.zeros(3), a=8.0, b=9.0), r"\[8.0, 9.0\] holds only .* of the normal"),
    ],
)
def test_what_can_not_be_drawn_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
