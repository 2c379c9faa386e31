"""What a Tensor is made from, how it shows itself, what it refuses, and how it changes in place."""

import copy

import numpy as np
import pytest

import tinytorch as torch

# Making tensors.


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        (3, "int64", ()),
        (True, "bool", ()),
        ([1, 2.5], "float32", (2,)),
        ([[1, 2], [3, 4]], "int64", (2, 2)),
        ([], "float32", (0,)),
        (np.zeros((2, 3)), "float64", (2, 3)),
        (np.zeros(2, "uint8"), "uint8", (2,)),
        (np.float64(1.5), "float64", ()),
        (range(3), "int64", (3,)),
    ],
    ids=str,
)
def test_python_numbers_get_the_default_dtypes_and_arrays_keep_theirs(data, dtype, shape):
    made = torch.tensor(data)
    assert str(made.dtype) == dtype
    assert made.shape == shape


def test_a_given_dtype_gets_pythons_numbers_unrounded():
    assert torch.tensor([0.1], dtype=torch.float64).tolist() == [0.1]
    assert torch.tensor([2.0**24 + 1], dtype=torch.int64).tolist() == [2**24 + 1]


def test_a_list_of_tensors_becomes_a_tensor():
    assert torch.tensor([torch.tensor(1.0), torch.tensor(2.0)]).tolist() == [1.0, 2.0]


def test_tensor_copies_and_from_numpy_and_as_tensor_share():
    array = np.zeros(2, "float32")
    copied, shared, same = torch.tensor(array), torch.from_numpy(array), torch.as_tensor(array)
    array[0] = 7
    assert copied.tolist() == [0, 0]
    assert shared.tolist() == [7, 0]
    assert same.tolist() == [7, 0]
    assert torch.as_tensor(copied) is copied
    assert torch.as_tensor(array, dtype=torch.int64).dtype == torch.int64


CREATED = {
    "zeros": lambda: torch.zeros(2, 3),
    "ones": lambda: torch.ones((2, 3)),
    "full": lambda: torch.full((2, 3), 1.5),
    "empty": lambda: torch.empty(2, 3),
    "eye": lambda: torch.eye(2, 3),
    "linspace": lambda: torch.linspace(0, 1, 6).reshape(2, 3),
    "rand": lambda: torch.rand(2, 3),
    "randn": lambda: torch.randn([2, 3]),
    "normal": lambda: torch.normal(1.0, 2.0, (2, 3)),
    "zeros_like": lambda: torch.zeros_like(torch.ones(2, 3)),
    "ones_like": lambda: torch.ones_like(torch.ones(2, 3)),
    "full_like": lambda: torch.full_like(torch.ones(2, 3), 2),
    "empty_like": lambda: torch.empty_like(torch.ones(2, 3)),
    "rand_like": lambda: torch.rand_like(torch.ones(2, 3)),
    "randn_like": lambda: torch.randn_like(torch.ones(2, 3)),
    "bernoulli": lambda: torch.bernoulli(torch.full((2, 3), 0.5)),
}


@pytest.mark.parametrize("name", CREATED)
def test_created_tensors_are_float32_on_the_cpu_unless_told_otherwise(name):
    made = CREATED[name]()
    assert made.shape == (2, 3)
    assert made.dtype == torch.float32
    assert made.device == "cpu"
    assert not made.requires_grad


def test_values_of_created_tensors():
    assert torch.full((2,), 3).dtype == torch.int64
    assert torch.full((2,), True).dtype == torch.bool
    assert torch.arange(4).tolist() == [0, 1, 2, 3]
    assert torch.arange(1, 2, 0.25).tolist() == [1.0, 1.25, 1.5, 1.75]
    assert torch.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert torch.arange(3, dtype=torch.float32).dtype == torch.float32
    assert torch.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
    assert torch.eye(2).tolist() == [[1, 0], [0, 1]]
    assert torch.zeros(2, dtype=torch.int32).dtype == torch.int32
    assert torch.ones(2, requires_grad=True).requires_grad
    assert torch.zeros_like(torch.ones(2, dtype=torch.int64)).dtype == torch.int64
    assert torch.ones_like(torch.ones(2), dtype=torch.float64).dtype == torch.float64


