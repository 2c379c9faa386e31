"""tinytorch.nn.utils against PyTorch: clipping gradients, parameters as one vector."""

import numpy as np
import pytest

from tinytorch import nn
from tinytorch.core.tensor import tensor
from tinytorch.nn import utils


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def parameters_with_gradients(make, wrap):
    rng = np.random.default_rng(0)
    parameters = [wrap(make(rng.standard_normal(shape).astype("float32"))) for shape in ((3, 2), (4,), (1,))]
    for parameter in parameters[:2]:
        parameter.grad = make(rng.standard_normal(tuple(parameter.shape)).astype("float32"))
    return parameters


@pytest.mark.parametrize(
    "clip", [("clip_grad_norm_", 0.5), ("clip_grad_norm_", 100.0), ("clip_grad_value_", 0.3)], ids=str
)
def test_clipping_is_pytorchs(torch, clip):
    name, bound = clip
    ours = parameters_with_gradients(tensor, nn.Parameter)
    theirs = parameters_with_gradients(torch.tensor, torch.nn.Parameter)
    norm = getattr(utils, name)(ours, bound)
    expected = getattr(torch.nn.utils, name)(theirs, bound)
    assert (norm is None) == (expected is None)
    if norm is not None:
        assert float(norm) == pytest.approx(float(expected), rel=1e-6)
    for x, y in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-5)
    assert ours[2].grad is None


def test_parameters_become_one_vector_and_come_back():
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (8,)
    utils.vector_to_parameters(vector, other.parameters())
    for x, y in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(x.detach().numpy(), y.detach().numpy())
    vector.sum().backward()
    assert model.bias.grad.array.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"a vector of 8 numbers is needed, \(7,\) came"):
        utils.vector_to_parameters(tensor(np.zeros(7, "float32")), model.parameters())
