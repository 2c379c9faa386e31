"""Losses against PyTorch, forward and gradient; derivatives against differences; labels that are wrong."""

import math
import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.core.autograd import gradcheck
from tinytorch.core.tensor import Tensor, tensor
from tinytorch.nn import functional as losses

pytestmark = pytest.mark.filterwarnings("error")

REDUCTIONS = ["mean", "sum", "none"]
SHAPES = [(), (1,), (5,), (3, 4), (2, 3, 2), (1, 1)]
EMPTY = [(0,), (0, 3), (3, 0)]
LOGITS = [(4, 3), (3,), (2, 3, 4), (2, 3, 2, 2), (1, 1), (5, 1), (1, 3)]
TOLERANCE = {"float32": 2e-6, "float64": 1e-12}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def random(shape, dtype="float64", seed=0):
    return np.asarray(2 * np.random.default_rng(seed).standard_normal(shape), dtype)


def probabilities(shape, dtype="float64", seed=0):
    return np.asarray(np.random.default_rng(seed).uniform(0.02, 0.98, shape), dtype)


def log_probabilities(shape, dtype="float64", seed=0):
    return np.asarray(np.log(probabilities(shape, dtype, seed)))


# A loss of elements: its name, its settings, how to draw an input, how to draw a target.
ELEMENTWISE = [
    ("mse_loss", {}, random, random),
    ("l1_loss", {}, random, random),
    ("huber_loss", {}, random, random),
    ("huber_loss", {"delta": 0.3}, random, random),
    ("smooth_l1_loss", {}, random, random),
    ("smooth_l1_loss", {"beta": 0.2}, random, random),
    ("smooth_l1_loss", {"beta": 0.0}, random, random),
    ("binary_cross_entropy_with_logits", {}, random, probabilities),
    ("binary_cross_entropy", {}, probabilities, probabilities),
    ("kl_div", {}, log_probabilities, probabilities),
    ("kl_div", {"log_target": True}, log_probabilities, log_probabilities),
]
WITHOUT_TARGET_DERIVATIVE = ("binary_cross_entropy", "kl_div")
elementwise = pytest.mark.parametrize(
    ("name", "arguments", "draw", "draw_target"),
    ELEMENTWISE,
    ids=[f"{name}{arguments or ''}" for name, arguments, *_ in ELEMENTWISE],
)


def assert_like_torch(torch, name, x, target, arguments, both=False):
    """Value, dtype, shape and gradients of a loss as PyTorch has them."""
    ours, theirs = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    our_target, their_target = tensor(target, requires_grad=both), torch.tensor(target, requires_grad=both)
    out = getattr(losses, name)(ours, our_target, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch advises "batchmean" for kl_div
        expected = getattr(torch.nn.functional, name)(theirs, their_target, **in_torch(torch, arguments))
    close = {"rtol": TOLERANCE[str(x.dtype)], "atol": TOLERANCE[str(x.dtype)]}
    assert (out.dtype, out.shape) == (x.dtype, tuple(expected.shape))
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), **close)
    g = random(out.shape, x.dtype, seed=9)
    out.backward(tensor(g))
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **close)
    if both:
        np.testing.assert_allclose(our_target.grad.numpy(), their_target.grad.numpy(), **close)


def in_torch(torch, arguments):
    return {k: torch.tensor(v.numpy()) if isinstance(v, Tensor) else v for k, v in arguments.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
@elementwise
def test_loss_of_elements_is_pytorchs(torch, name, arguments, draw, draw_target, shape, reduction, dtype):
    x, target = draw(shape, dtype, 0), draw_target(shape, dtype, 1)
    both = name not in WITHOUT_TARGET_DERIVATIVE
    assert_like_torch(torch, name, x, target, {**arguments, "reduction": reduction}, both)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@elementwise
def test_derivative_agrees_with_differences(name, arguments, draw, draw_target, reduction):
    x = tensor(draw((3, 2)), requires_grad=True)
    y = tensor(draw_target((3, 2), seed=1), requires_grad=name not in WITHOUT_TARGET_DERIVATIVE)
    assert gradcheck(lambda x, y: getattr(losses, name)(x, y, **arguments, reduction=reduction), (x, y))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", LOGITS, ids=str)
@pytest.mark.parametrize(
    ("smoothing", "weighted", "ignored"), list(product((0.0, 0.1, 1.0), (False, True), (-100, 0)))
)
def test_cross_entropy_over_classes_is_pytorchs(torch, shape, smoothing, weighted, ignored, reduction):
    for dtype in ("float32", "float64"):
        x, target, weight = logits_and_classes(shape, dtype)
        arguments = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignored}
        arguments |= {"weight": tensor(weight)} if weighted else {}
        assert_like_torch(torch, "cross_entropy", x, target, arguments)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dims", [(2, 0, 1), (0, 2, 1), (2, 1, 0)], ids=str)
