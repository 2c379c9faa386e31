"""Memoization: results under contents, and keys and values against the model that computes all again."""

import math
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.core.attention import scaled_dot_product_attention
from tinytorch.core.embeddings import apply_rotary
from tinytorch.core.layers import Linear
from tinytorch.core.memoization import (
    Decoder,
    KVCache,
    cache_nbytes,
    fingerprint,
    make_caches,
    memoize,
    seconds_per_token,
)
from tinytorch.core.quantization import quantize
from tinytorch.core.tensor import matmul, permute, reshape, tensor, wrap
from tinytorch.core.transformers import GPT, GPTConfig
from tinytorch.optim import AdamW

pytestmark = pytest.mark.filterwarnings("error")


# Results under contents.


@pytest.fixture
def squares():
    """A memoized function, and the arguments that it really computed."""
    computed = []

    @memoize(maxsize=2)
    def square(x):
        computed.append(x)
        return x * x

    return square, computed


def test_equal_contents_are_computed_once(squares):
    square, computed = squares
    a = np.arange(6.0).reshape(2, 3)
    for x in (a, a.copy(), np.asfortranarray(a), a[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(square(x), a * a)
    assert len(computed) == 1
    assert (square.hits, square.misses, len(square)) == (3, 1, 1)


def test_an_argument_that_was_changed_in_place_is_another_one(squares):
    square, _ = squares
    a = np.ones(3)
    square(a)
    a[1] = 5
    np.testing.assert_array_equal(square(a), [1, 25, 1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(6), np.zeros((2, 3))),
        (np.zeros(2, np.float64), np.zeros(4, np.float32)),
        (np.zeros(2, np.int64), np.zeros(2, np.float64)),
        (np.zeros((0, 2)), np.zeros((2, 0))),
        (np.array(0.0), np.array(-0.0)),
        (tensor([1.0]), tensor([1.0]).numpy()),
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ((1, 2), [1, 2]),
        ((1, (2, 3)), (1, 2, 3)),
        ("1", 1),
        (None, 0),
    ],
    ids=str,
)
def test_what_differs_has_another_fingerprint(one, other):
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_nan_has_one_fingerprint():
    assert fingerprint(math.nan) == fingerprint(float("nan"))


@pytest.mark.parametrize("value", [{1: 2}, object(), np.array([None]), len], ids=["dict", "object", "O", "f"])
def test_what_has_no_contents_has_no_fingerprint(value):
    with pytest.raises(TypeError, match="memoize: arrays, numbers, strings and tuples of them have a key"):
        fingerprint(value)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 4))
def test_the_least_recently_used_goes_first(calls, maxsize):
    computed = []

    @memoize(maxsize=maxsize)
    def double(x):
        computed.append(x)
        return 2 * x

    recent, expected = [], []  # an independent account of the same rule
    for x in calls:
        assert double(x) == 2 * x
        if x in recent:
            recent.remove(x)
        else:
            expected.append(x)
        recent = [*recent, x][-maxsize:]
    assert computed == expected
    assert len(double) == len(recent)


def test_results_stay_below_a_number_of_bytes():
    zeros = memoize(np.zeros, maxsize=None, max_nbytes=100)
    for n in (5, 6, 7):
        zeros(n)
    assert (len(zeros), zeros.nbytes) == (1, 56)
    assert zeros(20).nbytes == 160  # too large to stay, and given all the same
    assert (len(zeros), zeros.nbytes) == (0, 0)


def test_nobody_can_change_what_others_will_get(squares):
    square, _ = squares
    a = np.ones(3)
    with pytest.raises(ValueError, match="read-only"):
        square(a)[0] = 7
    same = memoize(lambda x: x)
    same(a)
    a[0] = 2  # the argument is still the caller's own
    with pytest.raises(ValueError, match="in-place: read-only memory"):
        memoize(matmul)(tt.ones(2, 2), tt.ones(2, 2)).add_(1)
    with pytest.raises(TypeError, match="memoize: a list can be changed"):
        memoize(lambda: [1])()


def test_an_op_is_memoized_and_still_differentiated():
    product = memoize(matmul)
    a, b = tt.randn(3, 4), tt.randn(4, 2)
    assert product.__name__ == "matmul"
    np.testing.assert_array_equal(product(a, b).array, matmul(a, b).array)
    assert product(a, b) is product(a, b)
    a.requires_grad_()
    product(a, b).sum().backward()
    np.testing.assert_allclose(a.grad.array, np.tile(b.array.sum(1), (3, 1)), rtol=1e-6)
    with tt.no_grad():
        assert product(a, b) is product(a, b)


