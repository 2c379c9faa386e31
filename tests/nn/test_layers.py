"""Layers that are made of core's functions: convolutions, normalization, padding, other shapes."""

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn
from tinytorch.core.autograd import gradcheck
from tinytorch.core.tensor import tensor
from tinytorch.nn import functional

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


LAYERS = [
    ("Conv1d", (4, 6, 3), {}, (2, 4, 7)),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2, "bias": False}, (2, 4, 9)),
    ("Conv1d", (3, 2, 3), {"padding": "same"}, (3, 5)),
    ("Conv1d", (3, 2, (2,)), {"padding": "valid", "stride": (2,)}, (0, 3, 5)),
    ("ConvTranspose2d", (4, 6, 3), {}, (2, 4, 5, 4)),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (2, 4, 5, 4)),
    (
        "ConvTranspose2d",
        (4, 6, (3, 2)),
        {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2), "groups": 2, "dilation": 2},
        (1, 4, 3, 5),
    ),
    ("ConvTranspose2d", (4, 2, 4), {"stride": 2, "padding": 1, "bias": False}, (4, 3, 3)),
    ("ConvTranspose2d", (1, 1, 1), {}, (0, 1, 2, 2)),
    ("MaxPool1d", (2,), {}, (2, 3, 7)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, (3, 8)),
    ("MaxPool1d", (2,), {"dilation": 2, "stride": 1}, (2, 3, 7)),
    ("GroupNorm", (2, 6), {}, (3, 6, 4, 5)),
    ("GroupNorm", (3, 6), {"eps": 0.1}, (2, 6)),
    ("GroupNorm", (1, 4), {"affine": False}, (1, 4, 3)),
    ("GroupNorm", (4, 4), {"bias": False}, (2, 4)),
    ("GroupNorm", (4, 4), {}, (0, 4, 3)),
    ("InstanceNorm2d", (3,), {}, (2, 3, 4, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "eps": 0.1}, (2, 3, 4, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "bias": False}, (3, 4, 5)),
    ("PReLU", (), {}, (2, 3, 4)),
    ("PReLU", (3,), {"init": -0.5}, (2, 3, 4, 5)),
    ("PReLU", (1,), {}, (4,)),
    ("PReLU", (3,), {}, (2, 3)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 2)),
    ("PixelShuffle", (3,), {}, (9, 1, 1)),
    ("Unflatten", (1, (2, 3)), {}, (4, 6, 2)),
    ("Unflatten", (-1, (-1, 2)), {}, (4, 6)),
    ("ZeroPad2d", (1,), {}, (2, 3, 4, 5)),
    ("ZeroPad2d", ((1, 0, 2, -1),), {}, (3, 4, 5)),
    ("ConstantPad1d", ((2, 1), 3.5), {}, (2, 3, 4)),
    ("ConstantPad1d", (1, -1.0), {}, (4,)),
    ("ConstantPad2d", ((0, 1, -1, 2), 0.5), {}, (2, 3, 4, 5)),
    ("Dropout2d", (0.0,), {}, (2, 3, 4, 5)),
]


def both(torch, name, arguments, settings, shape):
    """Our layer and PyTorch's with one set of numbers in float64, and an input for each."""
    ours, theirs = (getattr(place.nn, name)(*arguments, **settings).double() for place in (tt, torch))
    rng = np.random.default_rng(0)
    drawn = {key: rng.standard_normal(tuple(value.shape)) for key, value in theirs.state_dict().items()}
    ours.load_state_dict({key: tensor(value) for key, value in drawn.items()})
    theirs.load_state_dict({key: torch.tensor(value) for key, value in drawn.items()})
    x = rng.standard_normal(shape)
    return ours, theirs, tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)


@pytest.mark.parametrize(("name", "arguments", "settings", "shape"), LAYERS, ids=str)
def test_layer_computes_and_reads_as_pytorchs(torch, name, arguments, settings, shape):
    ours, theirs, x, x_theirs = both(torch, name, arguments, settings, shape)
    assert repr(ours) == repr(theirs)
    out, expected = ours(x), theirs(x_theirs)
    assert tuple(out.shape) == tuple(expected.shape)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), 1e-9, 1e-11)
    g = np.random.default_rng(1).standard_normal(tuple(expected.shape))
    out.backward(tensor(g))
    expected.backward(torch.tensor(g))
    for mine, oracle in zip((x, *ours.parameters()), (x_theirs, *theirs.parameters()), strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), oracle.grad.numpy(), 1e-8, 1e-10)


