"""Modules: what they own and how they are walked, saved and shown; linear and dropout against PyTorch."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.core import layers
from tinytorch.core.autograd import gradcheck, no_grad
from tinytorch.core.layers import (
    Dropout,
    Flatten,
    Identity,
    Linear,
    Module,
    ModuleDict,
    ModuleList,
    Parameter,
    Sequential,
)
from tinytorch.core.tensor import Tensor, tensor

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


class Counter(Module):
    """A parameter, a saved buffer, a buffer that is not saved, and a module."""

    def __init__(self):
        super().__init__()
        self.scale = Parameter(tt.ones(2))
        self.register_buffer("seen", tensor(0))
        self.register_buffer("scratch", tt.zeros(2), persistent=False)
        self.inner = Linear(2, 2)

    def forward(self, x):
        return self.inner(x * self.scale)


def names(pairs):
    return [name for name, _ in pairs]


# What a module owns.


def test_assigning_registers_parameters_buffers_and_modules():
    model = Counter()
    assert names(model.named_parameters()) == ["scale", "inner.weight", "inner.bias"]
    assert names(model.named_parameters(recurse=False)) == ["scale"]
    assert names(model.named_parameters(prefix="net")) == ["net.scale", "net.inner.weight", "net.inner.bias"]
    assert names(model.named_buffers()) == ["seen", "scratch"]
    assert names(model.named_modules()) == ["", "inner"]
    assert names(model.named_children()) == ["inner"]
    assert list(model.modules()) == [model, model.inner]
    assert list(model.children()) == [model.inner]
    assert len(list(model.parameters())) == 3
    assert len(list(model.buffers())) == 2


def test_an_attribute_that_is_assigned_again_changes_its_kind():
    model = Counter()
    model.scale = None
    assert names(model.named_parameters()) == ["inner.weight", "inner.bias"]
    model.seen = tensor(3)
    assert model.state_dict()["seen"].item() == 3
    model.inner = Parameter(tt.zeros(1))
    assert names(model.named_modules()) == [""]
    assert names(model.named_parameters()) == ["inner"]
    model.plain = 3
    model.plain = Identity()
    assert names(model.named_children()) == ["plain"]
    del model.plain
    assert not hasattr(model, "plain")


def test_what_does_not_fit_a_registered_name_is_an_error():
    model = Counter()
    with pytest.raises(TypeError, match="Counter: 'scale' must be a Parameter or None, Tensor came"):
        model.scale = tt.ones(2)
    with pytest.raises(TypeError, match="Counter: 'inner' must be a Module or None, int came"):
        model.inner = 3
    with pytest.raises(TypeError, match="Counter: 'seen' must be a Tensor or None, list came"):
        model.seen = [0]
    with pytest.raises(TypeError, match="'weight' must be a Parameter or None, Tensor came"):
        model.register_parameter("weight", tt.ones(2))
    with pytest.raises(KeyError, match="another attribute named 'forward'"):
        model.add_module("forward", Identity())
    with pytest.raises(KeyError, match=r"a string without dots, 'a\.b' came"):
        model.register_buffer("a.b", tt.ones(2))
    assert names(model.named_parameters()) == ["scale", "inner.weight", "inner.bias"]


def test_a_missing_call_of_super_is_named():
    class Forgetful(Module):
        def __init__(self):
            self.layer = Linear(2, 2)

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) before you assign 'layer'"):
        Forgetful()

    class Empty(Module):
        def __init__(self):
            self.size = 3

    with pytest.raises(AttributeError, match=r"__init__ has not called super\(\).__init__\(\)"):
        list(Empty().parameters())


def test_an_unknown_attribute_and_a_missing_forward_are_named():
    with pytest.raises(AttributeError, match="Linear has no attribute 'wieght'"):
        Linear(2, 2).wieght  # noqa: B018
    with pytest.raises(NotImplementedError, match="Module has no forward method"):
        Module()(tt.ones(2))
    with pytest.raises(AttributeError, match=r"get_submodule 'inner\.outer': no 'outer' in Linear"):
        Counter().get_submodule("inner.outer")


def test_shared_parts_are_counted_once_and_saved_under_each_name():
    model = Sequential(Linear(3, 3), Linear(3, 3))
    model[1].weight = model[0].weight
    assert names(model.named_parameters()) == ["0.weight", "0.bias", "1.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    twice = Sequential(model[0], model[0])
    assert len(list(twice.parameters())) == 2
    assert len(list(twice.modules())) == 2
    assert names(twice.named_modules(remove_duplicate=False)) == ["", "0", "1"]


def test_train_and_eval_reach_every_module():
    model = Sequential(Sequential(Dropout(0.5)), Linear(2, 2))
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert model.train()[0][0].training


def test_apply_visits_the_inner_modules_first():
    visited = []
    model = Sequential(Sequential(Identity()), Flatten())
    assert model.apply(lambda module: visited.append(type(module).__name__)) is model
    assert visited == ["Identity", "Sequential", "Flatten", "Sequential"]


def test_freezing_and_forgetting_gradients():
    model = Sequential(Linear(2, 3), Linear(3, 1))
    model[0].requires_grad_(False)
    model(tt.ones(4, 2)).sum().backward()
    assert model[0].weight.grad is None
    assert model[1].weight.grad.shape == (1, 3)
    model.zero_grad(set_to_none=False)
    assert model[1].weight.grad.array.tolist() == [[0, 0, 0]]
    model.zero_grad()
    assert model[1].weight.grad is None


# Parameters.


def test_a_parameter_shares_memory_and_requires_grad():
    start = tt.zeros(3)
    parameter = Parameter(start)
    assert isinstance(parameter, Tensor)
    assert parameter.requires_grad
    with no_grad():
        parameter += 1
    assert start.array.tolist() == [1, 1, 1]
    assert repr(parameter).startswith("Parameter containing:\ntensor([1., 1., 1.]")
    assert not Parameter([1, 2], requires_grad=False).requires_grad


def test_a_copied_model_is_of_its_own():
    model = Counter()
    model(tt.ones(1, 2)).sum().backward()
    twin = copy.deepcopy(model)
    assert isinstance(twin.scale, Parameter)
    assert twin.inner.weight.requires_grad
    np.testing.assert_array_equal(twin.scale.grad.numpy(), model.scale.grad.numpy())
    layers.fill(twin.scale, 5)
    assert model.scale.array.tolist() == [1, 1]
    model.zero_grad()
    twin(tt.ones(1, 2)).sum().backward()
    assert model.scale.grad is None


def test_casting_changes_floats_in_place_and_leaves_counts_alone():
    model = Counter()
    weight = model.inner.weight
    model(tt.ones(1, 2)).sum().backward()
    assert model.double() is model
    assert model.inner.weight is weight
    assert weight.dtype == weight.grad.dtype == model.scratch.dtype == tt.float64
    assert model.seen.dtype == tt.int64
    assert model.to(tt.float16).scale.dtype == tt.float16
    assert model.float().cpu().scale.dtype == tt.float32
    assert isinstance(weight, Parameter)
    with pytest.raises(TypeError, match=r"Counter.to: parameters stay floats"):
        model.to(tt.int64)
    assert weight.dtype == tt.float32


# Saving and loading.


def test_state_dict_holds_parameters_and_saved_buffers_in_the_modules_memory():
    model = Counter()
    state = model.state_dict()
    assert list(state) == ["scale", "seen", "inner.weight", "inner.bias"]
    assert not any(x.requires_grad for x in state.values())
    layers.fill(state["scale"], 7)
    assert model.scale.array.tolist() == [7, 7]
    assert list(model.state_dict(prefix="net.")) == [f"net.{key}" for key in state]


def test_loading_copies_every_number():
    source, target = Counter(), Counter()
    source.seen = tensor(12)
    weight = target.inner.weight
    assert target.load_state_dict(source.state_dict()) == ([], [])
    assert target.inner.weight is weight
    for key, value in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[key].numpy(), value.numpy())
    layers.fill(source.scale, 9)
    assert target.scale.array.tolist() == [1, 1]


def test_loading_casts_to_the_dtype_of_the_module():
    model = Linear(2, 1).double()
    model.load_state_dict({"weight": np.ones((1, 2), np.float32), "bias": tt.zeros(1)})
    assert model.weight.dtype == tt.float64
    assert model.weight.array.tolist() == [[1, 1]]


def test_loading_the_wrong_state_says_everything_and_changes_nothing():
    model = Sequential(Linear(2, 3), Linear(3, 1))
    before = copy.deepcopy(model.state_dict())
    state = {"0.weight": tt.zeros(3, 2), "0.bias": tt.zeros(4), "1.weight": 3, "1.bais": tt.zeros(1)}
    with pytest.raises(RuntimeError) as raised:
        model.load_state_dict(state)
    assert str(raised.value).split("\n  ") == [
        "load_state_dict: nothing was loaded into Sequential:",
        "missing keys: 1.bias",
        "unexpected keys: 1.bais",
        "0.bias: shape (3,) here, (4,) in the state_dict",
        "1.weight: a tensor is needed, int came",
    ]
    for key, value in before.items():
        np.testing.assert_array_equal(model.state_dict()[key].numpy(), value.numpy())


def test_loading_only_what_has_the_same_name():
    model = Linear(2, 1)
    missing, unexpected = model.load_state_dict({"weight": tt.ones(1, 2), "other": tt.ones(1)}, strict=False)
    assert (missing, unexpected) == (["bias"], ["other"])
    assert model.weight.array.tolist() == [[1, 1]]
    with pytest.raises(RuntimeError, match=r"weight: shape \(1, 2\) here, \(2, 2\)"):
        model.load_state_dict({"weight": tt.ones(2, 2)}, strict=False)


def network(nn):
    return nn.Sequential(
        OrderedDict(
            body=nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 3, bias=False)),
            heads=nn.ModuleList([nn.Linear(3, 2), nn.Identity()]),
            named=nn.ModuleDict({"a": nn.Linear(3, 1), "flat": nn.Flatten()}),
        )
    )


def test_keys_shapes_and_repr_are_pytorchs(torch):
    ours, theirs = network(tt.nn), network(torch.nn)
    expected = [(key, tuple(value.shape)) for key, value in theirs.state_dict().items()]
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == expected
    assert repr(ours) == repr(theirs)


def test_weights_travel_from_pytorch_and_give_the_same_output(torch):
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    ours = Sequential(Linear(4, 5), tt.nn.ReLU(), Linear(5, 3))
    ours.load_state_dict({k: tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((6, 4)).astype("float32")
    expected = theirs(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(ours(tensor(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


# Linear.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("shape", "outputs"),
    [((4,), 3), ((2, 4), 3), ((2, 5, 4), 3), ((0, 4), 3), ((2, 0), 3), ((2, 4), 0), ((1, 1), 1)],
    ids=str,
)
def test_linear_and_its_gradients_are_pytorchs(torch, shape, outputs, bias, dtype):
    rng = np.random.default_rng(0)
    shapes = [shape, (outputs, shape[-1]), (outputs,)][: 2 + bias]
    arrays = [rng.standard_normal(s).astype(dtype) for s in shapes]
    ours = [tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out, expected = layers.linear(*ours), torch.nn.functional.linear(*theirs)
    g = rng.standard_normal(out.shape).astype(dtype)
    out.backward(tensor(g))
    expected.backward(torch.tensor(g))
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    assert (out.shape, out.dtype) == (tuple(expected.shape), dtype)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), **close)
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), **close)


def test_derivative_of_linear_agrees_with_differences():
    rng = np.random.default_rng(1)
    inputs = [tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((2, 3, 4), (2, 4), (2,))]
    assert gradcheck(layers.linear, inputs)
    view = inputs[0].transpose(0, 1)
    assert gradcheck(lambda x, w, b: layers.linear(x.transpose(0, 1), w, b), inputs)
    assert layers.linear(view, *inputs[1:]).shape == (3, 2, 2)


def test_linear_begins_within_pytorchs_bounds(torch):
    tt.manual_seed(0)
    layer, other = Linear(400, 300), torch.nn.Linear(400, 300)
    for ours, theirs in ((layer.weight, other.weight), (layer.bias, other.bias)):
        assert np.abs(ours.detach().numpy()).max() <= 1 / 20
        assert ours.detach().std().item() == pytest.approx(theirs.std().item(), rel=0.15)
    assert Linear(3, 2, bias=False).bias is None
    assert Linear(3, 2, dtype=tt.float64).weight.dtype == tt.float64


def test_a_seed_decides_the_weights():
    tt.manual_seed(3)
    first = Linear(5, 5).weight.detach().numpy().copy()
    tt.manual_seed(3)
    np.testing.assert_array_equal(Linear(5, 5).weight.detach().numpy(), first)
    assert not np.array_equal(Linear(5, 5).weight.detach().numpy(), first)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((tt.zeros(64, 28), tt.zeros(10, 784)), r"linear\(\(64, 28\), \(10, 784\).* last dimension is 28"),
        ((tt.tensor(1.0), tt.zeros(10, 784)), "last dimension is no size at all"),
        ((tt.zeros(2, 3), tt.zeros(3)), r"the weight \(out, in\) is \(3,\)"),
        ((tt.zeros(2, 3), tt.zeros(4, 3), tt.zeros(3)), r"the bias is \(3,\), and the weight has 4 outputs"),
    ],
)
def test_sizes_that_do_not_meet_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        layers.linear(*arguments)


# Dropout, Flatten, Identity.


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dropout_zeroes_a_share_and_keeps_the_mean(seed):
    tt.manual_seed(seed)
    x = tt.ones(200, 200)
    out = layers.dropout(x, 0.3).numpy()
    assert np.unique(out).tolist() == [0, pytest.approx(1 / 0.7)]
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert out.dtype == np.float32


def test_dropout_passes_gradients_where_it_passed_numbers():
    x = tt.ones(50, requires_grad=True)
    out = layers.dropout(x, 0.5)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), out.detach().numpy())


def test_dropout_at_its_ends_and_in_evaluation():
    x = tt.ones(5)
    assert layers.dropout(x, 0.0) is x
    assert layers.dropout(x, 1.0).array.tolist() == [0] * 5
    assert Dropout(0.5).eval()(x) is x
    assert layers.dropout(tensor(np.ones(4)), 0.5).dtype == tt.float64
    for use in (lambda: layers.dropout(x, 1.5), lambda: Dropout(-0.1)):
        with pytest.raises(ValueError, match="p is a probability, between 0 and 1"):
            use()


def test_dropout_draws_from_its_generator():
    first, second = (layers.dropout(tt.ones(100), generator=tt.Generator().manual_seed(4)) for _ in range(2))
    np.testing.assert_array_equal(first.numpy(), second.numpy())


@pytest.mark.parametrize("arguments", [(), (0,), (1, 2), (-2, -1)])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4, 1)])
def test_flatten_is_pytorchs(torch, shape, arguments):
    x = np.arange(np.prod(shape)).reshape(shape)
    expected = torch.nn.Flatten(*arguments)(torch.tensor(x))
    np.testing.assert_array_equal(Flatten(*arguments)(tensor(x)).numpy(), expected.numpy())


def test_identity_takes_any_arguments():
    x = tt.ones(2)
    assert Identity(54, unused=True)(x) is x


# Containers.


def test_sequential_runs_its_modules_in_order():
    doubled, flat = Linear(2, 2, bias=False), Flatten(0)
    layers.fill(doubled.weight, 2 * np.eye(2))
    model = Sequential(doubled, flat)
    assert model(tt.ones(1, 2)).detach().array.tolist() == [2, 2]
    assert Sequential()(3) == 3


def test_sequential_is_indexed_sliced_and_changed():
    parts = [Linear(1, 1) for _ in range(4)]
    model = Sequential(*parts)
    assert len(model) == 4
    assert model[-1] is parts[3]
    assert list(model[1:3]) == parts[1:3]
    assert list(model[1:3].state_dict()) == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert model.append(Identity()) is model
    assert isinstance(model[4], Identity)
    model[0] = Flatten()
    assert isinstance(next(iter(model)), Flatten)
    del model[0]
    assert [model[i] for i in range(3)] == parts[1:]
    assert names(model.named_children()) == ["0", "1", "2", "3"]
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"Sequential has 4 modules; there is none at {index}"):
            model[index]
    with pytest.raises(TypeError, match="must be a Module or None, function came"):
        Sequential(tt.relu.fn)


def test_sequential_keeps_the_names_of_a_dict():
    model = Sequential(OrderedDict(first=Linear(2, 3), last=Linear(3, 1)))
    assert list(model.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert model.last is model[1]
    assert names(model[1:].named_children()) == ["last"]


def test_module_list_behaves_like_a_list():
    modules = [Identity() for _ in range(3)]
    held = ModuleList(modules)
    assert held.insert(1, Flatten()) is held
    assert list(held) == [modules[0], held[1], *modules[1:]]
    assert names(held.named_children()) == ["0", "1", "2", "3"]
    assert list(ModuleList(modules)[:2]) == modules[:2]
    assert len(ModuleList().extend(modules)) == 3


def test_module_dict_behaves_like_a_dict():
    held = ModuleDict({"a": Linear(1, 1)})
    held["b"] = Identity()
    held.update([("c", Flatten())])
    assert list(held) == list(held.keys()) == ["a", "b", "c"]
    assert "b" in held
    assert isinstance(held["c"], Flatten)
    assert len(list(held.values())) == len(held.items()) == len(held) == 3
    del held["a"]
    assert names(held.named_children()) == ["b", "c"]


trees = st.recursive(st.just("leaf"), lambda inner: st.lists(inner, max_size=3), max_leaves=8)


@settings(deadline=None, max_examples=30)
@given(trees, st.integers(0, 2**32 - 1))
def test_every_tree_survives_saving_and_loading(tree, seed):
    def build(node):
        return Linear(1, 2) if node == "leaf" else Sequential(*map(build, node))

    tt.manual_seed(seed)
    source, target = build(tree), build(tree)
    target.load_state_dict(source.state_dict())
    assert list(target.state_dict()) == names(source.named_parameters())
    for ours, theirs in zip(target.parameters(), source.parameters(), strict=True):
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
