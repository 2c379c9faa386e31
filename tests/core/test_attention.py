"""Attention: the formula, the same in tiles, and the modules, against PyTorch."""

import tracemalloc
from math import inf

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.core import attention
from tinytorch.core.attention import (
    CausalSelfAttention,
    MultiheadAttention,
    Tiles,
    causal_mask,
    masked_softmax,
    scaled_dot_product_attention,
    tiled_attention,
)
from tinytorch.core.autograd import grad, gradcheck
from tinytorch.core.tensor import tensor

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


@pytest.fixture
def small_tiles(monkeypatch):
    """Blocks of 3 queries and 6 keys, so that short sequences have several of each."""
    monkeypatch.setattr(Tiles, "queries", 3)
    monkeypatch.setattr(Tiles, "keys", 6)
    monkeypatch.setattr(Tiles, "scores", 40)


def draw(*shapes, seed=0, dtype=tt.float64):
    generator = tt.Generator(seed)
    return [tt.randn(*shape, dtype=dtype, generator=generator, requires_grad=True) for shape in shapes]


def qkv(lead, queries, keys, d=4, e=3, seed=0):
    return draw((*lead, queries, d), (*lead, keys, d), (*lead, keys, e), seed=seed)


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


# Masks.


def test_a_causal_mask_shows_what_came_before():
    assert causal_mask(3).array.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert causal_mask(2, past=2).array.tolist() == [[True, True, True, False], [True] * 4]
    assert causal_mask(0).shape == (0, 0)


def test_masked_softmax_gives_zeros_where_nothing_may_be_seen():
    scores = tensor([[0.0, -inf], [-inf, -inf], [1.0, 1.0]])
    assert masked_softmax(scores).array.tolist() == [[1, 0], [0, 0], [0.5, 0.5]]
    assert masked_softmax(tt.zeros(2, 0)).shape == (2, 0)
    assert gradcheck(masked_softmax, draw((3, 4)))


# The function.

LEADS = [(), (2,), (2, 3), (2, 1, 3), (0, 2)]


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 5), (1, 7), (7, 3), (3, 20), (13, 13)])
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_in_tiles_agrees_with_pytorch(torch, small_tiles, lead, queries, keys, is_causal):
    inputs = qkv(lead, queries, keys)
    their_inputs = in_torch(torch, inputs)
    ours = scaled_dot_product_attention(*inputs, is_causal=is_causal)
    theirs = torch.nn.functional.scaled_dot_product_attention(*their_inputs, is_causal=is_causal)
    assert_same_as_pytorch(torch, ours, theirs, inputs, their_inputs)


def test_queries_of_five_dimensions_may_lie_in_memory_in_any_order(torch):
    inputs = qkv((3, 2, 4), 5, 5)
    their_inputs = in_torch(torch, inputs)
    ours = scaled_dot_product_attention(*(x.permute(2, 1, 0, 3, 4) for x in inputs))
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *(x.permute(2, 1, 0, 3, 4) for x in their_inputs)
    )
    assert_same_as_pytorch(torch, ours, theirs, inputs, their_inputs)


def mask_of(kind, queries, keys):
    rng = np.random.default_rng(3)
    allowed = rng.random((queries, keys)) < 0.6
    allowed[0] = False  # the first query may attend to nothing
    if kind == "bool":
        return allowed
    if kind == "bool for each head":
        return np.stack([allowed, ~allowed])[None]
    if kind == "floats":
        return rng.standard_normal((queries, keys))
    return np.where(allowed, rng.standard_normal((queries, keys)), -inf)


