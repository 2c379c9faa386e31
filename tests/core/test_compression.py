"""Compression: what goes is what goes in PyTorch, what stays computes the same, and files come back whole."""

from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
import tinytorch.nn as nn
from tinytorch import optim
from tinytorch.core.autograd import gradcheck
from tinytorch.core.compression import (
    Distiller,
    Pruning,
    SharedLinear,
    SharedWeight,
    compressed,
    count_of,
    distillation_loss,
    factorize,
    footprint,
    kmeans,
    load_compressed,
    low_rank,
    magnitude_mask,
    magnitude_prune,
    pack_sparse,
    prune_channels,
    rank_for,
    save_compressed,
    share_weights,
    slim_inputs,
    slim_outputs,
    strongest_channels,
    unpack_sparse,
)
from tinytorch.core.training import Trainer
from tinytorch.core.transformers import GPT, GPTConfig
from tinytorch.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


@pytest.fixture(autouse=True)
def seed():
    tt.manual_seed(0)


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))


def cnn():
    """Two convolutions with norms, then two Linears, on images (N, 2, 8, 8); the norms have seen data."""
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(6, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, 5),
        nn.BatchNorm1d(5),
        nn.Linear(5, 3),
    )
    for _ in range(3):
        model(tt.randn(8, 2, 8, 8))
    return model.eval()


def in_torch(torch, model):
    """The MLP in PyTorch, with the same numbers."""
    theirs = torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)
    )
    state = {name: torch.tensor(x.array) for name, x in model.state_dict().items()}
    theirs.load_state_dict(state)
    return theirs


def loader(count=60, features=6, classes=3):
    x = tt.randn(count, features)
    return DataLoader(TensorDataset(x, x[:, :classes].argmax(1)), batch_size=20, shuffle=True)


def outputs(model, x):
    with tt.no_grad():
        return model(x).array


# Magnitude pruning.


@pytest.mark.parametrize("amount", [0.0, 0.3, 0.55, 1.0, 0, 1, 40])
def test_layer_by_layer_the_weights_go_that_go_in_pytorch(torch, amount):
    from torch.nn.utils import prune

    ours = mlp()
    theirs = in_torch(torch, ours)
    if isinstance(amount, int) and amount > 15:
        amount = 15  # the last layer has 15 weights
    magnitude_prune(ours, amount, "layer")
    for i in (0, 2, 4):
        prune.l1_unstructured(theirs[i], "weight", amount)
        np.testing.assert_array_equal(ours[i].weight.array, theirs[i].weight.detach().numpy())


@pytest.mark.parametrize("amount", [0.0, 0.2, 0.5, 0.9, 1.0, 17])
def test_globally_the_weights_go_that_go_in_pytorch(torch, amount):
    from torch.nn.utils import prune

    ours = mlp()
    theirs = in_torch(torch, ours)
    magnitude_prune(ours, amount)
    places = [(theirs[i], "weight") for i in (0, 2, 4)]
    prune.global_unstructured(places, prune.L1Unstructured, amount=amount)
    for i in (0, 2, 4):
        np.testing.assert_array_equal(ours[i].weight.array, theirs[i].weight.detach().numpy())


@given(
    values=st.lists(st.floats(-5, 5, width=32), max_size=30),
    share=st.floats(0, 1),
)
@settings(deadline=None)
def test_no_weight_that_goes_is_larger_than_one_that_stays(values, share):
    scores = np.abs(np.array(values, np.float32))
    count = count_of(share, scores.size)
    mask = magnitude_mask(scores, count)
    assert (~mask).sum() == count
    assert scores[~mask].max(initial=0) <= scores[mask].min(initial=np.inf)


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.AdamW(p, lr=0.1)]
)
def test_masks_stay_during_fine_tuning_and_the_other_weights_learn(make):
    model = mlp()
    pruning = magnitude_prune(model, 0.7)
    before = {path: p.array.copy() for path, p in model.named_parameters()}
    trainer = Trainer(model, make(model.parameters()), callbacks=[pruning], progress=False)
    trainer.fit(loader(), epochs=3)
    for path, mask in pruning.masks.items():
        now = dict(model.named_parameters())[path].array
        assert not now[~mask].any()
        assert (now[mask] != before[path][mask]).any()
    assert pruning.sparsity == pytest.approx(0.7, abs=0.01)