def test_keywords_are_part_of_the_key():
    total = memoize(lambda x, axis=0: x.sum(axis))
    x = np.ones((2, 3))
    assert total(x, axis=0).shape == (3,)
    assert total(x, axis=1).shape == (2,)
    assert (total.hits, total.misses) == (0, 2)
    total.clear()
    assert (len(total), total.misses, total.nbytes) == (0, 0, 0)


@pytest.mark.parametrize("bound", ["maxsize", "max_nbytes"])
def test_a_bound_is_at_least_1(bound):
    with pytest.raises(ValueError, match=f"memoize: {bound} is a number from 1, or None for no bound; 0"):
        memoize(len, **{bound: 0})


# Keys and values under positions: a model that has learned something.

VARIANTS = {
    "learned": {},
    "rotary": {"positions": "rotary"},
    "sinusoidal, rms": {"positions": "sinusoidal", "norm": "rms"},
    "no bias": {"positions": "rotary", "bias": False, "tie_weights": False},
}
TEXT = np.array([(7 * i * i + i // 5) % 13 for i in range(400)])  # no token follows from the last one alone


def trained(**choices):
    """A GPT that has been trained until its predictions are far from uniform."""
    tt.manual_seed(0)
    model = GPT(GPTConfig(13, **{"block_size": 24, "n_layer": 2, "n_head": 2, "n_embd": 16} | choices))
    optimizer, starts = AdamW(model.parameters(), lr=1e-2), np.random.default_rng(0)
    for _ in range(400):
        places = starts.integers(0, len(TEXT) - 25, 8)[:, None] + np.arange(24)
        optimizer.zero_grad()
        _, loss = model(tensor(TEXT[places]), tensor(TEXT[places + 1]))
        loss.backward()
        optimizer.step()
        if loss.item() < 0.75 * math.log(13):
            return model.eval()
    raise AssertionError(f"the loss is still {loss.item()}")


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def model(request):
    return trained(**VARIANTS[request.param])


@pytest.fixture(scope="module")
def rotary():
    return trained(positions="rotary")


def text(batch, length, seed=1):
    return tensor(np.random.default_rng(seed).integers(0, 13, (batch, length)))


def in_steps(model, ids, caches, steps):
    """The logits (B, T, V) of tokens that come in pieces of these lengths."""
    logits, start = [], 0
    with tt.no_grad():
        for step in steps:
            logits.append(model(ids[:, start : start + step], cache=caches)[0].array)
            start += step
    return np.concatenate(logits, 1)


def with_window(model, ids, window):
    """The logits of a whole text under a mask that shows each position the last `window` ones."""
    parts, (B, T) = model.transformer, ids.shape
    i, j = np.ogrid[:T, :T]
    mask = wrap((j <= i) & (j > i - window))
    with tt.no_grad():
        x = parts.wte(ids)
        if "wpe" in parts:
            x = x + parts.wpe(T)
        for block in parts.h:
            attn, h = block.attn, block.attn.num_heads
            qkv = reshape(attn.c_attn(block.ln_1(x)), (B, T, 3, h, -1))
            q, k, v = permute(qkv, (2, 0, 3, 1, 4))  # (B, h, T, d)
            if attn.rotary is not None:
                q, k = (apply_rotary(x, *attn.rotary(T)) for x in (q, k))
            mixed = permute(scaled_dot_product_attention(q, k, v, mask), (0, 2, 1, 3))
            x = x + attn.c_proj(reshape(mixed, (B, T, -1)))
            x = x + block.mlp(block.ln_2(x))
        return model.lm_head(parts.ln_f(x)).array


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("make", [lambda model: model, Decoder], ids=["model", "decoder"])
def test_logits_at_every_step_are_those_without_a_cache(model, make, batch):
    ids, caches = text(batch, 24), make_caches(model, batch)
    step_by_step = in_steps(make(model), ids, caches, [1] * 24)
    with tt.no_grad():
        for n in range(1, 25):
            again = model(ids[:, :n])[0].array[:, -1]
            np.testing.assert_allclose(step_by_step[:, n - 1], again, atol=1e-5)
    assert [len(cache) for cache in caches] == [24, 24]


@pytest.mark.parametrize("make", [lambda model: model, Decoder], ids=["model", "decoder"])
def test_greedy_tokens_are_identical(model, make):
    ids = text(2, 3)
    expected = model.generate(ids, 21, temperature=0).array
    cached = make(model).generate(ids, 21, temperature=0, cache=make_caches(model, 2)).array
    assert cached.tolist() == expected.tolist()
    assert len({tuple(row) for row in expected.tolist()}) == 2


def test_drawn_tokens_are_identical(model):
    settings = {"temperature": 0.9, "top_k": 5, "generator": 3}
    expected = model.generate(text(2, 3), 20, **settings).array
    assert Decoder(model).generate(text(2, 3), 20, **settings).array.tolist() == expected.tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(1, 2))
def test_tokens_may_come_in_pieces_of_any_length(rotary, steps, batch):
    steps = [n for i, n in enumerate(steps) if sum(steps[: i + 1]) <= 24]
    ids = text(batch, sum(steps))
    with tt.no_grad():
        whole = rotary(ids)[0].array
    np.testing.assert_allclose(in_steps(rotary, ids, make_caches(rotary, batch), steps), whole, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 24))
def test_a_window_is_a_mask(rotary, steps, window):
    ids = text(2, sum(steps))  # also beyond block_size
    expected = with_window(rotary, ids, window)
    for model in (rotary, Decoder(rotary)):
        caches = make_caches(model, 2, window)
        np.testing.assert_allclose(in_steps(model, ids, caches, steps), expected, atol=1e-5)
        assert all(cache.keys.shape[3] == window for cache in caches)


def test_a_window_is_a_mask_for_all_positions(model):
    ids = text(2, 24)
    for steps in ([1] * 24, [10, 14], [24]):
        logits = in_steps(model, ids, make_caches(model, 2, window=5), steps)
        np.testing.assert_allclose(logits, with_window(model, ids, 5), atol=1e-5)


def test_rotary_positions_let_a_window_slide_for_ever():
    model = trained(positions="rotary", n_layer=1)
    ids, caches = text(1, 200), make_caches(model, window=8)
    logits = in_steps(Decoder(model), ids, caches, [1] * 200)
    with tt.no_grad():  # one block sees the last 8 tokens alone, wherever they stand
        np.testing.assert_allclose(logits[:, -1], model(ids[:, -8:])[0].array[:, -1], atol=1e-4)
    assert len(caches[0]) == 200
    assert caches[0].nbytes == 2 * 8 * 16 * 4


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_a_table_of_positions_ends_under_a_window_too(positions):
    model = GPT(GPTConfig(13, 8, 1, 1, 4, positions=positions))
    caches = make_caches(model, window=4)
    in_steps(model, text(1, 8), caches, [1] * 8)
    with pytest.raises(ValueError, match="GPT: 9 tokens came, block_size is 8"):
        in_steps(model, text(1, 1), caches, [1])


def test_a_prompt_is_computed_once_for_many_answers(rotary):
    caches, prompt = make_caches(rotary), text(1, 10)
    in_steps(rotary, prompt, caches, [10])
    for seed in (2, 3):
        answer = text(1, 6, seed)
        logits = in_steps(rotary, answer, caches, [1] * 6)
        with tt.no_grad():
            whole = rotary(tt.cat([prompt, answer], 1))[0].array[:, 10:]
        np.testing.assert_allclose(logits, whole, atol=1e-5)
        for cache in caches:
            cache.crop(10)
    for cache in caches:
        cache.reset()
    np.testing.assert_array_equal([len(cache) for cache in caches], 0)
    with tt.no_grad():
        np.testing.assert_allclose(
            in_steps(rotary, prompt, caches, [4, 6]), rotary(prompt)[0].array, atol=1e-5
        )


def test_double_precision_stays(rotary):
    double = GPT(rotary.config).double()
    double.load_state_dict(rotary.state_dict())
    caches, ids = make_caches(double), text(1, 12)
    logits = in_steps(Decoder(double), ids, caches, [1] * 12)
    assert caches[0].keys.dtype == logits.dtype == np.float64
    with tt.no_grad():
        np.testing.assert_allclose(logits, double(ids)[0].array, atol=1e-12)


def test_half_precision_halves_the_memory(rotary):
    half, full, ids = make_caches(rotary, dtype=tt.float16), make_caches(rotary), text(1, 24)
    assert 2 * half[0].nbytes == full[0].nbytes
    logits = in_steps(rotary, ids, half, [8, *[1] * 16])
    assert logits.dtype == np.float32
    difference = np.abs(logits - in_steps(rotary, ids, full, [24])).max()
    assert 0 < difference < 0.05


def test_a_layer_of_another_class_is_called():
    class Doubled(Linear):
        def forward(self, input):
            return super().forward(input) * 2

    tt.manual_seed(0)
    model = GPT(GPTConfig(13, 8, 1, 2, 8, norm="rms"))
    model.transformer.h[0].mlp.c_proj = Doubled(32, 8)
    ids = text(2, 8)
    with tt.no_grad():
        whole = model(ids)[0].array
    np.testing.assert_allclose(
        in_steps(Decoder(model), ids, make_caches(model, 2), [1] * 8), whole, atol=1e-5
    )


def test_a_quantized_model_writes_the_same_with_caches(rotary):
    small = quantize(rotary)
    expected = small.generate(text(2, 3), 20, temperature=0).array
    for writer in (small, Decoder(small)):
        out = writer.generate(text(2, 3), 20, temperature=0, cache=make_caches(small, 2)).array
        assert out.tolist() == expected.tolist()


def test_a_decoder_turns_every_position_by_its_own_angle():
    """Also beyond the positions whose angles are made together."""
    tt.manual_seed(4)
    model = GPT(GPTConfig(11, 300, n_layer=2, n_head=2, n_embd=16, positions="rotary")).eval()
    ids = tensor([[1, 2, 3]])
    plain = model.generate(ids, 290, temperature=0).numpy()
    np.testing.assert_array_equal(Decoder(model).generate(ids, 290, temperature=0).numpy(), plain)


def test_a_decoder_follows_the_parameters(rotary):
    model = GPT(rotary.config)
    decoder = Decoder(model)
    model.load_state_dict(rotary.state_dict())
    ids = text(1, 5)
    np.testing.assert_allclose(
        in_steps(decoder, ids, make_caches(model), [1] * 5),
        in_steps(rotary, ids, make_caches(model), [1] * 5),
        atol=1e-5,
    )


def test_a_decoder_leaves_training_to_the_model(rotary):
    ids = text(2, 6)
    _, loss = Decoder(rotary)(ids, ids)
    loss.backward()
    assert next(rotary.parameters()).grad is not None
    rotary.zero_grad()


# The memory.


@pytest.mark.parametrize(("batch", "length", "window"), [(1, None, None), (3, 10, None), (2, None, 4)])
@pytest.mark.parametrize("dtype", [tt.float16, tt.float32, tt.float64], ids=str)
def test_memory_is_as_the_formula_says(batch, length, window, dtype):
    config = GPTConfig(13, 20, n_layer=3, n_head=2, n_embd=8)
    caches = make_caches(GPT(config), batch, window, dtype, length)
    expected = 2 * 3 * batch * (window or length or 20) * 8 * dtype.itemsize
    assert sum(cache.nbytes for cache in caches) == expected
    assert cache_nbytes(config, window or length, batch, dtype) == expected


def heads(batch=1, length=1, dtype=tt.float32):
    return tt.randn(batch, 2, length, 4, dtype=dtype)


def test_all_keys_and_values_are_views_of_memory_that_was_there_before():
    cache = KVCache(1, 2, 4, 16)
    before, k, v = cache.nbytes, heads(length=3), heads(length=3)
    all_k, all_v = cache.update(k, v)
    assert np.shares_memory(all_k.array, cache.keys)
    assert np.shares_memory(all_v.array, cache.values)
    np.testing.assert_array_equal(all_k.array, k.array)
    np.testing.assert_array_equal(all_v.array, v.array)
    assert all_k.array.swapaxes(2, 3).strides[-1] == 4  # as q @ K^T reads it
    assert (len(cache), cache.nbytes) == (3, before)
    assert cache.update(heads(), heads())[0].shape == (1, 2, 4, 4)


@pytest.mark.skipif(sys.platform == "emscripten", reason="tracemalloc does not see NumPy's memory there")
@pytest.mark.parametrize("wrapper", [lambda model: model, Decoder], ids=["GPT", "Decoder"])
def test_one_more_token_takes_no_memory_but_its_scores(wrapper):
    """No key and no value is copied: with 960 positions more, a step needs 960 scores a head more."""
    model = GPT(GPTConfig(11, 1024, n_layer=1, n_head=4, n_embd=64)).eval()
    one_more, ids, caches, peaks = wrapper(model), tensor([[3]]), make_caches(model), {}
    with tt.no_grad():
        model(tensor(np.zeros((1, 1023), np.int64)), cache=caches)
        tracemalloc.start()
        try:
            for past in (1023, 63):
                caches[0].crop(past)
                before = tracemalloc.get_traced_memory()[0]
                tracemalloc.reset_peak()
                one_more(ids, cache=caches)
                peaks[past] = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
    assert peaks[1023] - peaks[63] <= 3 * 960 * 4 * 4  # twice over, and something for Python


def test_an_empty_update_adds_nothing():
    for window in (None, 3):
        cache = KVCache(1, 2, 4, 16, window)
        assert cache
        assert cache.update(heads(length=0), heads(length=0))[0].shape == (1, 2, 0, 4)
        cache.update(heads(length=2), heads(length=2))
        assert cache.update(heads(length=0), heads(length=0))[0].shape == (1, 2, 2, 4)
        assert len(cache) == 2


def test_a_cache_says_what_it_is():
    cache = KVCache(1, 2, 4, 16, window=3)
    assert repr(cache) == (
        "KVCache(batch_size=1, num_heads=2, head_dim=4, max_length=16, window=3, dtype=float32): "
        "0 positions, 192 bytes"
    )


# What breaks.


def test_more_positions_than_there_is_room_for():
    cache = KVCache(1, 2, 4, 3)
    cache.update(heads(length=2), heads(length=2))
    with pytest.raises(ValueError, match="2 positions are there and 2 came, max_length is 3; reset"):
        cache.update(heads(length=2), heads(length=2))
    assert len(cache) == 2


def test_a_text_longer_than_the_model(rotary):
    caches = make_caches(rotary)
    with pytest.raises(ValueError, match="GPT: 25 tokens came, block_size is 24"):
        rotary.generate(text(1, 20), 6, cache=caches)
    with pytest.raises(ValueError, match="GPT: 25 tokens came, block_size is 24"):
        Decoder(rotary).generate(text(1, 20), 6)


def test_a_cache_shorter_than_the_model_changes_in_no_block(rotary):
    caches = make_caches(rotary, max_length=3)
    with pytest.raises(ValueError, match="KVCache: 3 positions are there and 1 came, max_length is 3"):
        Decoder(rotary).generate(text(1, 3), 3, cache=caches)
    assert [len(cache) for cache in caches] == [3, 3]


@pytest.mark.parametrize("make", [lambda model: model, Decoder], ids=["model", "decoder"])
def test_another_batch_than_the_cache_was_made_for(rotary, make):
    with pytest.raises(ValueError, match=r"made for keys \(1, 2, T, 8\), batch_size 1; \(3, 2, 1, 8\) came"):
        make(rotary).generate(text(3, 1), 2, cache=make_caches(rotary))


@pytest.mark.parametrize("make", [lambda model: model, Decoder], ids=["model", "decoder"])
def test_another_number_of_caches_than_blocks(rotary, make):
    with pytest.raises(ValueError, match="GPT: 2 blocks need a cache each, 1 came"):
        make(rotary).generate(text(1, 2), 2, cache=make_caches(rotary)[:1])


@pytest.mark.parametrize("shape", [(1, 2, 1, 3), (1, 1, 1, 4), (1, 2, 4), (1, 2, 2, 4)], ids=str)
def test_values_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"KVCache: it was made for values \(1, 2, T, 4\), batch_size 1"):
        KVCache(1, 2, 4, 8).update(heads(), tt.zeros(shape))


