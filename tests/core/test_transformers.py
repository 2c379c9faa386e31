"""Transformers: the norms, GPT against the same in PyTorch, generation, counts and the schedule."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.core.autograd import grad, gradcheck
from tinytorch.core.embeddings import sinusoidal_positions
from tinytorch.core.tensor import tensor
from tinytorch.core.transformers import (
    GPT,
    MLP,
    GPTConfig,
    LayerNorm,
    RMSNorm,
    WarmupCosineLR,
    generate,
    layer_norm,
    rms_norm,
    sample,
)

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def draw(*shapes, seed=0, dtype=tt.float64):
    generator = tt.Generator(seed)
    return [tt.randn(*shape, dtype=dtype, generator=generator, requires_grad=True) for shape in shapes]


def in_torch(torch, tensors):
    return [torch.tensor(x.detach().numpy(), requires_grad=x.requires_grad) for x in tensors]


def assert_same_as_pytorch(torch, ours, theirs, inputs, their_inputs, atol=1e-10):
    """The outputs and the gradients of a fixed weighted sum of them."""
    np.testing.assert_allclose(ours.array, theirs.detach().numpy(), atol=atol)
    weights = np.random.default_rng(7).standard_normal(ours.shape).astype(ours.dtype)
    mine = grad(ours, inputs, tensor(weights))
    others = torch.autograd.grad(theirs, their_inputs, torch.tensor(weights))
    for got, expected in zip(mine, others, strict=True):
        np.testing.assert_allclose(got.array, expected.numpy(), atol=atol)


# The norms.


@pytest.mark.parametrize(
    ("shape", "dims"),
    [((4, 5), 1), ((2, 3, 4), 1), ((2, 3, 4), 2), ((6,), 1), ((3, 1), 1), ((0, 4), 1), ((300, 130), 1)],
)
@pytest.mark.parametrize("affine", ["none", "weight", "weight and bias"])
def test_layer_norm_agrees_with_pytorch(torch, shape, dims, affine):
    parameters = {"none": 0, "weight": 1, "weight and bias": 2}[affine]
    inputs = draw(shape, *[shape[-dims:]] * parameters)
    their_inputs = in_torch(torch, inputs)
    ours = layer_norm(inputs[0], shape[-dims:], *inputs[1:], eps=1e-3)
    theirs = torch.nn.functional.layer_norm(their_inputs[0], shape[-dims:], *their_inputs[1:], eps=1e-3)
    assert_same_as_pytorch(torch, ours, theirs, inputs, their_inputs, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "dims"), [((4, 5), 1), ((2, 3, 4), 2), ((3, 1), 1), ((0, 4), 1), ((300, 130), 1)]
)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("eps", [None, 1e-3])
def test_rms_norm_agrees_with_pytorch(torch, shape, dims, affine, eps):
    inputs = draw(shape, *[shape[-dims:]] * affine)
    their_inputs = in_torch(torch, inputs)
    ours = rms_norm(inputs[0], shape[-dims:], *inputs[1:], eps=eps)
    theirs = torch.nn.functional.rms_norm(their_inputs[0], shape[-dims:], *their_inputs[1:], eps=eps)
    assert_same_as_pytorch(torch, ours, theirs, inputs, their_inputs, atol=1e-9)


def test_gradcheck_of_the_norms():
    x, weight, bias = draw((3, 5), (5,), (5,))
    assert gradcheck(lambda x, w, b: layer_norm(x, 5, w, b), [x, weight, bias])
    assert gradcheck(lambda x, w: rms_norm(x, 5, w), [x, weight])
    assert gradcheck(lambda x: layer_norm(x, (3, 5)), x)


@given(st.integers(0, 9999), st.floats(-1e4, 1e4), st.floats(0.1, 100))
@settings(deadline=None)
def test_layer_norm_takes_away_shift_and_scale(seed, shift, scale):
    x = np.random.default_rng(seed).standard_normal((4, 64)).astype(np.float32)
    moved = (x * np.float32(scale) + np.float32(shift)).astype(np.float32)
    out = layer_norm(tensor(moved), 64, eps=0.0)
    exact = moved.astype(np.float64)
    exact = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    assert out.dtype == tt.float32
    np.testing.assert_allclose(out.array, exact, atol=2e-5 + 4e-7 * abs(shift) / scale)


def test_a_second_backward_pass_through_a_norm_adds_the_same_gradient():
    inputs = draw((3, 5), (5,), (5,))
    out = (layer_norm(inputs[0], 5, *inputs[1:]) ** 2).sum()
    out.backward(retain_graph=True)
    once = [x.grad.array.copy() for x in inputs]
    out.backward()
    for x, first in zip(inputs, once, strict=True):
        np.testing.assert_allclose(x.grad.array, 2 * first, rtol=1e-12)


def test_norms_say_which_shape_is_wrong():
    x = tt.zeros(2, 3)
    with pytest.raises(ValueError, match=r"layer_norm: normalized_shape is \(4,\), .* \(2, 3\)"):
        layer_norm(x, 4)
    with pytest.raises(ValueError, match=r"layer_norm: normalized_shape is \(3,\), bias \(2,\)"):
        layer_norm(x, 3, tt.ones(3), tt.ones(2))
    with pytest.raises(ValueError, match=r"rms_norm: normalized_shape is \(3,\), weight \(2,\)"):
        rms_norm(x, 3, tt.ones(2))


def test_norm_modules_have_the_state_of_pytorch(torch):
    pairs = [
        (LayerNorm((2, 3)), torch.nn.LayerNorm((2, 3))),
        (LayerNorm(3, bias=False), torch.nn.LayerNorm(3, bias=False)),
        (LayerNorm(3, elementwise_affine=False), torch.nn.LayerNorm(3, elementwise_affine=False)),
        (RMSNorm(3), torch.nn.RMSNorm(3)),
    ]
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
    for ours, theirs in pairs:
        state = {name: p.numpy() for name, p in ours.state_dict().items()}
        expected = {name: p.numpy() for name, p in theirs.state_dict().items()}
        assert state.keys() == expected.keys()
        assert all(np.array_equal(state[name], expected[name]) for name in state)
        np.testing.assert_allclose(
            ours(tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), atol=1e-6
        )
    assert repr(pairs[0][0]) == "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True)"


# GPT against the same modules of PyTorch.

SMALL = {"vocab_size": 11, "block_size": 8, "n_layer": 2, "n_head": 2, "n_embd": 12}


def their_gpt(torch, config):
    """GPT-2's modules under the same names, in torch.nn."""
    nn, F = torch.nn, torch.nn.functional
    C, bias = config.n_embd, config.bias

    def make_norm():
        return nn.LayerNorm(C, bias=bias) if config.norm == "layer" else nn.RMSNorm(C)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_attn, self.c_proj = nn.Linear(C, 3 * C, bias=bias), nn.Linear(C, C, bias=bias)

        def forward(self, x):
            B, T, _ = x.shape
            parts = self.c_attn(x).split(C, dim=2)
            q, k, v = (p.view(B, T, config.n_head, C // config.n_head).transpose(1, 2) for p in parts)
            if config.positions == "rotary":
                q, k = turned(q), turned(k)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.transpose(1, 2).reshape(B, T, C))

    def turned(x):
        T, half = x.shape[2], x.shape[3] // 2
        angles = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        first, second, cos, sin = x[..., :half], x[..., half:], angles.cos(), angles.sin()
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    class FeedForward(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_fc, self.c_proj = nn.Linear(C, 4 * C, bias=bias), nn.Linear(4 * C, C, bias=bias)

        def forward(self, x):
            return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.attn, self.ln_2, self.mlp = make_norm(), Attention(), make_norm(), FeedForward()

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            parts = {"wte": nn.Embedding(config.vocab_size, C)}
            if config.positions == "learned":
                parts["wpe"] = nn.Embedding(config.block_size, C)
            parts |= {"h": nn.ModuleList([Layer() for _ in range(config.n_layer)]), "ln_f": make_norm()}
            self.transformer = nn.ModuleDict(parts)
            self.lm_head = nn.Linear(C, config.vocab_size, bias=False)
            if config.tie_weights:
                self.lm_head.weight = self.transformer.wte.weight

        def forward(self, idx):
            x = self.transformer.wte(idx)
            if config.positions == "learned":
                x = x + self.transformer.wpe(torch.arange(idx.shape[1]))
            elif config.positions == "sinusoidal":
                x = x + torch.tensor(sinusoidal_positions(idx.shape[1], C).numpy())
            for layer in self.transformer.h:
                x = layer(x)
            return self.lm_head(self.transformer.ln_f(x))

    return Model()


VARIANTS = [
    {},
    {"positions": "rotary", "norm": "rms", "bias": False},
    {"positions": "sinusoidal", "tie_weights": False},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gpt_and_its_gradients_agree_with_pytorch(torch, variant, tmp_path):
    from safetensors.torch import load_file, save_file

    config = GPTConfig(**SMALL, **variant)
    ours, theirs = GPT(config), their_gpt(torch, config)
    for p in ours.parameters():  # far from 0.02, so that every part matters
        p.array += 0.2 * np.random.default_rng(p.array.size).standard_normal(p.shape).astype(np.float32)
    tt.save(ours.state_dict(), tmp_path / "ours.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    idx = np.random.default_rng(0).integers(0, 11, (3, 8))
    logits, loss = ours(tensor(idx), tensor(np.roll(idx, -1, 1)))
    expected = theirs(torch.tensor(idx))
    np.testing.assert_allclose(logits.detach().numpy(), expected.detach().numpy(), atol=1e-4)
    targets = torch.tensor(np.roll(idx, -1, 1)).flatten()
    their_loss = torch.nn.functional.cross_entropy(expected.flatten(0, 1), targets)
    assert float(loss) == pytest.approx(their_loss.item(), abs=1e-5)
    loss.backward()
    their_loss.backward()
    gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.array, gradients[name], atol=1e-5, err_msg=name)

    # And back: their weights, through their library.
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.1
    save_file({name: p.clone() for name, p in theirs.state_dict().items()}, tmp_path / "theirs.safetensors")
    ours.load_state_dict(tt.load(tmp_path / "theirs.safetensors"))
    back = theirs(torch.tensor(idx)).detach().numpy()
    np.testing.assert_allclose(ours(tensor(idx))[0].detach().numpy(), back, atol=1e-4)


def test_state_dict_keys_are_those_of_nanogpt():
    keys = list(GPT(GPTConfig(**{**SMALL, "n_layer": 1})).state_dict())
    block = [
        "ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight",
        "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias",
        "mlp.c_proj.weight", "mlp.c_proj.bias",
    ]  # fmt: skip
    assert keys == [
        "transformer.wte.weight",
        "transformer.wpe.weight",
        *(f"transformer.h.0.{name}" for name in block),
        "transformer.ln_f.weight",
        "transformer.ln_f.bias",
        "lm_head.weight",
    ]


def test_tied_weights_are_one_parameter():
    model = GPT(GPTConfig(**SMALL))
    assert model.lm_head.weight is model.transformer.wte.weight
    assert len({id(p) for p in model.parameters()}) == len(list(model.parameters()))
    apart = GPT(GPTConfig(**SMALL, tie_weights=False))
    assert apart.num_parameters() - model.num_parameters() == 11 * 12


def test_weights_begin_as_in_gpt_2():
    tt.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=500, n_layer=8, n_embd=64))
    for name, p in model.named_parameters():
        if p.ndim == 2:
            expected = 0.02 / math.sqrt(16) if "c_proj" in name else 0.02
            assert p.array.std() == pytest.approx(expected, rel=0.06), name
        else:
            assert (p.array == ("weight" in name)).all(), name
    idx = tensor(np.random.default_rng(0).integers(0, 500, (4, 32)))
    targets = tensor((idx.array + 1) % 500)  # with tied weights a token at first predicts itself
    assert float(model(idx, targets)[1]) == pytest.approx(math.log(500), rel=0.03)


@pytest.mark.parametrize("shape", [(1, 1), (2, 8), (0, 4)])
def test_logits_come_for_every_position(shape):
    model = GPT(GPTConfig(**SMALL))
    logits, loss = model(tt.zeros(*shape, dtype=tt.int64))
    assert logits.shape == (*shape, 11)
    assert logits.dtype == tt.float32
    assert loss is None


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gpt_never_looks_ahead(variant):
    model = GPT(GPTConfig(**SMALL, **variant))
    idx = np.random.default_rng(0).integers(0, 11, (1, 8))
    before = model(tensor(idx))[0].array
    idx[:, 5:] = (idx[:, 5:] + 1) % 11
    after = model(tensor(idx))[0].array
    np.testing.assert_allclose(after[:, :5], before[:, :5], atol=1e-6)
    assert not np.allclose(after[:, 5:], before[:, 5:], atol=1e-4)


def test_a_target_of_minus_100_does_not_count():
    model = GPT(GPTConfig(**SMALL))
    idx = tensor(np.arange(8)[None] % 11)
    targets = np.arange(8)[None] % 11
    targets[0, :6] = -100
    logits, loss = model(idx, tensor(targets))
    rows = logits.array[0, 6:]
    expected = np.log(np.exp(rows).sum(1)) - rows[[0, 1], targets[0, 6:]]
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-5)