def test_without_the_masks_momentum_brings_pruned_weights_back():
    model = mlp()
    pruning = magnitude_prune(model, 0.7)
    Trainer(model, optim.SGD(model.parameters(), lr=0.1), progress=False).fit(loader())
    assert model[0].weight.array[~pruning.masks["0.weight"]].any()


def test_a_checkpoint_keeps_the_masks(tmp_path):
    model = mlp()
    path, data = tmp_path / "run.safetensors", loader()
    pruning = magnitude_prune(model, 0.5)
    settings = {"progress": False, "checkpoint": path}
    Trainer(model, optim.Adam(model.parameters()), callbacks=[pruning], **settings).fit(data)
    again = mlp()
    masks = {name: np.ones_like(mask) for name, mask in pruning.masks.items()}
    other = Pruning(again, masks)
    trainer = Trainer(again, optim.Adam(again.parameters()), callbacks=[other], **settings)
    trainer.fit(data, epochs=2, resume=True)
    for name, mask in pruning.masks.items():
        np.testing.assert_array_equal(other.masks[name], mask)
    assert not again[0].weight.array[~pruning.masks["0.weight"]].any()


def test_biases_and_norms_are_not_pruned_unless_they_are_named():
    model = cnn()
    pruning = magnitude_prune(model, 1.0)
    assert set(pruning.masks) == {"0.0.weight", "1.0.weight", "3.weight", "5.weight"}
    assert model[3].bias.array.all()
    assert set(magnitude_prune(model, 1.0, names=["3.bias"]).masks) == {"3.bias"}
    assert not model[3].bias.array.any()


def test_a_tied_weight_counts_once():
    model = GPT(GPTConfig(11, 8, 1, 2, 4))
    pruning = magnitude_prune(model, 0.5)
    assert "lm_head.weight" not in pruning.masks
    assert model.lm_head.weight is model.transformer.wte.weight
    weights = [p.array for p in model.parameters() if p.ndim > 1]
    assert sum((w == 0).sum() for w in weights) == round(0.5 * sum(w.size for w in weights))


def test_a_model_without_weights_has_nothing_to_prune():
    assert magnitude_prune(nn.ReLU(), 0.5).sparsity == 0
    assert magnitude_prune(nn.Linear(0, 3), 0.5, "layer").sparsity == 0


@pytest.mark.parametrize("amount", [-0.1, 1.5, -1, 84, True, "half", float("nan")])
def test_an_amount_that_is_none_is_refused(amount):
    with pytest.raises(ValueError, match=r"amount is a share from 0\.0 to 1\.0 or a number"):
        magnitude_prune(nn.Linear(9, 9), amount)


def test_an_unknown_scope_or_name_is_refused():
    with pytest.raises(ValueError, match="scope is 'global' or 'layer'; 'row' came"):
        magnitude_prune(mlp(), 0.5, "row")
    with pytest.raises(ValueError, match=r"no 9\.weight here; there are: 0\.weight, 0\.bias"):
        magnitude_prune(mlp(), 0.5, names=["9.weight"])


# Channel pruning.


def test_the_channels_go_that_go_in_pytorch(torch):
    from torch.nn.utils import prune

    for ours, theirs in (
        (nn.Conv2d(3, 10, 3), torch.nn.Conv2d(3, 10, 3)),
        (nn.Linear(7, 10), torch.nn.Linear(7, 10)),
    ):
        with torch.no_grad():
            theirs.weight.copy_(torch.tensor(ours.weight.array))
        prune.ln_structured(theirs, "weight", 0.4, n=1, dim=0)
        rows = theirs.weight.detach().numpy().reshape(10, -1)
        np.testing.assert_array_equal(strongest_channels(ours, 0.4), np.flatnonzero(np.abs(rows).sum(1)))


def ignoring(model, amount):
    """The model at full size, in which each layer reads nothing of the channels that go before it."""
    model = deepcopy(model)
    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    for layer, following in pairwise(layers):
        read = np.zeros(len(layer.weight), bool)
        read[strongest_channels(layer, amount)] = True
        each = following.weight.shape[1] // len(read)
        following.weight.array[:, ~np.repeat(read, each)] = 0
    return model


