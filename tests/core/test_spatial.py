"""Convolution, pooling and batch normalization: against their definition, PyTorch and central differences."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch import nn
from tinytorch.core import spatial
from tinytorch.core.autograd import gradcheck
from tinytorch.core.spatial import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    TriangularLR,
    avg_pool2d,
    batch_norm,
    channels_last,
    conv2d,
    conv2d_loops,
    conv_transpose2d,
    max_pool2d,
)
from tinytorch.core.tensor import tensor

SEED = 9


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


@pytest.fixture(params=["one tile", "many tiles", "bands of rows"])
def tiles(request, monkeypatch):
    """The size of a tile, so that a batch fits into one, takes several, or an image alone takes several."""
    monkeypatch.setattr(
        spatial, "TILE", {"one tile": 2 << 20, "many tiles": 4000, "bands of rows": 300}[request.param]
    )


def normal(*shape, seed=SEED, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaves(module, arrays):
    return [module.tensor(array.copy(), requires_grad=True) for array in arrays]


def assert_like_torch(torch, call, *arrays, tolerance=1e-9):
    """call(library, *tensors) gives the same result and the same gradients in both."""
    mine, theirs = leaves(tt, arrays), leaves(torch, arrays)
    out, oracle = call(tt, *mine), call(torch, *theirs)
    assert out.shape == tuple(oracle.shape)
    weights = normal(*out.shape, seed=1)
    (out * tt.tensor(weights)).sum().backward()
    (oracle * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(out.detach().numpy(), oracle.detach().numpy(), tolerance, tolerance)
    for x, y in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), tolerance, tolerance)


# Convolution.

GEOMETRIES = [  # height, width, kernel, stride, padding, dilation, groups
    (5, 7, (3, 3), 1, 0, 1, 1),
    (5, 7, (3, 3), 1, 1, 1, 1),
    (6, 6, (1, 1), 1, 0, 1, 1),
    (6, 5, (1, 1), 2, 0, 1, 2),
    (7, 8, (4, 4), 2, 1, 1, 1),
    (7, 8, (2, 3), (2, 1), (0, 2), (1, 2), 1),
    (9, 9, (3, 3), 1, 4, 2, 2),
    (9, 8, (3, 2), 3, 2, 2, 4),
    (5, 5, (3, 3), 1, 1, 1, 4),
    (4, 4, (1, 1), 1, 2, 1, 1),
    (1, 1, (1, 1), 1, 0, 1, 1),
    (3, 3, (3, 3), 1, 0, 1, 1),
]


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_fast_convolution_is_the_naive_one(geometry):
    height, width, kernel, *settings, groups = geometry
    x, w, b = normal(3, 4, height, width), normal(8, 4 // groups, *kernel), normal(8)
    fast = conv2d(tensor(x), tensor(w), tensor(b), *settings, groups).numpy()
    np.testing.assert_allclose(fast, conv2d_loops(x, w, b, *settings, groups), 1e-10, 1e-10)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_convolution_is_pytorchs(geometry, batch, torch):
    height, width, kernel, *settings, groups = geometry
    arrays = normal(batch, 4, height, width), normal(8, 4 // groups, *kernel), normal(8)
    assert_like_torch(torch, lambda T, x, w, b: T.nn.functional.conv2d(x, w, b, *settings, groups), *arrays)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_the_gradient_of_convolution_agrees_with_central_differences(geometry):
    height, width, kernel, *settings, groups = geometry
    inputs = leaves(tt, (normal(2, 4, height, width), normal(4, 4 // groups, *kernel), normal(4)))
    assert gradcheck(lambda x, w, b: conv2d(x, w, b, *settings, groups), inputs)


@given(data=st.data())
def test_any_convolution_that_fits_is_the_naive_one(data):
    size = st.integers(1, 7)
    groups = data.draw(st.integers(1, 3), "groups")
    channels, outputs = (groups * data.draw(st.integers(1, 2)) for _ in range(2))
    n, height, width, kh, kw = data.draw(st.integers(0, 3)), *(data.draw(size) for _ in range(4))
    stride, dilation = (data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    padding = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    reach = dilation[0] * (kh - 1), dilation[1] * (kw - 1)
    assume(height + 2 * padding[0] > reach[0])
    assume(width + 2 * padding[1] > reach[1])
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    x, w = (
        normal(n, channels, height, width, dtype=dtype),
        normal(outputs, channels // groups, kh, kw, dtype=dtype),
    )
    out = conv2d(tensor(x), tensor(w), None, stride, padding, dilation, groups)
    assert out.dtype == dtype
    bound = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(
        out.numpy(), conv2d_loops(x, w, None, stride, padding, dilation, groups), bound, bound
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [1, 2, 3, (4, 5)])
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_padding_by_name(padding, kernel, torch):
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    arrays = normal(2, 3, 7, 8), normal(4, 3, *kernel)
    assert_like_torch(torch, lambda T, x, w: T.nn.functional.conv2d(x, w, padding=padding), *arrays)


def test_a_single_image_needs_no_batch(torch):
    arrays = normal(3, 6, 7), normal(4, 3, 3, 3), normal(4)
    assert_like_torch(torch, lambda T, x, w, b: T.nn.functional.conv2d(x, w, b, 2, 1), *arrays)
    assert_like_torch(
        torch,
        lambda T, x, w: T.nn.functional.conv_transpose2d(x, w, None, 2),
        normal(3, 4, 5),
        normal(3, 2, 3, 3),
    )
    assert_like_torch(torch, lambda T, x: T.nn.functional.max_pool2d(x, 2), normal(3, 6, 7))
    assert_like_torch(torch, lambda T, x: T.nn.functional.avg_pool2d(x, 2), normal(3, 6, 7))


def test_threads_do_not_change_the_result():
    x, w = normal(7, 3, 9, 9), normal(5, 3, 3, 3)

    def run():
        a, b = leaves(tt, (x, w))
        y = batch_norm(max_pool2d(conv2d(a, b, padding=1), 2), None, None, training=True)
        (y * y * tensor(normal(*y.shape))).sum().backward()
        return y.detach().numpy(), a.grad.numpy(), b.grad.numpy()

    before = tt.get_num_threads()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spatial, "WORTH_A_THREAD", 1)
            patch.setattr(spatial, "TILE", 4000)
            tt.set_num_threads(1)
            alone = run()
            tt.set_num_threads(3)
            together = run()
    finally:
        tt.set_num_threads(before)
    for one, many in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, many, 1e-12, 1e-12)


def test_between_layers_nothing_is_copied_into_another_order():
    x = tensor(normal(2, 3, 8, 8, dtype=np.float32), requires_grad=True)
    layers = [
        Conv2d(3, 4, 3, padding=1), BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), Conv2d(4, 5, 3, stride=2),
        nn.AvgPool2d(1), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.LeakyReLU(),
    ]  # fmt: skip
    for layer in layers:
        x = layer(x)
        assert x.dtype == np.float32
        assert np.shares_memory(channels_last(x.array), x.array), layer


TRANSPOSED = [  # kernel, stride, padding, output_padding, groups, dilation
    (3, 1, 0, 0, 1, 1),
    (3, 2, 1, 1, 1, 1),
    (4, 2, 1, 0, 2, 1),
    (2, 3, 0, 2, 1, 1),
    (3, 1, 1, 1, 1, 2),
    ((1, 3), (2, 1), (0, 1), (1, 0), 4, (1, 2)),
]


@pytest.mark.parametrize("settings", TRANSPOSED, ids=str)
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_transposed_convolution_is_pytorchs(settings, batch, torch):
    kernel, *settings = settings
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    arrays = normal(batch, 4, 5, 4), normal(4, 3, *kernel), normal(3 * settings[3])
    assert_like_torch(torch, lambda T, x, w, b: T.nn.functional.conv_transpose2d(x, w, b, *settings), *arrays)


@pytest.mark.parametrize("settings", TRANSPOSED, ids=str)
def test_the_gradient_of_transposed_convolution_agrees_with_central_differences(settings):
    kernel, *settings = settings
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    inputs = leaves(tt, (normal(1, 4, 3, 3), normal(4, 2, *kernel), normal(2 * settings[3])))
    assert gradcheck(lambda x, w, b: conv_transpose2d(x, w, b, *settings), inputs)


def test_transposed_convolution_is_the_gradient_of_convolution():
    x, w, g = tensor(normal(2, 3, 7, 7), requires_grad=True), tensor(normal(4, 3, 3, 3)), normal(2, 4, 4, 4)
    conv2d(x, w, None, 2, 1).backward(tensor(g))
    np.testing.assert_allclose(conv_transpose2d(tensor(g), w, None, 2, 1).numpy(), x.grad.numpy(), 1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: conv2d(x[0, 0], w), r"conv2d: images \(N, C, H, W\) .* are needed, \(5, 5\) came"),
        (lambda x, w: conv2d(x, w[:, :2]), r"conv2d: the input has 4 channels; a weight .* needs 2"),
        (lambda x, w: conv2d(x, w, groups=2), "groups=2 needs 8"),
        (lambda x, w: conv2d(x, w[:5, :2], groups=2), "groups=2 does not divide 5"),
        (lambda x, w: conv2d(x, w[0]), "a weight of four dimensions is needed"),
        (lambda x, w: conv2d(x, w, dilation=3), r"^kernel \(3, 3\) does not fit into \(5, 5\)"),
        (lambda x, w: conv2d(x, w, stride=0), "stride .* have to be at least 1"),
        (lambda x, w: conv2d(x, w, stride=(1, 2, 3)), "stride: a whole number or a pair of them is needed"),
        (lambda x, w: conv2d(x, w, padding=-1), "padding is at least 0"),
        (lambda x, w: conv2d(x, w, stride=2, padding="same"), "padding='same' needs stride 1"),
        (lambda x, w: conv_transpose2d(x, w), "conv_transpose2d: the input has 4 channels"),
        (lambda x, w: conv_transpose2d(x, w[:4], output_padding=1), "has to be below stride or dilation"),
        (lambda x, w: conv_transpose2d(x, w[:4], padding=9), "the result would have the size"),
        (lambda x, w: max_pool2d(x, 2, padding=2), "padding 2 is more than half of the kernel 2"),
        (lambda x, w: max_pool2d(x, 6), r"^kernel \(6, 6\) does not fit into \(5, 5\)"),
        (lambda x, w: Conv2d(3, 4, 3, groups=2), "groups=2 does not divide 3 and 4 channels"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call(tensor(normal(2, 4, 5, 5)), tensor(normal(6, 4, 3, 3)))


def test_other_ways_of_padding_are_refused():
    with pytest.raises(NotImplementedError, match="padding_mode is 'zeros', 'circular' came"):
        Conv2d(3, 4, 3, padding_mode="circular")


# Pooling.

POOLS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": (1, 2)},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
    {"kernel_size": 1},
]


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("settings", [*POOLS, {"kernel_size": 2, "dilation": 2, "stride": 1}], ids=str)
@pytest.mark.parametrize("batch", [1, 3])
def test_max_pooling_is_pytorchs_ties_included(settings, batch, torch):
    x = np.random.default_rng(SEED).integers(0, 4, (batch, 3, 7, 8)).astype(np.float64)
    assert_like_torch(torch, lambda T, x: T.nn.functional.max_pool2d(x, **settings), x)


@pytest.mark.parametrize("settings", POOLS, ids=str)
@pytest.mark.parametrize(
    "counting",
    [{}, {"count_include_pad": False}, {"divisor_override": 5}],
    ids=["all", "without padding", "by 5"],
)
def test_average_pooling_is_pytorchs(settings, counting, torch):
    x = normal(2, 3, 7, 8)
    assert_like_torch(torch, lambda T, x: T.nn.functional.avg_pool2d(x, **settings, **counting), x)


@pytest.mark.parametrize("settings", POOLS, ids=str)
def test_the_gradients_of_pooling_agree_with_central_differences(settings):
    x = np.random.default_rng(SEED).permutation(2 * 2 * 5 * 6).reshape(2, 2, 5, 6).astype(np.float64)
    for pool in (max_pool2d, avg_pool2d):
        assert gradcheck(lambda x, pool=pool: pool(x, **settings), leaves(tt, [x]))


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d])
def test_pooling_no_images_gives_none(pool):
    x = tensor(normal(0, 3, 4, 4), requires_grad=True)
    out = pool(x, 2)
    out.sum().backward()
    assert out.shape == (0, 3, 2, 2)
    assert x.grad.shape == x.shape


def test_nan_comes_through_max_pooling():
    x = normal(1, 1, 4, 4)
    x[0, 0, 1, 1] = np.nan
    out = max_pool2d(tensor(x), 2).numpy()
    assert np.isnan(out[0, 0, 0, 0])
    assert np.isfinite(out[0, 0, 1, 1])


def test_what_lies_around_an_image_is_never_the_largest():
    assert (max_pool2d(tensor(-np.ones((1, 1, 3, 3), np.float32)), 3, 1, 1).numpy() == -1).all()


# Batch normalization.

SHAPES = [(5, 3), (4, 3, 7), (4, 3, 5, 6), (2, 3, 2, 3, 4), (2, 1, 1, 1), (1, 300, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_normalization_and_its_statistics_are_pytorchs(shape, training, affine, torch):
    channels = shape[1]
    arrays = [normal(*shape), *([normal(channels), normal(channels, seed=2)] if affine else [])]
    start = normal(channels, seed=3), np.abs(normal(channels, seed=4)) + 0.5
    statistics = {T: [T.tensor(a.copy()) for a in start] for T in (tt, torch)}

    def call(T, x, *learned):
        return T.nn.functional.batch_norm(x, *statistics[T], *learned, training=training)

    assert_like_torch(torch, call, *arrays, tolerance=1e-8)
    for mine, theirs in zip(statistics[tt], statistics[torch], strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), 1e-10)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 2), (3, 2, 3), (2, 2, 2, 3)], ids=str)
def test_the_gradient_of_batch_normalization_agrees_with_central_differences(shape, training):
    inputs = leaves(tt, (normal(*shape), normal(2, seed=2), normal(2, seed=3)))
    mean, var = tensor(normal(2)), tensor(np.abs(normal(2)) + 0.5)

    def call(x, w, b):
        return batch_norm(x, mean.clone(), var.clone(), w, b, training)

    assert gradcheck(call, inputs)


def test_a_large_mean_does_not_hide_a_small_variance():
    x = (1000 + 0.1 * normal(64, 2, 8, 8)).astype(np.float32)
    out = batch_norm(tensor(x), None, None, training=True, eps=0.0).numpy()
    exact = x.astype(np.float64)
    exact = (exact - exact.mean((0, 2, 3), keepdims=True)) / exact.std((0, 2, 3), keepdims=True)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, exact, atol=2e-3)


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_running_statistics_follow_the_batches(momentum, torch):
    mine, theirs = BatchNorm2d(3, momentum=momentum), torch.nn.BatchNorm2d(3, momentum=momentum)
    for seed in range(3):
        x = normal(4, 3, 5, 5, seed=seed, dtype=np.float32)
        mine(tensor(x)), theirs(torch.tensor(x))
    for name, value in mine.state_dict().items():
        np.testing.assert_allclose(value.numpy(), theirs.state_dict()[name].numpy(), 1e-5, 1e-6, err_msg=name)
    assert mine.num_batches_tracked.item() == 3
    mine.eval(), theirs.eval()
    x = normal(2, 3, 5, 5, seed=9, dtype=np.float32)
    np.testing.assert_allclose(
        mine(tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), 1e-5, 1e-5
    )


def test_without_running_statistics_every_batch_counts_for_itself():
    layer = BatchNorm1d(2, track_running_stats=False).eval()
    assert list(layer.state_dict()) == ["weight", "bias"]
    out = layer(tensor(normal(8, 2, dtype=np.float32))).detach().numpy()
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: BatchNorm2d(3)(tensor(normal(2, 3))),
            r"BatchNorm2d: 4 dimensions are needed, \(2, 3\) came",
        ),
        (lambda: BatchNorm1d(3)(tensor(normal(2, 3, 4, 5))), "BatchNorm1d: 2 or 3 dimensions are needed"),
        (
            lambda: BatchNorm1d(4)(tensor(normal(2, 3))),
            r"running_mean has shape \(4,\), the input has 3 channels",
        ),
        (
            lambda: BatchNorm1d(3)(tensor(normal(1, 3))),
            "more than one value per channel is needed in training",
        ),
        (lambda: batch_norm(tensor(normal(2, 3)), None, None), "running_mean and running_var are needed"),
        (lambda: batch_norm(tensor(normal(2)), None, None, training=True), r"\(N, C, …\) is needed"),
    ],
)
def test_a_batch_that_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# The layers and the schedule.


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False),
        lambda nn: nn.Conv2d(4, 6, (1, 3), padding="same", dilation=(1, 2)),
        lambda nn: nn.MaxPool2d(3, 2, 1),
        lambda nn: nn.AvgPool2d(2, ceil_mode=True),
        lambda nn: nn.BatchNorm2d(4),
        lambda nn: nn.BatchNorm2d(4, affine=False, momentum=None),
    ],
)
def test_a_layer_has_pytorchs_parameters_and_computes_the_same(make, torch):
    mine, theirs = make(nn), make(torch.nn)
    assert {k: v.shape for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    mine.load_state_dict({name: tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    x = normal(2, 4, 7, 8, dtype=np.float32)
    np.testing.assert_allclose(
        mine(tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), 1e-5, 1e-5
    )
    if isinstance(mine, Conv2d):
        assert repr(mine) == repr(theirs)


def test_kernels_begin_within_their_bound():
    tt.manual_seed(0)
    layer = Conv2d(4, 64, 3)
    bound = 1 / 6  # 1 / sqrt(4 * 3 * 3)
    for parameter in layer.parameters():
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.9 * bound


def lenet(nn):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def test_a_lenet_goes_both_ways_through_a_file(tmp_path, torch):
    safetensors = pytest.importorskip(
        "safetensors.torch", reason="the oracle of the file format is not installed"
    )
    x = normal(4, 1, 28, 28, dtype=np.float32)

    def logits(mine, theirs):
        return mine(tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy()

    theirs, mine = lenet(torch.nn), lenet(nn)
    safetensors.save_file(theirs.state_dict(), tmp_path / "torch.safetensors")
    mine.load_state_dict(tt.load(tmp_path / "torch.safetensors"))
    np.testing.assert_allclose(*logits(mine, theirs), atol=1e-4)
    mine = lenet(nn)
    tt.save(mine.state_dict(), tmp_path / "tinytorch.safetensors")
    theirs.load_state_dict(safetensors.load_file(tmp_path / "tinytorch.safetensors"))
    np.testing.assert_allclose(*logits(mine, theirs), atol=1e-4)


def test_the_triangular_schedule_climbs_and_falls():
    optimizer = tt.optim.SGD([tensor([1.0], requires_grad=True)], lr=2.0)
    schedule, rates = TriangularLR(optimizer, total_steps=8, peak=0.25), []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    np.testing.assert_allclose(rates, [0, 1, 2, 5 / 3, 4 / 3, 1, 2 / 3, 1 / 3, 0, 0], atol=1e-12)
    with pytest.raises(ValueError, match="TriangularLR: 0 < peak < 1 and steps are needed; 1, 8 came"):
        TriangularLR(optimizer, 8, peak=1)