def test_a_sequence_longer_than_the_block_is_refused():
    with pytest.raises(ValueError, match="GPT: 9 tokens came, block_size is 8; crop the sequence"):
        GPT(GPTConfig(**SMALL))(tt.zeros(1, 9, dtype=tt.int64))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"positions": "none"}, "positions is one of .* 'none' came"),
        ({"norm": "batch"}, "norm is one of .* 'batch' came"),
        ({"n_layer": 0}, "n_layer is a whole number from 1, 0 came"),
        ({"n_embd": 12.0}, "n_embd is a whole number from 1, 12.0 came"),
        ({"vocab_size": 0}, "vocab_size is a whole number from 1, 0 came"),
    ],
)
def test_a_wrong_configuration_is_told(wrong, message):
    with pytest.raises(ValueError, match=message):
        GPTConfig(**{**SMALL, **wrong})
    with pytest.raises(ValueError, match="12 features cannot be shared evenly by 5 heads"):
        GPT(GPTConfig(**{**SMALL, "n_head": 5}))


def test_dropout_acts_in_training_alone():
    model, idx = GPT(GPTConfig(**SMALL, dropout=0.5)), tt.zeros(1, 8, dtype=tt.int64)
    assert not np.array_equal(model(idx)[0].array, model(idx)[0].array)
    model.eval()
    assert np.array_equal(model(idx)[0].array, model(idx)[0].array)
    assert MLP(4, dropout=0.0)(tt.ones(2, 4)).shape == (2, 4)


