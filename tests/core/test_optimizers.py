"""Optimizers against PyTorch's, step by step, and what they promise beyond the numbers."""

import math

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn, optim

SHAPES = [(300, 70), (), (70,), (5, 0), (3, 4, 5)]  # the first is longer than a chunk; one is empty

RULES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"maximize": True, "weight_decay": 0.1}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.9}),
    ("RMSprop", {"centered": True, "eps": 1e-3, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {"maximize": True}),
]  # fmt: skip
every_rule = pytest.mark.parametrize(
    ("name", "settings"),
    RULES,
    ids=[f"{name}-{'-'.join(settings) or 'defaults'}" for name, settings in RULES],
)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test and is not installed")


def twins(torch, rng, shapes, dtype="float32"):
    """The same random parameters as ours and as PyTorch's."""
    starts = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    theirs = [torch.tensor(start, requires_grad=True) for start in starts]
    return [nn.Parameter(tt.tensor(start)) for start in starts], theirs


def give_gradients(torch, rng, ours, theirs, missing=0.0):
    """The same random gradients to both; each is None with probability `missing`."""
    for p, q in zip(ours, theirs, strict=True):
        g = rng.standard_normal(p.shape).astype(p.dtype)
        if rng.random() < missing:
            p.grad = q.grad = None
        else:
            p.grad, q.grad = tt.tensor(g), torch.tensor(g)


def assert_equal(ours, theirs, tolerance=1e-6):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@every_rule
def test_thirty_steps_equal_pytorch(torch, name, settings):
    rng = np.random.default_rng(0)
    ours, theirs = twins(torch, rng, SHAPES, "float64")
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for _ in range(30):
        give_gradients(torch, rng, ours, theirs)
        a.step()
        b.step()
        assert_equal(ours, theirs, 1e-10)


@every_rule
def test_a_parameter_without_a_gradient_waits_and_its_steps_do_not_count(torch, name, settings):
    rng = np.random.default_rng(1)
    ours, theirs = twins(torch, rng, SHAPES)
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for _ in range(30):
        give_gradients(torch, rng, ours, theirs, missing=0.4)
        a.step()
        b.step()
    assert_equal(ours, theirs, 2e-6)


def test_groups_have_their_own_settings_and_can_be_added_later(torch):
    rng = np.random.default_rng(2)
    ours, theirs = twins(torch, rng, [(20, 3), (3,), (4, 4), (7,)])
    optimizers = [
        module.AdamW([{"params": ps[:1], "lr": 0.1}, {"params": ps[1], "weight_decay": 0.0}], lr=0.01)
        for module, ps in ((optim, ours), (torch.optim, theirs))
    ]
    for step in range(25):
        if step == 10:
            for optimizer, ps in zip(optimizers, (ours, theirs), strict=True):
                optimizer.add_param_group({"params": ps[2:], "betas": (0.5, 0.5)})
        if step == 15:
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = 0.3
        give_gradients(torch, rng, ours, theirs)
        for optimizer in optimizers:
            optimizer.step()
        assert_equal(ours, theirs)


def test_parameters_of_several_dtypes_keep_theirs(torch):
    rng = np.random.default_rng(3)
    ours, theirs = twins(torch, rng, [(6,)]), twins(torch, rng, [(5, 5)], "float64")
    ours, theirs = ours[0] + theirs[0], ours[1] + theirs[1]
    a, b = optim.Adam(ours), torch.optim.Adam(theirs)
    for _ in range(20):
        give_gradients(torch, rng, ours, theirs)
        a.step()
        b.step()
    assert_equal(ours, theirs)
    assert [p.dtype for p in ours] == [tt.float32, tt.float64]


@every_rule
def test_a_state_dict_of_pytorch_goes_on_here(torch, name, settings):
    rng = np.random.default_rng(4)
    ours, theirs = twins(torch, rng, SHAPES)
    b = getattr(torch.optim, name)(theirs, **settings)
    for _ in range(5):
        give_gradients(torch, rng, ours, theirs, missing=0.4)
        b.step()
    ours = [nn.Parameter(tt.tensor(q.detach().numpy())) for q in theirs]
    a = getattr(optim, name)(ours)  # the settings come with the state
    a.load_state_dict(b.state_dict())
    for _ in range(20):
        give_gradients(torch, rng, ours, theirs, missing=0.2)
        a.step()
        b.step()
    assert_equal(ours, theirs, 2e-6)


@every_rule
def test_our_state_dict_goes_on_in_pytorch(torch, name, settings):
    rng = np.random.default_rng(5)
    ours, theirs = twins(torch, rng, SHAPES[:3])
    a = getattr(optim, name)(ours, **settings)
    for _ in range(5):
        give_gradients(torch, rng, ours, theirs)
        a.step()
    theirs = [torch.tensor(p.detach().numpy(), requires_grad=True) for p in ours]
    b, saved = getattr(torch.optim, name)(theirs), a.state_dict()
    for values in saved["state"].values():
        values.update({key: torch.tensor(v.numpy()) for key, v in values.items() if key != "step"})
    b.load_state_dict(saved)
    for _ in range(20):
        give_gradients(torch, rng, ours, theirs)
        a.step()
        b.step()
    assert_equal(ours, theirs, 2e-6)


