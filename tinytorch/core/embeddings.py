"""11 Embeddings: a vector that can be learned for each token, and vectors that say where it stands.

    embedding(t)_i  = W_i,t                              a row of a table for each token
    sinusoidal      sin(p w), cos(p w)                   a fixed vector for each position p
    rotary          (x1, x2) -> (x1 cos pw - x2 sin pw, x2 cos pw + x1 sin pw)

A token's vector is looked up, so its gradient goes back to the row it came from, added up where a token
stands twice. Attention itself does not see an order. A position is made visible by a vector that is added to
the token's, sinusoidal or learned, or by turning queries and keys through angles that grow with it: then the
product of two of them depends on their distance.

Embedding follows torch.nn: https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html
"""

import numpy as np

from .autograd import added_up, derivative
from .layers import Module, Parameter, fill
from .tensor import add, float32, op, randn, wrap, zeros
from .tokenization import Tokenizer

# Looking up, and the way back.


@op
def embedding(input, weight, padding_idx=None):
    """Rows of a table: ids (...) of integers and weight (V, D) give (..., D).

    The row `padding_idx` is looked up like any other and gets no gradient. An id outside of the table is an
    IndexError.
    """
    if input.dtype.kind not in "iu":
        raise TypeError(f"ids are integers, {input.dtype} came")
    if weight.ndim != 2:
        raise ValueError(f"the weight is a table (rows, size of a vector), {weight.shape} came")
    check_ids(input, len(weight))
    return np.take(weight, input, axis=0)


def check_ids(ids, count):
    """No negative ids either: NumPy would count them from the end, which hides a mistake."""
    if ids.size and (ids.min() < 0 or ids.max() >= count):
        wrong = int(ids[(ids < 0) | (ids >= count)][0])
        raise IndexError(f"id {wrong} is not in a vocabulary of {count} tokens, 0 to {count - 1}")


def embedding_weight(g, input, weight_shape, padding_idx):
    """Each row's gradient: the sum of g over the places where its id stands."""
    ids, rows = input.reshape(-1), g.reshape(input.size, weight_shape[1])
    d = summed_by_id(ids, rows, weight_shape[0])
    if padding_idx is not None:
        d[padding_idx] = 0
    return d


def summed_by_id(ids, rows, count):
    """(count, D) whose row i is the sum of all rows[n] with ids[n] == i; rows is (N, D).

    Sorted, equal ids stand side by side in runs. A long run is one product with ones. The short ones
    are added in rounds, the k-th of every run at once: in one round no id comes twice.
    """
    size = rows.shape[1]
    if not isinstance(rows, np.ndarray):
        return added_up(ids[:, None] * size + np.arange(size, like=ids), rows, (count, size))
    out = np.zeros_like(rows, shape=(count, size))
    ids = ids.astype(np.uint16) if count <= 65536 else ids  # NumPy sorts 16 bits by radix, 10 times as fast
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] + 1))
    lengths = np.diff(starts, append=len(ids))
    is_long = lengths > longest_short
    if is_long.any():
        sorted_rows, ones = rows.take(order, axis=0), np.ones_like(rows, shape=len(rows))
        starts_ids_lengths = (x[is_long].tolist() for x in (starts, ids[starts], lengths))
        for start, row, length in zip(*starts_ids_lengths, strict=True):
            np.dot(ones[:length], sorted_rows[start : start + length], out=out[row])
    starts, lengths = starts[~is_long], lengths[~is_long]
    for k in range(longest_short):
        starts, lengths = starts[lengths > k], lengths[lengths > k]
        if not len(starts):
            break
        out[ids[starts + k]] += rows[order[starts + k]]
    return out


longest_short = 8

derivative(embedding, None, embedding_weight)


class Embedding(Module):
    """A learned vector for each of num_embeddings tokens: ids (...) give (..., embedding_dim).

    The weight (num_embeddings, embedding_dim) begins with normal random numbers, mean 0 and variance 1. The
    row `padding_idx` begins with zeros and is not trained: the vector of a token that only fills up.
    """

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, device=None, dtype=None):
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx is one of {num_embeddings} rows; {padding_idx} came")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(zeros(num_embeddings, embedding_dim, dtype=dtype or float32, device=device))
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the weight anew; the padding's row is 0."""
        fill(self.weight, randn(*self.weight.shape).array)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings, freeze=True, padding_idx=None):
        """An Embedding on the memory of a given table (V, D); frozen, it gets no gradient."""
        if embeddings.ndim != 2:
            raise ValueError(f"Embedding.from_pretrained: a table (V, D) is needed, {embeddings.shape} came")
        made = cls(0, embeddings.shape[1])
        made.num_embeddings, made.padding_idx = len(embeddings), padding_idx
        made.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return made

    @classmethod
    def for_tokenizer(cls, tokenizer, embedding_dim):
        """An Embedding with a row for each token that a tokenizer of module 10 knows, and its padding."""
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(
                f"Embedding.for_tokenizer: a Tokenizer is needed, {type(tokenizer).__name__} came; "
                "Embedding(number of tokens, size) takes numbers"
            )
        return cls(len(tokenizer), embedding_dim, padding_idx=tokenizer.pad_id)

    def forward(self, input):
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self):
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