def test_logits_may_lie_in_memory_in_any_order(dims, smoothing):
    x = random((2, 3, 4), seed=0)
    rows = np.ascontiguousarray(x.transpose(dims))
    target = np.random.default_rng(1).integers(0, rows.shape[1], (rows.shape[0], rows.shape[2]))
    inputs = [tensor(x, requires_grad=True), tensor(rows, requires_grad=True)]
    for logits in (inputs[0].permute(dims), inputs[1]):
        losses.cross_entropy(logits, tensor(target), label_smoothing=smoothing).backward()
    np.testing.assert_allclose(
        inputs[0].grad.numpy().transpose(dims), inputs[1].grad.numpy(), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", LOGITS, ids=str)
@pytest.mark.parametrize(("smoothing", "weighted"), list(product((0.0, 0.1), (False, True))))
def test_cross_entropy_over_probabilities_is_pytorchs(torch, shape, smoothing, weighted, reduction):
    x, _, weight = logits_and_classes(shape, "float64")
    target = np.exp(random(shape, seed=3))
    target /= target.sum(1 if len(shape) > 1 else 0, keepdims=True)
    arguments = {"reduction": reduction, "label_smoothing": smoothing}
    arguments |= {"weight": tensor(weight)} if weighted else {}
    assert_like_torch(torch, "cross_entropy", x, target, arguments, both=True)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", LOGITS, ids=str)
@pytest.mark.parametrize(("weighted", "ignore_index"), list(product((False, True), (-100, 0))))
def test_nll_loss_is_pytorchs(torch, shape, weighted, ignore_index, reduction):
    x, target, weight = logits_and_classes(shape, "float64")
    arguments = {"reduction": reduction, "ignore_index": ignore_index}
    arguments |= {"weight": tensor(weight)} if weighted else {}
    assert_like_torch(torch, "nll_loss", x, target, arguments)


def logits_and_classes(shape, dtype):
    axis = 1 if len(shape) > 1 else 0
    classes = np.random.default_rng(5).integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    return random(shape, dtype), np.asarray(classes), np.asarray([0.5, 2.0, 1.0][: shape[axis]], dtype)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("smoothing", "shape"), list(product((0.0, 0.2), LOGITS)), ids=str)
def test_derivative_of_cross_entropy_agrees_with_differences(shape, smoothing, reduction):
    x, target, weight = logits_and_classes(shape, "float64")

    def loss(x):
        return losses.cross_entropy(x, tensor(target), tensor(weight), -100, reduction, smoothing)

    assert gradcheck(loss, tensor(x, requires_grad=True))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("weighted", "positive"), list(product((False, True), (False, True))))
def test_binary_cross_entropy_with_weights_is_pytorchs(torch, weighted, positive, reduction):
    arguments = {"reduction": reduction}
    arguments |= {"weight": tensor(probabilities((4, 1), seed=3))} if weighted else {}
    arguments |= {"pos_weight": tensor(3 * probabilities((3,), seed=4))} if positive else {}
    x, target = random((4, 3)), probabilities((4, 3), seed=1)
    assert_like_torch(torch, "binary_cross_entropy_with_logits", x, target, arguments, both=True)
    if not positive:
        assert_like_torch(torch, "binary_cross_entropy", probabilities((4, 3)), target, arguments)


