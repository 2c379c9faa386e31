"""Programs on the device "cuda": every result and every gradient stays there, with the CPU's numbers."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.core import attention, embeddings
from tinytorch.core.losses import cross_entropy
from tinytorch.core.training import CosineAnnealingLR, Trainer
from tinytorch.core.transformers import GPT, GPTConfig, layer_norm, rms_norm
from tinytorch.nn import functional as F
from tinytorch.utils.data import DataLoader, TensorDataset

MILESTONES = Path(__file__).resolve().parents[2] / "milestones"


def random(*shape, device, seed=0, positive=False, requires_grad=True, dtype="float32"):
    """Random numbers on a device: the same ones on every device."""
    numbers = np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)
    return tt.tensor(np.abs(numbers) if positive else numbers, device=device, requires_grad=requires_grad)


def whole(high, *shape, device, seed=0):
    """Random whole numbers from 0 to high - 1."""
    return tt.tensor(np.random.default_rng([seed, *shape]).integers(0, high, shape), device=device)


def assert_the_same(program, cuda, rtol=1e-3, atol=1e-4):
    """Do the Tensors that program(device) returns lie on the device and hold the CPU's numbers?"""
    ours, expected = (flat(program(device)) for device in ("cuda", "cpu"))
    assert len(ours) == len(expected) > 0
    for place, (x, y) in enumerate(zip(ours, expected, strict=True)):
        assert type(x.array) is cuda, f"result {place} is a {type(x.array).__name__}"
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(
            x.detach().cpu().numpy(), y.detach().numpy(), rtol, atol, err_msg=f"result {place}"
        )


def flat(values):
    return [x for v in values for x in flat(v)] if isinstance(values, (list, tuple)) else [values]


def with_gradients(function):
    """A program: the result of function(device) for its Tensors, and the gradients of those that have one."""

    def program(device):
        call, *inputs = function(device)
        results = flat(call(*inputs))
        total = sum(((x * x).sum() for x in results if x.requires_grad), start=tt.tensor(0.0, device=device))
        total.backward()
        return results + [x.grad for x in inputs if x.requires_grad]

    return program


def trained(model, loss_of, device, steps=2, optimizer=None):
    """The losses of a few steps, and all parameters and buffers after them."""
    model = model.to(device)
    optimizer = optimizer(model.parameters()) if optimizer else optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses + [x.detach() for x in (*model.parameters(), *model.buffers())]


# Modules 02 to 04.


@pytest.mark.parametrize("shape", [(3, 5), (2, 300), (0, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize(
    "activation",
    [
        F.relu, F.leaky_relu, F.sigmoid, F.tanh, F.silu, F.softplus, F.gelu,
        lambda x: F.gelu(x, "tanh"), lambda x: F.softmax(x, -1), lambda x: F.softmax(x * 100, 0),
        lambda x: F.log_softmax(x, -1), lambda x: F.log_softmax(x, 0),
    ],
    ids=[
        "relu", "leaky_relu", "sigmoid", "tanh", "silu", "softplus", "gelu",
        "gelu of tanh", "softmax", "softmax over 0", "log_softmax", "log_softmax over 0",
    ],
)  # fmt: skip
def test_activations(activation, shape, cuda):
    assert_the_same(with_gradients(lambda d: (activation, random(*shape, device=d))), cuda)
    permuted = with_gradients(
        lambda d: (lambda x: activation(x.transpose(0, -1)), random(*shape, device=d, dtype="float64"))
    )
    assert_the_same(permuted, cuda)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)], ids=str)
def test_linear_and_dropout(shape, cuda):
    def program(device):
        tt.manual_seed(0)
        layer = nn.Linear(4, 3, device=device)
        x = random(*shape, device=device)
        out = F.dropout(layer(x), 0.5)
        out.sum().backward()
        return out, x.grad, layer.weight.grad, layer.bias.grad

    assert_the_same(program, cuda)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "loss",
    ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits", "kl_div"],
)
def test_losses_for_numbers(loss, reduction, cuda):
    def function(d):
        target = random(4, 3, device=d, seed=1, positive=True, requires_grad=False)
        return lambda x: getattr(F, loss)(x, target, reduction=reduction), random(4, 3, device=d)

    assert_the_same(with_gradients(function), cuda)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"label_smoothing": 0.1},
        {"weighted": True},
        {"ignore_index": 1},
        {"weighted": True, "label_smoothing": 0.2},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4)], ids=str)
