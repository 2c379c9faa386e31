"""Acceleration: every rung gives what the definition gives, and Winograd its gradients too."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch import nn
from tinytorch.core import acceleration
from tinytorch.core.acceleration import (
    KA,
    KB,
    KG,
    A,
    B,
    G,
    Rung,
    WinogradConv2d,
    accelerate,
    compare_variants,
    conv2d_winograd,
    convolution_rungs,
    fuse,
    interleaved,
    ladder,
    ladder_table,
    runs_by_winograd,
    step_ladder,
    threads,
    winograd_operations,
)
from tinytorch.core.autograd import gradcheck
from tinytorch.core.layers import Flatten, Linear, Sequential
from tinytorch.core.profiling import count_flops
from tinytorch.core.spatial import Conv2d, conv2d
from tinytorch.core.tensor import float64, randn
from tinytorch.core.transformers import GPT, GPTConfig
from tinytorch.utils.threads import get_num_threads

try:
    import numba
except ImportError:
    numba = None


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle: make oracle")


def example(n=2, c=3, o=4, height=7, width=6, dtype=np.float32):
    draws = np.random.default_rng(1)
    sizes = (n, height, width, c), (o, c, 3, 3), (o,)
    return [draws.standard_normal(size).astype(dtype) for size in sizes]


# Winograd.


def test_the_kronecker_products_do_what_the_two_sided_products_do():
    draws = np.random.default_rng(0)
    d, w, m = (draws.standard_normal(shape) for shape in ((6, 6), (3, 3), (6, 6)))
    np.testing.assert_allclose(KB @ d.reshape(-1), (B.T @ d @ B).reshape(-1), atol=1e-12)
    np.testing.assert_allclose(KG @ w.reshape(-1), (G @ w @ G.T).reshape(-1), atol=1e-12)
    np.testing.assert_allclose(KA @ m.reshape(-1), (A.T @ m @ A).reshape(-1), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(1, 11)] * 2),
    st.tuples(*[st.integers(0, 2)] * 2),
    st.booleans(),
    st.sampled_from([tt.float32, tt.float64]),
)
def test_winograd_is_conv2d_with_its_gradients(counts, size, padding, with_bias, dtype):
    size = tuple(max(n, 3 - 2 * p) for n, p in zip(size, padding, strict=True))
    n, c, o = counts
    inputs = [randn(n, c, *size, dtype=dtype), randn(o, c, 3, 3, dtype=dtype)]
    if with_bias:
        inputs.append(randn(o, dtype=dtype))
    tolerance = 5e-3 if dtype == tt.float32 else 1e-11
    results = []
    for function in (conv2d, conv2d_winograd):
        leaves = [x.detach().requires_grad_() for x in inputs]
        out = function(*leaves, padding=padding)
        (out * out).sum().backward()
        results.append([out, *(x.grad for x in leaves)])
    for expected, got in zip(*results, strict=True):
        assert got.dtype == dtype
        assert got.shape == expected.shape
        scale = max(1.0, float(np.abs(expected.detach().numpy()).max(initial=0)))
        np.testing.assert_allclose(
            got.detach().numpy() / scale, expected.detach().numpy() / scale, atol=tolerance, rtol=0
        )


@pytest.mark.parametrize(("size", "padding"), [((5, 6), 1), ((3, 9), 0), ((4, 4), (2, 1)), ((1, 1), 1)])
def test_winograds_derivatives_are_the_differences(size, padding):
    inputs = [randn(2, 2, *size, dtype=float64), randn(3, 2, 3, 3, dtype=float64), randn(3, dtype=float64)]
    leaves = [x.requires_grad_() for x in inputs]
    assert gradcheck(lambda x, w, b: conv2d_winograd(x, w, b, padding), leaves)


@pytest.mark.parametrize("padding", [0, 1, (1, 0), "same", "valid"])
def test_winograd_is_torchs_conv2d(torch, padding):
    x, w, b = randn(3, 16, 14, 9), randn(20, 16, 3, 3), randn(20)
    leaves = [t.requires_grad_() for t in (x, w, b)]
    others = [torch.tensor(t.detach().numpy(), requires_grad=True) for t in leaves]
    out, expected = conv2d_winograd(*leaves, padding), torch.nn.functional.conv2d(*others, padding=padding)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=5e-3)
    g = randn(*out.shape)
    out.backward(g)
    expected.backward(torch.tensor(g.numpy()))
    for ours, theirs in zip(leaves, others, strict=True):
        error = np.abs(ours.grad.numpy() - theirs.grad.numpy()).max()
        assert error <= 5e-3 * max(1.0, float(theirs.grad.abs().max()))


def test_a_batch_larger_than_the_cache_is_cut_into_blocks_without_a_seam():
    x, w, b = randn(9, 24, 33, 70), randn(17, 24, 3, 3), randn(17)
    tiles = acceleration.input_tiles(x.numpy().transpose(0, 2, 3, 1), (1, 1))
    assert len(acceleration.blocks_of(tiles, 17)[0]) > 2
    leaves = [t.requires_grad_() for t in (x, w, b)]
    grads = []
    for function in (conv2d, conv2d_winograd):
        out = function(*leaves, padding=1)
        (out * out).mean().backward()
        grads.append([out.detach().numpy(), *(t.grad.numpy() for t in leaves)])
        for t in leaves:
            t.grad = None
    for expected, got in zip(*grads, strict=True):
        np.testing.assert_allclose(got, expected, atol=5e-3 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("n", "c", "o"), [(0, 2, 2), (2, 0, 2), (2, 2, 0)])
def test_winograd_of_nothing(n, c, o):
    leaves = [t.requires_grad_() for t in (randn(n, c, 5, 5), randn(o, c, 3, 3), randn(o))]
    out = conv2d_winograd(*leaves, padding=1)
    np.testing.assert_array_equal(
        out.detach().numpy(), np.broadcast_to(leaves[2].detach().numpy()[:, None, None], (n, o, 5, 5))
    )
    out.sum().backward()
    assert [t.grad.shape for t in leaves] == [t.shape for t in leaves]
    assert not leaves[0].grad.numpy().any()


def test_one_image_goes_in_and_comes_out_as_it_is():
    x, w = randn(3, 8, 8), randn(5, 3, 3, 3)
    np.testing.assert_allclose(
        conv2d_winograd(x, w, padding=1).numpy(), conv2d(x, w, padding=1).numpy(), atol=5e-3
    )


def test_winograd_counts_the_operations_that_it_does():
    x, w = randn(2, 64, 16, 16), randn(64, 64, 3, 3)
    assert count_flops(lambda: conv2d_winograd(x, w, padding=1)) == winograd_operations(2 * 16, 64, 64)
    assert winograd_operations(32, 64, 64) < 32 * 2 * 144 * 64 * 64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, w: conv2d_winograd(x, w[:, :, :2]), ValueError, "3x3 kernels are needed"),
        (lambda x, w: conv2d_winograd(x, w, padding=3), ValueError, "padding is at most 2, 3 came"),
        (lambda x, w: conv2d_winograd(x[:, :2], w), ValueError, "the input has 2 channels"),
        (lambda x, w: conv2d_winograd(x.to(tt.float16), w.to(tt.float16)), TypeError, "float32 or float64"),
        (lambda x, w: conv2d_winograd(x, w.to(float64)), TypeError, "float32 and float64 came"),
        (lambda x, w: conv2d_winograd(x[:, :, :2], w), ValueError, "does not fit"),
        (lambda x, w: conv2d_winograd(x[0, 0], w), ValueError, r"images \(N, C, H, W\)"),
    ],
)
def test_what_winograd_cannot_do_is_said(call, error, message):
    with pytest.raises(error, match=message):
        call(randn(1, 3, 6, 6), randn(4, 3, 3, 3))


# A model.


def network(channels=64):
    tt.manual_seed(0)
    return Sequential(
        Conv2d(3, channels, 3, padding=1), nn.ReLU(),
        Conv2d(channels, channels, 3, padding="same"), nn.ReLU(),
        Conv2d(channels, channels, 3, stride=2), Conv2d(channels, channels, 1),
        Flatten(), Linear(channels * 9, 10),
    )  # fmt: skip


def test_accelerate_changes_the_layers_that_gain_and_no_number():
    model = network()
    faster = accelerate(model)
    assert [type(m) is WinogradConv2d for m in faster] == [i == 2 for i in range(8)]
    assert type(model[2]) is Conv2d
    x = randn(2, 3, 8, 8)
    np.testing.assert_allclose(faster(x).detach().numpy(), model(x).detach().numpy(), atol=5e-3)
    assert faster[2].weight is not model[2].weight
    assert list(faster.state_dict()) == list(model.state_dict())
    model.load_state_dict(faster.state_dict())


def test_an_accelerated_model_trains():
    models = network(), accelerate(network())
    x, target = randn(4, 3, 8, 8), tt.tensor([1, 2, 3, 4])
    losses = []
    for model in models:
        optimizer = tt.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert math.isclose(*losses, rel_tol=1e-3)


def test_a_layer_that_occurs_twice_still_does():
    layer = Conv2d(64, 64, 3, padding=1)
    faster = accelerate(Sequential(layer, layer))
    assert faster[0] is faster[1]
    assert type(faster[0]) is WinogradConv2d


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 5}, {"kernel_size": 3, "stride": 2}, {"kernel_size": 3, "groups": 2},
        {"kernel_size": 3, "dilation": 2}, {"kernel_size": 3, "padding": 3},
        {"kernel_size": 3, "dtype": tt.float16},
    ],
)  # fmt: skip
def test_other_layers_stay(settings):
    assert not runs_by_winograd(Conv2d(64, 64, **settings))
    assert runs_by_winograd(Conv2d(64, 64, 3, padding=2))


def test_a_model_without_such_layers_is_an_error():
    with pytest.raises(ValueError, match="Linear has no Conv2d with a 3x3 kernel"):
        accelerate(Linear(2, 2))


# A whole network in evaluation mode.


def seen_once(model, shape):
    """The model in evaluation mode, its batch norms with figures, weights and biases of their own."""
    tt.manual_seed(3)
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    with tt.no_grad():
        model.train()(randn(*shape) * 3 + 1)
    return model.eval()


FUSABLE = {
    "conv, norm, ReLU": lambda: [
        nn.Conv2d(3, 8, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
    ],
    "with a bias": lambda: [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)],
    "pooling before the norm": lambda: [
        nn.Conv2d(3, 6, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU()
    ],
    "Winograd": lambda: [nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()],
    "groups and a norm without weights": lambda: [
        nn.Conv2d(3, 6, 3, groups=3, dilation=2), nn.BatchNorm2d(6, affine=False)
    ],
    "what is not fused": lambda: [
        nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 7 * 6, 5)
    ],
}  # fmt: skip


@pytest.mark.parametrize("block", [2, 32])
@pytest.mark.parametrize("layers", FUSABLE.values(), ids=FUSABLE)
def test_a_fused_network_gives_what_the_network_gives(layers, block):
    model = seen_once(Sequential(*layers()), (5, 3, 9, 8))
    x = randn(5, 3, 9, 8)
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    out = fuse(model, block)(x)
    np.testing.assert_allclose(out.numpy(), model(x).detach().numpy(), rtol=1e-4, atol=1e-4)
    assert not out.requires_grad
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name], err_msg=name)


def test_a_norm_that_turns_numbers_around_stays_behind_the_pooling():
    model = seen_once(
        Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU()), (4, 3, 8, 8)
    )
    model[2].weight.data = tt.tensor([1.0, -1.0, 0.5, -2.0])
    x = randn(3, 3, 8, 8)
    np.testing.assert_allclose(fuse(model)(x).numpy(), model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_threads_give_the_same_as_one():
    model = seen_once(Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()), (4, 3, 8, 8))
    fused, x = fuse(model, block=2), randn(9, 3, 8, 8)
    with threads(1):
        alone = fused(x).numpy()
    with threads(2):
        np.testing.assert_allclose(fused(x).numpy(), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda: Linear(2, 2), TypeError, "a Sequential is needed, Linear came"),
        (lambda: Sequential(Linear(2, 2)), ValueError, "there is no Conv2d"),
        (
            lambda: Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, track_running_stats=False)),
            ValueError, "depends on the whole batch",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_fused(model, error, message):
    with pytest.raises(error, match=message):
        fuse(model())


# The ladder.


@pytest.mark.parametrize("sizes", [{}, {"n": 1, "c": 1, "o": 1, "height": 1, "width": 1}, {"n": 0}])
def test_every_rung_gives_the_same(sizes):
    x, w, b = example(**sizes)
    expected = np.maximum(conv2d(*map(tt.tensor, (x.transpose(0, 3, 1, 2), w, b)), padding=1).numpy(), 0)
    rungs = convolution_rungs(x, w, b, 2)
    names = ["loops", "vectorized", "blocked", "fused", "Winograd", "threads", "compiled", "GPU"]
    assert list(rungs) == names
    for name, way in rungs.items():
        if callable(way):
            out = way()
            out = out if isinstance(out, np.ndarray) else out.get()
            np.testing.assert_allclose(out.transpose(0, 3, 1, 2), expected, atol=1e-4, err_msg=name)
            assert out.dtype == np.float32


def test_the_compiled_rung_runs_or_says_what_is_missing():
    x, w, b = example()
    rung = convolution_rungs(x, w, b, 1)["compiled"]
    if numba is None:
        assert rung == "Numba is not installed; pip install 'tinytorch[fast]'"
        with pytest.raises(ImportError, match="Numba is not installed"):
            acceleration.compiled()
    else:
        assert np.allclose(rung(), convolution_rungs(x, w, b, 1)["loops"](), atol=1e-4)


def test_one_thread_is_no_rung():
    assert "one thread" in convolution_rungs(*example(), 1)["threads"]


def test_the_ladder_says_time_work_and_bound_of_each_rung():
    rungs = ladder(1, 8, 8, 8, repeat=1, count=1)
    for rung in rungs:
        assert rung.flops == 2 * 9 * 64 * 8 * 8
        if rung.note:
            assert math.isnan(rung.seconds)
        else:
            assert rung.seconds > 0
            assert rung.gflops > 0
    by_name = {rung.name: rung for rung in rungs}
    assert by_name["loops"].seconds > 10 * by_name["fused"].seconds
    assert by_name["vectorized"].bound >= by_name["fused"].bound > 0
    table = ladder_table(rungs)
    assert "threads     skipped: " in table
    assert len(table.splitlines()) == 1 + len(rungs)


def test_a_rungs_figures():
    rung = Rung("x", 0.5, 10**9, 0.25)
    assert (rung.gflops, rung.bound_gflops) == (2, 4)


def test_interleaved_calls_all_in_turns():
    called = []
    timings = interleaved({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 3)
    assert called == list("abababab")
    assert all(0 <= t.fastest <= t.median <= t.slowest for t in timings.values())


def test_threads_are_given_back_after_an_error():
    before = get_num_threads()
    with threads(1):
        assert get_num_threads() == 1
    assert get_num_threads() == before
    with pytest.raises(ZeroDivisionError), threads(1):
        raise ZeroDivisionError
    assert get_num_threads() == before


# Whole models.


def test_what_quantization_compression_and_winograd_change():
    variants = {v.name: v for v in compare_variants(network(), randn(1, 3, 8, 8), repeat=1)}
    assert list(variants)[:3] == ["as it is", "int8 weights", "int4 weights"]
    assert variants["as it is"].difference == 0
    assert variants["Winograd"].difference < 5e-3
    assert variants["Winograd"].nbytes == variants["as it is"].nbytes
    assert variants["int8 weights"].nbytes < variants["as it is"].nbytes / 3.5
    assert variants["half the channels"].nbytes < variants["as it is"].nbytes / 2.5
    assert all(v.seconds > 0 for v in variants.values())


@pytest.fixture
def gpt():
    tt.manual_seed(0)
    return GPT(GPTConfig(20, block_size=24, n_layer=2, n_head=2, n_embd=16))


def test_a_change_that_a_model_has_no_layers_for_is_left_out(gpt):
    names = [v.name for v in compare_variants(gpt, tt.zeros(1, 8, dtype=tt.int64), repeat=1)]
    assert names[:3] == ["as it is", "int8 weights", "int4 weights"]
    assert "Winograd" not in names
    assert "half the channels" not in names


def test_one_more_token_is_measured_four_ways(gpt):
    steps = step_ladder(gpt, 12, repeat=2)
    assert list(steps) == ["all again", "caches", "decoder", "decoder, int8"]
    assert all(t.median > 0 for t in steps.values())
