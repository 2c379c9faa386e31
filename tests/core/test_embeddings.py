"""Embeddings: looking up, the gradient of the table, and positions that are added or turn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.core.autograd import gradcheck
from tinytorch.core.embeddings import (
    Embedding,
    LearnedPositions,
    PositionalEncoding,
    RotaryEmbedding,
    SinusoidalPositions,
    apply_rotary,
    embedding,
    sinusoidal_positions,
    summed_by_id,
)
from tinytorch.core.tensor import tensor
from tinytorch.core.tokenization import CharTokenizer

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def double(*size, seed=0):
    return tt.randn(*size, dtype=tt.float64, generator=tt.Generator(seed), requires_grad=True)


# Looking up.


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0, 3)])
@pytest.mark.parametrize("padding_idx", [None, 0, 2])
def test_embedding_and_its_gradient_agree_with_pytorch(torch, shape, padding_idx):
    weight = double(5, 4)
    ids = np.random.default_rng(1).integers(0, 5, shape)
    out = embedding(tensor(np.asarray(ids)), weight, padding_idx)
    their_weight = torch.tensor(weight.detach().numpy(), requires_grad=True)
    theirs = torch.nn.functional.embedding(torch.tensor(ids), their_weight, padding_idx)
    assert out.shape == (*shape, 4)
    assert np.array_equal(out.array, theirs.detach().numpy())
    (out * out).sum().backward()
    (theirs * theirs).sum().backward()
    np.testing.assert_allclose(weight.grad.array, their_weight.grad.numpy(), rtol=1e-12)


def test_gradcheck_of_embedding():
    ids = tensor([[0, 2, 2], [1, 0, 2]])
    assert gradcheck(lambda w: embedding(ids, w), double(4, 3))
    assert gradcheck(lambda w: embedding(ids, w), double(4, 1))


@given(
    count=st.integers(1, 40),
    number=st.integers(0, 200),
    size=st.integers(0, 5),
    skew=st.integers(1, 4),
    seed=st.integers(0, 9999),
)
@settings(deadline=None)
def test_the_gradient_sums_rows_of_equal_ids_in_long_and_short_runs(count, number, size, skew, seed):
    rng = np.random.default_rng(seed)
    ids = (count * rng.random(number) ** skew).astype(np.int64)
    rows = rng.standard_normal((number, size))
    expected = np.zeros((count, size))
    for id, row in zip(ids, rows, strict=True):
        expected[id] += row
    np.testing.assert_allclose(summed_by_id(ids, rows, count), expected, atol=1e-12)


def test_a_vocabulary_beyond_16_bits_is_summed_as_well():
    ids = np.array([70000, 3, 70000, 4464])  # 70000 is 4464 in 16 bits
    d = summed_by_id(ids, np.ones((4, 2), np.float32), 70001)
    assert d[[70000, 3, 4464], 0].tolist() == [2, 1, 1]
    assert d.sum() == 8
    assert d.dtype == np.float32


@pytest.mark.parametrize("wrong", [-1, 7, 100])
def test_an_id_outside_of_the_vocabulary_is_named(wrong):
    message = rf"embedding\(\(2,\), \(7, 3\), None\): id {wrong} is not in a vocabulary of 7 tokens, 0 to 6"
    with pytest.raises(IndexError, match=message):
        embedding(tensor([0, wrong]), tt.zeros(7, 3))


def test_ids_are_integers_and_the_weight_is_a_table():
    with pytest.raises(TypeError, match="ids are integers, float32 came"):
        embedding(tensor([1.0]), tt.zeros(7, 3))
    with pytest.raises(ValueError, match=r"the weight is a table .*, \(3,\) came"):
        embedding(tensor([1]), tt.zeros(3))


# The module.


def test_the_weight_begins_normal_and_the_padding_zero():
    tt.manual_seed(0)
    layer = Embedding(1000, 50, padding_idx=-1)
    assert layer.padding_idx == 999
    assert layer.weight.dtype == tt.float32
    assert not layer.weight.array[999].any()
    drawn = layer.weight.array[:999]
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert repr(layer) == "Embedding(1000, 50, padding_idx=999)"
    with pytest.raises(ValueError, match="padding_idx is one of 4 rows; 4 came"):
        Embedding(4, 2, padding_idx=4)


def test_the_padding_is_not_trained():
    layer = Embedding(4, 2, padding_idx=1)
    layer(tensor([0, 1, 1, 3])).sum().backward()
    assert layer.weight.grad.array.tolist() == [[1, 1], [0, 0], [0, 0], [1, 1]]


def test_weights_load_into_pytorch(torch):
    ours, theirs = Embedding(6, 3, padding_idx=2), torch.nn.Embedding(6, 3, padding_idx=2)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    ids = np.array([[5, 2, 0]])
    assert np.array_equal(ours(tensor(ids)).detach().numpy(), theirs(torch.tensor(ids)).detach().numpy())


def test_a_pretrained_table_is_frozen_unless_asked():
    table = tensor([[1.0, 2.0], [3.0, 4.0]])
    frozen = Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    assert frozen(tensor([1])).array.tolist() == [[3, 4]]
    assert (frozen.num_embeddings, frozen.embedding_dim) == (2, 2)
    trained = Embedding.from_pretrained(table, freeze=False, padding_idx=0)
    trained(tensor([0, 1])).sum().backward()
    assert trained.weight.grad.array.tolist() == [[0, 0], [1, 1]]
    with pytest.raises(ValueError, match=r"a table \(V, D\) is needed, \(2,\) came"):
        Embedding.from_pretrained(table[0])


def test_an_embedding_for_a_tokenizer_has_a_row_for_each_token():
    tokenizer = CharTokenizer.train("hello", ["<pad>"])
    layer = Embedding.for_tokenizer(tokenizer, 8)
    assert layer.weight.shape == (len(tokenizer), 8)
    assert layer.padding_idx == tokenizer.pad_id
    assert layer(tensor(tokenizer.encode("hole"))).shape == (4, 8)
    with pytest.raises(TypeError, match="a Tokenizer is needed, int came"):
        Embedding.for_tokenizer(5, 8)


# Positions.


def test_sinusoidal_positions_are_those_of_the_paper():
    table = sinusoidal_positions(50, 8).numpy()
    assert table.shape == (50, 8)
    assert table.dtype == np.float32
    for position in (0, 1, 49):
        for i in range(4):
            angle = position / 10000 ** (2 * i / 8)
            assert table[position, 2 * i] == pytest.approx(np.sin(angle), abs=1e-6)
            assert table[position, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-6)
    assert sinusoidal_positions(0, 8).shape == (0, 8)
    with pytest.raises(ValueError, match="come in pairs, so their size is even; 7 came"):
        sinusoidal_positions(5, 7)


def test_positional_encoding_adds_the_vectors_of_the_positions():
    encode = PositionalEncoding(10, 4)
    x = tt.randn(2, 3, 4)
    expected = x.array + sinusoidal_positions(10, 4).array[5:8]
    np.testing.assert_allclose(encode(x, offset=5).array, expected, rtol=1e-6)
    assert encode.state_dict() == {}
    with pytest.raises(ValueError, match="the sequence ends at 11, and there are 10 positions"):
        encode(x, offset=8)


def test_learned_positions_are_trained_where_they_are_used():
    positions = LearnedPositions(5, 2)
    (tt.zeros(3, 2, 2) + positions(2, offset=1)).sum().backward()
    assert positions.weight.grad.array.tolist() == [[0, 0], [3, 3], [3, 3], [0, 0], [0, 0]]
    assert list(positions.state_dict()) == ["weight"]
    with pytest.raises(ValueError, match="ends at 6, and there are 5 positions"):
        positions(2, offset=4)
    assert SinusoidalPositions(5, 2)(3).shape == (3, 2)


def test_rotary_positions_turn_pairs_and_keep_lengths():
    x = double(2, 6, 8)
    cos, sin = RotaryEmbedding(8)(6)
    assert cos.shape == sin.shape == (6, 4)
    turned = apply_rotary(x, cos, sin).array
    pairs = x.array[..., :4] + 1j * x.array[..., 4:]
    angles = np.arange(6)[:, None] * 10000.0 ** (-np.arange(4) / 4)
    expected = pairs * np.exp(1j * angles)
    np.testing.assert_allclose(turned[..., :4] + 1j * turned[..., 4:], expected, atol=1e-6)
    assert turned.dtype == np.float64


def test_rotary_products_depend_on_the_distance_alone():
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 16))
    rotary = RotaryEmbedding(16)

    def product(at, other):
        (a, b) = (apply_rotary(tensor(x[None]), *rotary(1, p)).array for x, p in ((q, at), (k, other)))
        return float((a * b).sum())

    assert product(3, 1) == pytest.approx(product(103, 101), abs=1e-4)
    assert abs(product(3, 1) - product(3, 2)) > 1e-2


def test_gradcheck_of_rotary_positions():
    cos, sin = RotaryEmbedding(4)(3, offset=2)
    assert gradcheck(lambda x: apply_rotary(x, cos, sin), double(2, 3, 4))
    with pytest.raises(ValueError, match="an input of size 6 does not have 2 pairs"):
        apply_rotary(tt.zeros(3, 6), cos, sin)