def test_losses_for_classes(shape, settings, reduction, cuda):
    def function(d, loss=F.cross_entropy):
        options = {name: value for name, value in settings.items() if name != "weighted"}
        if "weighted" in settings:
            options["weight"] = random(3, device=d, positive=True, requires_grad=False)
        classes = whole(3, shape[0], *shape[2:], device=d)
        return lambda x: loss(x, classes, reduction=reduction, **options), random(*shape, device=d)

    assert_the_same(with_gradients(function), cuda)
    if "label_smoothing" not in settings:
        assert_the_same(with_gradients(lambda d: function(d, F.nll_loss)), cuda)


def test_a_wrong_class_is_named(cuda):
    with pytest.raises(ValueError, match="target holds class 7, and the input has classes 0 to 2"):
        F.cross_entropy(random(2, 3, device="cuda"), tt.tensor([0, 7], device="cuda"))


def test_probabilities_as_targets(cuda):
    def function(d):
        return (
            lambda x, y: F.cross_entropy(x, y.softmax(1)),
            random(4, 3, device=d),
            random(4, 3, device=d, seed=1),
        )

    assert_the_same(with_gradients(function), cuda)


# Module 05.


def test_gradients_of_views_copies_and_places(cuda):
    def program(device):
        x = random(4, 3, device=device)
        y = x * 1
        y[1:3] = 2.0
        y[0, [0, 2]] = x[3, [1, 1]]
        total = (y[[0, 0, 2]] * y[x > 0].sum()).sum() + y.T[1].sum()
        (g,) = tt.autograd.grad(total, [x], retain_graph=True)
        total.backward()
        return y, total, g, x.grad

    assert_the_same(program, cuda)


def test_a_gradient_may_be_given_as_a_tensor_or_as_numbers(cuda):
    def program(device):
        x, y = random(2, 2, device=device), random(2, 2, device=device)
        (x * 2).backward(tt.ones(2, 2, device=device))
        (y * 2).backward([[1.0, 2.0], [3.0, 4.0]])
        return x.grad, y.grad

    assert_the_same(program, cuda)


# Modules 06 and 07.

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.01),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, maximize=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
}


def network():
    tt.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def class_loss(model):
    device = next(model.parameters()).device
    return F.cross_entropy(model(random(6, 4, device=device)), whole(3, 6, device=device))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name, cuda):
    assert_the_same(lambda d: trained(network(), class_loss, d, 3, OPTIMIZERS[name]), cuda)


def test_an_optimizers_state_goes_on_across_devices(cuda):
    def program(device):
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        class_loss(model).backward()
        optimizer.step()
        model.to(device)
        later = optim.Adam(model.parameters(), lr=0.01)
        later.load_state_dict(optimizer.state_dict())
        later.zero_grad()
        class_loss(model).backward()
        later.step()
        return [p.detach() for p in model.parameters()]

    assert_the_same(program, cuda)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
def test_gradients_are_clipped(norm_type, cuda):
    def program(device):
        model = network().to(device)
        class_loss(model).backward()
        total = nn.utils.clip_grad_norm_(model.parameters(), 0.01, norm_type)
        nn.utils.clip_grad_value_(model.parameters(), 0.001)
        return [total.to(device), *(p.grad for p in model.parameters())]

    assert_the_same(program, cuda)


def test_a_trainer_moves_its_batches_saves_and_goes_on(cuda, tmp_path):
    def program(device):
        data = TensorDataset(random(12, 4, device="cpu", requires_grad=False), whole(3, 12, device="cpu"))

        def trainer():
            model = network().to(device)
            optimizer = optim.Adam(model.parameters(), lr=0.01)
            return Trainer(
                model, optimizer, cross_entropy, scheduler=CosineAnnealingLR(optimizer, 4), clip_norm=0.5,
                metrics={"right": lambda out, y: (out.argmax(1) == y).float().mean()}, accumulate=2,
                device=device, progress=False, checkpoint=tmp_path / f"{device}.safetensors",
            )  # fmt: skip

        loader = DataLoader(data, batch_size=3, shuffle=True, generator=tt.Generator().manual_seed(0))
        trainer().fit(loader, loader, epochs=1)
        second = trainer()
        second.fit(loader, epochs=2, resume=True)
        history = [tt.tensor(second.history["loss"], device=device)]
        return history + [p.detach() for p in second.model.parameters()]

    assert_the_same(program, cuda)


