"""Over many shapes, dtypes and indices: values against NumPy, gradients against a difference quotient."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import tinytorch as torch

DTYPES = st.sampled_from(["float32", "float64", "int64", "int32", "uint8", "bool"])
SHAPES = arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
SEEDS = st.integers(0, 2**16)
PAIRS = arrays_of.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4)


def numbers(shape, seed, dtype="float64"):
    """Numbers between 1 and 4 (bools for bool): safe for every operation here."""
    values = np.random.default_rng(seed).uniform(1, 4, shape)
    return np.asarray(values > 2.5 if dtype == "bool" else values, dtype)


def assert_equals(result, expected):
    """The tensor holds NumPy's numbers in NumPy's shape."""
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.numpy(), expected, 1e-5, 1e-6)


def assert_slope(function, *arrays):
    """Along a random direction, the gradient's slope is the function's."""
    inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = function(*inputs)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(out.shape)
    out.backward(torch.tensor(weights))
    directions = [rng.standard_normal(a.shape) for a in arrays]
    for x in inputs:
        assert x.grad.shape == x.shape
        assert x.grad.dtype == x.dtype
    slope = sum(float((x.grad.numpy() * d).sum()) for x, d in zip(inputs, directions, strict=True))
    step = 1e-6
    ends = [
        float(
            (
                function(*(torch.tensor(a + s * d) for a, d in zip(arrays, directions, strict=True))).numpy()
                * weights
            ).sum()
        )
        for s in (step, -step)
    ]
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-5)


ARITHMETIC = {
    "add": (lambda a, b: a + b, True),
    "sub": (lambda a, b: a - b, False),
    "mul": (lambda a, b: a * b, True),
    "div": (lambda a, b: a / b, False),
    "less": (lambda a, b: a < b, True),
    "equal": (lambda a, b: a == b, True),
}


@pytest.mark.parametrize("name", ARITHMETIC)
@given(shapes=PAIRS, dtypes=st.tuples(DTYPES, DTYPES), seed=SEEDS)
def test_arithmetic_broadcasts_as_in_numpy_and_knows_no_float64_that_nobody_gave(name, shapes, dtypes, seed):
    function, takes_bools = ARITHMETIC[name]
    assume(takes_bools or "bool" not in dtypes)
    a, b = (numbers(s, seed + i, d) for i, (s, d) in enumerate(zip(shapes.input_shapes, dtypes, strict=True)))
    with np.errstate(all="ignore"):
        expected = np.asarray(function(a, b))
    result = function(torch.tensor(a), torch.tensor(b))
    assert_equals(result, expected)
    assert result.dtype != np.float64 or "float64" in dtypes


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
        lambda a, b: torch.maximum(a, b),
        lambda a, b: torch.where(a > b, a * b, b),
    ],
    ids=["add", "sub", "mul", "div", "pow", "maximum", "where"],
)
@given(shapes=PAIRS, seed=SEEDS)
def test_gradients_of_broadcast_operands_come_back_in_their_own_shapes(function, shapes, seed):
    assert_slope(function, *(numbers(s, seed + i) for i, s in enumerate(shapes.input_shapes)))


@given(
    shapes=arrays_of.mutually_broadcastable_shapes(
        signature="(m?,k),(k,n?)->(m?,n?)", max_dims=2, min_side=0, max_side=3
    ),
    seed=SEEDS,
)
def test_matmul_takes_vectors_matrices_and_batches(shapes, seed):
    a, b = (numbers(s, seed + i) for i, s in enumerate(shapes.input_shapes))
    assert_equals(torch.tensor(a) @ torch.tensor(b), np.asarray(a @ b))
    assert_slope(lambda a, b: a @ b, a, b)


REDUCTIONS = {
    "sum": (torch.sum, np.sum),
    "mean": (torch.mean, np.mean),
    "var": (lambda a, dim, keepdim: torch.var(a, dim, False, keepdim), np.var),
    "amax": (torch.amax, np.max),
    "amin": (torch.amin, np.min),
    "norm": (
        lambda a, dim, keepdim: torch.norm(a, 2, dim, keepdim),
        lambda a, **k: np.sqrt(np.sum(a * a, **k)),
    ),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@given(data=st.data(), seed=SEEDS, keepdim=st.booleans())
def test_reductions_over_any_dims(name, data, seed, keepdim):
    shape = data.draw(arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    dim = data.draw(
        st.none()
        | st.integers(-len(shape), len(shape) - 1)
        | arrays_of.valid_tuple_axes(len(shape), min_size=1)
    )
    ours, numpys = REDUCTIONS[name]
    a = numbers(shape, seed)
    assert_equals(ours(torch.tensor(a), dim, keepdim), np.asarray(numpys(a, axis=dim, keepdims=keepdim)))
    assert_slope(lambda a: ours(a, dim, keepdim), a)


@given(data=st.data(), seed=SEEDS)
def test_reading_by_slices_ints_none_and_ellipsis(data, seed):
    shape = data.draw(arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    index = data.draw(arrays_of.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    a = numbers(shape, seed)
    assert_equals(torch.tensor(a)[index], np.asarray(a[index]))
    assert_slope(lambda a: a[index], a)


@given(data=st.data(), seed=SEEDS)
def test_reading_by_arrays_of_ints_adds_up_the_gradients_of_repeated_places(data, seed):
    shape = data.draw(arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(arrays_of.integer_array_indices(shape))
    a = numbers(shape, seed)
    assert_equals(torch.tensor(a)[index], a[index])
    assert_equals(torch.tensor(a)[tuple(torch.tensor(i) for i in index)], a[index])
    assert_slope(lambda a: a[index], a)


@given(data=st.data(), seed=SEEDS)
def test_reading_by_bools(data, seed):
    shape = data.draw(arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    mask = data.draw(arrays_of.arrays(bool, shape[: data.draw(st.integers(1, len(shape)))]))
    a = numbers(shape, seed)
    assert_equals(torch.tensor(a)[torch.tensor(mask)], a[mask])
    assert_slope(lambda a: a[mask], a)


@given(data=st.data(), seed=SEEDS)
def test_writing_by_any_index(data, seed):
    shape = data.draw(arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(
        arrays_of.basic_indices(shape, allow_ellipsis=True) | arrays_of.arrays(bool, shape) | st.just(...)
    )
    a = numbers(shape, seed)
    value = numbers(np.shape(a[index]), seed + 1)
    expected = a.copy()
    expected[index] = value
    written = torch.tensor(a)
    written[index] = torch.tensor(value)
    assert_equals(written, expected)

    def write(a, value):
        result = a * 1
        result[index] = value
        return result

    assert_slope(write, a, value)


@given(data=st.data(), shape=SHAPES, seed=SEEDS)
def test_reshape_keeps_the_numbers_in_order(data, shape, seed):
    size = int(np.prod(shape))
    factors = data.draw(st.permutations(shape))
    target = data.draw(st.sampled_from([(size,), (1, size), (size, 1, 1), tuple(factors)]))
    a = numbers(shape, seed)
    assert_equals(torch.tensor(a).reshape(target), a.reshape(target))
    assert_slope(lambda a: a.reshape(*target) * 2, a)


@given(data=st.data(), seed=SEEDS)
def test_permute_takes_dims_from_either_end(data, seed):
    shape = data.draw(arrays_of.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
    order = data.draw(st.permutations(range(len(shape))))
    dims = [d - len(shape) if data.draw(st.booleans()) else d for d in order]
    a = numbers(shape, seed)
    assert_equals(torch.tensor(a).permute(*dims), a.transpose(dims))
    assert_slope(lambda a: a.permute(dims) ** 2, a)


@given(shapes=PAIRS, seed=SEEDS)
def test_expand_shows_one_number_many_times_and_adds_up_its_gradient(shapes, seed):
    a = numbers(shapes.input_shapes[0], seed)
    assert_equals(torch.tensor(a).expand(shapes.result_shape), np.broadcast_to(a, shapes.result_shape))
    assert_slope(lambda a: a.expand(shapes.result_shape), a)


@given(data=st.data(), seed=SEEDS)
def test_cat_joins_and_split_cuts_at_the_same_places(data, seed):
    shape = data.draw(arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    parts = []
    for i, size in enumerate(sizes):
        part = list(shape)
        part[dim] = size
        parts.append(numbers(part, seed + i))
    joined = torch.cat([torch.tensor(p) for p in parts], dim)
    assert_equals(joined, np.concatenate(parts, dim))
    for part, cut in zip(parts, joined.split(sizes, dim), strict=True):
        assert_equals(cut, part)
    assert_slope(lambda *parts: torch.cat(parts, dim) ** 2, *parts)


@given(shape=SHAPES, seed=SEEDS, k=st.integers(-3, 3))
def test_sorting_agrees_with_numpy_and_its_positions_find_the_values(shape, seed, k):
    assume(shape)
    a = numbers(shape, seed)
    values, indices = torch.tensor(a).sort(dim=-1)
    assert_equals(values, np.sort(a, -1))
    assert_equals(torch.tensor(a).gather(-1, indices), np.sort(a, -1))
    assert_slope(lambda a: a.sort(-1).values * 2, a)