@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_over_a_batch_is_pytorchs(torch, log_target):
    target = log_probabilities((4, 3), seed=1) if log_target else probabilities((4, 3), seed=1)
    arguments = {"reduction": "batchmean", "log_target": log_target}
    assert_like_torch(torch, "kl_div", log_probabilities((4, 3)), target, arguments)


def test_kl_div_counts_an_impossible_outcome_as_nothing():
    assert losses.kl_div(tensor([-1.0, -1.0]), tensor([0.0, 1.0]), "none").array.tolist() == [0, 1]


def test_binary_cross_entropy_of_certain_answers_is_finite():
    x = tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    loss = losses.binary_cross_entropy(x, tensor([0.0, 1.0, 1.0, 0.0]), reduction="none")
    assert loss.array.tolist() == [0, 0, 100, 100]
    loss.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_of_logits_are_exact_at_ten_thousand(dtype):
    x = tensor(np.array([[1e4, 0, -1e4]] * 3, dtype), requires_grad=True)
    loss = losses.cross_entropy(x, tensor([0, 1, 2]), reduction="none")
    assert loss.array.tolist() == [0, 1e4, 2e4]
    loss.sum().backward()
    assert x.grad.array.tolist() == [[0, 0, 0], [1, -1, 0], [1, 0, -1]]
    x, y = np.array([1e4, 1e4, -1e4, -1e4], dtype), np.array([1, 0, 1, 0], dtype)
    yes_no = losses.binary_cross_entropy_with_logits(tensor(x), tensor(y), reduction="none")
    assert yes_no.array.tolist() == [0, 1e4, 1e4, 0]


def test_an_ignored_row_counts_for_nothing():
    x = tensor(random((3, 4), "float32"), requires_grad=True)
    losses.cross_entropy(x, tensor([1, -100, 2])).backward()
    assert x.grad.array[1].tolist() == [0, 0, 0, 0]
    rest = losses.cross_entropy(tensor(x.array[[0, 2]]), tensor([1, 2]))
    assert losses.cross_entropy(x, tensor([1, -100, 2])).item() == pytest.approx(rest.item())


def test_a_mean_over_nothing_is_nan_and_a_sum_is_zero():
    nothing, no_class = tt.zeros(0, 3), tensor(np.zeros(0, np.int64))
    assert math.isnan(losses.cross_entropy(nothing, no_class).item())
    assert losses.cross_entropy(nothing, no_class, reduction="sum").item() == 0
    assert math.isnan(losses.cross_entropy(tt.zeros(2, 3), tensor([-100, -100])).item())
    assert math.isnan(losses.mse_loss(tt.zeros(0), tt.zeros(0)).item())


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_classes_of_every_integer_dtype(dtype):
    target = tensor(np.array([0, 2], dtype))
    assert losses.cross_entropy(tt.zeros(2, 3), target).item() == pytest.approx(math.log(3))


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_cross_entropy_is_nll_of_log_softmax_and_its_gradient_sums_to_zero(rows, classes, seed):
    x = tensor(random((rows, classes), seed=seed), requires_grad=True)
    target = tensor(np.random.default_rng(seed).integers(0, classes, rows))
    loss = losses.cross_entropy(x, target)
    assert loss.item() == pytest.approx(losses.nll_loss(x.detach().log_softmax(1), target).item())
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy().sum(1), 0, atol=1e-12)


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(0, 1))
def test_two_logits_make_binary_cross_entropy(x, y):
    two = losses.cross_entropy(tensor(np.array([[0, x]])), tensor(np.array([[1 - y, y]])))
    one = losses.binary_cross_entropy_with_logits(tensor(np.array([x])), tensor(np.array([y])))
    assert one.item() == pytest.approx(two.item(), abs=1e-12)


# Labels that are wrong.

ELEMENT_LOSSES = sorted({name for name, *_ in ELEMENTWISE})


@pytest.mark.parametrize("name", ELEMENT_LOSSES)
def test_a_column_against_a_row_is_an_error(name):
    with pytest.raises(ValueError, match=r"input \(4, 1\) and target \(4,\) differ in shape"):
        getattr(losses, name)(tt.zeros(4, 1), tt.zeros(4))


