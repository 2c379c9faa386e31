"""The functions of tinytorch.nn.functional that are no activation, layer or loss."""

import numpy as np
import pytest

from tinytorch.core.autograd import gradcheck
from tinytorch.core.tensor import tensor
from tinytorch.nn import functional


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def test_every_name_is_pytorchs(torch):
    assert all(hasattr(torch.nn.functional, name) for name in functional.__all__)


@pytest.mark.parametrize("classes", [[2, 0, 1], [[0, 1], [3, 3]], 2, []])
def test_one_hot_is_pytorchs(torch, classes):
    indices = np.array(classes, "int64")
    ours = functional.one_hot(tensor(indices), 5)
    assert ours.dtype == "int64"
    np.testing.assert_array_equal(ours.numpy(), torch.nn.functional.one_hot(torch.tensor(indices), 5).numpy())
    if indices.size:
        counted = torch.nn.functional.one_hot(torch.tensor(indices)).numpy()
        np.testing.assert_array_equal(functional.one_hot(tensor(indices)).numpy(), counted)


def test_one_hot_names_what_is_no_class():
    with pytest.raises(ValueError, match="classes are integers, float32 came"):
        functional.one_hot(tensor([0.0]))
    with pytest.raises(ValueError, match="classes are 0 to 2, and the tensor holds 1 to 3"):
        functional.one_hot(tensor([1, 3]), 3)
    with pytest.raises(ValueError, match="the tensor holds -1 to 1"):
        functional.one_hot(tensor([-1, 1]))
    with pytest.raises(ValueError, match="give num_classes"):
        functional.one_hot(tensor(np.zeros(0, "int64")))


@pytest.mark.parametrize(
    "arguments", [{}, {"dim": -1}, {"p": 1.0, "dim": 0}, {"p": 2.0, "dim": 1, "eps": 2.0}], ids=str
)
def test_normalize_is_pytorchs(torch, arguments):
    x = np.random.default_rng(0).standard_normal((3, 4))
    x[1] = 0
    ours, theirs = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out, expected = (
        functional.normalize(ours, **arguments),
        torch.nn.functional.normalize(theirs, **arguments),
    )
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    g = np.random.default_rng(1).standard_normal((3, 4))
    out.backward(tensor(g))
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "dim"), [((3, 4), (3, 4), 1), ((3, 4), (1, 4), -1), ((5,), (5,), 0)]
)
def test_cosine_similarity_is_pytorchs(torch, first, second, dim):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(first), rng.standard_normal(second)
    ours = functional.cosine_similarity(tensor(a), tensor(b), dim)
    expected = torch.nn.functional.cosine_similarity(torch.tensor(a), torch.tensor(b), dim)
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-12)
    inputs = [tensor(a, requires_grad=True), tensor(b, requires_grad=True)]
    assert gradcheck(lambda x, y: functional.cosine_similarity(x, y, dim), inputs)


def test_cosine_similarity_with_a_zero_vector_is_zero():
    assert functional.cosine_similarity(tensor([0.0, 0.0]), tensor([1.0, 2.0]), 0).item() == 0


@pytest.mark.parametrize(
    ("pad", "mode", "message"),
    [
        ((1, 1), "mirror", "mode is 'constant', 'reflect', 'replicate', 'circular'; 'mirror' came"),
        ((3, 0), "reflect", r"\(3, 0\) does not go with mode 'reflect' and shape \(2, 3\)"),
        ((0, 4), "circular", r"\(0, 4\) does not go with mode 'circular'"),
        ((-1, 0), "replicate", r"\(-1, 0\) does not go with mode 'replicate'"),
        ((1, 1, 1), "reflect", "3 numbers do not give pairs"),
    ],
)
def test_padding_names_what_does_not_fit(pad, mode, message):
    with pytest.raises(ValueError, match=message):
        functional.pad(tensor(np.zeros((2, 3))), pad, mode)
