"""Quantization: integers and scales against PyTorch, error bounds, observers, layers that store integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tinytorch as tt
import tinytorch.nn as nn
from tinytorch.core.autograd import gradcheck
from tinytorch.core.profiling import model_nbytes
from tinytorch.core.quantization import (
    Int4Weight,
    Int8Weight,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    PercentileObserver,
    QuantizedConv2d,
    QuantizedEmbedding,
    QuantizedLinear,
    calibrate,
    choose_qparams,
    compare,
    dequantize,
    quantize,
    quantize_per_channel,
    quantize_per_tensor,
)
from tinytorch.core.tensor import tensor
from tinytorch.core.transformers import GPT, GPTConfig
from tinytorch.utils.data import DataLoader, TensorDataset

pytestmark = [
    pytest.mark.filterwarnings("error"),
    # PyTorch's own notices that its quantized dtypes and torch.ao.quantization will move to another package.
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization"),
    pytest.mark.filterwarnings("ignore:Please use quant_min and quant_max:UserWarning"),
]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def normal(*shape, seed=0):
    return tt.randn(*shape, generator=tt.Generator(seed))


floats = st.floats(-1e4, 1e4, width=32)
some_floats = arrays(np.float32, st.integers(1, 40), elements=floats)


# Numbers to integers and back.


@pytest.mark.parametrize("shift", [-20.0, -1.0, 0.0, 3.0, 50.0])
@pytest.mark.parametrize("symmetric", [False, True])
def test_scale_zero_point_and_integers_are_those_of_pytorch(torch, shift, symmetric):
    x = normal(60, 50).numpy() * 3 + np.float32(shift)
    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    observer = torch.ao.quantization.MinMaxObserver(dtype=torch.qint8, qscheme=scheme)
    observer(torch.tensor(x))
    scale, zero_point = choose_qparams(x.min(), x.max(), symmetric)
    their_scale, their_zero_point = observer.calculate_qparams()
    assert scale == their_scale.item()
    assert scale.dtype == np.float32
    assert zero_point == their_zero_point.item()
    ours = quantize_per_tensor(tensor(x), scale, zero_point)
    theirs = torch.quantize_per_tensor(torch.tensor(x), float(scale), int(zero_point), torch.qint8)
    assert ours.dtype == tt.int8
    np.testing.assert_array_equal(ours.array, theirs.int_repr().numpy())
    np.testing.assert_array_equal(dequantize(ours, scale, zero_point).array, theirs.dequantize().numpy())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("symmetric", [False, True])
def test_per_channel_integers_are_those_of_pytorch(torch, axis, symmetric):
    x = normal(4, 5, 6)
    others = tuple(i for i in range(3) if i != axis)
    scales, zero_points = choose_qparams(x.array.min(others), x.array.max(others), symmetric)
    ours = quantize_per_channel(x, scales, zero_points, axis)
    theirs = torch.quantize_per_channel(
        torch.tensor(x.numpy()), torch.tensor(scales), torch.tensor(zero_points), axis, torch.qint8
    )
    np.testing.assert_array_equal(ours.array, theirs.int_repr().numpy())
    back = dequantize(ours, scales, zero_points, axis)
    np.testing.assert_allclose(back.array, theirs.dequantize().numpy(), rtol=1e-6)
    negative_axis = quantize_per_channel(x, scales, zero_points, axis - 3)
    np.testing.assert_array_equal(negative_axis.array, ours.array)


def test_halves_are_rounded_to_even_and_what_is_outside_is_clamped():
    x = tensor([-1000.0, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1000.0])
    assert quantize_per_tensor(x, 1.0).tolist() == [-128, -2, -2, 0, 0, 2, 2, 127]
    assert quantize_per_tensor(x, 1.0, bits=4).tolist() == [-8, -2, -2, 0, 0, 2, 2, 7]
    assert quantize_per_tensor(x, 1.0, 120).tolist() == [-128, 118, 118, 120, 120, 122, 122, 127]


@given(some_floats, st.booleans(), st.integers(2, 8))
@settings(deadline=None)
def test_within_the_range_the_error_is_at_most_half_a_step(x, symmetric, bits):
    scale, zero_point = choose_qparams(x.min(), x.max(), symmetric, bits)
    q = quantize_per_tensor(tensor(x), scale, zero_point, bits)
    error = np.abs(dequantize(q, scale, zero_point).array.astype(np.float64) - x)
    assert error.max() <= scale * (0.5 + 1e-4)  # the rest: float32 has 24 bits, the integers up to 8


@given(st.floats(-1e4, 1e4, width=32), st.floats(0, 1e4, width=32), st.booleans())
@settings(deadline=None)
def test_zero_comes_back_as_zero(low, width, symmetric):
    scale, zero_point = choose_qparams(low, np.float32(low) + np.float32(width), symmetric)
    assert dequantize(quantize_per_tensor(tensor([0.0]), scale, zero_point), scale, zero_point).item() == 0


@given(some_floats)
@settings(deadline=None)
def test_integers_become_the_same_integers_again(x):
    scale, zero_point = choose_qparams(x.min(), x.max())
    q = quantize_per_tensor(tensor(x), scale, zero_point)
    again = quantize_per_tensor(dequantize(q, scale, zero_point), scale, zero_point)
    np.testing.assert_array_equal(again.array, q.array)


@pytest.mark.parametrize("shape", [(0,), (1,), (), (2, 0, 3), (1, 1)])
def test_every_shape_keeps_its_shape(shape):
    q = quantize_per_tensor(tt.ones(*shape), 0.5)
    assert q.shape == shape
    assert q.dtype == tt.int8
    assert dequantize(q, 0.5).shape == shape


def test_extreme_ranges_have_a_scale():
    assert choose_qparams(0, 0)[0] == np.finfo(np.float32).eps
    largest = np.finfo(np.float32).max
    assert np.isfinite(choose_qparams(-largest, largest)[0])
    assert np.isfinite(choose_qparams(-largest, largest, symmetric=True)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize_per_tensor(tensor([1, 2]), 0.1), "floats are quantized, int64 came"),
        (lambda: quantize_per_tensor(tensor([1.0]), 0.0), r"a scale is above 0, 0.0 came"),
        (lambda: quantize_per_tensor(tensor([1.0]), 1.0, bits=9), "2 to 8 bits are possible, 9 came"),
        (lambda: quantize_per_tensor(tensor([float("nan")]), 1.0), "nan has no place"),
        (lambda: choose_qparams(float("nan"), 1), "a finite range"),
        (lambda: choose_qparams(0, float("inf")), "a finite range"),
        (lambda: choose_qparams(2, 1), "low <= high, is needed; 2.0 to 1.0 came"),
        (
            lambda: quantize_per_channel(tt.ones(2, 3), np.ones(2), np.zeros(2), 1),
            r"\(2,\) values do not fit dimension 1 of \(2, 3\)",
        ),
    ],
)
def test_what_cannot_be_quantized_is_an_error(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# Observers.


@pytest.mark.parametrize("symmetric", [False, True])
def test_observers_agree_with_pytorch_over_batches(torch, symmetric):
    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    settings = {"dtype": torch.qint8, "qscheme": scheme}
    pairs = [
        (MinMaxObserver(symmetric), torch.ao.quantization.MinMaxObserver(**settings)),
        (
            MovingAverageMinMaxObserver(0.1, symmetric),
            torch.ao.quantization.MovingAverageMinMaxObserver(0.1, **settings),
        ),
    ]
    for seed in range(5):
        x = normal(40, seed=seed) * (seed + 1)
        for ours, theirs in pairs:
            assert ours(x) is x
            theirs(torch.tensor(x.numpy()))
    for ours, theirs in pairs:
        (scale, zero_point), (their_scale, their_zero_point) = (
            ours.calculate_qparams(), theirs.calculate_qparams(),
        )  # fmt: skip
        np.testing.assert_allclose(scale, their_scale.item(), rtol=1e-6)
        assert zero_point == their_zero_point.item()


@given(st.integers(0, 9999), st.sampled_from([50, 90, 99, 99.9]), st.integers(1, 4))
@settings(deadline=None)
def test_a_percentile_observer_cuts_off_what_it_is_told_to(seed, percentile, batches):
    numbers = np.random.default_rng(seed)
    parts = [
        numbers.standard_normal(500).astype(np.float32) * np.float32(10.0**i) for i in range(batches)
    ]  # each batch is wider than what came before
    observer = PercentileObserver(percentile)
    for part in parts:
        observer(tensor(part))
    everything = np.concatenate(parts)
    low, high = observer.range()
    cut = len(everything) * (100 - percentile) / 200
    width, rounding = 2 * observer.r / len(observer.counts), 1e-6
    assert observer.counts.sum() == len(everything)
    assert (everything < low - rounding).sum() <= cut + rounding
    assert (everything > high + rounding).sum() <= cut + rounding
    assert (everything < low + width).sum() >= cut - rounding  # a bin less would cut off too much
    assert (everything > high - width).sum() >= cut - rounding


def test_a_percentile_of_100_is_the_whole_range():
    x = normal(1000)
    everything, least_and_largest = PercentileObserver(100), MinMaxObserver()
    assert everything(x) is x
    assert least_and_largest(x) is x
    assert everything.range() == least_and_largest.range()


def test_an_outlier_coarsens_the_steps_of_min_max_and_not_those_of_a_percentile():
    x = normal(10_000)
    x[0] = 1000.0
    scales = {}
    for observer in (MinMaxObserver(), PercentileObserver(99.9)):
        observer(x)
        scales[type(observer)] = float(observer.calculate_qparams()[0])
    assert scales[MinMaxObserver] > 3
    assert scales[PercentileObserver] < 0.1


@pytest.mark.parametrize("make", [MinMaxObserver, MovingAverageMinMaxObserver, PercentileObserver])
def test_an_observer_of_nothing_says_so(make):
    observer = make()
    observer(tt.zeros(0, 3))
    with pytest.raises(RuntimeError, match=f"{make.__name__} has seen no numbers"):
        observer.calculate_qparams()
    observer(tt.zeros(1))
    assert observer.calculate_qparams() == (np.finfo(np.float32).eps, -128)


def test_settings_of_observers_are_checked():
    with pytest.raises(ValueError, match="averaging_constant is above 0 and at most 1, 0 came"):
        MovingAverageMinMaxObserver(0)
    with pytest.raises(ValueError, match=r"0 < percentile <= 100 .* are needed; 0, 2048 came"):
        PercentileObserver(0)
    with pytest.raises(ValueError, match="finite numbers are needed, inf came"):
        PercentileObserver()(tensor([float("inf")]))


# Weights.


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (4, 3, 2, 2), (0, 4), (3, 0), (2, 33)])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_an_int8_weight_takes_a_byte_a_number_and_is_off_by_half_a_step(shape, symmetric, per_channel):
    w = normal(*shape)
    stored = Int8Weight(w, per_channel, symmetric)
    assert stored.values.dtype == tt.int8
    assert stored.values.array.nbytes == w.array.size
    assert stored.scale.shape == (shape[:1] if per_channel else ())
    back = stored.dequantize()
    assert back.shape == shape
    assert back.dtype == tt.float32
    steps = stored.scale.array.reshape((-1 if per_channel else 1,) + (1,) * (len(shape) - 1))
    assert (np.abs(back.array - w.array) <= steps * (0.5 + 1e-4)).all()


def test_int8_weights_are_those_of_pytorch(torch):
    w = normal(6, 10)
    observer = torch.ao.quantization.PerChannelMinMaxObserver(
        0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric
    )
    observer(torch.tensor(w.numpy()))
    scales, zero_points = observer.calculate_qparams()
    theirs = torch.quantize_per_channel(torch.tensor(w.numpy()), scales, zero_points, 0, torch.qint8)
    ours = Int8Weight(w)
    np.testing.assert_array_equal(ours.values.array, theirs.int_repr().numpy())
    np.testing.assert_array_equal(ours.dequantize().array, theirs.dequantize().numpy())


@pytest.mark.parametrize("shape", [(3, 64), (1, 1), (4, 3, 3, 3), (2, 33), (0, 4), (3, 0), (5, 7)])
@pytest.mark.parametrize("group_size", [2, 8, 32])
def test_a_4_bit_weight_is_off_by_half_a_step_of_its_group(shape, group_size):
    w = normal(*shape)
    stored = Int4Weight(w, group_size)
    count = int(np.prod(shape[1:]))
    groups = -(-count // group_size)
    assert stored.packed.dtype == tt.uint8
    assert stored.packed.shape == (shape[0], groups * group_size // 2)
    assert stored.scale.dtype == tt.float16
    assert stored.scale.shape == (shape[0], groups)
    back = stored.dequantize()
    assert back.shape == shape
    assert back.dtype == tt.float32
    steps = np.repeat(stored.scale.array.astype(np.float32), group_size, 1)[:, :count].reshape(shape)
    assert (np.abs(back.array - w.array) <= steps * (0.5 + 1e-4)).all()


@given(arrays(np.float32, (2, 40), elements=st.floats(-1e4, 1e4, width=32)))
@settings(deadline=None)
def test_no_number_in_a_group_is_clamped_by_a_scale_rounded_to_float16(w):
    stored = Int4Weight(tensor(w))
    steps = np.repeat(stored.scale.array.astype(np.float64), 32, 1)[:, :40]
    assert (np.abs(stored.dequantize().array - w.astype(np.float64)) <= steps * (0.5 + 1e-4)).all()


def test_two_4_bit_numbers_lie_in_a_byte():
    w = tensor([[-7.5, 7.5, 1.0, 0.0]])  # a scale of 1
    stored = Int4Weight(w, group_size=4)
    assert stored.scale.tolist() == [[1.0]]
    # -8, 7 (clamped from 8), 1, 0; each plus 8: 0, 15, 9, 8
    assert stored.packed.tolist() == [[0 | 9 << 4, 15 | 8 << 4]]
    assert stored.dequantize().tolist() == [[-8.0, 7.0, 1.0, 0.0]]


def test_4_bit_weights_outside_float16_and_odd_groups_are_errors():
    with pytest.raises(ValueError, match="too large for float16; use 8 bits"):
        Int4Weight(tensor([[1e6]]))
    for wrong in (3, 0, -2, 2.0):
        with pytest.raises(ValueError, match="group_size is even and at least 2"):
            Int4Weight(tt.ones(2, 2), wrong)


# Layers.


def each_kind_of_weight():
    return {
        "int8": Int8Weight,
        "int8 per tensor": lambda w: Int8Weight(w, per_channel=False),
        "int8 affine": lambda w: Int8Weight(w, symmetric=False),
        "4 bits": Int4Weight,
    }


@pytest.mark.parametrize("kind", each_kind_of_weight())
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_quantized_linear_multiplies_with_its_dequantized_weight(kind, shape, bias):
    layer = nn.Linear(5, 7, bias)
    weight = each_kind_of_weight()[kind](layer.weight)
    quantized, x = QuantizedLinear(layer, weight), normal(*shape)
    expected = nn.functional.linear(x, weight.dequantize(), layer.bias).detach()
    assert quantized(x).shape == expected.shape
    assert quantized(x).dtype == tt.float32
    np.testing.assert_allclose(quantized(x).array, expected.array, atol=1e-6)


def test_a_weight_of_many_tiles_is_multiplied_whole():
    layer, x = nn.Linear(1000, 301), normal(70, 1000)
    for weight in (Int8Weight(layer.weight), Int4Weight(layer.weight)):
        expected = x.numpy() @ weight.dequantize().numpy().T + layer.bias.detach().numpy()
        np.testing.assert_allclose(QuantizedLinear(layer, weight)(x).array, expected, atol=1e-4)


def test_the_gradient_of_the_input_goes_through_the_integers():
    layer = nn.Linear(4, 3)
    quantized = QuantizedLinear(layer).double()
    x = tt.randn(2, 4, dtype=tt.float64, generator=tt.Generator(0), requires_grad=True)
    assert gradcheck(quantized, x, atol=1e-6)
    quantized(x).sum().backward()
    expected = quantized.weight.dequantize().numpy().sum(0)
    np.testing.assert_allclose(x.grad.numpy(), np.stack([expected, expected]), atol=1e-6)
    assert list(quantized.parameters()) == []


@pytest.mark.parametrize("kind", each_kind_of_weight())
@pytest.mark.parametrize(
    "settings", [{}, {"stride": 2, "padding": 1}, {"groups": 2, "bias": False}, {"padding": "same"}]
)
def test_a_quantized_conv2d_has_the_geometry_of_its_layer(kind, settings):
    layer = nn.Conv2d(4, 6, 3, **settings)
    weight = each_kind_of_weight()[kind](layer.weight)
    float_layer, x = nn.Conv2d(4, 6, 3, **settings), normal(2, 4, 7, 7)
    float_layer.load_state_dict(layer.state_dict() | {"weight": weight.dequantize()})
    quantized = QuantizedConv2d(layer, weight)
    np.testing.assert_allclose(quantized(x).array, float_layer(x).detach().array, atol=1e-6)
    np.testing.assert_allclose(quantized(x[0]).array, quantized(x).array[0], atol=1e-6)


@pytest.mark.parametrize("kind", each_kind_of_weight())
def test_a_quantized_embedding_looks_rows_up(kind):
    layer = nn.Embedding(9, 5)
    weight = each_kind_of_weight()[kind](layer.weight)
    quantized, table = QuantizedEmbedding(layer, weight), weight.dequantize().array
    for ids in (tensor([[0, 8, 8], [3, 1, 0]]), tensor(4), tt.zeros(0, 2, dtype=tt.int64)):
        np.testing.assert_array_equal(quantized(ids).array, table[ids.array])
    first = quantized(tensor([0]))
    before = first.array.copy()
    quantized(tensor([8]))
    np.testing.assert_array_equal(first.array, before)  # memory of its own


def test_with_quantized_inputs_the_result_is_that_of_integer_arithmetic():
    layer, x = nn.Linear(40, 6), normal(10, 40)
    observer = MinMaxObserver()
    observer(x)
    quantized = QuantizedLinear(layer, observer=observer)
    scale, zero_point = observer.calculate_qparams()
    q = quantize_per_tensor(x, scale, zero_point).array.astype(np.int32) - zero_point
    total = q @ quantized.weight.values.array.astype(np.int32).T  # int32, as an int8 kernel adds up
    expected = total * (scale * quantized.weight.scale.array) + layer.bias.detach().numpy()
    np.testing.assert_allclose(quantized(x).array, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: QuantizedLinear(nn.Linear(5, 7))(tt.ones(2, 4)), ValueError, "last dimension is 4, .*7, 5"),
        (lambda: QuantizedEmbedding(nn.Embedding(9, 5))(tensor([9])), IndexError, "id 9 is not in a vocab"),
        (lambda: QuantizedEmbedding(nn.Embedding(9, 5))(tensor([-1])), IndexError, "id -1 is not in a vocab"),
        (lambda: QuantizedEmbedding(nn.Embedding(9, 5))(tensor([0.5])), TypeError, "ids are integers"),
        (lambda: QuantizedConv2d(nn.Conv2d(1, 2, 3))(tt.ones(1, 2, 5, 5)), ValueError, "2 channels"),
    ],
)
def test_inputs_that_do_not_fit_are_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# A whole model.


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
    ).eval()  # fmt: skip


def small_gpt(**choices):
    return GPT(GPTConfig(vocab_size=50, block_size=16, n_layer=2, n_head=2, n_embd=32, **choices)).eval()


def ids(batch=3, length=10):
    return tt.randint(0, 50, (batch, length), generator=tt.Generator(1))


@pytest.mark.parametrize("bits", [8, 4])
def test_quantize_makes_a_copy_and_leaves_the_model_alone(bits):
    model = small_cnn()
    before = {name: x.array.copy() for name, x in model.state_dict().items()}
    quantized = quantize(model, bits)
    assert [type(m).__name__ for m in quantized] == [
        "QuantizedConv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Flatten", "QuantizedLinear", "ReLU",
        "QuantizedLinear",
    ]  # fmt: skip
    assert type(model[0]) is nn.Conv2d
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x.array, before[name])
    mine = {id(x.array) for x in model.state_dict().values()}
    assert not mine & {id(x.array) for x in quantized.state_dict().values()}
    tt.nn.init.zeros_(model[1].weight)  # the copy's norm is its own
    assert (quantized[1].weight.array == 1).all()


def test_a_model_that_is_one_layer_is_replaced():
    assert type(quantize(nn.Linear(2, 3))) is QuantizedLinear


@pytest.mark.parametrize("positions", ["learned", "rotary", "sinusoidal"])
def test_a_gpt_in_int8_shares_its_tied_table_and_gives_about_the_same_logits(positions):
    model = small_gpt(positions=positions)
    quantized = quantize(model)
    assert quantized.lm_head.weight is quantized.transformer.wte.weight
    tables = {x.dtype for _, x in quantized.named_buffers()} - {tt.float32}
    assert tables == {tt.int8}
    assert all(p.ndim == 1 for p in quantized.parameters())  # only the norms are left
    logits, expected = quantized(ids())[0].array, model(ids())[0].detach().array
    assert 0 < np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()
    assert quantized.generate(ids(1, 4), 5, temperature=0).shape == (1, 9)


def test_layers_that_are_one_module_stay_one_module():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    quantized = quantize(model)
    assert quantized[0] is quantized[2]
    assert len(list(quantized.modules())) == 4  # Sequential, QuantizedLinear, its weight, ReLU


def test_a_subclass_with_a_forward_of_its_own_stays():
    class Doubled(nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2

    quantized = quantize(nn.Sequential(Doubled(2, 2), nn.Linear(2, 2)))
    assert type(quantized[0]) is Doubled
    assert type(quantized[1]) is QuantizedLinear


def test_the_bytes_are_a_quarter_and_about_a_seventh():
    model = nn.Sequential(nn.Linear(256, 256, bias=False), nn.ReLU(), nn.Linear(256, 256, bias=False))
    weights = 2 * 256 * 256
    assert model_nbytes(model) == 4 * weights
    assert model_nbytes(quantize(model)) == weights + 4 * 2 * 256
    assert model_nbytes(quantize(model, bits=4)) == weights // 2 + 2 * weights // 32


@pytest.mark.parametrize("make", [small_cnn, small_gpt])
@pytest.mark.parametrize("settings", [{}, {"bits": 4}, {"symmetric": False}, {"per_channel": False}])
def test_a_saved_model_comes_back_equal_and_small(tmp_path, make, settings):
    model, path = make(), tmp_path / "model.safetensors"
    inputs = normal(3, 1, 8, 8) if make is small_cnn else ids()
    quantized = quantize(model, **settings)
    state = quantized.state_dict()
    tt.save(state, path)
    loaded = tt.load(path)
    assert {x.dtype for x in loaded.values()} >= {tt.uint8 if settings.get("bits") == 4 else tt.int8}
    again = quantize(make(), **settings)
    again.load_state_dict(loaded)
    assert compare(quantized, again, inputs, repeat=1).difference == 0
    float_path = tmp_path / "float.safetensors"
    tt.save(model.state_dict(), float_path)
    assert path.stat().st_size < float_path.stat().st_size / 2


def test_skipped_layers_stay_floats():
    model = small_cnn()
    quantized = quantize(model, skip=["0", "7"])
    assert type(quantized[0]) is nn.Conv2d
    assert type(quantized[5]) is QuantizedLinear
    assert type(quantized[7]) is nn.Linear
    with pytest.raises(ValueError, match=r"no layer at \['fc'\] to skip; there are \['0', '5', '7'\]"):
        quantize(model, skip=["fc"])


def test_what_cannot_be_done_is_an_error():
    with pytest.raises(ValueError, match="bits is 8 or 4, 3 came"):
        quantize(small_cnn(), bits=3)
    with pytest.raises(ValueError, match="no layer to quantize in Sequential; it has no Linear"):
        quantize(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="no layer to quantize in Sequential"):
        quantize(quantize(nn.Sequential(nn.Linear(2, 2))))
    with pytest.raises(ValueError, match="calibrate: no batches came"):
        quantize(small_cnn(), batches=[])
    broken = nn.Linear(2, 2)
    tt.nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(ValueError, match="a finite range"):
        quantize(broken)


# Calibration.


def test_calibration_sees_the_inputs_of_each_layer_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9), nn.ReLU(), nn.Linear(4, 2))
    batches = [normal(5, 3, seed=seed) for seed in range(3)]
    observers = calibrate(model, batches)
    assert list(observers) == ["0", "3"]
    everything = tt.cat(batches)
    hidden = model[0](everything).detach().array
    assert observers["0"].range() == (everything.array.min(), everything.array.max())
    assert observers["3"].min_val == 0
    np.testing.assert_allclose(observers["3"].max_val, hidden.max(), rtol=1e-6)
    assert model.training
    assert all(m.training for m in model.modules())


def test_calibration_takes_a_loader_and_an_observer():
    model, images = small_cnn(), normal(20, 1, 8, 8)
    loader = DataLoader(TensorDataset(images, tt.zeros(20, dtype=tt.int64)), batch_size=8)
    quantized = quantize(model, batches=loader, observer=lambda: PercentileObserver(99))
    assert quantized[0].input_scale.array < calibrate(model, loader)["0"].calculate_qparams()[0]
    scale, most = quantized[5].input_scale, model(images).detach().abs().max()
    assert scale.dtype == tt.float32
    assert scale.shape == ()
    assert compare(model, quantized, images, repeat=1).difference < 0.5 * float(most)


def test_calibrated_models_are_saved_with_their_scales(tmp_path):
    images, path = normal(20, 1, 8, 8), tmp_path / "model.safetensors"
    quantized = quantize(small_cnn(), batches=[images])
    tt.save(quantized.state_dict(), path)
    again = quantize(small_cnn(), batches=[normal(2, 1, 8, 8, seed=5)])
    again.load_state_dict(tt.load(path))
    assert compare(quantized, again, images, repeat=1).difference == 0
    with pytest.raises(RuntimeError, match=r"unexpected keys: 0.input_scale"):
        quantize(small_cnn()).load_state_dict(tt.load(path))


def test_a_gpt_is_calibrated_with_its_tied_table():
    model = small_gpt()
    quantized = quantize(model, batches=[ids(), (ids(),)])
    assert quantized.lm_head.weight is quantized.transformer.wte.weight
    assert quantized.lm_head.input_scale is not None
    assert quantized.transformer.wte.input_scale is None
    expected = model(ids())[0].detach().array
    assert np.abs(quantized(ids())[0].array - expected).max() < 0.1 * np.abs(expected).max()


def test_a_comparison_of_a_model_with_itself():
    model = small_gpt()
    same = compare(model, model, ids(), repeat=1)
    assert same.ratio == 1
    assert same.difference == 0
    assert all(s > 0 for s in same.seconds)
    assert compare(model, quantize(model), ids(), repeat=1).ratio > 2.5


def test_operations_of_a_quantized_linear_are_those_of_a_linear():
    from tinytorch.core.profiling import count_flops

    layer, x = nn.Linear(30, 20), tt.randn(7, 30)
    counts = [count_flops(lambda m=m: m(x)) for m in (layer, quantize(layer), quantize(layer, bits=4))]
    assert counts == [2 * 7 * 20 * 30] * 3


@pytest.mark.parametrize("settings", [{"tie_weights": False}, {}, {"positions": "rotary"}])
def test_a_quantized_gpt_counts_as_the_one_it_was_made_of(settings):
    model = GPT(GPTConfig(50, 8, 2, 2, 16, **settings))
    for copy in (
        quantize(model),
        quantize(model, bits=4),
        quantize(model, skip=["transformer.h.0.mlp.c_fc"]),
    ):
        assert copy.num_parameters() == model.num_parameters()
        assert copy.num_parameters(embeddings=False) == model.num_parameters(embeddings=False)
        assert copy.flops_per_token(5) == model.flops_per_token(5)