# Counts.


def test_parameters_are_counted_as_by_hand():
    C, V, T, L = 12, 11, 8, 2
    block = 2 * 2 * C + (C * 3 * C + 3 * C) + (C * C + C) + (C * 4 * C + 4 * C) + (4 * C * C + C)
    model = GPT(GPTConfig(**SMALL))
    assert model.num_parameters() == V * C + T * C + L * block + 2 * C
    assert model.num_parameters(embeddings=False) == L * block + 2 * C
    rotary = GPT(GPTConfig(**SMALL, positions="rotary", tie_weights=False))
    assert rotary.num_parameters() == 2 * V * C + L * block + 2 * C
    assert rotary.num_parameters(embeddings=False) == L * block + 2 * C
    gpt2 = GPTConfig(vocab_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768)
    C, L = gpt2.n_embd, gpt2.n_layer
    assert 50257 * C + 1024 * C + L * (12 * C * C + 13 * C) + 2 * C == 124_439_808  # as published


def test_operations_are_counted_as_by_hand():
    C, V, L = 12, 11, 2
    products = 2 * (C * 3 * C) + 2 * (C * C) + 2 * (C * 4 * C) + 2 * (4 * C * C)
    model = GPT(GPTConfig(**SMALL))
    for length in (1, 8):
        scores, mixing = 2 * C * length, 2 * C * length
        assert model.flops_per_token(length) == L * (products + scores + mixing) + 2 * C * V
    assert model.flops_per_token() == model.flops_per_token(8)


