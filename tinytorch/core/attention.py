"""12 Attention: every position asks, every position answers, and softmax decides whose answer counts.

attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V        Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

Q, K, V are queries, keys and values (..., T, d). First this formula as it stands: it makes a (T, T) matrix of
weights. Then the same result in tiles, which never make that matrix: the softmax over a row is put together
from blocks of keys, with a running largest score and a running sum. That is the idea of FlashAttention, Dao
et al. 2022, https://arxiv.org/abs/2205.14135. Then the modules, in which several heads attend side by side.

Names and arguments follow PyTorch:
https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
"""

from functools import cache as once
from functools import lru_cache
from math import inf, prod, sqrt
from typing import Any

import numpy as np

from ..utils.threads import parallel, scratch
from .activations import row_sums, softmax
from .autograd import derivative, softmax_input
from .embeddings import RotaryEmbedding, apply_rotary
from .layers import Linear, Module, Parameter, dropout, fill, linear, uniform_
from .tensor import (
    Op,
    add,
    bool_,
    float32,
    matmul,
    mean,
    mul,
    op,
    permute,
    reshape,
    transpose,
    where,
    wrap,
    zeros,
)

# As the formula says.


def causal_mask(length, past=0, window=None):
    """Which keys a query may see, bool (length, past + length): itself, all before it, the whole past; with a
    window, only the last `window` of these."""
    mask = np.tri(length, past + length, past, dtype=bool_)
    if window is not None:
        mask &= ~np.tri(length, past + length, past - window, dtype=bool_)
    return wrap(mask)


@op
def masked_softmax(input):
    """softmax over the last dimension; a row of -inf, which may attend to nothing, gives zeros, not nan."""
    largest = input.max(-1, keepdims=True) if input.shape[-1] else 0
    out = np.exp(input - np.where(largest == -inf, 0, largest))
    total = out.sum(-1, keepdims=True)
    out /= np.where(total == 0, 1, total)
    return out


derivative(masked_softmax, lambda g, out: softmax_input(g, out, -1))


def attention_scores(query, key, attn_mask=None, is_causal=False, scale=None):
    """Q K^T / sqrt(d): (..., T, d) and (..., S, d) give (..., T, S), -inf where a key must not be seen.

    attn_mask broadcasts to (..., T, S): bool, True where a query may attend, or floats that are added.
    """
    scale = 1 / sqrt(max(query.shape[-1], 1)) if scale is None else scale
    scores = matmul(mul(query, scale), transpose(key, -2, -1))  # (..., T, S)
    if is_causal:
        mask = np.tri(*scores.shape[-2:], dtype=bool_)
        scores = where(np.asarray(mask, like=scores.array), scores, -inf)
    if attn_mask is not None:
        scores = where(attn_mask, scores, -inf) if attn_mask.dtype == bool_ else add(scores, attn_mask)
    return scores


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
):
    """softmax(Q K^T / sqrt(d)) V: query (..., T, d), key (..., S, d), value (..., S, e) give (..., T, e).

    attn_mask as in `attention_scores`. is_causal: query i attends to keys 0 to i. dropout_p is the share of
    weights that are set to 0, in evaluation as well: pass 0 there. scale replaces 1 / sqrt(d). A query that
    may attend to nothing gives zeros. Without mask and dropout the result comes in tiles.
    """
    check_attention(query, key, value)
    if attn_mask is None and not dropout_p and fit_tiles(query, key, value):
        return tiled_attention(query, key, value, is_causal, scale)
    weights = masked_softmax(attention_scores(query, key, attn_mask, is_causal, scale))
    return matmul(dropout(weights, dropout_p, generator=generator), value)


def check_attention(query, key, value):
    q, k, v = query.shape, key.shape, value.shape
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ValueError(
            f"attention: query (..., T, d), key (..., S, d), value (..., S, e) are needed; {q}, {k}, {v} came"
        )


# In tiles.