@every_rule
def test_state_dicts_have_pytorchs_structure(torch, name, settings):
    rng = np.random.default_rng(6)
    ours, theirs = twins(torch, rng, [(3,), (2, 2)])
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    give_gradients(torch, rng, ours, theirs)
    a.step()
    b.step()
    mine, reference = a.state_dict(), b.state_dict()
    assert {i: set(values) for i, values in mine["state"].items()} == {
        i: set(values) for i, values in reference["state"].items()
    }
    (group,), (their_group,) = mine["param_groups"], reference["param_groups"]
    assert group == {key: their_group[key] for key in group}
    assert their_group.keys() - group.keys() <= {"foreach", "capturable", "differentiable", "fused"}


@every_rule
def test_a_saved_optimizer_goes_on_bit_for_bit(name, settings):
    def parameters():
        rng = np.random.default_rng(7)
        return [nn.Parameter(tt.tensor(rng.standard_normal(shape).astype("float32"))) for shape in SHAPES]

    def steps(optimizer, ps, seed):
        rng = np.random.default_rng(seed)
        for _ in range(3):
            for p in ps:
                p.grad = tt.tensor(rng.standard_normal(p.shape).astype("float32"))
            optimizer.step()

    through, halves = parameters(), parameters()
    optimizer = getattr(optim, name)(through, **settings)
    steps(optimizer, through, 1)
    steps(optimizer, through, 2)
    first = getattr(optim, name)(halves, **settings)
    steps(first, halves, 1)
    copies = [nn.Parameter(tt.tensor(p.detach().numpy())) for p in halves]
    second = getattr(optim, name)(copies, **settings)
    second.load_state_dict(first.state_dict())
    steps(second, copies, 2)
    assert all(np.array_equal(p.array, q.array) for p, q in zip(through, copies, strict=True))


def model_with_gradients(seed=0):
    tt.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    model(tt.randn(4, 6)).sum().backward()
    return model


def test_values_survive_becoming_views_of_one_array():
    model = model_with_gradients()
    before = [p.array.copy() for p in model.parameters()]
    optim.SGD(model.parameters(), lr=0.1)
    assert all(np.array_equal(p.array, kept) for p, kept in zip(model.parameters(), before, strict=True))
    assert len({id(p.array.base) for p in model.parameters()}) == 1


def test_a_parameter_whose_array_was_replaced_is_found_again():
    model = model_with_gradients()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    optimizer.step()
    reference = {name: value.clone() for name, value in model.state_dict().items()}
    model.double()
    for p in model.parameters():
        p.grad = tt.ones(*p.shape, dtype=tt.float64)
    optimizer.step()
    for name, value in model.state_dict().items():
        assert value.dtype == tt.float64
        assert not np.array_equal(value.numpy(), reference[name].numpy())
    assert all(values["step"] == 2 for values in optimizer.state.values())
    assert all(values["exp_avg"].dtype == tt.float64 for values in optimizer.state.values())


def test_a_view_of_a_parameter_taken_before_sees_the_update():
    w, b = nn.Parameter(tt.ones(3)), nn.Parameter(tt.ones(2))
    seen = w.detach()
    optimizer = optim.SGD([w, b], lr=0.5)
    w.grad, b.grad = tt.ones(3), tt.ones(2)
    optimizer.step()
    assert seen.tolist() == w.tolist() == [0.5, 0.5, 0.5]


def test_backward_notices_a_step_between_forward_and_backward():
    w = nn.Parameter(tt.ones(3))
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    w.grad = tt.ones(3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_two_optimizers_can_share_a_parameter():
    w, b = nn.Parameter(tt.zeros(3)), nn.Parameter(tt.zeros(3))
    first, second = optim.SGD([w, b], lr=1.0), optim.SGD([b, w], lr=10.0)
    for _ in range(2):
        w.grad, b.grad = tt.ones(3), tt.ones(3)
        first.step()
        second.step()
    assert w.tolist() == b.tolist() == [-22.0] * 3


def test_a_gradient_in_another_memory_order_lands_in_the_right_places():
    w = nn.Parameter(tt.zeros(2, 3))
    optimizer = optim.SGD([w], lr=1.0)
    w.grad = tt.arange(6).float().reshape(3, 2).T
    optimizer.step()
    assert w.tolist() == [[0.0, -2.0, -4.0], [-1.0, -3.0, -5.0]]


@every_rule
def test_a_step_leaves_the_gradients_as_they_were(name, settings):
    rng = np.random.default_rng(0)
    parameters = [nn.Parameter(tt.tensor(rng.standard_normal(shape))) for shape in SHAPES]
    for p in parameters:
        p.grad = tt.tensor(rng.standard_normal(p.shape))
    before = [p.grad.array.copy() for p in parameters]
    getattr(optim, name)(parameters, **settings).step()
    for p, gradient in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(p.grad.array, gradient)


def test_nothing_happens_without_gradients():
    w = nn.Parameter(tt.ones(3))
    optimizer = optim.Adam([w], weight_decay=0.1)
    optimizer.step()
    assert w.tolist() == [1.0, 1.0, 1.0]
    assert optimizer.state_dict()["state"] == {}


def test_zero_grad_forgets_or_fills_with_zeros():
    w = nn.Parameter(tt.ones(3))
    optimizer = optim.SGD([w])
    w.grad = tt.ones(3)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0.0, 0.0, 0.0]
    optimizer.zero_grad()
    assert w.grad is None