# Positions that are added.


def frequencies(dim, base):
    """base^(-2i/dim) for i from 0 to dim/2 - 1: radians a step, from 1 to almost 1/base. float64, (dim/2,)"""
    if dim % 2:
        raise ValueError(f"positions come in pairs, so their size is even; {dim} came")
    return base ** (-np.arange(0, dim, 2) / max(dim, 1))


def sinusoidal_positions(length, dim, base=10000.0, dtype=float32):
    """A fixed vector for each position, a Tensor (length, dim): sines in even places, cosines in odd ones.

    Vaswani et al. 2017, section 3.5, https://arxiv.org/abs/1706.03762
    """
    angles = np.outer(np.arange(length), frequencies(dim, base))  # (length, dim/2)
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (length, dim/2, 2)
    return wrap(table.reshape(length, dim).astype(dtype))


class SinusoidalPositions(Module):
    """The fixed vectors of the positions from `offset` on, (length, dim), below max_length."""

    def __init__(self, max_length, dim, base=10000.0):
        super().__init__()
        self.max_length, self.dim = max_length, dim
        self.register_buffer("table", sinusoidal_positions(max_length, dim, base), persistent=False)

    def forward(self, length, offset=0):
        check_positions(length, offset, self.max_length)
        return self.table[offset : offset + length]

    def extra_repr(self):
        return f"{self.max_length}, {self.dim}"


class LearnedPositions(Embedding):
    """A learned vector for each position, (length, dim), as in GPT-2: an Embedding of the numbers of the
    places.
    """

    def forward(self, length, offset=0):
        check_positions(length, offset, self.num_embeddings)
        return self.weight[offset : offset + length]


def check_positions(length, offset, most):
    if offset + length > most:
        raise ValueError(f"positions: the sequence ends at {offset + length}, and there are {most} positions")


class PositionalEncoding(Module):
    """x (..., T, dim) plus the sinusoidal vectors of its positions, counted from `offset`."""

    def __init__(self, max_length, dim, base=10000.0):
        super().__init__()
        self.positions = SinusoidalPositions(max_length, dim, base)

    def forward(self, input, offset=0):
        return add(input, self.positions(input.shape[-2], offset))


# Positions that turn.


@op
def apply_rotary(input, cos, sin):
    """Turn each pair (x_i, x_{i + dim/2}) through its angle: x (..., dim), cos and sin broadcast to (...,
    dim/2).

    The pairs are the two halves of x, as in GPT-NeoX and Llama; the paper pairs neighbours, which is the same
    up to the order of the numbers. RoFormer, Su et al. 2021, https://arxiv.org/abs/2104.09864
    """
    half = input.shape[-1] // 2
    if input.shape[-1] % 2 or cos.shape[-1] != half:
        raise ValueError(f"an input of size {input.shape[-1]} does not have {cos.shape[-1]} pairs")
    cos, sin = np.asarray(cos, like=input), np.asarray(sin, like=input)
    first, second = input[..., :half], input[..., half:]
    out = np.empty_like(input)
    np.multiply(first, cos, out=out[..., :half])
    out[..., :half] -= second * sin
    np.multiply(second, cos, out=out[..., half:])
    out[..., half:] += first * sin
    return out


derivative(apply_rotary, lambda g, cos, sin: apply_rotary.fn(g, cos, -sin))  # turned back


class RotaryEmbedding(Module):
    """The angles for `apply_rotary`: (cos, sin), each (length, dim/2), of the positions from `offset` on."""

    def __init__(self, dim, base=10000.0):
        super().__init__()
        self.dim, self.base = dim, base
        frequencies(dim, base)

    def forward(self, length, offset=0):
        angles = np.outer(np.arange(offset, offset + length), frequencies(self.dim, self.base))
        return wrap(np.cos(angles).astype(float32)), wrap(np.sin(angles).astype(float32))

    def extra_repr(self):
        return f"{self.dim}, base={self.base}"