def test_a_loader_gives_batches_of_data_that_lies_on_the_device(cuda):
    def program(device):
        data = TensorDataset(random(7, 2, device=device, requires_grad=False), whole(3, 7, device=device))
        loader = DataLoader(data, batch_size=3, shuffle=True, generator=tt.Generator().manual_seed(0))
        return list(map(list, loader))

    assert_the_same(program, cuda)


# Module 09.

GEOMETRIES = {
    "3x3": {"weight": (4, 3, 3, 3)},
    "padded": {"weight": (4, 3, 3, 3), "padding": 1},
    "strided": {"weight": (4, 3, 3, 2), "stride": (2, 1), "padding": (1, 0)},
    "dilated": {"weight": (4, 3, 2, 2), "dilation": 2, "padding": 1},
    "1x1": {"weight": (5, 3, 1, 1)},
    "groups": {"weight": (6, 1, 3, 3), "groups": 3, "padding": 1, "stride": 2},
    "same": {"weight": (4, 3, 4, 4), "padding": "same"},
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_convolution(name, cuda):
    settings = {key: value for key, value in GEOMETRIES[name].items() if key != "weight"}
    shape = GEOMETRIES[name]["weight"]

    def function(d):
        x, w, b = random(2, 3, 7, 6, device=d), random(*shape, device=d), random(shape[0], device=d)
        return lambda x, w, b: F.conv2d(x, w, b, **settings), x, w, b

    assert_the_same(with_gradients(function), cuda)


@pytest.mark.parametrize(
    "settings",
    [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"groups": 3, "stride": 2}, {"dilation": 2}],
    ids=str,
)
def test_transposed_convolution(settings, cuda):
    def function(d):
        weight = random(3, 4 if settings.get("groups", 1) == 1 else 2, 3, 3, device=d)
        outputs = weight.shape[1] * settings.get("groups", 1)
        x, b = random(2, 3, 5, 4, device=d), random(outputs, device=d)
        return lambda x, w, b: F.conv_transpose2d(x, w, b, **settings), x, weight, b

    assert_the_same(with_gradients(function), cuda)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: F.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: F.max_pool2d(x, 2, ceil_mode=True),
        lambda x: F.avg_pool2d(x, 2), lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: F.adaptive_avg_pool2d(x, (2, 3)), lambda x: F.adaptive_max_pool2d(x, 1),
        lambda x: F.interpolate(x, scale_factor=2),
    ],
    ids=["max", "padded", "ceil", "avg", "uncounted", "adaptive_avg", "adaptive_max", "upsampled"],
)  # fmt: skip
def test_pools(pool, cuda):
    assert_the_same(with_gradients(lambda d: (pool, random(2, 3, 6, 7, device=d))), cuda)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (6, 3), (2, 3, 5)], ids=str)
def test_batch_norm(shape, training, cuda):
    def program(device):
        layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3).to(device).train(training)
        x = random(*shape, device=device)
        out = layer(x)
        (out * out * out).sum().backward()
        return [out, x.grad, layer.weight.grad, layer.bias.grad, *layer.buffers()]

    assert_the_same(program, cuda)


# Modules 11 to 13.


def test_embedding(cuda):
    def program(device):
        layer = nn.Embedding(5, 3, padding_idx=1, device=device)
        layer.weight.data = random(5, 3, device=device, requires_grad=False)
        out = layer(whole(5, 4, 6, device=device))
        (out * out).sum().backward()
        return out, layer.weight.grad

    assert_the_same(program, cuda)


def test_an_id_outside_of_the_vocabulary_is_named(cuda):
    with pytest.raises(IndexError, match="id 5 is not in a vocabulary of 5 tokens, 0 to 4"):
        nn.Embedding(5, 3).to("cuda")(tt.tensor([0, 5], device="cuda"))


def test_positions(cuda):
    def program(device):
        x = random(2, 4, 6, device=device)
        sinusoidal = embeddings.PositionalEncoding(8, 6).to(device)(x, 2)
        turned = embeddings.apply_rotary(x, *(a.array for a in embeddings.RotaryEmbedding(6)(4, 1)))
        (sinusoidal * turned).sum().backward()
        return sinusoidal, turned, x.grad

    assert_the_same(program, cuda)


