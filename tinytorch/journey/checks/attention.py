"""Exercises of module 12, Attention."""

import math

import numpy as np

from tinytorch.core import attention
from tinytorch.core.embeddings import apply_rotary
from tinytorch.core.layers import fill
from tinytorch.core.tensor import Generator, cat, tensor

from ..checking import Exercises, call, gradients, see, swap, wrong

exercises = Exercises("attention")


def grid(*shape, seed=12):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def softmax_of(scores):
    """In float64; a row of -inf gives zeros."""
    largest = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def by_formula(q, k, v, mask=None, scale=None):
    """softmax(Q K^T / sqrt(d)) V in float64; mask: bool, True where a query may attend."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -math.inf)
    return softmax_of(scores) @ v


def single(x):
    return np.asarray(x, np.float32)


causal_mask = exercises.add(
    "causal_mask",
    prompt=(
        "Return a bool Tensor (length, past + length), True where a query may see a key. Query i is "
        "position past + i: it sees itself and all positions before. With a `window`, it sees only the "
        "last `window` of these, itself included."
    ),
    hints=(
        "Query i stands at position past + i. It may see key j if j <= past + i, and, with a window, "
        "if j > past + i - window.",
        "`np.tri(rows, columns, k, dtype=bool)` is True up to the k-th diagonal above the main one; "
        "`wrap` makes a Tensor of an array.",
        "The window takes away what a second triangle, moved down by `window`, has.",
    ),
    mistakes=(
        swap(
            "np.tri(length, past + length, past, dtype=bool_)",
            "np.tri(length, past + length, past + 1, dtype=bool_)",
            "The mask is one too high: each query sees the next position, the one that it should guess.",
        ),
        swap(
            "np.tri(length, past + length, past, dtype=bool_)",
            "np.tri(length, past + length, past - 1, dtype=bool_)",
            "The mask is one too low: no query sees itself, and the first one sees nothing at all.",
        ),
        swap(
            "np.tri(length, past + length, past, dtype=bool_)",
            "np.tri(length, past + length, dtype=bool_)",
            "Query i stands at position past + i, not at i: it may see the whole past as well.",
        ),
        swap(
            "past - window, dtype",
            "past - window - 1, dtype",
            "A window of w shows w positions, the query's own included; this shows one more.",
        ),
        swap(
            "past - window, dtype",
            "-window, dtype",
            "The window is counted from i; query i stands at position past + i.",
        ),
        swap(
            "np.tri(length, past + length, past, dtype=bool_)",
            "~np.tri(length, past + length, past - 1, dtype=bool_)",
            "The mask is the wrong way round: a query sees what comes later, and not what came before.",
        ),
    ),
)


@causal_mask.check("each of three positions sees itself and those before")
def _():
    expected = np.array([[True, False, False], [True, True, False], [True, True, True]])
    call(attention.causal_mask, 3).gives(tensor(expected))


@causal_mask.check("new positions see the whole past")
def _():
    call(attention.causal_mask, 2, 2).gives(tensor(np.array([[True, True, True, False], [True] * 4])))
    call(attention.causal_mask, 1, 3).gives(tensor(np.ones((1, 4), bool)))


@causal_mask.check("a window shows the last few positions")
def _():
    i, j = np.arange(5)[:, None], np.arange(5)
    call(attention.causal_mask, 5, window=2).gives(tensor((j <= i) & (j > i - 2)))
    i, j = 3 + np.arange(2)[:, None], np.arange(5)
    call(attention.causal_mask, 2, 3, window=3).gives(tensor((j <= i) & (j > i - 3)))


masked_softmax = exercises.add(
    "masked_softmax",
    prompt=(
        "Return the softmax over the last dimension of an array, without overflow for any finite "
        "scores. A score of -inf gets the share 0, and a row that is all -inf gives zeros, not nan. "
        "The dtype stays."
    ),
    hints=(
        "Start from softmax (02): subtract each row's largest number, take exp, divide by the row's "
        "sum. Where does a row of -inf go wrong?",
        "-inf - (-inf) is nan, and so is 0 / 0: in such a row subtract 0 instead, and divide by 1.",
        "`np.where(largest == -inf, 0, largest)` repairs the first, `np.where(total == 0, 1, total)` "
        "the second.",
    ),
    mistakes=(
        wrong(
            """
            def masked_softmax(input):
                e = np.exp(input - input.max(-1, keepdims=True))
                return e / e.sum(-1, keepdims=True)
            """,
            "A row of -inf becomes nan: -inf minus -inf is nan. Such a row has to give zeros.",
        ),
        wrong(
            """
            def masked_softmax(input):
                e = np.exp(input)
                total = e.sum(-1, keepdims=True)
                return e / np.where(total == 0, 1, total)
            """,
            "exp overflows for large scores: subtract each row's largest number first.",
        ),
        wrong(
            """
            def masked_softmax(input):
                largest = input.max(0, keepdims=True)
                e = np.exp(input - np.where(largest == -inf, 0, largest))
                total = e.sum(0, keepdims=True)
                return e / np.where(total == 0, 1, total)
            """,
            "This sums along the first dimension; the shares of one query, the last dimension, have to "
            "sum to 1.",
        ),
        wrong(
            """
            def masked_softmax(input):
                largest = input.max()
                e = np.exp(input - (0 if largest == -inf else largest))
                total = e.sum(-1, keepdims=True)
                return e / np.where(total == 0, 1, total)
            """,
            "The largest number of all is subtracted; far below it, a whole row of exp is 0. Subtract each "
            "row's own.",
        ),
        wrong(
            """
            def masked_softmax(input):
                largest = np.maximum(input.max(-1, keepdims=True), 0)
                e = np.exp(input - largest)
                total = e.sum(-1, keepdims=True)
                return e / np.where(total == 0, 1, total)
            """,
            "A row of large negative scores becomes zeros, as exp of each is 0: subtract 0 only in a row of "
            "-inf.",
        ),
        wrong(
            """
            def masked_softmax(input):
                largest = input.max(-1, keepdims=True)
                input -= np.where(largest == -inf, 0, largest)
                e = np.exp(input)
                total = e.sum(-1, keepdims=True)
                return e / np.where(total == 0, 1, total)
            """,
            "The scores are changed in place: input -= … writes into the caller's array.",
        ),
    ),
)


@masked_softmax.check("what is -inf gets no share, the others sum to 1")
def _():
    x = tensor(single([[0.0, 0.0, -math.inf], [1.0, 2.0, 3.0]]))
    e = np.exp([1.0, 2.0, 3.0])
    call(attention.masked_softmax, x).gives(tensor(single([[0.5, 0.5, 0.0], e / e.sum()])))


@masked_softmax.check("a row that may attend to nothing gives zeros")
def _():
    x = tensor(single([[-math.inf, -math.inf], [0.0, 0.0]]))
    call(attention.masked_softmax, x).gives(tensor(single([[0.0, 0.0], [0.5, 0.5]])))


@masked_softmax.check("large scores do not overflow")
def _():
    call(attention.masked_softmax, tensor(single([[1000.0, 1000.0]]))).gives([[0.5, 0.5]])
    x = tensor(single([[-1000.0, -1000.0]]))
    call(attention.masked_softmax, x).gives([[0.5, 0.5]])
    see("the scores afterwards", x).gives([[-1000.0, -1000.0]])
    x = tensor(single([[1000.0, 1000.0], [0.0, 0.0]]))
    call(attention.masked_softmax, x).gives([[0.5, 0.5], [0.5, 0.5]])


@masked_softmax.check("any number of dimensions in front")
def _():
    x = grid(2, 3, 2, 4)
    call(attention.masked_softmax, tensor(x)).gives(tensor(single(softmax_of(x.astype(np.float64)))))


attention_scores = exercises.add(
    "attention_scores",
    prompt=(
        "Return Q K^T / sqrt(d), or Q K^T times `scale` if one is given: query (..., T, d) and key "
        "(..., S, d) give (..., T, S). Where a bool attn_mask is False the score is -inf; an attn_mask "
        "of floats is added. With is_causal, query i keeps its scores with keys 0 to i and the others "
        "become -inf."
    ),
    hints=(
        "A score is the product of a query's row with a key's row: all of them together are one matmul.",
        "`transpose(key, -2, -1)` turns the keys; multiply by the scale before or after. `where(mask, "
        "scores, -inf)` hides scores, and gradients flow through it.",
        "For is_causal: `np.tri(T, S, dtype=bool_)` is True on and below the diagonal.",
    ),
    mistakes=(
        swap(
            "scale = 1 / sqrt(max(query.shape[-1], 1)) if scale is None else scale",
            "scale = 1.0 if scale is None else scale",
            "The scores are not divided by sqrt(d): a wide model would begin with a saturated softmax.",
        ),
        swap(
            "1 / sqrt(max(query.shape[-1], 1))",
            "1 / max(query.shape[-1], 1)",
            "This divides by d; the scores have to be divided by its square root.",
        ),
        swap(
            "where(attn_mask, scores, -inf)",
            "where(wrap(~attn_mask.array), scores, -inf)",
            "The mask is the wrong way round: True is where a query may attend.",
        ),
        swap(
            "scores, -inf) if",
            "scores, 0.0) if",
            "A hidden score of 0 still gets a share, as exp(0) is 1: make it -inf.",
        ),
        swap(
            "np.tri(*scores.shape[-2:], dtype=bool_)",
            "np.tri(*scores.shape[-2:], 1, dtype=bool_)",
            "With is_causal each query sees one key too many: the one after its own.",
        ),
        swap(
            "mask = np.tri(*scores.shape[-2:], dtype=bool_)",
            "T, S = scores.shape[-2:]\n        mask = np.tri(T, S, S - T, dtype=bool_)",
            "With is_causal the last query sees all keys here; query i sees keys 0 to i, whatever S is.",
        ),
        swap(
            "    if attn_mask is not None:",
            "    elif attn_mask is not None:",
            "With is_causal the attn_mask has no effect; both hide keys.",
        ),
    ),
)


@attention_scores.check("two queries and two keys of four features")
def _():
    q = tensor(single([[2, 0, 0, 0], [0, 2, 0, 0]]))
    k = tensor(single([[1, 3, 0, 0], [2, 4, 0, 0]]))
    call(attention.attention_scores, q, k).gives(tensor(single([[1, 2], [3, 4]])))
    call(attention.attention_scores, q, k, scale=3.0).gives(tensor(single([[6, 12], [18, 24]])))


@attention_scores.check("T and S may differ, with batch and heads in front")
def _():
    q, k = grid(2, 3, 2, 5), grid(2, 3, 4, 5, seed=1)
    expected = q.astype(np.float64) @ k.astype(np.float64).swapaxes(2, 3) / math.sqrt(5)
    call(attention.attention_scores, tensor(q), tensor(k)).gives(tensor(single(expected)))


@attention_scores.check("a bool mask hides, a mask of floats is added")
def _():
    q = k = tensor(single([[1.0], [2.0]]))
    mask = tensor(np.array([[True, False], [True, True]]))
    call(attention.attention_scores, q, k, mask).gives([[1.0, -math.inf], [2.0, 4.0]])
    call(attention.attention_scores, q, k, tensor(single([0.5, -3.0]))).gives([[1.5, -1.0], [2.5, 1.0]])


@attention_scores.check("is_causal hides the keys that come later")
def _():
    q = k = tensor(single([[1.0], [2.0], [3.0]]))
    expected = [[1.0, -math.inf, -math.inf], [2.0, 4.0, -math.inf], [3.0, 6.0, 9.0]]
    call(attention.attention_scores, q, k, is_causal=True).gives(expected)
    few = [[1.0, -math.inf, -math.inf], [2.0, 4.0, -math.inf]]
    call(attention.attention_scores, q[:2], k, is_causal=True).gives(few)


@attention_scores.check("is_causal and a mask hide keys together")
def _():
    q = k = tensor(single([[1.0], [2.0]]))
    mask = tensor(np.array([False, True]))
    expected = [[-math.inf, -math.inf], [-math.inf, 4.0]]
    call(attention.attention_scores, q, k, mask, is_causal=True).gives(expected)


@attention_scores.check("gradients flow to queries and keys")
def _():
    gradients("attention_scores", attention.attention_scores, grid(2, 3), grid(4, 3, seed=1))


mixed = exercises.add(
    "Tiles.mixed",
    prompt=(
        "For queries (h, Q, d), already scaled, go through the `blocks` of keys, a slice each, and "
        "return (m, sum_j exp(score_j - m), sum_j exp(score_j - m) v_j), the sums with shapes (h, Q, "
        "1) and (h, Q, e). If `shifted`, m (h, Q, 1) is the largest score of all blocks, found on the "
        "way, so that nothing overflows; else m is 0. `self.scores_of(queries, k, rows, columns, "
        "memory)` gives the scores (h, Q, S) of one block."
    ),
    hints=(
        "Keep three things while you go from block to block: the largest score so far, the sum of "
        "weights so far, the sum of weighted values so far.",
        "When a block brings a larger score, what was summed before was measured against the old one: "
        "multiply it by exp(before - now), then add the block.",
        "The first block needs no special case: with largest = -inf before it, exp(-inf - now) is 0. "
        "`weights @ v[:, columns]` is the block's sum of values.",
    ),
    mistakes=(
        swap(
            "total, mixed = (x * np.exp(before - largest) for x in (total, mixed))",
            "pass",
            "When the largest score grows, what was summed before has to fade by exp(before - now).",
        ),
        swap(
            "total, mixed = (x * np.exp(before - largest) for x in (total, mixed))",
            "total = total * np.exp(before - largest)",
            "The sum of the weights fades, that of the values has to fade by the same factor.",
        ),
        swap(
            "if shifted:",
            "if False:",
            "The scores are not shifted: exp overflows for large ones. Subtract the largest score so far.",
        ),
        swap(
            "mixed = mixed + weights @ v[:, columns]",
            "mixed = weights @ v[:, columns]",
            "Only the last block's values are kept: add those of each block.",
        ),
        swap(
            "np.maximum(scores.max(-1, keepdims=True), largest)",
            "np.maximum(scores.max(), largest)",
            "One largest score serves all queries; where another query's scores are far below it, exp is 0. "
            "Each query has its own.",
        ),
        swap(
            "(-inf if shifted else 0)",
            "0",
            "The largest score begins at 0; of a query whose scores are all far below that, exp is 0. Begin "
            "with -inf.",
        ),
        swap(
            "np.exp(before - largest)",
            "np.exp(largest - before)",
            "The factor is upside down: it is exp(before - now), which is below 1.",
        ),
    ),
)


def check_mixed(q, k, v, blocks, shifted, is_causal=False):
    """Queries are at the last positions."""
    tiles, first = attention.Tiles(is_causal, 1.0), k.shape[1] - q.shape[1] if is_causal else 0
    memory, rows = tiles.memory("scores", q, k), slice(first, first + q.shape[1])
    largest, total, sums = tiles.mixed(q, k, v, rows, blocks, memory, shifted)
    mask = np.tri(q.shape[1], k.shape[1], first, dtype=bool) if is_causal else None
    words = f"blocks {', '.join(f'{b.start} to {b.stop}' for b in blocks)} of keys, shifted={shifted}"
    expected = by_formula(q, k, v, mask, 1.0).tolist()
    see(f"Tiles.mixed, {words}: values / weights", sums / total).gives(expected)
    scores = q.astype(np.float64) @ k.astype(np.float64).swapaxes(1, 2)
    scores = scores if mask is None else np.where(mask, scores, -math.inf)
    most = scores.max(-1, keepdims=True)
    logs = most + np.log(np.exp(scores - most).sum(-1, keepdims=True))
    see(f"Tiles.mixed, {words}: m + log(sum of weights)", largest + np.log(total)).gives(logs.tolist())


@mixed.check("two blocks of one key each, without a shift")
def _():
    q, k = single([[[1.0]]]), single([[[0.0], [1.0]]])
    check_mixed(q, k, single([[[1.0], [2.0]]]), [slice(0, 1), slice(1, 2)], False)


@mixed.check("with a shift, as the largest score grows from block to block")
def _():
    q, k = single([[[1.0]]]), single([[[0.0], [1.0], [3.0]]])
    check_mixed(q, k, single([[[1.0], [2.0], [4.0]]]), [slice(0, 1), slice(1, 2), slice(2, 3)], True)


@mixed.check("scores of a thousand do not overflow")
def _():
    k, v = single([[[10.0], [10.01], [9.99]]]), single([[[1.0], [2.0], [4.0]]])
    for q in ([[0.0], [100.0]], [[100.0], [-100.0]]):
        check_mixed(single([q]), k, v, [slice(0, 2), slice(2, 3)], True)


@mixed.check("several heads, and later keys hidden")
def _():
    q, k, v = grid(2, 3, 3), grid(2, 5, 3, seed=1), grid(2, 5, 2, seed=2)
    for shifted in (False, True):
        check_mixed(q, k, v, [slice(0, 2), slice(2, 5)], shifted, is_causal=True)


sdpa = exercises.add(
    "scaled_dot_product_attention",
    prompt=(
        "Return softmax(Q K^T / sqrt(d)) V: query (..., T, d), key (..., S, d), value (..., S, e) give "
        "(..., T, e). The masks, is_causal and scale mean what they mean in attention_scores. Of the "
        "weights, a share of `dropout_p` is dropped, with `dropout` (03) and `generator`. A query that "
        "may attend to nothing gives zeros."
    ),
    hints=(
        "You have the two parts already: attention_scores and masked_softmax. Pass every argument on.",
        "`dropout(weights, dropout_p, generator=generator)` stands between the softmax and the product "
        "with the values.",
        "The tiles are a faster way to the same numbers: the formula alone passes, and "
        "`tiled_attention` may be called where there is neither mask nor dropout.",
    ),
    mistakes=(
        wrong(
            """
            def scaled_dot_product_attention(
                query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
            ):
                weights = masked_softmax(attention_scores(query, key, attn_mask, False, scale))
                return matmul(dropout(weights, dropout_p, generator=generator), value)
            """,
            "is_causal is not passed on: each query sees keys that come later.",
        ),
        wrong(
            """
            def scaled_dot_product_attention(
                query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
            ):
                weights = masked_softmax(attention_scores(query, key, attn_mask, is_causal))
                return matmul(dropout(weights, dropout_p, generator=generator), value)
            """,
            "`scale` is not passed on to the scores.",
        ),
        wrong(
            """
            def scaled_dot_product_attention(
                query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
            ):
                weights = softmax(attention_scores(query, key, attn_mask, is_causal, scale), -1)
                return matmul(dropout(weights, dropout_p, generator=generator), value)
            """,
            "A query that may attend to nothing gives nan: masked_softmax makes zeros of it.",
        ),
        wrong(
            """
            def scaled_dot_product_attention(
                query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
            ):
                weights = masked_softmax(attention_scores(query, key, attn_mask, is_causal, scale))
                return matmul(weights, value)
            """,
            "No weight is dropped: dropout_p has no effect.",
        ),
        wrong(
            """
            def scaled_dot_product_attention(
                query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
            ):
                weights = masked_softmax(attention_scores(query, key, attn_mask, is_causal, scale))
                return dropout(matmul(weights, value), dropout_p, generator=generator)
            """,
            "Numbers of the result are dropped; it is the weights that are, before they meet the values.",
        ),
        wrong(
            """
            def scaled_dot_product_attention(
                query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
            ):
                weights = masked_softmax(attention_scores(query, key, attn_mask, is_causal, scale))
                return matmul(dropout(weights, dropout_p), value)
            """,
            "`generator` is not passed on to dropout: the same seed does not give the same result.",
        ),
        swap(
            "attention_scores(query, key, attn_mask, is_causal, scale)",
            "attention_scores(query, key, attn_mask)",
            "With a mask or dropout, is_causal and scale have no effect: pass them on there as well.",
        ),
        wrong(
            """
            def scaled_dot_product_attention(
                query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, generator=None
            ):
                weights = softmax(attention_scores(query, key, attn_mask, is_causal, scale), -2)
                return matmul(dropout(weights, dropout_p, generator=generator), value)
            """,
            "The softmax runs over the queries: the shares that one query gives to all keys have to "
            "sum to 1.",
        ),
    ),
)


@sdpa.check("equal scores give the mean of the values")
def _():
    q, k = tensor(single([[0.0, 0.0]])), tensor(single([[1.0, 2.0], [3.0, 4.0]]))
    call(attention.scaled_dot_product_attention, q, k, tensor(single([[10.0], [20.0]]))).gives([[15.0]])


@sdpa.check("the formula, with batch and heads in front, float32 stays float32")
def _():
    q, k, v = grid(2, 2, 3, 4), grid(2, 2, 5, 4, seed=1), grid(2, 2, 5, 3, seed=2)
    given = [tensor(x) for x in (q, k, v)]
    call(attention.scaled_dot_product_attention, *given).gives(tensor(single(by_formula(q, k, v))))
    seen = call(attention.scaled_dot_product_attention, *given, scale=0.3)
    seen.gives(tensor(single(by_formula(q, k, v, scale=0.3))))


@sdpa.check("with is_causal no query sees what comes later")
def _():
    q = k = grid(4, 2)
    v = grid(4, 3, seed=2)
    seen = call(attention.scaled_dot_product_attention, tensor(q), tensor(k), tensor(v), is_causal=True)
    seen.gives(tensor(single(by_formula(q, k, v, np.tri(4, dtype=bool)))))


@sdpa.check("a mask hides keys, and a query that may attend to nothing gives zeros")
def _():
    q, k, v = grid(2, 2), grid(3, 2, seed=1), grid(3, 2, seed=2)
    mask = np.array([[True, False, True], [False, False, False]])
    seen = call(attention.scaled_dot_product_attention, tensor(q), tensor(k), tensor(v), tensor(mask))
    seen.gives(tensor(single(by_formula(q, k, v, mask))))


@sdpa.check("dropout drops weights and doubles the others")
def _():
    q, k = tensor(grid(40, 2)), tensor(grid(1, 2))
    seen = call(attention.scaled_dot_product_attention, q, k, tensor(single([[1.0]])), dropout_p=0.5)
    found = {round(float(x), 4) for x in seen.value.array.ravel()}
    seen.satisfies(found == {0.0, 2.0}, "some results 0, the others 2, as each query has one weight")
    seen = call(attention.scaled_dot_product_attention, q, k, tensor(single([[1.0, 1.0]])), dropout_p=0.5)
    alike = seen.value.array[:, 0] == seen.value.array[:, 1]
    seen.satisfies(bool(alike.all()), "two equal columns, as a weight that is dropped is dropped for both")


@sdpa.check("dropout draws from the generator")
def _():
    q, k, v = tensor(grid(6, 2)), tensor(grid(5, 2, seed=1)), tensor(grid(5, 2, seed=2))
    one, other = (
        attention.scaled_dot_product_attention(q, k, v, dropout_p=0.5, generator=Generator(3)).array
        for _ in range(2)
    )
    see("twice dropout_p=0.5, generators of the same seed: the second result", other).gives(one)


@sdpa.check("a mask, is_causal and scale at once")
def _():
    q, k, v = grid(3, 2), grid(3, 2, seed=1), grid(3, 2, seed=2)
    mask = np.array([[True] * 3, [False, True, True], [True, False, True]])
    given = [tensor(x) for x in (q, k, v, mask)]
    seen = call(attention.scaled_dot_product_attention, *given, is_causal=True, scale=0.3)
    seen.gives(tensor(single(by_formula(q, k, v, mask & np.tri(3, dtype=bool), 0.3))))


@sdpa.check("gradients flow to queries, keys and values")
def _():
    gradients(
        "causal attention",
        lambda q, k, v: attention.scaled_dot_product_attention(q, k, v, is_causal=True),
        grid(3, 2), grid(3, 2, seed=1), grid(3, 2, seed=2),
    )  # fmt: skip


heads = exercises.add(
    "MultiheadAttention.heads",
    prompt=(
        "Project x (..., T, E) with the rows of in_proj_weight (3 E, E), and of in_proj_bias if there "
        "is one, that belong to `part`: the first E rows make queries (0), the next E keys (1), the "
        "last E values (2). Then cut the E features into heads: return (..., h, T, d). Head 0 has the "
        "first d features."
    ),
    hints=(
        "Three steps: `linear` (03) with a part of the weight, a reshape that splits the features, a "
        "transpose that moves the heads before the positions.",
        "A parameter can be indexed with a slice, and gradients flow through it. Splitting (..., T, E) "
        "gives (..., T, h, d), not yet (..., h, T, d).",
        "`transpose(reshape(y, (*x.shape[:-1], self.num_heads, self.head_dim)), -3, -2)`",
    ),
    mistakes=(
        swap(
            "transpose(reshape(projected, (*x.shape[:-1], self.num_heads, self.head_dim)), -3, -2)",
            "reshape(projected, (*x.shape[:-2], self.num_heads, x.shape[-2], self.head_dim))",
            "A reshape alone mixes positions and heads: split the features first, (..., T, h, d), then "
            "transpose.",
        ),
        swap(
            "linear(x, self.in_proj_weight[rows], bias)",
            "linear(x, self.in_proj_weight[rows])",
            "The bias is missing.",
        ),
        swap(
            "slice(part * self.embed_dim, (part + 1) * self.embed_dim)",
            "slice(0, self.embed_dim)",
            "Keys and values are projected with the rows of the queries.",
        ),
        swap(
            "linear(x, self.in_proj_weight[rows], bias)",
            "linear(x, transpose(self.in_proj_weight[rows], 0, 1), bias)",
            "The weight is transposed: linear takes it as (out, in), as it is.",
        ),
        swap(
            "linear(x, self.in_proj_weight[rows], bias)",
            "linear(x, wrap(self.in_proj_weight.array[rows]), bias)",
            "This takes the array behind the weight: nothing is recorded, and the weight never learns.",
        ),
        swap(
            "transpose(reshape(projected, (*x.shape[:-1], self.num_heads, self.head_dim)), -3, -2)",
            "transpose(transpose(reshape(projected, (*x.shape[:-1], self.head_dim, -1)), -1, -2), -3, -2)",
            "The heads take turns with the features; head 0 has the first d features: split into (h, d).",
        ),
    ),
)


def multihead(embed_dim=4, num_heads=2, **settings):
    layer = attention.MultiheadAttention(embed_dim, num_heads, **settings)
    if layer.in_proj_bias is not None:
        fill(layer.in_proj_bias, grid(3 * embed_dim, seed=5))
        fill(layer.out_proj.bias, grid(embed_dim, seed=6))
    return layer


def heads_by_formula(layer, x, part):
    size, rows = layer.embed_dim, slice(part * layer.embed_dim, (part + 1) * layer.embed_dim)
    y = x.astype(np.float64) @ layer.in_proj_weight.array[rows].astype(np.float64).T
    y = y if layer.in_proj_bias is None else y + layer.in_proj_bias.array[rows]
    d = size // layer.num_heads
    return np.stack([y[..., i * d : (i + 1) * d] for i in range(layer.num_heads)], -3)


@heads.check("head 0 has the first features of each position, head 1 the rest")
def _():
    layer = multihead(2, 2, bias=False)
    fill(layer.in_proj_weight, np.tile(np.eye(2, dtype=np.float32), (3, 1)))
    seen = see("heads(x, 0), as the weight is the identity", layer.heads(tensor([[1.0, 2.0], [3.0, 4.0]]), 0))
    seen.gives([[[1.0], [3.0]], [[2.0], [4.0]]])


@heads.check("queries, keys and values have their own rows and biases")
def _():
    layer, x = multihead(), grid(3, 4)
    for part in range(3):
        seen = see(f"heads(x (3, 4), {part})", layer.heads(tensor(x), part))
        seen.gives(tensor(single(heads_by_formula(layer, x, part))))


@heads.check("a batch in front, and a layer without a bias")
def _():
    layer, x = multihead(6, 3, bias=False), grid(2, 5, 6)
    see("heads(x (2, 5, 6), 1)", layer.heads(tensor(x), 1)).gives(
        tensor(single(heads_by_formula(layer, x, 1)))
    )


def gradient_flows(layer, out, names=""):
    """From a result of the layer to each parameter whose name begins with `names`."""
    out.sum().backward()
    for name, parameter in layer.named_parameters():
        if name.startswith(names):
            see(f"is there a gradient of {name}", parameter.grad is not None).gives(True)


@heads.check("gradients flow to x, the weight and the bias")
def _():
    layer = multihead(2, 1)
    gradient_flows(layer, layer.heads(tensor(grid(3, 2)), 1), "in_proj")
    gradients("heads(x, 1)", lambda x: layer.heads(x, 1), grid(2, 2))


forward = exercises.add(
    "MultiheadAttention.forward",
    prompt=(
        "Let each head attend, join the heads, and project with out_proj. Return (output, weights), "
        "the weights averaged over the heads or, on request, of each head, and None without "
        "need_weights. `self.heads(x, part)` and `self.merged_mask(attn_mask, key_padding_mask, "
        "q.shape)` are there already; inputs with a batch are (T, N, E) unless batch_first. "
        "Attention's weights are dropped only in training."
    ),
    hints=(
        "With a batch that stands second, transpose all three inputs first and the output at the end. "
        "In between, everything is (N, h, T, d).",
        "The weights are softmax(attention_scores(q, k, mask), -1); merged_mask already gives the mask "
        "that attention_scores takes.",
        "To join the heads: (N, h, T, d), transpose to (N, T, h, d), reshape to (N, T, E). "
        "`mean(weights, -3)` averages over heads.",
    ),
    mistakes=(
        swap(
            "mixed = transpose(mixed, -3, -2)  # (..., T, h, d)\n        out = "
            "self.out_proj(reshape(mixed, (*mixed.shape[:-2], self.embed_dim)))",
            "out = self.out_proj(reshape(mixed, (*mixed.shape[:-3], mixed.shape[-2], self.embed_dim)))",
            "The heads are joined without a transpose, which mixes positions: make (..., T, h, d) first.",
        ),
        swap(
            "self.out_proj(reshape(mixed, (*mixed.shape[:-2], self.embed_dim)))",
            "reshape(mixed, (*mixed.shape[:-2], self.embed_dim))",
            "What the heads found has to go through out_proj.",
        ),
        swap(
            "mean(weights, -3) if average_attn_weights else weights",
            "weights",
            "The weights come of each head; unless average_attn_weights is False, they are averaged "
            "over the heads.",
        ),
        swap(
            "if batched and not self.batch_first:",
            "if False:",
            "Without batch_first the inputs are (T, N, E): transpose them first, or members of the "
            "batch attend to one another.",
            ("(transpose(out, 0, 1) if batched and not self.batch_first else out)", "out"),
        ),
        swap(
            "if self.training else 0.0",
            "",
            "Weights are dropped in evaluation as well: drop only in training.",
        ),
        swap(
            "self.dropout if self.training else 0.0, None",
            "0.0, None",
            "No weight is dropped in training: drop a share of self.dropout.",
        ),
        swap(
            "scaled_dot_product_attention(q, k, v, mask, dropout_p)",
            "scaled_dot_product_attention(q, k, v, None, dropout_p)",
            "Without need_weights the masks have no effect.",
        ),
        swap(
            "scaled_dot_product_attention(q, k, v, mask, dropout_p)",
            "scaled_dot_product_attention(q, k, v, mask)",
            "Without need_weights no weight is dropped in training.",
        ),
    ),
)


def multihead_by_formula(layer, x, y, mask=None):
    """(output, weights of each head), batch first."""
    q, k, v = (heads_by_formula(layer, z, i) for i, z in enumerate((x, y, y)))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(layer.head_dim)
    weights = softmax_of(scores if mask is None else np.where(mask, -math.inf, scores))
    joined = np.concatenate(list(np.moveaxis(weights @ v, -3, 0)), -1)
    return joined @ layer.out_proj.weight.array.T + layer.out_proj.bias.array, weights


@forward.check("a sequence without a batch: output and weights")
def _():
    layer, x, y = multihead(), grid(3, 4), grid(5, 4, seed=1)
    out, weights = layer(tensor(x), tensor(y), tensor(y))
    want, of_heads = multihead_by_formula(layer, x, y)
    see("the output for a query (3, 4), key and value (5, 4)", out).gives(tensor(single(want)))
    see("its weights", weights).gives(tensor(single(of_heads.mean(0))))


@forward.check("with a batch: (T, N, E), or (N, T, E) with batch_first")
def _():
    x, y = grid(2, 3, 4), grid(2, 5, 4, seed=1)
    for first in (True, False):
        layer = multihead(batch_first=first)
        want, of_heads = multihead_by_formula(layer, x, y)
        query, key = (tensor(z if first else z.swapaxes(0, 1).copy()) for z in (x, y))
        out, weights = layer(query, key, key)
        where = f"batch_first={first}"
        see(f"the output, {where}", out).gives(tensor(single(want if first else want.swapaxes(0, 1))))
        see(f"the weights, {where}", weights).gives(tensor(single(of_heads.mean(1))))


@forward.check("masks hide keys, and each head's weights come on request")
def _():
    layer, x = multihead(batch_first=True), grid(2, 3, 4)
    later, padding = ~np.tri(3, dtype=bool), np.array([[False, False, False], [False, False, True]])
    want, of_heads = multihead_by_formula(layer, x, x, later | padding[:, None, None])
    masks = {"attn_mask": tensor(later), "key_padding_mask": tensor(padding)}
    out, weights = layer(*[tensor(x)] * 3, average_attn_weights=False, **masks)
    see("the output under both masks", out).gives(tensor(single(want)))
    see("each head's weights under both masks", weights).gives(tensor(single(of_heads)))


@forward.check("without need_weights the same output, and None")
def _():
    layer, x, later = multihead(), grid(3, 4), ~np.tri(3, dtype=bool)
    for mask in (None, later):
        given = {} if mask is None else {"attn_mask": tensor(mask)}
        out, weights = layer(*[tensor(x)] * 3, need_weights=False, **given)
        words = "the output" if mask is None else "the output under a mask"
        see(words, out).gives(tensor(single(multihead_by_formula(layer, x, x, mask)[0])))
        see("the weights", weights).gives(None)


@forward.check("weights are dropped in training, and not in evaluation")
def _():
    layer, x = multihead(dropout=0.5), grid(6, 4)
    want, of_heads = multihead_by_formula(layer, x, x)
    for needed in (True, False):
        out, _ = layer.train()(*[tensor(x)] * 3, need_weights=needed)
        seen = see(f"the output in training, dropout=0.5, need_weights={needed}", out)
        seen.satisfies(not np.allclose(out.array, want, atol=1e-3), "another one than without dropout")
    out, weights = layer.eval()(*[tensor(x)] * 3)
    see("the output in evaluation", out).gives(tensor(single(want)))
    see("the weights in evaluation", weights).gives(tensor(single(of_heads.mean(0))))


@forward.check("gradients flow to all weights and biases")
def _():
    layer, x = multihead(), tensor(grid(3, 4))
    gradient_flows(layer, layer(x, x, x)[0])


causal = exercises.add(
    "CausalSelfAttention.forward",
    prompt=(
        "Return (B, T, C) for x (B, T, C): c_attn makes queries, keys and values (B, T, 3 C), in this "
        "order; each head attends to the positions up to its own; c_proj mixes what they found. With "
        "self.rotary, turn the projection by `self.turned(qkv, past)`, past = len(cache) or 0. With a "
        "cache, or with dropout of the weights in training, `self.with_cache(qkv, cache, past, "
        "dropout_p)` does the rest. Dropout also follows c_proj in training."
    ),
    hints=(
        "One line for each step: project, turn if rotary, attend, project back, drop.",
        "`self.with_cache(qkv, cache, past, dropout_p)` gives (B, T, C) without a cache (None), too. "
        "dropout_p is self.dropout in training and 0 in evaluation.",
        "Faster without cache and dropout: `packed_attention(qkv, self.num_heads, "
        "Tiles(is_causal=True, scale=1 / sqrt(d)))`, d = C / heads.",
    ),
    mistakes=(
        swap(
            "is_causal=True",
            "is_causal=False",
            "Each position sees those that come later: attention has to be causal.",
        ),
        swap(
            "1 / sqrt(self.embed_dim // self.num_heads)",
            "1 / sqrt(self.embed_dim)",
            "The scores are divided by the root of C; a head's queries have d = C / heads features.",
        ),
        swap("self.c_proj(mixed)", "mixed", "What the heads found has to go through c_proj."),
        swap(
            "qkv = self.turned(qkv, past)",
            "qkv = self.turned(qkv, 0)",
            "With a cache the new positions begin at len(cache), and so do the angles that turn them.",
        ),
        swap(
            "return dropout(self.c_proj(mixed), dropout_p)",
            "return dropout(self.c_proj(mixed), self.dropout)",
            "The output is dropped in evaluation as well: drop only in training.",
        ),
        swap(
            "if cache is None and not dropout_p and",
            "if cache is None and",
            "The heads' weights are not dropped in training: packed_attention can't, with_cache can.",
        ),
        swap(
            "return dropout(self.c_proj(mixed), dropout_p)",
            "return self.c_proj(mixed)",
            "Dropout does not follow c_proj in training.",
        ),
        swap(
            "if cache is None and",
            "if not cache and",
            "A cache without positions counts as none, and stays empty: ask whether it `is None`.",
        ),
        swap(
            "if self.rotary is not None:",
            "if False:",
            "With self.rotary, the queries and keys have to be turned.",
        ),
    ),
)


class Kept:
    """The simplest cache: all keys and values so far."""

    def __init__(self):
        self.kept = None

    def __len__(self):
        return 0 if self.kept is None else self.kept[0].shape[2]

    def update(self, key, value):
        old = self.kept
        self.kept = (key, value) if old is None else (cat([old[0], key], 2), cat([old[1], value], 2))
        return self.kept


def causal_by_formula(layer, x):
    B, T, C = x.shape
    d = C // layer.num_heads
    qkv = x.astype(np.float64) @ layer.c_attn.weight.array.T + layer.c_attn.bias.array
    q, k, v = qkv.reshape(B, T, 3, layer.num_heads, d).transpose(2, 0, 3, 1, 4)
    if layer.rotary is not None:
        cos, sin = layer.rotary(T)
        q, k = (apply_rotary(tensor(z), cos, sin).array for z in (q, k))
    mixed = by_formula(q, k, v, np.tri(T, dtype=bool))
    joined = mixed.transpose(0, 2, 1, 3).reshape(B, T, C)
    return single(joined @ layer.c_proj.weight.array.T + layer.c_proj.bias.array)


@causal.check("the formula, for each head")
def _():
    layer, x = attention.CausalSelfAttention(4, 2), grid(2, 3, 4)
    see("attn(x), x (2, 3, 4), 2 heads", layer(tensor(x))).gives(tensor(causal_by_formula(layer, x)))


@causal.check("a change at position 2 changes nothing before it")
def _():
    layer, x = attention.CausalSelfAttention(4, 1), grid(1, 4, 4)
    other = x.copy()
    other[0, 2] += 1
    change = np.abs(layer(tensor(x)).array - layer(tensor(other)).array).max(2)[0] > 1e-6
    see("which positions change", change.tolist()).gives([False, False, True, True])


@causal.check("rotary queries and keys")
def _():
    layer, x = attention.CausalSelfAttention(8, 2, rotary=True), grid(2, 3, 8)
    see("attn(x), rotary", layer(tensor(x))).gives(tensor(causal_by_formula(layer, x)))


@causal.check("token by token with a cache as all at once")
def _():
    for rotary in (False, True):
        layer, x, cache = attention.CausalSelfAttention(4, 2, rotary=rotary), grid(1, 4, 4), Kept()
        parts = [layer(tensor(x[:, i:j].copy()), cache).array for i, j in ((0, 2), (2, 3), (3, 4))]
        seen = see(f"2, 1 and 1 tokens with a cache, rotary={rotary}", np.concatenate(parts, 1))
        seen.gives(causal_by_formula(layer, x))


@causal.check("dropout in training only")
def _():
    layer, x = attention.CausalSelfAttention(4, 2, dropout=0.5), grid(1, 6, 4)
    out = layer(tensor(x))
    seen = see("attn(x) in training, dropout=0.5", out)
    seen.satisfies(bool((out.array == 0).any()), "some numbers 0")
    kept, expected = out.array != 0, causal_by_formula(layer, x)
    alike = np.allclose(out.array[kept], 2 * expected[kept], atol=1e-3)
    seen.satisfies(not alike, "another mixture in the heads: some of their weights dropped as well")
    see("attn(x) in evaluation", layer.eval()(tensor(x))).gives(tensor(expected))


@causal.check("gradients flow to all weights and biases")
def _():
    for rotary in (False, True):
        layer = attention.CausalSelfAttention(4, 2, rotary=rotary)
        gradient_flows(layer, layer(tensor(grid(2, 3, 4))))
