"""Activation and loss modules: the functions of core with PyTorch's constructors and words."""

import numpy as np
import pytest

from tinytorch import nn
from tinytorch.core.tensor import Tensor, tensor

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


ACTIVATIONS = [
    ("ReLU", {}),
    ("ReLU", {"inplace": True}),
    ("LeakyReLU", {"negative_slope": 0.2, "inplace": True}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("SiLU", {}),
    ("SiLU", {"inplace": True}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("Softplus", {"beta": 2.0, "threshold": 5.0}),
    ("Softmax", {"dim": 1}),
    ("LogSoftmax", {"dim": 0}),
    ("ELU", {}),
    ("ELU", {"alpha": 0.5, "inplace": True}),
    ("SELU", {}),
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -0.5, "max_val": 0.25, "inplace": True}),
    ("ReLU6", {}),
    ("ReLU6", {"inplace": True}),
    ("Hardsigmoid", {}),
    ("Hardswish", {}),
    ("Mish", {}),
    ("LogSigmoid", {}),
    ("Softsign", {}),
    ("Softmin", {"dim": 1}),
    ("GLU", {"dim": 0}),
]
CLASSES = np.array([0, 2, 1, 2])
WEIGHT = np.array([1.0, 2.0, 0.5], "float32")
LOSSES = [
    ("MSELoss", {}, "numbers"),
    ("L1Loss", {"reduction": "sum"}, "numbers"),
    ("HuberLoss", {"reduction": "none", "delta": 0.4}, "numbers"),
    ("SmoothL1Loss", {"beta": 0.4}, "numbers"),
    ("CrossEntropyLoss", {}, "classes"),
    ("CrossEntropyLoss", {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1}, "classes"),
    ("CrossEntropyLoss", {"reduction": "sum"}, "probabilities"),
    ("NLLLoss", {"weight": WEIGHT, "reduction": "none"}, "classes"),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT}, "probabilities"),
    ("BCELoss", {"weight": WEIGHT}, "probabilities"),
    ("KLDivLoss", {"reduction": "batchmean"}, "probabilities"),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, "numbers"),
]


def settings_of(arguments, make):
    return {
        name: make(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()
    }


@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS, ids=str)
def test_activation_module_computes_and_reads_as_pytorchs(torch, name, arguments):
    x = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    ours, theirs = getattr(nn, name)(**arguments), getattr(torch.nn, name)(**arguments)
    given = tensor(x)
    out = ours(given)
    np.testing.assert_allclose(out.numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(given.numpy(), x)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(("name", "arguments", "kind"), LOSSES, ids=str)
def test_loss_module_computes_and_saves_as_pytorchs(torch, name, arguments, kind):
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 0.9, (4, 3)).astype("float32")
    targets = {"numbers": rng.standard_normal((4, 3)), "probabilities": rng.uniform(0, 1, (4, 3))}
    target = CLASSES if kind == "classes" else targets[kind].astype("float32")
    ours = getattr(nn, name)(**settings_of(arguments, tensor))
    theirs = getattr(torch.nn, name)(**settings_of(arguments, torch.tensor))
    expected = theirs(torch.tensor(x), torch.tensor(target)).numpy()
    np.testing.assert_allclose(ours(tensor(x), tensor(target)).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_parameter_list_registers_and_reads_its_members():
    class Polynomial(nn.Module):
        def __init__(self):
            super().__init__()
            self.coefficients = nn.ParameterList([tensor([1.0]), nn.Parameter(tensor([2.0]))])

        def forward(self, x):
            return sum(c * x**i for i, c in enumerate(self.coefficients))

    model = Polynomial()
    assert [name for name, _ in model.named_parameters()] == ["coefficients.0", "coefficients.1"]
    assert model(tensor([3.0])).item() == 7
    held = model.coefficients.append(tensor([4.0]))
    held[0] = tensor([9.0])
    assert len(held) == 3
    assert [p.item() for p in held] == [9, 2, 4]
    assert held[-1].item() == 4
    assert [p.item() for p in held[1:]] == [2, 4]
    assert all(isinstance(p, nn.Parameter) for p in held)
    assert "(2): Parameter (1,), float32" in repr(model)


def test_a_two_layer_network_learns_xor():
    rng = np.random.default_rng(0)
    x = tensor(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32"))
    y = tensor(np.array([[0], [1], [1], [0]], "float32"))
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    for parameter in model.parameters():
        parameter.data = tensor(rng.standard_normal(parameter.shape).astype("float32"))
    loss = nn.BCEWithLogitsLoss()
    for _ in range(200):
        model.zero_grad()
        loss(model(x), y).backward()
        for parameter in model.parameters():
            assert isinstance(parameter.grad, Tensor)
            parameter.data -= 0.5 * parameter.grad
    assert ((model(x).detach().numpy() > 0) == y.numpy()).all()