# Random numbers.

RANDOM = {
    "rand": lambda g: torch.rand(50, generator=g),
    "randn": lambda g: torch.randn(50, generator=g),
    "randint": lambda g: torch.randint(0, 10, (50,), generator=g),
    "randperm": lambda g: torch.randperm(50, generator=g),
    "normal": lambda g: torch.normal(torch.zeros(50), 2.0, generator=g),
    "multinomial": lambda g: torch.multinomial(torch.ones(60), 50, generator=g),
    "bernoulli": lambda g: torch.bernoulli(torch.full((50,), 0.5), generator=g),
    "normal_": lambda g: torch.empty(50).normal_(generator=g),
    "uniform_": lambda g: torch.empty(50).uniform_(-1, 1, generator=g),
    "bernoulli_": lambda g: torch.empty(50).bernoulli_(0.3, generator=g),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_repeats_the_random_numbers_and_another_seed_gives_others(name):
    draw = RANDOM[name]
    first, second, other = (draw(torch.Generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    torch.manual_seed(3)
    default = draw(None)
    torch.manual_seed(3)
    assert torch.equal(draw(None), default)


def test_random_numbers_lie_where_they_should():
    torch.manual_seed(0)
    uniform, normal = torch.rand(10_000), torch.randn(10_000)
    assert 0 <= uniform.min() < uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.03)
    drawn = torch.randint(3, (1000,))
    assert sorted(set(drawn.tolist())) == [0, 1, 2]
    assert sorted(torch.randperm(20).tolist()) == list(range(20))
    shifted = torch.normal(5.0, 0.5, (10_000,))
    assert shifted.mean().item() == pytest.approx(5, abs=0.05)
    assert shifted.std().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("replacement", [True, False])
def test_multinomial_draws_in_proportion_to_the_weights(replacement):
    torch.manual_seed(0)
    weights = torch.tensor([[1.0, 0.0, 3.0, 4.0]]).repeat(4000, 1)
    first = torch.multinomial(weights, 2, replacement)[:, 0]
    counts = [(first == i).sum().item() / 4000 for i in range(4)]
    assert counts == pytest.approx([1 / 8, 0, 3 / 8, 1 / 2], abs=0.03)


def test_multinomial_without_replacement_draws_nothing_twice():
    torch.manual_seed(0)
    drawn = torch.multinomial(torch.tensor([0.1, 5.0, 1.0, 0.0]), 3)
    assert sorted(drawn.tolist()) == [0, 1, 2]
    with pytest.raises(ValueError, match="4 draws without replacement from fewer positive weights"):
        torch.multinomial(torch.tensor([0.1, 5.0, 1.0, 0.0]), 4)


# Looking at tensors.


def test_repr_shows_numbers_dtype_and_history():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert repr(torch.tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    assert repr(torch.tensor([1.5, 0.25])) == "tensor([1.5 , 0.25])"
    assert repr(torch.tensor(3)) == "tensor(3)"
    assert repr(x) == "tensor([1., 2.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 4.], grad_fn=<mul backward>)"
    assert repr(torch.zeros(2, dtype=torch.float64)) == "tensor([0., 0.], dtype=float64)"
    assert repr(torch.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(torch.tensor([1e-9])) == "tensor([1.e-09])"
    assert "..." in repr(torch.zeros(100, 100))


def test_what_a_tensor_says_about_itself():
    x = torch.zeros(2, 3, 4)
    assert (x.shape, x.size(), x.size(-1), x.ndim, x.dim()) == ((2, 3, 4), (2, 3, 4), 4, 3, 3)
    assert (x.numel(), x.nelement(), len(x), x.nbytes, x.element_size()) == (24, 24, 2, 96, 4)
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.T.contiguous().is_contiguous()
    assert x.is_leaf
    assert x.grad_fn is None
    assert torch.is_tensor(x)
    assert not torch.is_tensor(x.numpy())
    assert x.is_floating_point()
    assert not x.long().is_floating_point()


def test_conversions_to_python_and_numpy():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.tolist() == [[1, 2], [3, 4]]
    assert torch.tensor(2.5).item() == 2.5
    assert (int(torch.tensor(3)), float(torch.tensor(2)), bool(torch.tensor([0]))) == (3, 2.0, False)
    assert [10, 20, 30][torch.tensor(1)] == 20
    assert list(range(torch.tensor(2))) == [0, 1]
    assert np.asarray(x) is x.numpy()
    assert np.array(x, dtype="int64").tolist() == [[1, 2], [3, 4]]
    assert f"{torch.tensor(1.23456):.2f}" == "1.23"
    assert f"{x[0]}" == "tensor([1., 2.])"
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert 3.0 in x
    assert 7 not in x


def test_dtypes_and_casts():
    x = torch.tensor([1.7, -2.2])
    casts = {
        "half": "float16",
        "float": "float32",
        "double": "float64",
        "int": "int32",
        "long": "int64",
        "bool": "bool",
    }
    for method, dtype in casts.items():
        assert str(getattr(x, method)().dtype) == dtype
    assert x.long().tolist() == [1, -2]
    assert x.to(torch.float64).dtype == torch.float64
    assert x.to("cpu") is x
    assert x.to(torch.zeros(1, dtype=torch.int32)).dtype == torch.int32
    assert x.type_as(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert torch.float32 == np.dtype("float32")
    assert torch.long == torch.int64


@pytest.mark.parametrize(
    ("call", "dtype"),
    [
        (lambda: torch.ones(2) * 2.5, "float32"),
        (lambda: torch.ones(2) * np.float64(2.5), "float32"),
        (lambda: torch.ones(2) * torch.tensor(2.5, dtype=torch.float64), "float32"),
        (lambda: torch.ones(2, dtype=torch.float64) * torch.tensor(2.5), "float64"),
        (lambda: torch.tensor([1, 2]) * 2.5, "float32"),
        (lambda: torch.tensor([1, 2]) / 2, "float32"),
        (lambda: torch.tensor([1, 2]) + True, "int64"),
        (lambda: torch.tensor([1, 2], dtype=torch.uint8) / 255, "float32"),
        (lambda: torch.tensor([1, 2], dtype=torch.uint8).exp(), "float32"),
        (lambda: torch.tensor([1, 2], dtype=torch.uint8).sum(), "int64"),
        (lambda: torch.tensor([True, False]).sum(), "int64"),
        (lambda: torch.ones(2, dtype=torch.float16) * 2.5, "float16"),
        (lambda: torch.ones(2).double().mean(), "float64"),
        (lambda: torch.ones(()).double().reshape(1), "float64"),
        (lambda: torch.ones(2).sigmoid().std().norm(), "float32"),
    ],
)
def test_results_have_pytorchs_dtypes_and_nothing_becomes_float64_unasked(call, dtype):
    assert str(call().dtype) == dtype


# Views and writes.


def test_views_share_memory_and_copies_do_not():
    x = torch.zeros(2, 3)
    for view in (
        x.reshape(6),
        x.T,
        x[0],
        x[:, 1:],
        x.unsqueeze(0),
        x.flatten(),
        x.detach(),
        x.data,
        *x.split(1),
        *x.unbind(),
    ):
        assert np.shares_memory(view.numpy(), x.numpy())
    for other in (x.clone(), x[[0, 1]], x[x == 0], x.flip(0), x + 0, torch.cat([x]), x.repeat(1, 1)):
        assert not np.shares_memory(other.numpy(), x.numpy())


def test_a_write_through_a_view_is_seen_in_the_base():
    x = torch.zeros(2, 3)
    x[0] += 1
    x[:, 2] = torch.tensor([5, 6])
    x.T[1].fill_(9)
    assert x.tolist() == [[1, 9, 5], [0, 9, 6]]


IN_PLACE = {
    "add_": lambda x: x.add_(1),
    "add_ with alpha": lambda x: x.add_(torch.ones(3), alpha=-2),
    "sub_": lambda x: x.sub_(1),
    "mul_": lambda x: x.mul_(2),
    "div_": lambda x: x.div_(2),
    "pow_": lambda x: x.pow_(2),
    "neg_": lambda x: x.neg_(),
    "exp_": lambda x: x.exp_(),
    "log_": lambda x: x.log_(),
    "sqrt_": lambda x: x.sqrt_(),
    "abs_": lambda x: x.abs_(),
    "clamp_": lambda x: x.clamp_(max=2),
    "round_": lambda x: x.round_(),
    "fill_": lambda x: x.fill_(4),
    "zero_": lambda x: x.zero_(),
    "copy_": lambda x: x.copy_(torch.tensor([7, 8, 9])),
    "lerp_": lambda x: x.lerp_(torch.zeros(3), 0.5),
    "addcmul_": lambda x: x.addcmul_(torch.ones(3), torch.ones(3), value=2),
    "addcdiv_": lambda x: x.addcdiv_(torch.ones(3), torch.ones(3), value=2),
    "masked_fill_": lambda x: x.masked_fill_(torch.tensor([True, False, True]), 0),
    "relu_": lambda x: x.relu_(),
    "tanh_": lambda x: x.tanh_(),
    "index_add_": lambda x: x.index_add_(0, torch.tensor([0, 0]), torch.ones(2)),
    "scatter_": lambda x: x.scatter_(0, torch.tensor([1]), 5.0),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_method_with_an_underscore_writes_the_memory_and_returns_the_tensor(name):
    call, method = IN_PLACE[name], name.split()[0]
    x = torch.tensor([1.0, 2.5, 3.0])
    memory = x.array
    expected = None
    if method not in ("fill_", "zero_", "copy_"):
        twin = torch.tensor([1.0, 2.5, 3.0])
        recorded = type("Recorder", (), {method: lambda self, *a, **k: getattr(twin, method[:-1])(*a, **k)})()
        expected = call(recorded).tolist()
    assert call(x) is x
    assert x.array is memory
    if expected is not None:
        assert x.tolist() == pytest.approx(expected)


def test_operators_with_an_equals_sign_write_the_memory():
    x = torch.tensor([7.0, 8.0])
    kept = x
    x += 1
    x -= 2
    x *= 3
    x /= 2
    x **= 2
    x //= 1
    x %= 50
    assert kept is x
    assert x.tolist() == [31.0, 10.0]
    counts = torch.tensor([6, 3])
    counts &= 5
    counts |= 1
    counts ^= 2
    assert counts.tolist() == [7, 3]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda x: x.add_(torch.ones(2, 3)),
            ValueError,
            r"in-place: the result has shape \(2, 3\) and the tensor \(3,\)",
        ),
        (
            lambda x: x.long().div_(2),
            TypeError,
            "in-place: a result of float32 does not fit a tensor of int64",
        ),
        (lambda x: x.long().add_(0.5), TypeError, "does not fit"),
        (lambda x: x.__setitem__(5, 1.0), IndexError, "index 5 is out of bounds"),
        (
            lambda x: x.__setitem__(slice(None), torch.ones(4)),
            ValueError,
            r"setitem: tensor\(3,\)\[...\] = \(4,\)",
        ),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_changes_nothing(change, error, message):
    x = torch.tensor([1.0, 2.0, 3.0])
    with pytest.raises(error, match=message):
        change(x)
    assert x.tolist() == [1, 2, 3]


def test_data_gives_and_takes_the_numbers_without_history():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    w.data -= 0.5
    assert w.tolist() == [0.5, 1.5]
    w.data = torch.tensor([3.0, 4.0])
    assert w.tolist() == [3, 4]
    assert w.requires_grad
    assert not w.data.requires_grad


def test_deepcopy_makes_a_leaf_of_its_own():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    (w * 2).sum().backward()
    twin = copy.deepcopy(w)
    assert twin.requires_grad
    assert twin.is_leaf
    assert twin.grad.tolist() == [2, 2]
    assert not np.shares_memory(twin.array, w.array)
    assert copy.deepcopy([w, w])[0] is not w
    pair = copy.deepcopy([w, w])
    assert pair[0] is pair[1]
    with pytest.raises(RuntimeError, match="deepcopy: only leaves can be copied"):
        copy.deepcopy(w * 2)


# What is refused, in words.

REFUSED = {
    "ragged lists": (lambda: torch.tensor([[1, 2], [3]]), ValueError, "tensor: the nested lists are ragged"),
    "strings": (
        lambda: torch.tensor(["a"]),
        TypeError,
        "tensor: numbers or bools are needed, list of <U1 came",
    ),
    "None": (lambda: torch.tensor(None), TypeError, "numbers or bools are needed, NoneType"),
    "complex numbers": (lambda: torch.tensor([1j]), TypeError, "numbers or bools are needed"),
    "a list for from_numpy": (lambda: torch.from_numpy([1]), TypeError, "from_numpy: an array of numbers"),
    "item of many": (
        lambda: torch.ones(2).item(),
        ValueError,
        r"item: a tensor of one element .* shape \(2,\)",
    ),
    "bool of many": (
        lambda: bool(torch.ones(2)),
        ValueError,
        r"one element is needed, this one has shape \(2,\)",
    ),
    "int of many": (lambda: int(torch.ones(2)), ValueError, "one element is needed"),
    "len of a number": (lambda: len(torch.tensor(1)), TypeError, "len: a 0-d tensor has no length"),
    "float as an index": (lambda: [1, 2][torch.tensor(1.0)], TypeError, "index: an integer tensor is needed"),
    "a format for many": (lambda: f"{torch.ones(2):.2f}", TypeError, "format: '.2f' needs a 0-d tensor"),
    "shapes that differ": (
        lambda: torch.ones(2, 3) + torch.ones(4),
        ValueError,
        r"add\(\(2, 3\), \(4,\)\): .*broadcast",
    ),
    "inner sizes": (
        lambda: torch.ones(2, 3) @ torch.ones(4, 5),
        ValueError,
        r"matmul\(\(2, 3\), \(4, 5\)\): inner sizes 3 and 4 differ",
    ),
    "matmul with a number": (
        lambda: torch.ones(2) @ torch.tensor(2.0),
        ValueError,
        "a 0-d tensor is neither",
    ),
    "reshape that does not fit": (
        lambda: torch.ones(2, 3).reshape(4, 2),
        ValueError,
        r"reshape\(\(2, 3\), \(4, 2\)\): cannot reshape array of size 6 into shape \(4,\s*2\)",
    ),
    "expand that does not fit": (
        lambda: torch.ones(2, 3).expand(2, 4),
        ValueError,
        r"expand\(\(2, 3\), \(2, 4\)\)",
    ),
    "a size that is not whole": (lambda: torch.zeros(2.5), TypeError, "float"),
    "a change of repeated numbers": (
        lambda: torch.ones(1, 3).expand(2, 3).add_(1),
        ValueError,
        r"read-only memory, as after expand\(\); change a clone",
    ),
    "cat that does not fit": (
        lambda: torch.cat([torch.ones(2, 3), torch.ones(2, 4)]),
        ValueError,
        r"cat\(\[\(2, 3\), \(2, 4\)\], 0\)",
    ),
    "cat of nothing": (lambda: torch.cat([]), ValueError, "need at least one"),
    "stack of different shapes": (
        lambda: torch.stack([torch.ones(2), torch.ones(3)]),
        ValueError,
        r"stack: the tensors need one shape, these have \[\(2,\), \(3,\)\]",
    ),
    "index out of range": (
        lambda: torch.ones(2, 3)[2],
        IndexError,
        r"getitem\(\(2, 3\), 2\): index 2 is out of bounds",
    ),
    "too many indices": (lambda: torch.ones(2)[0, 0], IndexError, "too many indices"),
    "a float index": (lambda: torch.ones(2)[torch.tensor([0.5])], IndexError, "getitem"),
    "dim out of range": (
        lambda: torch.ones(2, 3).sum(2),
        IndexError,
        r"sum\(\(2, 3\), 2, False\): axis 2 is out of bounds",
    ),
    "a dim twice": (lambda: torch.ones(2, 3).sum((0, 0)), ValueError, "sum"),
    "permute without all dims": (lambda: torch.ones(2, 3).permute(0), ValueError, "permute"),
    "squeeze dim out of range": (
        lambda: torch.ones(2).squeeze(3),
        IndexError,
        "squeeze: dim 3 is out of range",
    ),
    "largest of nothing": (lambda: torch.zeros(0).max(), ValueError, r"amax\(\(0,\)"),
    "position in nothing": (lambda: torch.zeros(0).argmax(), ValueError, "argmax"),
    "minus of bools": (
        lambda: torch.tensor([True]) - torch.tensor([True]),
        TypeError,
        r"sub\(\(1,\), \(1,\)\)",
    ),
    "a string operand": (lambda: torch.ones(2) + "a", TypeError, r"add\(\(2,\), 'a'\)"),
    "an unknown argument": (
        lambda: torch.ones(2).sum(axis=0),
        TypeError,
        r"sum\(a, dim, keepdim\) does not take axis",
    ),
    "a missing argument": (lambda: torch.exp(), TypeError, "exp: argument 'a' is missing"),
    "k too large": (lambda: torch.ones(3).topk(4), ValueError, "k must be between 0 and the size"),
    "gather of another rank": (
        lambda: torch.ones(2, 3).gather(0, torch.tensor([0])),
        ValueError,
        "index has 1 dimensions and the tensor 2",
    ),
    "gather out of range": (
        lambda: torch.ones(2, 3).gather(1, torch.tensor([[3]])),
        IndexError,
        "index runs from 3 to 3, dimension 1 of size 3 allows 0 to 2",
    ),
    "a mask of numbers": (lambda: torch.ones(2).masked_fill(torch.ones(2), 0), TypeError, "mask needs bools"),
    "an open clamp": (lambda: torch.ones(2).clamp(), ValueError, "at least one of min and max"),
    "split that does not add up": (
        lambda: torch.ones(5).split([2, 2]),
        ValueError,
        "add up to 4, dimension 0 has 5",
    ),
    "einsum with other sizes": (
        lambda: torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(4, 5)),
        ValueError,
        "einsum: 'j' stands for both 3 and 4",
    ),
    "einsum with another rank": (
        lambda: torch.einsum("ij->i", torch.ones(2)),
        ValueError,
        "einsum: 'ij' does not fit",
    ),
    "einsum with an unknown letter": (
        lambda: torch.einsum("i->k", torch.ones(2)),
        ValueError,
        "einsum: the result 'k'",
    ),
    "bmm of matrices": (
        lambda: torch.bmm(torch.ones(2, 3), torch.ones(3, 2)),
        ValueError,
        "bmm: a needs 3 dimensions",
    ),
    "gradients of ints": (
        lambda: torch.tensor([1], requires_grad=True),
        TypeError,
        "only floating-point tensors",
    ),
    "gradients of bools": (lambda: torch.tensor([True]).requires_grad_(), TypeError, "this one is bool"),
    "numpy of a tensor with a gradient": (
        lambda: torch.ones(2, requires_grad=True).numpy(),
        RuntimeError,
        "call detach",
    ),
    "an unknown device": (lambda: torch.ones(2).to("tpu"), ValueError, "device 'tpu' is unknown"),
    "a negative std": (lambda: torch.normal(0.0, -1.0, (2,)), ValueError, "std must not be negative"),
    "a probability above 1": (lambda: torch.bernoulli(torch.tensor([1.5])), ValueError, "between 0 and 1"),
    "weights that are all zero": (lambda: torch.multinomial(torch.zeros(3), 1), ValueError, "not all zero"),
    "an empty range of integers": (
        lambda: torch.randint(3, 3, (2,)),
        ValueError,
        "low 3 must be below high 3",
    ),
    "a step of 0": (lambda: torch.arange(0, 3, 0), ValueError, "step must not be 0"),
    "something that PyTorch has": (lambda: torch.fft, AttributeError, "tinytorch has no 'fft'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_say_what_was_asked_and_what_came(name):
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


def test_cuda_without_cupy_says_what_to_install():
    pytest.importorskip("numpy")
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeError, match=r"needs a GPU and CuPy; install the extra: tinytorch\[gpu\]"):
            torch.ones(2).to("cuda")
        assert not torch.cuda.is_available()
    else:
        pytest.skip("CuPy is installed here")