def test_no_gradient_flows_into_the_past(rotary):
    with pytest.raises(RuntimeError, match=r"KVCache: no gradient flows into the past; .* no_grad\(\)"):
        rotary(text(1, 2), cache=make_caches(rotary))


def test_a_crop_has_bounds():
    cache = KVCache(1, 2, 4, None, window=3)
    with pytest.raises(ValueError, match="0 positions are there, so none can be cropped to 1"):
        cache.crop(1)
    cache.update(heads(length=5), heads(length=5))
    cache.crop(5)
    with pytest.raises(ValueError, match="the window holds positions 2 to 4; what positions before 4 see"):
        cache.crop(4)
    cache.crop(0)
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 2, 4, 8), "batch_size is a whole number from 1, 0 came"),
        ((1, 2, 4, 2.5), "max_length is a whole number from 1, 2.5 came"),
        ((1, 2, 4, 8, 0), "window is a whole number from 1, 0 came"),
        ((1, 2, 4, None), "without max_length there is no end to it; give it a window"),
    ],
)
def test_sizes_of_a_cache_are_checked(sizes, message):
    with pytest.raises(ValueError, match=f"KVCache: {message}"):
        KVCache(*sizes)


@pytest.mark.parametrize("name", ["window", "max_length"])
def test_no_cache_is_longer_than_the_model(rotary, name):
    with pytest.raises(ValueError, match=f"make_caches: block_size is 24, a {name} of 25 came"):
        make_caches(rotary, **{name: 25})


def test_the_time_of_one_more_token_is_measured_at_its_place(rotary):
    times = seconds_per_token(Decoder(rotary), (1, 23), batch_size=2, repeat=3)
    assert list(times) == [1, 23]
    assert all(0 < t.fastest <= t.median <= t.slowest for t in times.values())