@pytest.mark.parametrize(("name", "arguments", "settings", "shape"), LAYERS, ids=str)
def test_layer_keeps_float32_and_has_right_gradients(name, arguments, settings, shape):
    layer = getattr(nn, name)(*arguments, **settings)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    assert layer(tensor(x.astype("float32"))).dtype == np.float32
    layer.double()
    if x.size:
        assert gradcheck(lambda x, *_: layer(x), [tensor(x, requires_grad=True), *layer.parameters()])


@pytest.mark.parametrize(
    ("name", "arguments", "settings"),
    [("Conv1d", (8, 16, 3), {"groups": 2}), ("ConvTranspose2d", (16, 8, 3), {"groups": 2})],
)
def test_first_weights_spread_as_far_as_pytorchs(torch, name, arguments, settings):
    for key in ("weight", "bias"):
        largest = []
        for place in (tt, torch):
            place.manual_seed(0)
            values = [getattr(getattr(place.nn, name)(*arguments, **settings), key) for _ in range(30)]
            largest.append(max(float(value.detach().abs().max()) for value in values))
        assert largest[0] == pytest.approx(largest[1], rel=0.05)


@pytest.mark.parametrize("output_size", [(9, 9), (10, 9), [9, 10]])
def test_transposed_convolution_reaches_an_output_size(torch, output_size):
    arguments = ("ConvTranspose2d", (2, 3, 3), {"stride": 2, "padding": (1, 2)}, (2, 2, 5, 6))
    ours, theirs, x, x_theirs = both(torch, *arguments)
    expected = theirs(x_theirs, output_size=output_size)
    out = ours(x, output_size=output_size)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), 1e-9, 1e-11)


def test_dropout2d_drops_whole_channels_in_training_only():
    x = tt.ones(50, 20, 2, 3)
    layer = nn.Dropout2d(0.25)
    assert repr(layer) == "Dropout2d(p=0.25, inplace=False)"
    out = layer(x).numpy()
    np.testing.assert_array_equal(out, np.broadcast_to(out[..., :1, :1], out.shape))
    assert set(np.unique(out)) == {np.float32(0), np.float32(4 / 3)}
    assert (out[..., 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.05)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())
    again = [functional.dropout2d(x, generator=tt.Generator().manual_seed(3)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Conv1d(3, 4, 3, groups=2), ValueError, "groups=2 does not divide 3 and 4 channels"),
        (lambda: nn.Conv1d(3, 4, 3)(tt.zeros(3)), ValueError, r"conv1d: \(N, C, L\) .* \(3,\) and"),
        (lambda: nn.Conv1d(3, 4, 3, padding_mode="reflect"), NotImplementedError, "'zeros', 'reflect' came"),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, stride=2)(tt.zeros(1, 3, 2, 2), output_size=(9, 9)),
            ValueError,
            r"sizes from \(5, 5\) to \(6, 6\) are possible, output_size=\(9, 9\) came",
        ),
        (lambda: nn.ConvTranspose2d(3, 4, 3, groups=3), ValueError, "groups=3 does not divide 3 and 4"),
        (lambda: nn.GroupNorm(2, 3), ValueError, "2 groups of 3 channels are not equal"),
        (lambda: functional.group_norm(tt.zeros(2, 3), 2), ValueError, r"num_groups=2 .* \(2, 3\)"),
        (
            lambda: functional.group_norm(tt.zeros(2, 4), 2, tt.ones(2)),
            ValueError,
            r"weight has shape \(2,\), the input has 4 channels",
        ),
        (lambda: nn.InstanceNorm2d(2)(tt.zeros(2, 2)), ValueError, r"\(C, H, W\) is needed, \(2, 2\) came"),
        (lambda: nn.InstanceNorm2d(2, track_running_stats=True), NotImplementedError, "BatchNorm2d has them"),
        (
            lambda: functional.instance_norm(tt.zeros(2, 2, 2), tt.zeros(2), tt.ones(2)),
            NotImplementedError,
            "no running statistics",
        ),
        (lambda: nn.PixelShuffle(2)(tt.zeros(1, 3, 2, 2)), ValueError, r"\(1, 3, 2, 2\) came"),
        (lambda: nn.Dropout2d(1.5), ValueError, "1.5 came"),
        (lambda: nn.Dropout2d(0.5)(tt.zeros(2, 2)), ValueError, r"dropout2d: .* \(2, 2\) came"),
        (lambda: nn.ZeroPad2d((1, 2)), ValueError, r"a number or 4 of them is needed, \(1, 2\) came"),
    ],
)
def test_errors_say_what_was_needed_and_what_came(call, error, message):
    with pytest.raises(error, match=message):
        call()