# Writing.


def model_and_prompt():
    tt.manual_seed(0)
    model = GPT(GPTConfig(**SMALL))
    for p in model.parameters():
        p.array *= 10
    return model, tensor([[1, 2, 3], [4, 5, 6]])


def test_temperature_0_takes_the_most_probable_token_each_time():
    model, idx = model_and_prompt()
    out = generate(model, idx, 9, temperature=0)
    expected = idx.array
    for _ in range(9):
        logits = model(tensor(expected[:, -8:]))[0].array
        expected = np.concatenate([expected, logits[:, -1].argmax(-1)[:, None]], 1)
    assert out.array.tolist() == expected.tolist()
    assert out.dtype == tt.int64
    assert np.array_equal(model.generate(idx, 9, top_k=1).array, expected)
    assert np.array_equal(model.generate(idx, 9, top_p=1e-9).array, expected)
    assert np.array_equal(model.generate(idx, 0).array, idx.array)


def test_a_seed_makes_the_same_text_again():
    model, idx = model_and_prompt()
    texts = [model.generate(idx, 20, generator=seed).array.tolist() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert model.generate(idx, 20, generator=tt.Generator(1)).array.tolist() == texts[0]


def test_generating_leaves_the_mode_of_the_model_and_records_nothing():
    model, idx = model_and_prompt()
    assert not model.generate(idx, 2).requires_grad
    assert all(module.training for module in model.modules())
    model.eval()
    model.generate(idx, 2)
    assert not model.training


def test_a_sequence_ends_with_a_stop_token_and_is_filled_up_with_it():
    model, idx = model_and_prompt()
    free = model.generate(idx, 12, generator=3).array
    stop = int(free[0, 5])
    first = next(i for i in range(3, 15) if free[0, i] == stop)
    out = model.generate(idx, 12, stop_tokens=[stop], generator=3).array
    assert out[0, : first + 1].tolist() == free[0, : first + 1].tolist()
    assert (out[0, first:] == stop).all()
    alone = model.generate(idx[:1], 12, stop_tokens=range(11)).array
    assert alone.shape == (1, 4)


def probabilities(logits, count=4000, **settings):
    rows = np.tile(np.asarray(logits, np.float32), (count, 1))
    drawn = sample(rows, generator=tt.Generator(0), **settings)
    return np.bincount(drawn, minlength=len(logits)) / count


def test_sampling_draws_from_the_distribution():
    logits = np.log([0.5, 0.25, 0.15, 0.1])
    np.testing.assert_allclose(probabilities(logits), [0.5, 0.25, 0.15, 0.1], atol=0.03)
    squared = np.array([0.5, 0.25, 0.15, 0.1]) ** 2
    np.testing.assert_allclose(probabilities(logits, temperature=0.5), squared / squared.sum(), atol=0.03)
    np.testing.assert_allclose(probabilities(logits, top_k=2), [2 / 3, 1 / 3, 0, 0], atol=0.03)
    np.testing.assert_allclose(probabilities(logits, top_p=0.7), [2 / 3, 1 / 3, 0, 0], atol=0.03)
    np.testing.assert_allclose(probabilities(logits, top_p=0.8), [5 / 9, 2.5 / 9, 1.5 / 9, 0], atol=0.03)
    np.testing.assert_allclose(probabilities(logits[::-1], top_p=0.4), [0, 0, 0, 1])
    np.testing.assert_allclose(probabilities(logits, top_k=99, top_p=1.0), [0.5, 0.25, 0.15, 0.1], atol=0.03)
    assert probabilities([1000.0, 0.0, -1000.0]).tolist() == [1, 0, 0]
    assert probabilities([0.0, -np.inf, -np.inf])[0] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature is a number from 0, -1 came"),
        ({"temperature": math.nan}, "temperature is a number from 0, nan came"),
        ({"top_k": 0}, "top_k keeps at least 1 token, 0 came"),
        ({"top_p": 0.0}, "top_p is a probability above 0, 0.0 came"),
        ({"top_p": 1.5}, "top_p is a probability above 0, 1.5 came"),
        ({"max_new_tokens": -1}, "max_new_tokens is a number from 0, -1 came"),
    ],
)
def test_wrong_settings_of_generate_are_told(settings, message):
    model, idx = model_and_prompt()
    with pytest.raises(ValueError, match=f"generate: {message}"):
        generate(model, idx, **{"max_new_tokens": 1, **settings})