def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned():
    w = nn.Parameter(tt.tensor([3.0]))
    optimizer = optim.SGD([w], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with tt.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert w.item() == 0.0


def test_a_gradient_of_nan_reaches_the_parameter_without_a_warning(recwarn):
    w = nn.Parameter(tt.ones(2))
    optimizer = optim.Adam([w])
    w.grad = tt.tensor([math.nan, math.inf])
    optimizer.step()
    assert all(math.isnan(value) for value in w.tolist())
    assert not recwarn.list


def test_your_own_rule_takes_one_method():
    class SignSGD(optim.Optimizer):
        def update(self, group, step, p, g, state, scratch):
            p -= np.multiply(np.sign(g, out=scratch), group["lr"], out=scratch)

    w = nn.Parameter(tt.zeros(3))
    optimizer = SignSGD([w], {"lr": 0.5})
    w.grad = tt.tensor([7.0, -0.1, 0.0])
    optimizer.step()
    assert w.tolist() == [-0.5, 0.5, 0.0]


def test_repr_shows_the_groups():
    assert "group 0: 1 parameters, lr=0.1" in repr(optim.SGD([nn.Parameter(tt.ones(2))], lr=0.1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda w: optim.SGD([]),
            ValueError,
            r"SGD: there are no parameters; was model.parameters\(\) used up",
        ),
        (lambda w: optim.SGD(nn.Linear(1, 1)), TypeError, r"SGD\(model.parameters\(\)\)"),
        (lambda w: optim.SGD(w), TypeError, "an iterable of parameters"),
        (lambda w: optim.SGD([[1.0]]), TypeError, "parameters are Tensors; list came"),
        (lambda w: optim.SGD([w * 2]), ValueError, "is a result, not a leaf"),
        (lambda w: optim.SGD([w, w]), ValueError, "a parameter appears twice"),
        (lambda w: optim.SGD([{"params": [w]}, {"params": w}]), ValueError, "a parameter appears twice"),
        (lambda w: optim.SGD([w], lr=-0.1), ValueError, "SGD: lr is -0.1; allowed is 0 <= lr < inf"),
        (lambda w: optim.SGD([w], lr=math.nan), ValueError, "lr is nan"),
        (lambda w: optim.SGD([{"params": w, "momentum": -1}]), ValueError, "momentum is -1"),
        (lambda w: optim.SGD([w], nesterov=True), ValueError, "nesterov needs momentum > 0"),
        (
            lambda w: optim.Adam([w], betas=(0.9, 1.0)),
            ValueError,
            r"betas is \(0.9, 1.0\); allowed is 0 <= betas < 1",
        ),
        (lambda w: optim.Adam([w], eps=-1), ValueError, "eps is -1"),
        (lambda w: optim.AdamW([w], weight_decay=-1), ValueError, "weight_decay is -1"),
        (lambda w: optim.RMSprop([w], alpha=-1), ValueError, "alpha is -1"),
        (lambda w: optim.Adagrad([w], lr_decay=-1), ValueError, "lr_decay is -1"),
    ],
)
def test_what_cannot_be_optimized_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(nn.Parameter(tt.ones(2)))


def test_a_gradient_of_another_shape_is_refused():
    w = nn.Parameter(tt.ones(3))
    optimizer = optim.SGD([w])
    w.grad = tt.ones(2)
    with pytest.raises(ValueError, match=r"a gradient has shape \(2,\), its parameter \(3,\)"):
        optimizer.step()


def test_a_state_dict_that_does_not_fit_changes_nothing():
    model = model_with_gradients()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    optimizer.step()
    before = optimizer.state_dict()
    other = optim.Adam(nn.Linear(6, 5).parameters())
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters, this one of \[4\]"):
        optimizer.load_state_dict(other.state_dict())
    wrong = optimizer.state_dict()
    wrong["param_groups"][0]["lr"] = 7.0
    wrong["state"][3]["exp_avg"] = tt.ones(9)
    with pytest.raises(ValueError, match=r"exp_avg has shape \(9,\), its parameter \(2,\)"):
        optimizer.load_state_dict(wrong)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.state_dict()["state"].keys() == before["state"].keys()