@pytest.mark.parametrize("amount", [0.0, 0.3, 0.5, 0.9, 1.0, 2])
def test_a_slim_network_computes_what_the_large_one_does_that_ignores_those_channels(amount):
    for model, x in ((mlp(), tt.randn(4, 6)), (cnn(), tt.randn(4, 2, 8, 8))):
        slim = prune_channels(model, amount)
        np.testing.assert_allclose(outputs(slim, x), outputs(ignoring(model, amount), x), atol=1e-5)
        *sizes, last = [len(p) for p in slim.parameters() if p.ndim > 1]
        *full, same = [len(p) for p in model.parameters() if p.ndim > 1]
        assert sizes == [max(1, n - count_of(amount, n)) for n in full]
        assert last == same


def test_the_norm_between_two_convolutions_gets_slim_too():
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3))
    slim = prune_channels(model, 0.5)
    assert [*slim[1].running_mean.shape, slim[1].num_features, slim[3].in_channels] == [3, 3, 3]


def test_behind_a_flatten_all_places_of_a_channel_go():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3))
    model(tt.randn(5, 1, 4, 4))
    x, model = tt.randn(2, 1, 4, 4), model.eval()
    slim = prune_channels(model, 0.5)
    np.testing.assert_allclose(outputs(slim, x), outputs(ignoring(model, 0.5), x), atol=1e-6)
    assert (slim[2].num_features, slim[3].in_features) == (8, 8)


def test_a_slim_network_trains_and_saves_and_the_old_one_is_untouched():
    model = cnn()
    before = {name: x.array.copy() for name, x in model.state_dict().items()}
    slim = prune_channels(model, 0.5).train()
    optimizer = optim.Adam(slim.parameters(), lr=0.01)
    x, y = tt.randn(16, 2, 8, 8), tt.tensor(np.arange(16) % 3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(slim(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x.array, before[name])
    assert all(x.array.flags.c_contiguous for x in slim.state_dict().values())


def test_the_halves_of_a_gpts_mlp_can_be_slimmed_by_hand():
    block = GPT(GPTConfig(11, 8, 1, 2, 4)).transformer.h[0]
    keep = strongest_channels(block.mlp.c_fc, 0.75)
    slim_outputs(block.mlp.c_fc, keep)
    slim_inputs(block.mlp.c_proj, keep)
    assert block.mlp.c_fc.weight.shape == (4, 4)
    assert block(tt.randn(2, 5, 4)).shape == (2, 5, 4)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: (nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)),
        lambda: (nn.Linear(6, 8), nn.Softmax(1), nn.Linear(8, 3)),
        lambda: (nn.Linear(6, 8), nn.PReLU(8), nn.Linear(8, 3)),
        lambda: (nn.Linear(6, 8), nn.Flatten(), nn.Linear(5 * 8, 3)),  # (N, 5, 8): channels come last
        lambda: (nn.Linear(6, 8), nn.BatchNorm1d(5), nn.Linear(8, 3)),  # (N, 5, 8): a norm of the 5
        lambda: (nn.Conv2d(1, 4, 1), nn.Linear(4, 3)),  # of the last dimension of an image
        lambda: (nn.Conv2d(1, 4, 1), nn.Flatten(2), nn.Linear(4, 3)),
    ],
)
def test_a_layer_that_mixes_channels_is_refused(layers):
    with pytest.raises(TypeError, match="isn't known which channel goes where"):
        prune_channels(nn.Sequential(*layers()))


def test_what_has_no_chain_of_layers_is_refused():
    with pytest.raises(TypeError, match="without groups can be made slimmer"):
        prune_channels(nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 1)))
    layer = nn.Linear(4, 4)
    with pytest.raises(TypeError, match="occurs twice"):
        prune_channels(nn.Sequential(layer, nn.ReLU(), layer))
    with pytest.raises(TypeError, match="a Sequential is needed, Linear came"):
        prune_channels(layer)


def test_layers_without_or_with_one_channel_stay():
    for size in (0, 1):
        slim = prune_channels(nn.Sequential(nn.Linear(6, size), nn.ReLU(), nn.Linear(size, 3)), 1.0)
        assert slim(tt.randn(2, 6)).shape == (2, 3)
        assert slim[0].weight.shape == (size, 6)


def test_one_activation_may_occur_twice():
    relu = nn.ReLU()
    slim = prune_channels(nn.Sequential(nn.Linear(6, 8), relu, nn.Linear(8, 8), relu, nn.Linear(8, 3)))
    assert slim(tt.randn(2, 6)).shape == (2, 3)