@pytest.mark.parametrize("is_causal", [True, False], ids=["causal", "not causal"])
@pytest.mark.parametrize(
    "attend", [attention.scaled_dot_product_attention, attention.tiled_attention], ids=["plain", "tiled"]
)
def test_attention(attend, is_causal, cuda):
    def function(d):
        inputs = [random(2, 2, 5, 4, device=d, seed=seed) for seed in range(3)]
        return lambda q, k, v: attend(q, k, v, is_causal=is_causal), *inputs

    assert_the_same(with_gradients(function), cuda)


def test_masked_attention(cuda):
    def function(d):
        inputs = [random(2, 2, 5, 4, device=d, seed=seed) for seed in range(3)]
        allowed = tt.tensor(np.random.default_rng(0).random((5, 5)) < 0.5, device=d)
        return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, allowed), *inputs

    assert_the_same(with_gradients(function), cuda)


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_with_masks(need_weights, cuda):
    def program(device):
        tt.manual_seed(0)
        layer = nn.MultiheadAttention(6, 2, batch_first=True).to(device)
        x = random(2, 5, 6, device=device)
        padding = tt.tensor([[False] * 5, [False] * 3 + [True] * 2], device=device)
        late = tt.triu(tt.ones(5, 5, device=device), 1).bool()
        out, weights = layer(x, x, x, key_padding_mask=padding, attn_mask=late, need_weights=need_weights)
        (out * out).sum().backward()
        return [out, x.grad, *(p.grad for p in layer.parameters()), *([weights] if need_weights else [])]

    assert_the_same(program, cuda)


@pytest.mark.parametrize("shape", [(2, 3, 4), (0, 4), (5, 4)], ids=str)
def test_norms(shape, cuda):
    def function(d):
        weight, bias = random(4, device=d), random(4, device=d, seed=1)
        return (
            lambda x, w, b: (layer_norm(x, 4, w, b), rms_norm(x, 4, w)),
            random(*shape, device=d),
            weight,
            bias,
        )

    assert_the_same(with_gradients(function), cuda)


CONFIGS = {
    "GPT-2": {},
    "rotary": {"positions": "rotary", "norm": "rms", "bias": False, "tie_weights": False},
    "sinusoidal, dropout": {"positions": "sinusoidal", "dropout": 0.1},
}


def gpt(name):
    tt.manual_seed(0)
    return GPT(GPTConfig(vocab_size=7, block_size=6, n_layer=2, n_head=2, n_embd=8, **CONFIGS[name]))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_gpt_learns(name, cuda):
    def program(device):
        ids = whole(7, 3, 7, device=device)
        return trained(
            gpt(name),
            lambda model: model(ids[:, :-1], ids[:, 1:])[1],
            device,
            2,
            lambda p: optim.AdamW(p, lr=0.01),
        )

    assert_the_same(program, cuda)


@pytest.mark.parametrize(
    "settings",
    [{"temperature": 0}, {"top_k": 3}, {"top_p": 0.8, "temperature": 0.7}, {"stop_tokens": (1, 2)}],
    ids=str,
)
def test_a_gpt_writes(settings, cuda):
    def program(device):
        return gpt("GPT-2").to(device).generate(whole(7, 2, 3, device=device), 6, generator=0, **settings)

    assert_the_same(program, cuda)


# The rest of nn.

LAYERS = {
    "Conv1d": (lambda: nn.Sequential(nn.Conv1d(4, 3, 3, padding=1), nn.MaxPool1d(2)), (2, 4, 6)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1), (2, 4, 5, 5)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3, 3)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 3, 3)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (2, 4, 3, 3)),
    "Dropout2d": (lambda: nn.Dropout2d(0.5), (2, 4, 3, 3)),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), (2, 4, 3, 3)),
    "PReLU": (lambda: nn.PReLU(4), (2, 4, 3)),
    "Upsample, bilinear": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 4, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_beyond_the_modules(name, cuda):
    make, shape = LAYERS[name]

    def program(device):
        tt.manual_seed(0)
        layer, x = make().to(device), random(*shape, device=device)
        out = layer(x)
        (out * out).sum().backward()
        return [out, x.grad, *(p.grad for p in layer.parameters())]

    assert_the_same(program, cuda)


def test_vectors_and_initial_weights(cuda):
    def program(device):
        tt.manual_seed(0)
        x, y = random(4, 3, device=device), random(4, 3, device=device, seed=1)
        weight = tt.zeros(4, 3, device=device)
        nn.init.orthogonal_(weight)
        near = F.cosine_similarity(x, y)
        near.sum().backward()
        one_hot = F.one_hot(whole(3, 5, device=device))
        return near, F.normalize(x), x.grad, one_hot, nn.init.kaiming_normal_(tt.zeros_like(weight)), weight

    assert_the_same(program, cuda)