@pytest.mark.parametrize("name", ELEMENT_LOSSES)
def test_nan_among_the_labels_is_an_error(name):
    with pytest.raises(ValueError, match="target holds nan in 1 of 3 places"):
        getattr(losses, name)(tt.zeros(3), tensor([0.0, math.nan, 1.0]))


@pytest.mark.parametrize("name", [*ELEMENT_LOSSES, "cross_entropy", "nll_loss"])
def test_an_unknown_reduction_is_an_error(name):
    target = tensor([0, 1]) if name in ("cross_entropy", "nll_loss") else tt.zeros(2, 3)
    with pytest.raises(ValueError, match="reduction is 'mean', 'sum' or 'none', 'avg' came"):
        getattr(losses, name)(tt.zeros(2, 3), target, reduction="avg")


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize(("classes", "wrong"), [([1, 3], 3), ([-1, 0], -1), ([0, 255], 255)])
def test_a_class_that_does_not_exist_is_named(name, classes, wrong):
    with pytest.raises(ValueError, match=f"{name}: target holds class {wrong}, .* classes 0 to 2"):
        getattr(losses, name)(tt.zeros(2, 3), tensor(classes))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (tensor([0, 1, 2]), r"target of classes, integers \(2,\); int64 \(3,\) came"),
        (tensor([[0], [1]]), r"target of classes, integers \(2,\); int64 \(2, 1\) came"),
        (tensor([True, False]), r"integers \(2,\); bool \(2,\) came, use .long\(\)"),
        (tensor([0.0, 1.0]), r"or of probabilities, floats \(2, 3\); float32 \(2,\) came, use .long\(\)"),
        (tensor([[0.5, 0.5]]), r"or of probabilities, floats \(2, 3\); float32 \(1, 2\) came"),
        (tensor([[0.5, 0.5, math.nan]] * 2), "target holds nan"),
    ],
)
def test_a_target_that_is_neither_classes_nor_probabilities_is_an_error(target, words):
    with pytest.raises(ValueError, match=words):
        losses.cross_entropy(tt.zeros(2, 3), target)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_an_input_that_holds_no_logits_is_an_error(name):
    loss = getattr(losses, name)
    with pytest.raises(ValueError, match=r"dimension for the classes; int64 \(1, 2\) came"):
        loss(tensor([[1, 2]]), tensor([0]))
    with pytest.raises(ValueError, match=r"dimension for the classes; float32 \(\) came"):
        loss(tensor(1.0), tensor(0))
    with pytest.raises(TypeError, match="target must be a Tensor, list came"):
        loss(tt.zeros(2, 3), [0, 1])


def test_settings_out_of_range_are_errors():
    x, target = tt.zeros(2, 3), tensor([0, 1])
    with pytest.raises(ValueError, match=r"label_smoothing is between 0 and 1, 1\.5 came"):
        losses.cross_entropy(x, target, label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"weight needs one number for each of 3 classes, \(2,\) came"):
        losses.cross_entropy(x, target, weight=tt.ones(2))
    with pytest.raises(ValueError, match="delta is a distance above 0, 0 came"):
        losses.huber_loss(x, x, delta=0)
    with pytest.raises(ValueError, match="input holds probabilities, from 0 to 1; 0 to 2 came"):
        losses.binary_cross_entropy(tensor([0.0, 2.0]), tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match=r"weights must broadcast to the input's \(2,\)"):
        losses.binary_cross_entropy_with_logits(tt.zeros(2), tt.zeros(2), weight=tt.ones(3, 1))


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_labels_that_change_before_the_backward_pass_are_noticed(name):
    target = tensor([0, 1])
    loss = getattr(losses, name)(tt.zeros(2, 3, requires_grad=True), target)
    target[0] = 2
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_gradient_that_a_loss_does_not_have_is_refused():
    p = tensor([0.5], requires_grad=True)
    with pytest.raises(NotImplementedError, match="kl_div: there is no gradient for the target"):
        losses.kl_div(tensor([-1.0]), p).backward()