# Low rank.


@given(st.integers(1, 9), st.integers(1, 9), st.data())
@settings(deadline=None, max_examples=30)
def test_a_factorized_layer_is_the_nearest_of_its_rank(n_in, n_out, data):
    rank = data.draw(st.integers(1, min(n_in, n_out)))
    layer = nn.Linear(n_in, n_out)
    thin = factorize(layer, rank)
    product = thin[1].weight.array @ thin[0].weight.array
    s = np.linalg.svd(layer.weight.array, compute_uv=False)
    # Eckart and Young: the error is the norm of the singular values that were left out.
    error = np.linalg.norm(layer.weight.array - product)
    np.testing.assert_allclose(error, np.linalg.norm(s[rank:]), atol=1e-5)
    assert thin[0].weight.dtype == thin[1].weight.dtype == tt.float32
    assert (thin[0].out_features, thin[1].in_features, thin[1].out_features) == (rank, rank, n_out)


def test_full_rank_changes_nothing():
    layer, x = nn.Linear(5, 4), tt.randn(3, 5)
    np.testing.assert_allclose(outputs(factorize(layer, 4), x), outputs(layer, x), atol=1e-6)
    bare = nn.Linear(5, 4, bias=False)
    np.testing.assert_allclose(outputs(factorize(bare, 4), x), outputs(bare, x), atol=1e-6)


def test_the_rank_for_an_energy():
    weight = tt.tensor(np.diag([3.0, 2.0, 1.0, 0.0]))  # squares 9, 4, 1: of 14
    assert [rank_for(weight, e) for e in (0.5, 0.65, 0.9, 0.95, 1.0)] == [1, 2, 2, 3, 3]
    assert rank_for(tt.zeros(3, 4), 0.9) == 1


def test_only_layers_that_save_weights_are_factorized():
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 1))
    thin = low_rank(model, 0.5)
    assert isinstance(thin[0], nn.Sequential)
    assert isinstance(thin[2], nn.Linear)
    count = sum(p.array.size for p in thin.parameters())
    assert count < sum(p.array.size for p in model.parameters())
    assert isinstance(model[0], nn.Linear)
    assert isinstance(low_rank(model, 0.5, names=["2"])[0], nn.Linear)
    assert isinstance(low_rank(nn.Linear(20, 20), 0.5), nn.Sequential)


def test_a_tied_matrix_is_left_whole():
    model = GPT(GPTConfig(40, 8, 1, 2, 16))
    thin = low_rank(model, 0.3)
    assert thin.lm_head.weight is thin.transformer.wte.weight
    assert isinstance(thin.transformer.h[0].mlp.c_fc, nn.Sequential)
    ids = tt.tensor([[1, 2, 3]])
    assert thin(ids)[0].shape == (1, 3, 40)


def test_a_rank_or_energy_or_layer_that_does_not_do_is_refused():
    with pytest.raises(ValueError, match=r"a weight \(4, 5\) has ranks from 1 to 4, 5 came"):
        factorize(nn.Linear(5, 4), 5)
    with pytest.raises(TypeError, match="a Linear is needed, Conv2d came"):
        factorize(nn.Conv2d(1, 1, 1), 1)
    with pytest.raises(ValueError, match="energy is a share above 0, up to 1; 0 came"):
        low_rank(mlp(), 0)


# Distillation.


@pytest.mark.parametrize(("temperature", "alpha"), [(1.0, 0.5), (4.0, 0.9), (20.0, 1.0), (2.0, 0.0)])
def test_the_loss_and_its_gradient_are_pytorchs(torch, temperature, alpha):
    x, teacher = (tt.randn(5, 4, dtype=tt.float64) for _ in range(2))
    y = np.array([0, 3, 1, 1, 2])
    x.requires_grad_()
    loss = distillation_loss(x, teacher, tt.tensor(y), temperature, alpha)
    loss.backward()
    theirs = torch.tensor(x.detach().numpy(), requires_grad=True)
    soft = torch.nn.functional.kl_div(
        torch.log_softmax(theirs / temperature, 1),
        torch.softmax(torch.tensor(teacher.numpy()) / temperature, 1),
        reduction="batchmean",
    )
    hard = torch.nn.functional.cross_entropy(theirs, torch.tensor(y))
    expected = alpha * temperature**2 * soft + (1 - alpha) * hard
    expected.backward()
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
    np.testing.assert_allclose(x.grad.array, theirs.grad.numpy(), atol=1e-12)