@pytest.mark.parametrize("shape", [(3,), (1, 0)])
def test_generate_needs_a_batch_of_prompts(shape):
    model, _ = model_and_prompt()
    with pytest.raises(ValueError, match=r"ids \(B, T\) with at least one token each are needed"):
        generate(model, tt.zeros(*shape, dtype=tt.int64), 1)


class Grown:
    """The keys and values of one block so far: the least that a cache has to be."""

    def __init__(self):
        self.key = self.value = None

    def __len__(self):
        return 0 if self.key is None else self.key.shape[2]

    def update(self, key, value):
        self.key = key if self.key is None else tt.cat([self.key, key], 2)
        self.value = value if self.value is None else tt.cat([self.value, value], 2)
        return self.key, self.value


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_cache_changes_no_text(variant):
    tt.manual_seed(0)
    model = GPT(GPTConfig(**SMALL, **variant))
    for p in model.parameters():
        p.array *= 10
    idx = tensor([[1, 2, 3], [4, 5, 6]])
    expected = model.generate(idx, 5, temperature=0).array
    cached = model.generate(idx, 5, temperature=0, cache=[Grown(), Grown()]).array
    assert cached.tolist() == expected.tolist()
    with pytest.raises(ValueError, match="GPT: 9 tokens came, block_size is 8"):
        model.generate(idx, 7, cache=[Grown(), Grown()])