class Tiles:
    """Attention block by block: its settings, and log sum_j exp(score_j) of each query, kept for backward.

    Arrays are (B, h, T, d), of any strides. The unit of work is some heads of one member of the batch,
    against a block of queries and a block of keys, so that its scores stay in the cache.
    """

    queries, keys, scores = 128, 512, 64 * 1024  # the largest block of each; scores of all heads of a unit

    def __init__(self, is_causal, scale):
        self.is_causal, self.scale = is_causal, scale
        self.log_sums: Any = None

    def forward(self, q, k, v, out):
        """Write the result into `out`."""
        self.log_sums = np.empty_like(q, shape=(*q.shape[:-1], 1))

        def work(start, stop):
            with np.errstate(all="ignore"):
                for unit in self.units(q, k, start, stop):
                    self.attend(q[unit], k[unit], v[unit], out[unit], self.log_sums[unit])

        parallel(work, prod(q.shape[:2]))

    def backward(self, g, q, k, v, out, dq, dk, dv):
        """Write the gradients of q, k, v into dq, dk, dv, given that of `out`."""

        def work(start, stop):
            with np.errstate(all="ignore"):
                for unit in self.units(q, k, start, stop):
                    self.attend_back(*[x[unit] for x in (g, q, k, v, out, self.log_sums, dq, dk, dv)])

        parallel(work, prod(q.shape[:2]))

    def units(self, q, k, start, stop):
        """Indices (member of the batch, slice of heads) that make up the heads start to stop of all B h."""
        heads, block = q.shape[1], min(q.shape[2], self.queries) * min(k.shape[2], self.keys)
        together = max(1, self.scores // max(block, 1))
        while start < stop:
            member, first = divmod(start, heads)
            last = min(first + together, heads, first + stop - start)
            yield member, slice(first, last)
            start += last - first

    def blocks(self, length, keys):
        """(slice of queries, [slices of the keys that they may see])"""
        for start in range(0, length, self.queries):
            rows = slice(start, min(start + self.queries, length))
            seen = min(rows.stop, keys) if self.is_causal else keys
            yield rows, [slice(j, min(j + self.keys, seen)) for j in range(0, seen, self.keys)]

    def memory(self, key, q, k):
        """Room for the scores of the largest block of a unit."""
        block = min(q.shape[1], self.queries) * min(k.shape[1], self.keys)
        return scratch(key, (len(q) * block,), q.dtype)

    def scores_of(self, queries, k, rows, columns, memory):
        """Scores of a block: (h, Q, d) and keys (h, S, d) give (h, Q, S), -inf where a key comes too late."""
        scores = product(queries, k[:, columns].swapaxes(1, 2), memory)
        if self.is_causal and columns.stop > rows.start:  # only blocks on the diagonal
            late = scores[:, :, max(rows.start - columns.start, 0) :]
            late += triangle(self.queries, k.dtype)[: late.shape[1], : late.shape[2]]
        return scores

    def attend(self, q, k, v, out, log_sums):
        """One unit: q, k, v (h, T, d). A row's softmax over all keys is made of those over blocks."""
        memory = self.memory("scores", q, k)
        for rows, blocks in self.blocks(q.shape[1], k.shape[1]):
            queries = q[:, rows] * self.scale
            largest, total, mixed = self.mixed(queries, k, v, rows, blocks, memory, shifted=False)
            if not (np.min(total, initial=1) > 1e-4 and np.max(total, initial=1) < 1e30):  # nor for nan
                largest, total, mixed = self.mixed(queries, k, v, rows, blocks, memory, shifted=True)
            out[:, rows] = mixed / total if blocks else 0
            log_sums[:, rows] = largest + np.log(total) if blocks else 0

    def mixed(self, queries, k, v, rows, blocks, memory, shifted):
        """m, sum_j exp(score_j - m) and sum_j exp(score_j - m) v_j over all blocks of keys, for each query.

        If `shifted`, m is the largest score so far: whenever it grows, what was summed before fades by
        exp(before - now). Else m is 0, which is faster and as exact while the sum stays in range.
        """
        largest, total, mixed = (-inf if shifted else 0), 0, 0
        for columns in blocks:
            scores = self.scores_of(queries, k, rows, columns, memory)
            if shifted:
                before, largest = largest, np.maximum(scores.max(-1, keepdims=True), largest)
                scores -= largest
                total, mixed = (x * np.exp(before - largest) for x in (total, mixed))
            weights = np.exp(scores, out=scores)
            total = total + row_sums(weights.reshape(-1, weights.shape[2])).reshape(*weights.shape[:2], 1)
            mixed = mixed + weights @ v[:, columns]  # (h, Q, e)
        return largest, total, mixed

    def attend_back(self, g, q, k, v, out, log_sums, dq, dk, dv):
        """One unit backwards. The weights p come again from scores and log_sums; then dv = p^T g, dp = g v^T,
        dscores = p (dp - sum_j p_j dp_j), and that sum is the product of g and out.
        """
        dk[...], dv[...] = 0, 0
        memory, more = self.memory("scores", q, k), self.memory("d_scores", q, k)
        for rows, blocks in self.blocks(q.shape[1], k.shape[1]):
            queries, g_rows, d = q[:, rows] * self.scale, g[:, rows], 0
            inner = row_sums((g_rows * out[:, rows]).reshape(-1, g.shape[2])).reshape(*g_rows.shape[:2], 1)
            for columns in blocks:
                scores = self.scores_of(queries, k, rows, columns, memory)
                scores -= log_sums[:, rows]
                weights = np.exp(scores, out=scores)
                dv[:, columns] += weights.swapaxes(1, 2) @ g_rows
                d_scores = product(g_rows, v[:, columns].swapaxes(1, 2), more)
                d_scores -= inner
                d_scores *= weights
                d = d + d_scores @ k[:, columns]
                dk[:, columns] += d_scores.swapaxes(1, 2) @ queries
            dq[:, rows] = d * self.scale


def product(a, b, memory):
    """a @ b for (h, m, k) and (h, k, n), at the beginning of `memory`."""
    shape = (*a.shape[:2], b.shape[2])
    return np.matmul(a, b, out=memory[: prod(shape)].reshape(shape))


@once
def triangle(size, dtype):
    """-inf above the diagonal: added to scores, it hides the keys that come later."""
    return np.triu(np.full((size, size), -inf, dtype), 1)


def fit_tiles(*tensors):
    """Are these arrays on the CPU, of one floating-point dtype and with the same leading dimensions?"""
    first = tensors[0].array
    return all(
        isinstance(x.array, np.ndarray) and x.dtype == first.dtype and x.shape[:-2] == first.shape[:-2]
        for x in tensors
    )


def tiled_attention(query, key, value, is_causal=False, scale=None):
    """scaled_dot_product_attention without a mask, never with a (T, S) matrix; equal leading dimensions.

    Tiles are for a processor's cache: on a GPU this is the formula.
    """
    check_attention(query, key, value)
    if not fit_tiles(query, key, value):
        return matmul(masked_softmax(attention_scores(query, key, None, is_causal, scale)), value)
    scale = 1 / sqrt(max(query.shape[-1], 1)) if scale is None else scale
    return attend_in_tiles(query, key, value, Tiles(is_causal, scale), Together())


@op
def attend_in_tiles(query, key, value, tiles, gradients):
    """tiled_attention, where `tiles` has the settings and `gradients` holds those of all three."""
    shape = (*query.shape[:-1], value.shape[-1])
    # What four_dims makes of other shapes has to be a view, so that the tiles are written into `out`.
    out = np.empty_like(query, order="K" if query.ndim == 4 else "C", shape=shape)
    tiles.forward(*map(four_dims, (query, key, value, out)))
    return out


class Together:
    """Gradients that are computed together and asked for one by one, each once, with the g they belong to."""

    __slots__ = ("g", "waiting")

    def __init__(self):
        self.g, self.waiting = None, {}

    def share(self, place, g, compute):
        """The gradient at a place of compute()'s result, which is called for the first of them."""
        if self.g is not g or place not in self.waiting:
            self.g, self.waiting = g, dict(enumerate(compute()))
        return self.waiting.pop(place)


def four_dims(x):
    """(..., T, d) as (B, h, T, d), a view of a contiguous array."""
    lead = (1, 1, *x.shape[:-2])
    return x if x.ndim == 4 else x.reshape(prod(lead[:-1]), lead[-1], *x.shape[-2:])


def tiled_gradients(g, out, query, key, value, tiles):
    """The gradients of query, key and value."""
    found = [np.empty_like(x, order="C") for x in (query, key, value)]
    tiles.backward(*map(four_dims, (g, query, key, value, out, *found)))
    return found


def tiled_gradient(place):
    """The derivative with respect to query (place 0), key (1) or value (2)."""

    def gradient(g, out, query, key, value, tiles, gradients):
        return gradients.share(place, g, lambda: tiled_gradients(g, out, query, key, value, tiles))

    return gradient


derivative(attend_in_tiles, *map(tiled_gradient, range(3)))


@op
def packed_attention(qkv, num_heads, tiles):
    """Attention of each head in a (B, T, 3 C) projection, which is read, and whose gradient is written, in
    place: the result is (B, T, C).
    """
    out = np.empty_like(qkv, shape=(*qkv.shape[:2], qkv.shape[2] // 3))
    tiles.forward(*heads_of(qkv, num_heads, 3), *heads_of(out, num_heads, 1))
    return out


def heads_of(x, num_heads, parts):
    """(B, T, parts C) as `parts` views (B, h, T, C / h), without a copy."""
    size = x.shape[2] // (parts * num_heads)
    return x.reshape(*x.shape[:2], parts, num_heads, size).transpose(2, 0, 3, 1, 4)


def packed_attention_qkv(g, out, qkv, num_heads, tiles):
    d = np.empty_like(qkv)
    one_each = (*heads_of(g, num_heads, 1), *heads_of(qkv, num_heads, 3), *heads_of(out, num_heads, 1))
    tiles.backward(*one_each, *heads_of(d, num_heads, 3))
    return d


derivative(packed_attention, packed_attention_qkv)

# The modules.


class MultiheadAttention(Module):
    """Several heads attend side by side, each to a projection of its own; what they find is projected back.

    query (T, N, E), key and value (S, N, E), or (N, T, E) with batch_first, or without N. The state_dict has
    PyTorch's keys: in_proj_weight (3 E, E), in_proj_bias, out_proj.weight, out_proj.bias.
    """

    def __init__(
        self, embed_dim, num_heads, dropout=0.0, bias=True, batch_first=False, device=None, dtype=None
    ):
        super().__init__()
        check_heads(embed_dim, num_heads)
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.dropout, self.batch_first = dropout, batch_first
        settings = {"dtype": dtype or float32, "device": device}
        self.in_proj_weight = Parameter(zeros(3 * embed_dim, embed_dim, **settings))
        self.in_proj_bias = Parameter(zeros(3 * embed_dim, **settings)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, **settings)
        bound = sqrt(6 / (4 * embed_dim))  # Xavier's for a weight (3 E, E)
        uniform_(self.in_proj_weight, -bound, bound)
        if bias:
            fill(self.out_proj.bias, 0)

    def forward(
        self, query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None,
        average_attn_weights=True, is_causal=False,
    ):  # fmt: skip
        """(output in the query's shape, weights (N, T, S)); without `need_weights` (output, None), which is
        faster.

        attn_mask (T, S) or (N h, T, S), key_padding_mask (N, S): True where attention is *not* allowed, as in
        PyTorch's module, or floats that are added. average_attn_weights=False gives the weights of each head,
        (N, h, T, S). is_causal is a promise that attn_mask is the causal one, which has to come with it.
        """
        if is_causal and attn_mask is None:
            raise RuntimeError("MultiheadAttention: is_causal is a hint about attn_mask; pass that as well")
        batched = query.ndim == 3
        if batched and not self.batch_first:
            query, key, value = (transpose(x, 0, 1) for x in (query, key, value))
        q, k, v = (self.heads(x, i) for i, x in enumerate((query, key, value)))  # (..., h, T, d)
        mask = self.merged_mask(attn_mask, key_padding_mask, q.shape)
        dropout_p, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            weights = dropout(softmax(attention_scores(q, k, mask), -1), dropout_p)  # (..., h, T, S)
            mixed = matmul(weights, v)
            weights = mean(weights, -3) if average_attn_weights else weights
        else:
            mixed = scaled_dot_product_attention(q, k, v, mask, dropout_p)
        mixed = transpose(mixed, -3, -2)  # (..., T, h, d)
        out = self.out_proj(reshape(mixed, (*mixed.shape[:-2], self.embed_dim)))
        return (transpose(out, 0, 1) if batched and not self.batch_first else out), weights

    def heads(self, x, part):
        """The queries (part 0), keys (1) or values (2) that x projects to: (..., T, E) to (..., h, T, d)."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        projected = linear(x, self.in_proj_weight[rows], bias)
        return transpose(reshape(projected, (*x.shape[:-1], self.num_heads, self.head_dim)), -3, -2)

    def merged_mask(self, attn_mask, key_padding_mask, shape):
        """Both masks as one that attention_scores takes: bool, True where attention is allowed, or floats."""
        masks = []
        if attn_mask is not None:
            of_each_head = attn_mask.ndim == 3
            masks.append(reshape(attn_mask, shape[:-2] + attn_mask.shape[1:]) if of_each_head else attn_mask)
        if key_padding_mask is not None:
            lead = (shape[0], 1, 1) if len(shape) == 4 else (1, 1)
            masks.append(reshape(key_padding_mask, (*lead, key_padding_mask.shape[-1])))
        if not masks:
            return None
        arrays = [mask.array for mask in masks]
        if all(array.dtype == bool_ for array in arrays):
            return wrap(~(arrays[0] | arrays[-1]))
        floats = [np.where(a, -inf, 0).astype(float32) if a.dtype == bool_ else a for a in arrays]
        return wrap(floats[0] if len(floats) == 1 else floats[0] + floats[1])

    def extra_repr(self):
        return f"{self.embed_dim}, num_heads={self.num_heads}"


def check_heads(embed_dim, num_heads):
    if num_heads < 1 or embed_dim % num_heads:
        raise ValueError(f"attention: {embed_dim} features cannot be shared evenly by {num_heads} heads")


class CausalSelfAttention(Module):
    """Self-attention of a language model, x (B, T, C) to (B, T, C): each position sees itself and those
    before.

    One layer, c_attn, makes queries, keys and values at once; c_proj mixes what the heads found, as in GPT-2.
    rotary: turn queries and keys through the angles of their positions.
    """

    def __init__(self, embed_dim, num_heads, dropout=0.0, bias=True, rotary=False):
        super().__init__()
        check_heads(embed_dim, num_heads)
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.c_attn = Linear(embed_dim, 3 * embed_dim, bias)
        self.c_proj = Linear(embed_dim, embed_dim, bias)
        self.rotary: Any = RotaryEmbedding(embed_dim // num_heads) if rotary else None

    def forward(self, input, cache=None):
        """`cache` knows the keys and values of len(cache) earlier positions, and cache.update(key, value),
        each (B, h, T, d), appends these and returns all, or those in its `window`, as module 17 does it."""
        past = 0 if cache is None else len(cache)
        qkv = self.c_attn(input)  # (B, T, 3 C)
        if self.rotary is not None:
            qkv = self.turned(qkv, past)
        dropout_p = self.dropout if self.training else 0.0
        if cache is None and not dropout_p and fit_tiles(qkv):
            tiles = Tiles(is_causal=True, scale=1 / sqrt(self.embed_dim // self.num_heads))
            mixed = packed_attention(qkv, self.num_heads, tiles)  # (B, T, C)
        else:
            mixed = self.with_cache(qkv, cache, past, dropout_p)
        return dropout(self.c_proj(mixed), dropout_p)

    def turned(self, qkv, past):
        """Queries and keys turned; the values' angle is 0."""
        B, T, _ = qkv.shape
        cos, sin = turns(self.rotary.dim, self.rotary.base, T, past)  # (T, 3, 1, d/2)
        parts = reshape(qkv, (B, T, 3, self.num_heads, self.embed_dim // self.num_heads))
        return reshape(apply_rotary(parts, cos, sin), qkv.shape)

    def with_cache(self, qkv, cache, past, dropout_p):
        B, T, _ = qkv.shape
        if cache is not None and T == 1 and not dropout_p and not Op.engine.is_recording(qkv):
            return self.one_more(qkv, cache)
        parts = reshape(qkv, (B, T, 3, self.num_heads, self.embed_dim // self.num_heads))
        q, k, v = permute(parts, (2, 0, 3, 1, 4))  # (B, h, T, d) each
        window, mask = getattr(cache, "window", None), None
        if cache is not None:
            k, v = cache.update(k, v)
        if (past and T > 1) or (window and window < T):
            mask = wrap(np.asarray(causal_mask(T, k.shape[2] - T, window).array, like=qkv.array))
        is_causal = not past and mask is None
        mixed = scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal)  # (B, h, T, d)
        return reshape(permute(mixed, (0, 2, 1, 3)), (B, T, self.embed_dim))

    def one_more(self, qkv, cache):
        """`with_cache` for one new position and no history: so little work that each Op would count."""
        q, k, v = heads_of(qkv.array, self.num_heads, 3)  # (B, h, 1, d) each
        k, v = (x.array for x in cache.update(wrap(k), wrap(v)))  # (B, h, S, d)
        weights = (q * (1 / sqrt(q.shape[3]))) @ k.swapaxes(2, 3)  # (B, h, 1, S)
        weights -= weights.max(-1, keepdims=True)
        np.exp(weights, out=weights)
        mixed = weights @ v  # (B, h, 1, d)
        mixed /= weights.sum(-1, keepdims=True)
        return wrap(mixed.reshape(len(mixed), 1, self.embed_dim))

    def extra_repr(self):
        return f"{self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}"


@lru_cache(maxsize=4)
def turns(dim, base, length, past):
    """cos and sin, each (length, 3, 1, dim/2), for queries, keys and values at positions from `past` on. All
    blocks of a model ask for the same ones, one after another."""
    cos, sin = (x.array[:, None, None] for x in RotaryEmbedding(dim, base)(length, past))
    cos = np.concatenate([cos, cos, np.ones_like(cos)], 1)
    return cos, np.concatenate([sin, sin, np.zeros_like(sin)], 1)