@pytest.mark.parametrize("kind", ["bool", "bool for each head", "floats", "floats and -inf"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_with_masks_agrees_with_pytorch(torch, kind, is_causal):
    inputs, mask = qkv((2, 2), 5, 6), mask_of(kind, 5, 6)
    their_inputs = in_torch(torch, inputs)
    ours = scaled_dot_product_attention(*inputs, attn_mask=tensor(mask), is_causal=is_causal)
    causal = np.tri(5, 6, dtype=bool)
    if is_causal:
        mask = mask & causal if mask.dtype == bool else np.where(causal, mask, -inf)
    theirs = torch.nn.functional.scaled_dot_product_attention(*their_inputs, attn_mask=torch.tensor(mask))
    assert_same_as_pytorch(torch, ours, theirs, inputs, their_inputs)


def test_leading_dimensions_broadcast(torch):
    inputs = draw((2, 3, 5, 4), (1, 3, 6, 4), (3, 6, 2))
    their_inputs = in_torch(torch, inputs)
    theirs = torch.nn.functional.scaled_dot_product_attention(*their_inputs)
    assert_same_as_pytorch(torch, scaled_dot_product_attention(*inputs), theirs, inputs, their_inputs)


def test_the_scale_can_be_given(torch):
    inputs = qkv((2,), 4, 4)
    their_inputs = in_torch(torch, inputs)
    theirs = torch.nn.functional.scaled_dot_product_attention(*their_inputs, scale=0.3)
    ours = scaled_dot_product_attention(*inputs, scale=0.3)
    assert_same_as_pytorch(torch, ours, theirs, inputs, their_inputs)


def test_tiles_give_what_the_formula_gives():
    """At the true block sizes, over more than one block of queries and of keys."""
    inputs = qkv((2, 2), 700, 700)
    tiled = tiled_attention(*inputs, is_causal=True)
    plain = scaled_dot_product_attention(*inputs, attn_mask=causal_mask(700))
    np.testing.assert_allclose(tiled.array, plain.array, atol=1e-12)
    weights = tt.randn(*plain.shape, dtype=tt.float64)
    for one, other in zip(grad(tiled, inputs, weights), grad(plain, inputs, weights), strict=True):
        np.testing.assert_allclose(one.array, other.array, atol=1e-12)


def test_gradcheck_of_attention_in_tiles(small_tiles):
    assert gradcheck(lambda q, k, v: tiled_attention(q, k, v, is_causal=True), qkv((1, 2), 5, 8))
    assert gradcheck(tiled_attention, qkv((), 4, 13))


def test_gradcheck_of_attention_with_a_mask():
    mask = tensor(mask_of("bool", 4, 4))
    assert gradcheck(lambda q, k, v: scaled_dot_product_attention(q, k, v, mask), qkv((2,), 4, 4))


def test_a_second_backward_pass_through_tiles_adds_the_same_gradient():
    inputs = qkv((1, 2), 5, 5)
    out = tiled_attention(*inputs, is_causal=True).sum()
    out.backward(retain_graph=True)
    once = [x.grad.array.copy() for x in inputs]
    out.backward()
    for x, first in zip(inputs, once, strict=True):
        np.testing.assert_allclose(x.grad.array, 2 * first, rtol=1e-12)


def test_one_tensor_can_be_query_key_and_value(torch):
    (x,) = draw((2, 5, 4))
    (theirs,) = in_torch(torch, [x])
    expected = torch.nn.functional.scaled_dot_product_attention(theirs, theirs, theirs)
    assert_same_as_pytorch(torch, scaled_dot_product_attention(x, x, x), expected, [x], [theirs])


def test_large_scores_do_not_overflow_and_float32_stays():
    q, k, v = draw((1, 1, 3, 2), (1, 1, 4, 2), (1, 1, 4, 2), dtype=tt.float32)
    out = scaled_dot_product_attention(q * 1e4, k * 1e4, v)
    assert out.dtype == tt.float32
    assert np.isfinite(out.array).all()
    best = (q.array @ k.array.swapaxes(-1, -2)).argmax(-1)[0, 0]
    np.testing.assert_allclose(out.array[0, 0], v.array[0, 0, best], rtol=1e-5)


@pytest.mark.parametrize("factor", [30.0, 1000.0])
def test_scores_out_of_the_range_of_exp_agree_with_pytorch(torch, small_tiles, factor):
    q, k, v = qkv((2, 2), 7, 7)
    their_inputs = in_torch(torch, [q, k, v])
    their_q, their_k, their_v = their_inputs
    for sign in (1, -1):  # the sums overflow, or are 0
        ours = tiled_attention(q * factor, (k * k + 1) * sign, v, is_causal=True)
        theirs = torch.nn.functional.scaled_dot_product_attention(
            their_q * factor, (their_k * their_k + 1) * sign, their_v, is_causal=True
        )
        assert_same_as_pytorch(torch, ours, theirs, [q, k, v], their_inputs, atol=1e-8)


def test_dropout_keeps_the_mean_and_follows_its_generator():
    q, k, v = draw((4, 60, 4), (4, 60, 4), (4, 60, 1), dtype=tt.float32)
    without = scaled_dot_product_attention(q, k, v).array
    dropped = [
        scaled_dot_product_attention(q, k, v, dropout_p=0.3, generator=tt.Generator(seed)).array
        for seed in (1, 1, *range(2, 60))
    ]
    assert np.array_equal(dropped[0], dropped[1])
    assert not np.array_equal(dropped[0], dropped[2])
    assert np.abs(np.mean(dropped, 0) - without).mean() < 0.05
    assert np.abs(dropped[0] - without).mean() > 0.05


@pytest.mark.parametrize("shapes", [((3, 4), (5, 2), (5, 3)), ((3, 4), (5, 4), (6, 3)), ((4,), (4,), (4,))])
def test_wrong_shapes_are_told(shapes):
    with pytest.raises(ValueError, match=r"query \(..., T, d\), key \(..., S, d\), value .* are needed; \("):
        scaled_dot_product_attention(*draw(*shapes))


def peak_memory(function):
    function()  # what stays, stays before
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_tiles_never_hold_the_matrix_of_all_weights():
    T = 1024
    inputs = draw(*[(1, 2, T, 16)] * 3, dtype=tt.float32)
    mask = causal_mask(T)
    matrix = 2 * T * T * 4  # bytes of one (T, T) matrix in two heads
    plain = peak_memory(lambda: scaled_dot_product_attention(*inputs, attn_mask=mask).sum().backward())
    tiled = peak_memory(lambda: tiled_attention(*inputs, is_causal=True).sum().backward())
    assert plain > 2 * matrix
    assert tiled < matrix / 4


# The modules.


def loaded(torch, ours, theirs):
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    return theirs


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention_agrees_with_pytorch(torch, batch_first, bias, need_weights):
    ours = MultiheadAttention(6, 3, bias=bias, batch_first=batch_first, dtype=tt.float64)
    settings = {"bias": bias, "batch_first": batch_first, "dtype": torch.float64}
    theirs = loaded(torch, ours, torch.nn.MultiheadAttention(6, 3, **settings))
    shapes = [(2, 4, 6), (2, 5, 6), (2, 5, 6)]
    inputs = draw(*[s if batch_first else (s[1], s[0], s[2]) for s in shapes])
    their_inputs = in_torch(torch, inputs)
    out, weights = ours(*inputs, need_weights=need_weights)
    expected, their_weights = theirs(*their_inputs, need_weights=need_weights)
    names = dict(ours.named_parameters())
    assert list(names) == list(dict(theirs.named_parameters()))
    assert_same_as_pytorch(
        torch, out, expected, [*inputs, *ours.parameters()], [*their_inputs, *theirs.parameters()]
    )
    if need_weights:
        np.testing.assert_allclose(weights.array, their_weights.detach().numpy(), atol=1e-12)
    else:
        assert weights is their_weights is None


@pytest.mark.parametrize(
    "kind", ["attn", "attn of each head", "padding", "both", "floats", "floats and padding"]
)
def test_masks_of_multihead_attention_agree_with_pytorch(torch, kind):
    ours = MultiheadAttention(4, 2, batch_first=True, dtype=tt.float64)
    theirs = loaded(torch, ours, torch.nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64))
    (x,) = draw((3, 5, 4))
    rng = np.random.default_rng(1)
    hidden, padding = rng.random((5, 5)) < 0.3, np.zeros((3, 5), bool)
    hidden[:, 0], padding[1, 3:] = False, True
    masks = {
        "attn": {"attn_mask": hidden},
        "attn of each head": {"attn_mask": rng.random((6, 5, 5)) < 0.2},
        "padding": {"key_padding_mask": padding},
        "both": {"attn_mask": hidden, "key_padding_mask": padding},
        "floats": {"attn_mask": rng.standard_normal((5, 5))},
        "floats and padding": {"attn_mask": rng.standard_normal((5, 5)), "key_padding_mask": padding},
    }[kind]
    their_masks = {name: torch.tensor(mask) for name, mask in masks.items()}
    if kind == "floats and padding":  # PyTorch wants both of one kind
        floats = np.where(padding, -inf, 0.0)
        their_masks["key_padding_mask"] = torch.tensor(floats)
    settings = {"average_attn_weights": False}
    out, weights = ours(x, x, x, **{name: tensor(mask) for name, mask in masks.items()}, **settings)
    (their_x,) = in_torch(torch, [x])
    expected, their_weights = theirs(their_x, their_x, their_x, **their_masks, **settings)
    np.testing.assert_allclose(out.array, expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(weights.array, their_weights.detach().numpy(), atol=1e-12)


def test_multihead_attention_of_one_sequence_without_a_batch(torch):
    ours = MultiheadAttention(4, 2, dtype=tt.float64)
    theirs = loaded(torch, ours, torch.nn.MultiheadAttention(4, 2, dtype=torch.float64))
    (x,) = draw((5, 4))
    (their_x,) = in_torch(torch, [x])
    padding = np.array([False, True, False, False, True])
    out, weights = ours(x, x, x, key_padding_mask=tensor(padding))
    expected, their_weights = theirs(their_x, their_x, their_x, key_padding_mask=torch.tensor(padding))
    np.testing.assert_allclose(out.array, expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(weights.array, their_weights.detach().numpy(), atol=1e-12)


def test_the_causal_hint_needs_its_mask():
    layer, x = MultiheadAttention(4, 2), tt.zeros(3, 4)
    with pytest.raises(RuntimeError, match="is_causal is a hint about attn_mask; pass that as well"):
        layer(x, x, x, is_causal=True)
    layer(x, x, x, is_causal=True, attn_mask=tensor(~causal_mask(3).array))


def test_heads_share_the_features_evenly():
    for make in (MultiheadAttention, CausalSelfAttention):
        with pytest.raises(ValueError, match="6 features cannot be shared evenly by 4 heads"):
            make(6, 4)


@pytest.mark.parametrize("rotary", [False, True])
def test_causal_self_attention_never_looks_ahead(rotary):
    layer = CausalSelfAttention(8, 2, rotary=rotary)
    (x,) = draw((2, 6, 8), dtype=tt.float32)
    before = layer(x).array
    changed = x.array.copy()
    changed[:, 4:] += 1
    after = layer(tensor(changed)).array
    np.testing.assert_allclose(after[:, :4], before[:, :4], atol=1e-6)
    assert np.abs(after[:, 4:] - before[:, 4:]).max() > 1e-3


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 1, 6), (0, 5, 6), (2, 0, 6)])
def test_causal_self_attention_agrees_with_its_parts_in_pytorch(torch, shape):
    layer = CausalSelfAttention(6, 3).double()
    (x,) = draw(shape)
    (their_x,) = in_torch(torch, [x])
    w, b, w2, b2 = their_parameters = in_torch(torch, list(layer.parameters()))
    F, (B, T, C) = torch.nn.functional, shape
    parts = F.linear(their_x, w, b).split(C, dim=2)
    q, k, v = (part.reshape(B, T, 3, 2).transpose(1, 2) for part in parts)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    expected = F.linear(mixed.transpose(1, 2).reshape(B, T, C), w2, b2)
    assert_same_as_pytorch(torch, layer(x), expected, [x, *layer.parameters()], [their_x, *their_parameters])