# Training.


def test_only_matrices_decay():
    model = GPT(GPTConfig(**SMALL))
    decay, keep = model.optimizer_groups(0.3)
    assert (decay["weight_decay"], keep["weight_decay"]) == (0.3, 0.0)
    assert all(p.ndim == 2 for p in decay["params"])
    assert all(p.ndim == 1 for p in keep["params"])
    assert len(decay["params"]) + len(keep["params"]) == len(list(model.parameters()))
    optimizer = tt.optim.AdamW(model.optimizer_groups(0.3))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]


def test_the_rate_warms_up_and_then_follows_a_cosine():
    optimizer = tt.optim.SGD([{"params": tt.zeros(1), "lr": 1.0}, {"params": tt.zeros(1), "lr": 0.5}])
    schedule = WarmupCosineLR(optimizer, warmup=4, total=12, min_lr=0.1)
    rates = []
    for _ in range(15):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    np.testing.assert_allclose(rates[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[8] == pytest.approx(0.55)  # half way down
    np.testing.assert_allclose(rates[12:], [0.1] * 3)
    assert all(later < earlier for earlier, later in pairwise(rates[4:13]))
    assert schedule.get_last_lr()[1] == pytest.approx(0.1)
    with pytest.raises(ValueError, match="0 <= warmup < total is needed; 5, 5 came"):
        WarmupCosineLR(optimizer, 5, 5)


def test_a_gpt_learns_a_sequence_by_heart():
    tt.manual_seed(0)
    model = GPT(GPTConfig(**SMALL, positions="rotary"))
    text = tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    optimizer = tt.optim.AdamW(model.optimizer_groups(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        loss = model(text[:, :-1], text[:, 1:])[1]
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.1
    assert model.generate(text[:, :1], 7, temperature=0).array.tolist() == text.array.tolist()