# Models of the milestones.


def script(path):
    """A milestone's script as a module."""
    sys.path.insert(0, str(MILESTONES))
    try:
        spec = spec_from_file_location(Path(path).stem, MILESTONES / path)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(MILESTONES))
    return module


def test_a_step_of_the_cnn_of_milestone_04(cuda):
    cifar10 = script("04_1998_cnn/cifar10.py")

    def program(device):
        tt.manual_seed(0)
        images = random(8, 3, 32, 32, device=device, requires_grad=False)
        classes = whole(10, 8, device=device)
        model = cifar10.network().to(device)
        settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
        after = trained(
            model, lambda m: F.cross_entropy(m(images), classes, label_smoothing=0.1), device, 1,
            lambda p: optim.SGD(p, **settings),
        )  # fmt: skip
        return [*after, model.eval()(images)]

    assert_the_same(program, cuda)


def test_a_step_of_the_reverser_of_milestone_05(cuda):
    reversal = script("05_2017_transformer/attention.py")

    def program(device):
        tt.manual_seed(0)
        model = reversal.Reverser().to(device)
        digits = whole(10, 8, reversal.LENGTH, device=device)
        after = trained(
            model, lambda m: F.cross_entropy(m(digits).reshape(-1, 10), digits.flip(1).reshape(-1)), device,
            1, lambda p: optim.SGD(p, lr=0.1),
        )  # fmt: skip
        return [*after, *model(digits, need_weights=True)]

    assert_the_same(program, cuda)


# Places.


def test_moving_there_and_back(cuda):
    x = random(2, 3, device="cpu")
    there = x.to("cuda")
    assert type(there.array) is cuda
    assert there.device == "cuda"
    assert there.is_cuda
    assert there.to("cuda") is there
    back = there.to("cpu")
    assert isinstance(back.array, np.ndarray)
    (back * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full((2, 3), 2))
    assert "device='cuda'" in repr(there)
    assert float(there.sum()) == pytest.approx(float(x.sum()))
    with pytest.raises(TypeError, match=r"this tensor is on the GPU; call cpu\(\) first"):
        there.detach().numpy()
    for array in (np.asarray, np.sum):
        with pytest.raises(TypeError):
            array(there.detach())


def test_a_model_moves_with_its_gradients_and_buffers(cuda):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    model(random(4, 2, device="cpu")).sum().backward()
    assert model.to("cuda") is model
    assert kinds(model) == {cuda}
    assert kinds(model.cpu()) == {np.ndarray}


def kinds(model):
    held = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters())]
    return {type(x.array) for x in held}


def test_a_tensor_on_the_device_is_saved_and_loaded(cuda, tmp_path):
    x, model = random(2, 3, device="cuda").detach(), network().to("cuda")
    tt.save({"x": x, "model": model.state_dict()}, tmp_path / "saved.safetensors")
    loaded = tt.load(tmp_path / "saved.safetensors")
    np.testing.assert_array_equal(loaded["x"].numpy(), x.cpu().numpy())
    assert type(tt.load(tmp_path / "saved.safetensors", map_location="cuda")["x"].array) is cuda
    other = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to("cuda")
    other.load_state_dict(loaded["model"])
    for mine, theirs in zip(other.parameters(), model.parameters(), strict=True):
        assert type(mine.array) is cuda
        np.testing.assert_array_equal(mine.detach().cpu().numpy(), theirs.detach().cpu().numpy())


def test_creation_and_random_numbers(cuda):
    def program(device):
        tt.manual_seed(0)
        x = random(3, 4, device=device, positive=True, requires_grad=False)
        return [
            tt.zeros(2, device=device), tt.arange(5, device=device), tt.rand(2, device=device),
            tt.zeros_like(x), tt.full_like(x, 3), tt.randn_like(x), x.new_ones(2), tt.bernoulli(x / x.max()),
            tt.multinomial(x, 2), tt.multinomial(x, 3, replacement=True), tt.multinomial(x[0], 2, True),
            tt.normal(x, x), *tt.unique(whole(3, 9, device=device), return_inverse=True, return_counts=True),
            tt.eye(2, device=device), tt.tensor([1.0], device=device),
        ]  # fmt: skip

    assert_the_same(program, cuda)