def test_the_gradient_is_right_and_none_flows_to_the_teacher():
    x = tt.randn(3, 4, dtype=tt.float64, requires_grad=True)
    teacher = tt.randn(3, 4, dtype=tt.float64, requires_grad=True)
    assert gradcheck(lambda x: distillation_loss(x, teacher, tt.tensor([1, 0, 3])), [x])
    distillation_loss(x, teacher).backward()
    assert teacher.grad is None


def test_a_student_that_says_the_same_has_no_soft_loss():
    x = tt.randn(4, 3)
    assert distillation_loss(x, x).item() == pytest.approx(0, abs=1e-6)
    assert distillation_loss(x, x + 5).item() == pytest.approx(0, abs=1e-5)


def test_in_the_limit_of_high_temperature_logits_are_matched():
    # Hinton et al. 2015, section 2.1: the gradient tends to (z - v) / N for logits of mean 0, here times T^2.
    x, teacher = (tt.randn(2, 5, dtype=tt.float64) for _ in range(2))
    x, teacher = x - x.mean(1, keepdim=True), teacher - teacher.mean(1, keepdim=True)
    x.requires_grad_()
    distillation_loss(x, teacher, temperature=1e4).backward()
    np.testing.assert_allclose(x.grad.array, (x - teacher).detach().array / 5 / 2, atol=1e-3)


def test_a_distiller_teaches_a_student_and_leaves_the_teacher():
    teacher, student, data = mlp(), mlp(), loader()
    Trainer(teacher, optim.Adam(teacher.parameters(), lr=0.02), progress=False).fit(data, epochs=20)
    before = {name: x.array.copy() for name, x in teacher.state_dict().items()}
    x = tt.randn(50, 6)

    def apart():
        with tt.no_grad():
            return distillation_loss(student(x), teacher(x)).item()

    began = apart()
    optimizer = optim.Adam(student.parameters(), lr=0.02)
    distiller = Distiller(student, teacher, optimizer, alpha=1.0, progress=False)
    history = distiller.fit(data, data, epochs=20)
    assert apart() < began / 3
    assert teacher.training
    for name, value in teacher.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name])
    plain = Trainer(student, optimizer, progress=False).evaluate(data)["loss"]
    assert history["val_loss"][-1] == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature is a number above 0, 0 came"),
        ({"alpha": 1.2}, "alpha is a share from 0 to 1, 1.2 came"),
        ({"teacher": tt.zeros(2, 4)}, r"logits \(N, C\) of both are needed; \(2, 3\) and \(2, 4\) came"),
    ],
)
def test_a_wrong_setting_of_the_loss_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        distillation_loss(**{"input": tt.zeros(2, 3), "teacher": tt.zeros(2, 3)} | change)


# Weight sharing.


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=60), st.integers(1, 8))
@settings(deadline=None)
def test_centres_are_the_means_of_what_is_nearest_to_them(values, clusters):
    values = np.array(values, np.float64)
    centres = kmeans(values, clusters, steps=1000)
    assert len(centres) == clusters
    assert (np.diff(centres) >= 0).all()
    middle = (centres[1:] + centres[:-1]) / 2
    nearest = np.searchsorted(middle, values, "left")
    for i in np.unique(nearest):
        np.testing.assert_allclose(centres[i], values[nearest == i].mean(), atol=1e-9)


def test_well_separated_groups_are_found():
    values = np.array([-1.1, -0.9, 4.0, 4.2, 9.9, 10.1])
    np.testing.assert_allclose(kmeans(values, 3), [-1.0, 4.1, 10.0])
    np.testing.assert_array_equal(kmeans(np.empty(0), 2), [0, 0])


def test_codes_are_bytes_and_zeros_stay_zero():
    w = tt.randn(30, 20)
    w.array[::2] = 0
    shared = SharedWeight(w, 16)
    assert shared.codes.dtype == np.uint8
    assert shared.codes.array.nbytes == 600
    made = outputs(lambda _: shared(), None)
    np.testing.assert_array_equal(made == 0, w.array == 0)
    assert len(np.unique(made[made != 0])) <= 16
    nearest = np.abs(w.array[..., None] - shared.table.array).min(-1)
    np.testing.assert_allclose(np.abs(made - w.array)[w.array != 0], nearest[w.array != 0], atol=1e-6)


