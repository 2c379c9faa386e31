"""Activations against PyTorch, forward and gradient; their derivatives against differences; their edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch
from tinytorch.core import activations
from tinytorch.core.autograd import gradcheck
from tinytorch.core.tensor import tensor

pytestmark = pytest.mark.filterwarnings("error")

POINTWISE = [
    ("relu", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("leaky_relu", {"negative_slope": -0.5}),
    ("leaky_relu", {"negative_slope": 3.0}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("silu", {}),
    ("softplus", {}),
    ("softplus", {"beta": 3.0, "threshold": 2.0}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
]
ALONG = [
    (name, shape, dim)
    for name in ("softmax", "log_softmax")
    for shape in ((5,), (1,), (3, 4), (2, 3, 4), (3, 1), (0, 3), (3, 0))
    for dim in (*range(len(shape)), -1)
] + [("softmax", (), 0), ("log_softmax", (), -1)]
SHAPES = [(), (1,), (7,), (3, 4), (2, 3, 4), (0, 3), (2, 300)]
TOLERANCE = {"float16": 4e-3, "float32": 1e-5, "float64": 1e-12}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def numbers(shape, dtype, seed=0):
    return np.asarray(3 * np.random.default_rng(seed).standard_normal(shape), dtype)


def assert_like_torch(torch, name, x, arguments, forward_only=False):
    ours = tensor(x, requires_grad=True)
    theirs = torch.tensor(x, requires_grad=True)
    out = getattr(activations, name)(ours, **arguments)
    expected = getattr(torch.nn.functional, name)(theirs, **arguments)
    close = {"rtol": TOLERANCE[str(x.dtype)], "atol": TOLERANCE[str(x.dtype)]}
    assert out.dtype == x.dtype
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), **close)
    if not forward_only:
        g = numbers(x.shape, x.dtype, seed=1)
        out.backward(tensor(g))
        expected.backward(torch.tensor(g))
        assert ours.grad.dtype == x.dtype
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **close)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "arguments"), POINTWISE, ids=str)
def test_value_and_gradient_are_pytorchs(torch, name, arguments, shape, dtype):
    assert_like_torch(torch, name, numbers(shape, dtype), arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "shape", "dim"), ALONG, ids=str)
def test_value_and_gradient_along_a_dimension_are_pytorchs(torch, name, shape, dim, dtype):
    assert_like_torch(torch, name, numbers(shape, dtype), {"dim": dim})


@pytest.mark.parametrize(("name", "arguments"), POINTWISE, ids=str)
def test_half_precision_stays_half_precision(torch, name, arguments):
    assert_like_torch(torch, name, numbers((4, 5), "float16"), arguments, forward_only=True)


@pytest.mark.parametrize(("name", "arguments"), POINTWISE, ids=str)
def test_pointwise_derivative_agrees_with_differences(name, arguments):
    x = tensor(numbers((3, 5), "float64"), requires_grad=True)
    assert gradcheck(lambda x: getattr(activations, name)(x, **arguments), x)


@pytest.mark.parametrize(("name", "shape", "dim"), [case for case in ALONG if 0 not in case[1]], ids=str)
def test_derivative_along_a_dimension_agrees_with_differences(name, shape, dim):
    x = tensor(numbers(shape, "float64"), requires_grad=True)
    assert gradcheck(lambda x: getattr(activations, name)(x, dim), x)


@pytest.mark.parametrize(("name", "arguments"), POINTWISE, ids=str)
def test_integers_become_float32(name, arguments):
    out = getattr(activations, name)(tensor([-2, 0, 3]), **arguments)
    expected = getattr(activations, name)(tensor([-2.0, 0.0, 3.0]), **arguments)
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-6)


def test_relu_of_a_transposed_and_of_a_wide_tensor():
    x = numbers((300, 700), "float32")
    for view in (x, x.T, x[::2, ::3]):
        np.testing.assert_array_equal(activations.relu(tensor(view)).numpy(), np.where(view > 0, view, 0))


def test_relu_keeps_nan():
    assert np.isnan(activations.relu(tensor([math.nan])).item())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "left", "right"),
    [("sigmoid", 0, 1), ("tanh", -1, 1), ("silu", 0, 1e4), ("softplus", 0, 1e4), ("gelu", 0, 1e4)],
)
def test_far_from_zero_is_exact_and_without_warning(name, left, right, dtype):
    out = getattr(activations, name)(tensor(np.array([-1e4, 1e4], dtype)))
    assert out.array.tolist() == [left, right]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_is_the_identity_on_the_right_and_zero_on_the_left(approximate, dtype):
    x = np.array([-3e38, -1e10, -100, -20, 20, 100, 1e10, 3e38], dtype)
    out = activations.gelu(tensor(x), approximate).numpy()
    np.testing.assert_allclose(out, np.where(x > 0, x, 0), atol=1e-20)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_slope_of_gelu_at_zero_and_far_out(approximate, dtype):
    x = tensor(np.array([0.0, -0.0, 1e-30, -1e-38, 1e-45, -30, 30], dtype)).requires_grad_()
    activations.gelu(x, approximate).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.5, 0.5, 0.5, 0.5, 0.5, 0, 1], atol=1e-6)


def test_float32_normal_distribution_function_against_erfc():
    x = np.linspace(-12, 12, 200_001).astype("float32")
    exact = np.array([math.erfc(-number / math.sqrt(2)) / 2 for number in x.tolist()])
    assert np.abs(activations.normal_cdf(x) - exact).max() < 2e-7


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_large_logits(dtype):
    x = tensor(np.array([[1e4, 0, -1e4], [1e4, 1e4, -1e4]], dtype))
    assert activations.softmax(x, 1).array.tolist() == [[1, 0, 0], [0.5, 0.5, 0]]
    np.testing.assert_allclose(activations.log_softmax(x, 1).numpy()[0], [0, -1e4, -2e4])


@pytest.mark.parametrize("shift", [-300, -100, -80, -20, -10, 0, 10, 60, 69, 88, 100, 300])
@pytest.mark.parametrize("columns", [1, 5, 70_000])
def test_softmax_is_as_exact_at_one_size_of_logits_as_at_another(shift, columns):
    x = np.random.default_rng(columns).standard_normal((3, columns)).astype("float32") + np.float32(shift)
    x[1] *= -1  # a row far from the others
    exact = np.exp(x.astype("float64") - x.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    np.testing.assert_allclose(activations.softmax(tensor(x), 1).numpy(), exact, rtol=1e-5)
    out = activations.log_softmax(tensor(x), 1).numpy()
    np.testing.assert_allclose(out, np.log(exact), rtol=1e-5, atol=1e-6 * (1 + abs(shift)))


def test_softmax_leaves_masked_logits_out_and_is_nan_where_all_are_masked():
    x = tensor([[1.0, -math.inf, 1.0], [-math.inf] * 3])
    out = activations.softmax(x, 1).numpy()
    assert out[0].tolist() == [0.5, 0, 0.5]
    assert np.isnan(out[1]).all()


@settings(deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8), st.floats(-1e3, 1e3, width=32))
def test_softmax_is_a_distribution_that_no_shift_changes(logits, shift):
    x = tensor(np.array(logits))
    p = activations.softmax(x, 0).numpy()
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1)
    np.testing.assert_allclose(activations.softmax(x + shift, 0).numpy(), p, rtol=1e-6, atol=1e-12)


@settings(deadline=None)
@given(st.floats(-700, 700))
def test_sigmoid_is_symmetric_and_softplus_is_its_integral(x):
    point = tensor(np.array(x), requires_grad=True)
    left, right = activations.sigmoid(point).item(), activations.sigmoid(-point).item()
    assert left + right == pytest.approx(1)
    activations.softplus(point, 1.0, math.inf).backward()
    assert point.grad.item() == pytest.approx(left)


@pytest.mark.parametrize("dim", [2, -3])
def test_a_dimension_that_is_not_there_is_named(dim):
    with pytest.raises(IndexError, match=rf"softmax\(\(2, 3\), {dim}\).*out of bounds"):
        activations.softmax(tinytorch.zeros(2, 3), dim)


def test_gelu_names_its_approximations():
    with pytest.raises(ValueError, match="approximate is 'none' or 'tanh', 'erf' came"):
        activations.gelu(tinytorch.zeros(2), "erf")


def test_the_input_is_never_changed():
    for name, arguments in [*POINTWISE, ("softmax", {"dim": 0}), ("log_softmax", {"dim": 0})]:
        x = tensor(numbers((4, 5), "float32"), requires_grad=True)
        before = x.array.copy()
        getattr(activations, name)(x, **arguments).sum().backward()
        np.testing.assert_array_equal(x.array, before, err_msg=name)


def test_log_softmax_of_large_numbers_keeps_its_digits():
    found = activations.log_softmax(tensor([1000.0, 1000.0, 1000.0]), 0)
    np.testing.assert_allclose(found.array, -np.log(3), rtol=1e-6)