@pytest.mark.parametrize("rotary", [False, True])
def test_gradcheck_of_causal_self_attention(rotary, small_tiles):
    layer = CausalSelfAttention(4, 2, rotary=rotary).double()
    (x,) = draw((2, 5, 4))
    assert gradcheck(lambda x, *_: layer(x), [x, *layer.parameters()])


class Grown:
    """The keys and values so far: the least that a cache has to be."""

    def __init__(self):
        self.key = self.value = None

    def __len__(self):
        return 0 if self.key is None else self.key.shape[2]

    def update(self, key, value):
        self.key = key if self.key is None else tt.cat([self.key, key], 2)
        self.value = value if self.value is None else tt.cat([self.value, value], 2)
        return self.key, self.value


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("steps", [(1, 1, 1, 1), (3, 1), (2, 2), (4,)])
def test_a_cache_gives_what_the_whole_sequence_gives(rotary, steps):
    layer = CausalSelfAttention(8, 2, rotary=rotary)
    (x,) = draw((2, 4, 8), dtype=tt.float32)
    cache, outputs, start = Grown(), [], 0
    for step in steps:
        outputs.append(layer(x[:, start : start + step], cache).array)
        start += step
    np.testing.assert_allclose(np.concatenate(outputs, 1), layer(x).array, atol=1e-6)


def test_dropout_of_causal_self_attention_acts_in_training_alone():
    layer = CausalSelfAttention(8, 2, dropout=0.5)
    (x,) = draw((2, 6, 8), dtype=tt.float32)
    assert not np.array_equal(layer(x).array, layer(x).array)
    layer.eval()
    assert np.array_equal(layer(x).array, layer(x).array)
    without = CausalSelfAttention(8, 2)
    without.load_state_dict(layer.state_dict())
    np.testing.assert_allclose(layer(x).array, without(x).array, atol=1e-6)


def test_composed_and_packed_attention_give_the_same_gradients(monkeypatch):
    layer = CausalSelfAttention(8, 2, rotary=True).double()
    (x,) = draw((2, 6, 8))
    packed = grad((layer(x) * layer(x)).sum(), [x, *layer.parameters()])
    monkeypatch.setattr(attention, "fit_tiles", lambda *tensors: False)  # as for arrays on a GPU
    composed = grad((layer(x) * layer(x)).sum(), [x, *layer.parameters()])
    for one, other in zip(packed, composed, strict=True):
        np.testing.assert_allclose(one.array, other.array, atol=1e-12)