def test_the_gradient_of_a_shared_value_is_the_sum_over_its_weights():
    shared = SharedWeight(tt.randn(4, 5), 3)
    g = tt.randn(4, 5)
    shared().backward(g)
    expected = [g.array[shared.codes.array == i].sum() for i in (1, 2, 3)]
    np.testing.assert_allclose(shared.table.grad.array, expected, atol=1e-6)


def test_shared_networks_compute_with_the_shared_weights_and_train():
    for model, x in ((mlp(), tt.randn(4, 6)), (cnn(), tt.randn(4, 2, 8, 8))):
        shared = share_weights(model, 255)  # as many values as weights, nearly
        np.testing.assert_allclose(outputs(shared, x), outputs(model, x), atol=0.05)
        few = share_weights(model, 4)
        optimizer = optim.SGD(few.parameters(), lr=0.05)
        before = nn.functional.cross_entropy(few(x), tt.tensor([0, 1, 2, 0]))
        before.backward()
        optimizer.step()
        assert nn.functional.cross_entropy(few(x), tt.tensor([0, 1, 2, 0])).item() < before.item()


def test_a_shared_network_loads_into_one_of_the_same_form():
    shared, other, x = share_weights(mlp(), 8), share_weights(mlp(), 8), tt.randn(2, 6)
    assert isinstance(shared[0], SharedLinear)
    other.load_state_dict(shared.state_dict())
    np.testing.assert_array_equal(outputs(other, x), outputs(shared, x))
    assert {x.dtype for name, x in shared.state_dict().items() if "codes" in name} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("clusters", [0, 256, 2.0])
def test_a_number_of_clusters_that_a_byte_does_not_tell_apart_is_refused(clusters):
    with pytest.raises(ValueError, match="a byte tells 1 to 255 clusters apart"):
        share_weights(mlp(), clusters)


# Files.


@given(
    shape=st.lists(st.integers(0, 5), max_size=3).map(tuple),
    zeros=st.floats(0, 1),
    dtype=st.sampled_from([np.float32, np.float64, np.uint8, np.int64]),
)
@settings(deadline=None)
def test_sparse_tensors_come_back_bit_for_bit(shape, zeros, dtype):
    draws = np.random.default_rng(0)
    array = (np.asarray(draws.random(shape)) * 100 * (np.asarray(draws.random(shape)) >= zeros)).astype(dtype)
    back = unpack_sparse(pack_sparse({"x": tt.tensor(array)}))["x"]
    assert (back.dtype, back.shape) == (array.dtype, shape)
    np.testing.assert_array_equal(back.array, array)


def test_packing_pays_only_where_there_are_zeros():
    x = tt.randn(16, 16)
    assert pack_sparse({"x": x})["x"] is x
    x.array[:, 4:] = 0
    packed = pack_sparse({"x": x})["x"]
    assert packed["values"].array.nbytes == 16 * 4 * 4
    assert packed["mask"].array.nbytes == 16 * 16 // 8


@pytest.mark.parametrize("method", [None, "zlib", "lzma"])
def test_a_compressed_file_comes_back(tmp_path, method):
    if method == "lzma":
        pytest.importorskip("lzma", reason="this Python has no lzma")
    model = cnn()
    magnitude_prune(model, 0.8)
    path = tmp_path / "model.bin"
    assert save_compressed(model, path, method) == path.stat().st_size
    back = load_compressed(path)
    assert list(back) == list(model.state_dict())
    other = cnn()
    other.load_state_dict(back)
    x = tt.randn(2, 2, 8, 8)
    np.testing.assert_array_equal(outputs(other, x), outputs(model, x))


def test_a_tied_weight_is_written_once_and_comes_back_under_both_names(tmp_path):
    from tinytorch.core.quantization import quantize
    from tinytorch.core.transformers import GPT, GPTConfig

    def gpt(tied):
        return GPT(GPTConfig(50, 8, 1, 2, 64, tie_weights=tied))

    for change in (lambda model: model, quantize):
        sizes = [save_compressed(change(gpt(tied)), tmp_path / f"{tied}") for tied in (True, False)]
        assert sizes[1] - sizes[0] > 50 * 64 / 2
        model, other = change(gpt(True)), change(gpt(True))
        save_compressed(model, tmp_path / "model")
        other.load_state_dict(load_compressed(tmp_path / "model"))
        ids = tt.tensor([[1, 2, 3]])
        assert (model.eval()(ids)[0].array == other.eval()(ids)[0].array).all()


@pytest.mark.parametrize("method", ["zlib", "lzma", None])
def test_a_file_that_would_become_too_large_is_refused(tmp_path, method):
    save_compressed(nn.Linear(500, 500), tmp_path / "m", method)
    with pytest.raises(ValueError, match=r"more than limit=100,000 bytes"):
        load_compressed(tmp_path / "m", limit=100_000)
    assert load_compressed(tmp_path / "m", limit=2_000_000)["weight"].shape == (500, 500)


def test_a_sparse_tensor_that_would_become_too_large_is_refused(tmp_path):
    layer = nn.Linear(500, 500)
    layer.weight.data = tt.zeros(500, 500)
    save_compressed(layer, tmp_path / "m")
    assert (tmp_path / "m").stat().st_size < 3000
    with pytest.raises(ValueError, match=r"1,002,000 bytes, more than limit=100,000 bytes"):
        load_compressed(tmp_path / "m", limit=100_000)
    assert not load_compressed(tmp_path / "m")["weight"].any()


ONE = {"values": tt.tensor([2.0]), "mask": tt.tensor([128], dtype=tt.uint8), "shape": [8]}


@pytest.mark.parametrize(
    "packed",
    [
        {"w": ONE | {"shape": [1 << 20, 1 << 20]}},
        {"w": ONE | {"shape": [-8]}},
        {"w": ONE | {"shape": [-2, -4]}},
        {"w": ONE | {"shape": ["8"]}},
        {"w": ONE | {"shape": None}},
        {"w": ONE | {"mask": tt.tensor([1.0])}},
        {"w": ONE | {"values": tt.tensor([1.0, 2.0])}},
        {"w": {"values": tt.tensor([1.0])}},
        {"w": {"same_as": "v"}},
        {"w": {"same_as": ["v"]}},
        {"w": 5},
        [tt.tensor([1.0])],
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, packed):
    (tmp_path / "m").write_bytes(compressed({"w": ONE}))
    assert load_compressed(tmp_path / "m")["w"].tolist() == [2.0] + [0.0] * 7
    (tmp_path / "m").write_bytes(compressed(packed))
    with pytest.raises(ValueError, match=r"shape|mask|packed|dimension|assign"):
        load_compressed(tmp_path / "m")


@pytest.mark.parametrize(
    "damage", [lambda d: d[: len(d) // 2], lambda d: bytes([d[0] ^ 1]) + d[1:], lambda d: b""]
)
@pytest.mark.parametrize("method", [None, "zlib", "lzma"])
def test_a_damaged_file_is_refused(tmp_path, damage, method):
    if method == "lzma":
        pytest.importorskip("lzma", reason="this Python has no lzma")
    path = tmp_path / "model.bin"
    save_compressed(mlp(), path, method)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"is damaged|is not a sound"):
        load_compressed(path)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method is 'zlib', 'lzma' or None; 'zip' came"):
        compressed({"x": tt.zeros(3)}, "zip")


def test_zeros_make_the_file_small_and_the_memory_not():
    model = nn.Linear(64, 64)
    dense = footprint(model, tt.randn(1, 64), repeat=1)
    magnitude_prune(model, 0.9)
    sparse = footprint(model, tt.randn(1, 64), repeat=1)
    assert (dense.parameters, dense.nonzero, dense.nbytes) == (4160, 4160, 4160 * 4)
    assert (sparse.parameters, sparse.nbytes) == (dense.parameters, dense.nbytes)
    assert sparse.nonzero == 4160 - round(0.9 * 4096)
    assert sparse.file_nbytes < dense.file_nbytes / 5
    assert sparse.seconds > 0


def test_shared_weights_take_a_quarter_of_the_memory():
    model = nn.Linear(64, 64, bias=False)
    shared = footprint(share_weights(model, 16), tt.randn(1, 64), repeat=1)
    assert shared.nbytes == 64 * 64 + 16 * 4
    assert shared.file_nbytes < 64 * 64


def test_a_footprint_leaves_the_mode_as_it_was():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    footprint(model, tt.randn(1, 3), repeat=1)
    assert model.training
    footprint(model.eval(), tt.randn(1, 3), repeat=1)
    assert not model.training
