"""Exercises of module 11, Embeddings."""

import numpy as np

from tinytorch.core import embeddings
from tinytorch.core.embeddings import Embedding, PositionalEncoding, RotaryEmbedding
from tinytorch.core.layers import fill
from tinytorch.core.tensor import tensor
from tinytorch.core.tokenization import CharTokenizer

from ..checking import Exercises, call, gradients, raises, see, swap, wrong

exercises = Exercises("embeddings")


def grid(*shape, seed=11):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def single(x):
    return np.asarray(x, np.float32)


TABLE = single([[0, 1], [10, 11], [20, 21]])

check_ids = exercises.add(
    "check_ids",
    prompt=(
        "Raise an IndexError that names the first id of an integer array that is below 0, or not below "
        "`count`. If all ids are in the table, return nothing. The array may be empty and may have any shape."
    ),
    hints=(
        "NumPy takes -1 for the last row without complaint, so look at both ends.",
        "`(ids < 0) | (ids >= count)` marks the wrong ones, and works for an empty array as well; "
        "`ids[wrong]` are the wrong ids in order.",
    ),
    mistakes=(
        swap(
            "ids.min() < 0 or ids.max() >= count",
            "ids.max() >= count",
            "A negative id passes: NumPy would count it from the end and hide the mistake.",
        ),
        swap(
            "ids.max() >= count",
            "ids.max() > count",
            "The id `count` passes: with `count` rows the last id is count - 1.",
        ),
        swap(
            "ids.size and (ids.min() < 0 or ids.max() >= count)",
            "ids.min() < 0 or ids.max() >= count",
            "An empty array has no smallest id: nothing in it can be wrong.",
        ),
        swap(
            "wrong = int(ids[(ids < 0) | (ids >= count)][0])",
            "wrong = int(ids.ravel()[0])",
            "The error names an id that is in the table; it has to name the first that is not.",
        ),
        swap(
            "ids[(ids < 0) | (ids >= count)][0]",
            "ids.min() if ids.min() < 0 else ids.max()",
            "The error names the smallest or the largest id; it has to name the first in the array that is "
            "not in the table.",
        ),
    ),
)


@check_ids.check("ids from 0 to count - 1 pass")
def _():
    call(embeddings.check_ids, np.array([[0, 6], [3, 3]]), 7).gives(None)


@check_ids.check("an id that is too large is named")
def _():
    raises(IndexError, embeddings.check_ids, np.array([0, 5, 42, 99]), 7, says="42")
    raises(IndexError, embeddings.check_ids, np.array([[0, 1], [7, 2]]), 7, says="7")


@check_ids.check("a negative id is named")
def _():
    raises(IndexError, embeddings.check_ids, np.array([0, -3, 5]), 7, says="-3")
    raises(IndexError, embeddings.check_ids, np.array([5, 42, -3]), 7, says="42")


@check_ids.check("no ids are no mistake")
def _():
    call(embeddings.check_ids, np.zeros((2, 0), np.int64), 7).gives(None)


embedding = exercises.add(
    "embedding",
    prompt=(
        "Look up rows of the table: integer ids of any shape (...) and weight (V, D) give (..., D). Ids of "
        "another kind than integers raise TypeError, an id outside of the table IndexError. The row "
        "`padding_idx` is looked up like any other."
    ),
    hints=(
        "Multiplying by one-hot rows would do it; but the row can simply be taken.",
        "NumPy indexes by an array: `weight[ids]` has the shape of the ids, then that of a row. "
        "`np.take(weight, ids, axis=0)` is the same.",
        'check_ids is yours already; `input.dtype.kind in "iu"` asks for integers.',
    ),
    mistakes=(
        swap(
            "axis=0",
            "axis=1",
            "The ids pick columns of the table; each id has a row.",
        ),
        swap(
            "    check_ids(input, len(weight))\n",
            "",
            "A negative id gets a row from the end of the table; it has to be an IndexError.",
        ),
        swap(
            'raise TypeError(f"ids are integers, {input.dtype} came")',
            "input = input.astype(int)",
            "Ids that are floating-point numbers are rounded in silence; they have to be a TypeError.",
        ),
        swap(
            'input.dtype.kind not in "iu"',
            'input.dtype.kind == "f"',
            "True and False pass for ids; whatever is not an integer has to be a TypeError.",
        ),
        swap(
            'input.dtype.kind not in "iu"',
            'input.dtype != "int64"',
            "Only int64 is taken; integers of every size are ids.",
        ),
        swap(
            "np.take(weight, input, axis=0)",
            "np.take(weight, input.reshape(-1), axis=0)",
            "The shape of the ids is lost: ids (...) give (..., D).",
        ),
        swap(
            "return np.take(weight, input, axis=0)",
            "rows = np.take(weight, input, axis=0)\n    if padding_idx is not None:\n"
            "        rows[input == padding_idx] = 0\n    return rows",
            "The padding's row comes out as zeros; it is looked up like any other, and only its gradient is "
            "zero.",
        ),
    ),
)


@embedding.check("each id becomes its row of the table")
def _():
    seen = call(embeddings.embedding, tensor([2, 0, 2]), tensor(TABLE))
    seen.gives(tensor(single([[20, 21], [0, 1], [20, 21]])))


@embedding.check("ids of any shape: (2, 3), (), (0,)")
def _():
    weight = grid(5, 4)
    for ids in (np.array([[0, 4, 4], [1, 2, 0]]), np.array(3), np.zeros((0,), np.int64)):
        rows = np.array([weight[id] for id in ids.ravel()], np.float32).reshape(*ids.shape, 4)
        call(embeddings.embedding, tensor(ids), tensor(weight)).gives(tensor(rows))


@embedding.check("an id outside of the table is an error, -1 as well")
def _():
    raises(IndexError, embeddings.embedding, tensor([0, 3]), tensor(TABLE))
    raises(IndexError, embeddings.embedding, tensor([0, -1]), tensor(TABLE))


@embedding.check("floating-point numbers and truth values are no ids")
def _():
    raises(TypeError, embeddings.embedding, tensor([0.0, 1.0]), tensor(TABLE))
    raises(TypeError, embeddings.embedding, tensor([True, False, True]), tensor(TABLE))


@embedding.check("integers of every size are ids")
def _():
    for dtype in (np.int32, np.uint8):
        seen = call(embeddings.embedding, tensor(np.array([2, 0], dtype)), tensor(TABLE))
        seen.gives(tensor(single([[20, 21], [0, 1]])))


@embedding.check("the padding's row is looked up like any other")
def _():
    seen = call(embeddings.embedding, tensor([1, 0]), tensor(TABLE), padding_idx=1)
    seen.gives(tensor(single([[10, 11], [0, 1]])))


summed_by_id = exercises.add(
    "summed_by_id",
    prompt=(
        "Add up rows that belong to the same id: ids (N,) and rows (N, D), NumPy arrays, give (count, D), "
        "whose row i is the sum of all rows[n] with ids[n] == i. Ids that do not occur get zeros. The "
        "dtype is that of `rows`."
    ),
    hints=(
        "A loop over the N rows, each added to its place, is right. Begin with zeros of rows.dtype.",
        "`out[ids] += rows` looks like that loop and is not: of rows with the same id it keeps one. "
        "`np.add.at(out, ids, rows)` adds all of them.",
        "The sorted way is faster: bring equal ids together, then add the k-th of every run in one go. It is "
        "not needed to pass.",
    ),
    mistakes=(
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((count, rows.shape[1]), rows.dtype)
                out[ids] += rows
                return out
            """,
            "Where an id comes twice, only one of its rows stays: out[ids] += rows writes each place once. "
            "They have to add up.",
        ),
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((count, rows.shape[1]))
                np.add.at(out, ids, rows)
                return out
            """,
            "The sums of float32 rows are float64: np.zeros makes that unless it is told the dtype.",
        ),
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((max(ids, default=-1) + 1, rows.shape[1]), rows.dtype)
                np.add.at(out, ids, rows)
                return out
            """,
            "The result ends at the largest id; it has a row for each of the `count` ids.",
        ),
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((count, rows.shape[1]), rows.dtype)
                for id in range(count):
                    if (ids == id).any():
                        out[id] = rows[ids == id].mean(0)
                return out
            """,
            "The rows of an id are averaged; a row that was used twice gets the sum of two gradients.",
        ),
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((count, rows.shape[1]), rows.dtype)
                for id in range(count):
                    out[id] = rows[ids == id].sum()
                return out
            """,
            "The D numbers of the rows are added together as well: the sum is over the rows only.",
        ),
    ),
)


def by_loop(ids, rows, count):
    out = np.zeros((count, rows.shape[1]))
    for id, row in zip(ids, rows, strict=True):
        out[id] += row
    return out.astype(rows.dtype)


@summed_by_id.check("rows of the same id add up, the others are zeros")
def _():
    ids, rows = np.array([2, 0, 2]), single([[1, 2], [3, 4], [10, 20]])
    call(embeddings.summed_by_id, ids, rows, 4).gives(single([[3, 4], [0, 0], [11, 22], [0, 0]]))


@summed_by_id.check("each id once, in float64")
def _():
    ids, rows = np.array([1, 0]), np.array([[1.0, 2.0], [3.0, 4.0]])
    call(embeddings.summed_by_id, ids, rows, 2).gives(np.array([[3.0, 4.0], [1.0, 2.0]]))


@summed_by_id.check("one id many times, among others")
def _():
    ids = np.array([3, 1] * 12 + [0, 5, 3])
    rows = grid(len(ids), 3)
    call(embeddings.summed_by_id, ids, rows, 6).gives(by_loop(ids, rows, 6), atol=1e-5)


@summed_by_id.check("no rows give zeros")
def _():
    ids, rows = np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
    call(embeddings.summed_by_id, ids, rows, 3).gives(np.zeros((3, 2), np.float32))


embedding_weight = exercises.add(
    "embedding_weight",
    prompt=(
        "Return the gradient of embedding's table, an array of `weight_shape` (V, D). input: the ids, an "
        "array of any shape (...); g (..., D): the gradient of what was looked up. Each row gets the sum of "
        "g over the places where its id stands; the row `padding_idx` gets zeros, unless that is None."
    ),
    hints=(
        "A row that was looked up at two places gets two gradients, added. You have just written that sum.",
        "summed_by_id wants ids (N,) and rows (N, D): `input.reshape(-1)` and `g.reshape(input.size, D)`.",
        "The id 0 may be the padding: ask `padding_idx is not None`, then set that row to 0.",
    ),
    mistakes=(
        swap(
            "    if padding_idx is not None:\n        d[padding_idx] = 0\n",
            "",
            "The padding's row gets a gradient; it has to be zeros, or the padding would be trained.",
        ),
        swap(
            "if padding_idx is not None:",
            "if padding_idx:",
            "A padding_idx of 0 counts as none: ask whether it `is not None`, since 0 is false as well.",
        ),
        wrong(
            """
            def embedding_weight(g, input, weight_shape, padding_idx):
                d = np.zeros(weight_shape, g.dtype)
                d[input] = g
                if padding_idx is not None:
                    d[padding_idx] = 0
                return d
            """,
            "Of several gradients of a row only the last stays: they have to add up.",
        ),
        swap(
            "g.reshape(input.size, weight_shape[1])",
            "g.reshape(weight_shape[1], -1).T",
            "The rows of g are mixed up: flatten the ids and g in the same order, each row of g as it is.",
        ),
        wrong(
            """
            def embedding_weight(g, input, weight_shape, padding_idx):
                if padding_idx is not None:
                    g[input == padding_idx] = 0
                return summed_by_id(input.reshape(-1), g.reshape(-1, weight_shape[1]), weight_shape[0])
            """,
            "g is changed in place. It belongs to the caller, who may need it again.",
        ),
    ),
)


@embedding_weight.check("a row that was used twice gets both gradients")
def _():
    g = single([[1, 2], [3, 4], [10, 20]])
    seen = call(embeddings.embedding_weight, g, np.array([2, 0, 2]), (4, 2), None)
    seen.gives(single([[3, 4], [0, 0], [11, 22], [0, 0]]))


@embedding_weight.check("ids of shape (2, 3) and ()")
def _():
    ids, g = np.array([[0, 4, 4], [1, 4, 0]]), grid(2, 3, 4)
    expected = by_loop(ids.ravel(), g.reshape(6, 4), 5)
    call(embeddings.embedding_weight, g, ids, (5, 4), None).gives(expected)
    g = grid(4)
    call(embeddings.embedding_weight, g, np.array(1), (2, 4), None).gives(np.stack([np.zeros_like(g), g]))


@embedding_weight.check("the padding's row gets zeros")
def _():
    g = single([[1, 2], [3, 4], [10, 20]])
    for padding_idx in (2, 0):
        expected = single([[3, 4], [0, 0], [11, 22]])
        expected[padding_idx] = 0
        seen = call(embeddings.embedding_weight, g.copy(), np.array([2, 0, 2]), (3, 2), padding_idx)
        seen.gives(expected)


@embedding_weight.check("g is left as it was")
def _():
    g = single([[1, 2], [3, 4]])
    embeddings.embedding_weight(g, np.array([1, 0]), (2, 2), 0)
    see("g after embedding_weight(g, …, padding_idx=0)", g).gives(single([[1, 2], [3, 4]]))


@embedding_weight.check("backward through embedding agrees with differences")
def _():
    ids = tensor([[0, 2, 2], [1, 0, 2]])
    gradients("embedding's table", lambda weight: embeddings.embedding(ids, weight), grid(4, 2))


for_tokenizer = exercises.add(
    "Embedding.for_tokenizer",
    prompt=(
        "Return an embedding of this class for a tokenizer of module 10: a row for every id that it can "
        "give, vectors of size `embedding_dim`, and its padding as padding_idx. What is not a Tokenizer "
        "raises TypeError."
    ),
    hints=(
        "`len(tokenizer)` is one more than the largest id, and `tokenizer.pad_id` its padding or None.",
        "`cls(rows, size, padding_idx=…)` makes the layer; `isinstance(tokenizer, Tokenizer)` asks first.",
    ),
    mistakes=(
        swap(
            ", padding_idx=tokenizer.pad_id",
            "",
            "The padding is not passed on: its row would begin with random numbers and be trained.",
        ),
        swap(
            ", padding_idx=tokenizer.pad_id",
            ", padding_idx=tokenizer.pad_id or None",
            "A pad_id of 0 counts as none; 0 is false, but it is an id.",
        ),
        swap(
            "cls(len(tokenizer)",
            "cls(len(tokenizer.tokens)",
            "Where ids have gaps there are fewer tokens than rows needed: len(tokenizer) counts up to the "
            "largest id.",
        ),
        swap(
            "if not isinstance(tokenizer, Tokenizer):",
            "if False:",
            "What is not a Tokenizer has to be a TypeError that says so.",
        ),
        swap(
            "cls(len(tokenizer), embedding_dim",
            "cls(embedding_dim, len(tokenizer)",
            "The two sizes have changed places: the number of tokens comes first, then the size of a vector.",
        ),
    ),
)


@for_tokenizer.check("a row for each character and special token")
def _():
    layer = Embedding.for_tokenizer(CharTokenizer("helo", ["<end>"]), 3)
    words = "Embedding.for_tokenizer(a tokenizer of 5 tokens, 3)"
    see(f"{words}.weight.shape", layer.weight.shape).gives((5, 3))
    see(f"{words}.padding_idx", layer.padding_idx).gives(None)


@for_tokenizer.check("the tokenizer's padding is the layer's")
def _():
    layer = Embedding.for_tokenizer(CharTokenizer("ab", ["<end>", "<pad>"]), 3)
    words = "the layer of a tokenizer whose pad_id is 3"
    see(f"padding_idx of {words}", layer.padding_idx).gives(3)
    see(f"row 3 of {words}", layer.weight.array[3]).gives(np.zeros(3, np.float32))
    layer = Embedding.for_tokenizer(CharTokenizer("", ["<pad>", "<unk>"]), 2)
    see("padding_idx of the layer of a tokenizer whose pad_id is 0", layer.padding_idx).gives(0)


@for_tokenizer.check("every id has a row, even if some numbers are no id")
def _():
    layer = Embedding.for_tokenizer(CharTokenizer("ab", {"<pad>": 9}), 2)
    see("weight.shape for a tokenizer with the ids 0, 1 and 9", layer.weight.shape).gives((10, 2))


@for_tokenizer.check("a number is no tokenizer")
def _():
    raises(TypeError, Embedding.for_tokenizer, 5, 8)
    raises(TypeError, Embedding.for_tokenizer, ["a", "b"], 8)


forward = exercises.add(
    "Embedding.forward",
    prompt=(
        "Return the vectors of the ids `input`, a Tensor (...) of integers, from self.weight: (..., "
        "embedding_dim). Gradients flow to the weight, but not to the row self.padding_idx."
    ),
    hints=(
        "All the work is done: embedding looks up, embedding_weight is its way back.",
        "embedding takes the ids, the table and the padding's id, in this order.",
    ),
    mistakes=(
        swap(
            ", self.padding_idx)",
            ")",
            "The padding is not passed on, so its row gets a gradient and is trained.",
        ),
        swap(
            "self.weight,",
            "self.weight.detach(),",
            "The table is cut off from the graph: it gets no gradient and never learns.",
        ),
        swap(
            "embedding(input, self.weight, self.padding_idx)",
            "wrap(self.weight.array[input.array])",
            "This looks up in the array behind the Tensor: nothing is recorded, and an id of -1 passes.",
        ),
        swap(
            "embedding(input, self.weight, self.padding_idx)",
            "self.weight[input]",
            "Plain indexing gives the row of the padding a gradient, and takes an id of -1: call embedding.",
        ),
    ),
)


def three_rows(padding_idx=None):
    layer = Embedding(3, 2, padding_idx)
    fill(layer.weight, TABLE)
    return layer


@forward.check("ids become rows of the layer's table")
def _():
    out = three_rows()(tensor([[1, 0], [2, 1]]))
    see("Embedding(3, 2)([[1, 0], [2, 1]])", out.detach()).gives(tensor(TABLE[[[1, 0], [2, 1]]]))


@forward.check("the weight gets a gradient where it was used")
def _():
    layer = three_rows()
    out = layer(tensor([2, 0, 2]))
    see("requires_grad of the result", out.requires_grad).gives(True)
    out.backward(tensor(single([[1, 2], [3, 4], [10, 20]])))
    see("layer.weight.grad", layer.weight.grad).gives(tensor(single([[3, 4], [0, 0], [11, 22]])))


@forward.check("the padding's row gets none")
def _():
    layer = three_rows(padding_idx=0)
    layer(tensor([2, 0, 2])).backward(tensor(single([[1, 2], [3, 4], [10, 20]])))
    expected = tensor(single([[0, 0], [0, 0], [11, 22]]))
    see("layer.weight.grad with padding_idx=0", layer.weight.grad).gives(expected)


@forward.check("an id outside of the table is an error")
def _():
    raises(IndexError, three_rows(), tensor([-1]))


frequencies = exercises.add(
    "frequencies",
    prompt=(
        "Return the frequencies base^(-2i/dim) for i = 0, 1, … below dim/2, a float64 array (dim/2,): by how "
        "many radians each hand turns from one position to the next. An odd `dim` raises ValueError."
    ),
    hints=(
        "The exponents are 0, -2/dim, -4/dim and so on: the first hand turns by 1, the last by almost "
        "1/base.",
        "`np.arange(0, dim, 2)` gives 0, 2, 4, … below dim.",
    ),
    mistakes=(
        swap(
            "np.arange(0, dim, 2)",
            "np.arange(dim // 2)",
            "The exponents are half as large: the i-th is -2i/dim, so that the last hand turns by almost "
            "1/base.",
        ),
        swap(
            "(-np.arange(",
            "(np.arange(",
            "The frequencies grow; the exponent is negative, each hand is slower than the one before.",
        ),
        swap(
            "if dim % 2:",
            "if False:",
            "An odd size passes; sines and cosines come in pairs, so it has to be a ValueError.",
        ),
        swap(
            "np.arange(0, dim, 2) / max(dim, 1))",
            "np.arange(0, dim, 2) / max(dim - 2, 1))",
            "The last frequency is 1/base itself; with 2i/dim it stays a little above.",
        ),
    ),
)


@frequencies.check("four numbers have two frequencies")
def _():
    call(embeddings.frequencies, 4, 100.0).gives(np.array([1.0, 0.1]), rtol=1e-9)


@frequencies.check("from 1 down almost to 1/base")
def _():
    expected = np.array([1.0, 0.1, 0.01, 0.001])
    call(embeddings.frequencies, 8, 10000.0).gives(expected, rtol=1e-9, atol=0)
    expected = np.array([1.0, 10000 ** (-1 / 3), 10000 ** (-2 / 3)])
    call(embeddings.frequencies, 6, 10000.0).gives(expected, rtol=1e-9, atol=0)


@frequencies.check("one pair turns by one radian")
def _():
    call(embeddings.frequencies, 2, 50.0).gives(np.array([1.0]))


@frequencies.check("an odd size is an error")
def _():
    raises(ValueError, embeddings.frequencies, 7, 10000.0)


sinusoidal = exercises.add(
    "sinusoidal_positions",
    prompt=(
        "Return the fixed vectors of the positions 0 to length - 1, a Tensor (length, dim) of `dtype`. Of "
        "position p, place 2i holds sin(p w_i) and place 2i + 1 cos(p w_i), with the w of frequencies(dim, "
        "base)."
    ),
    hints=(
        "Every position times every frequency: a table of angles (length, dim/2).",
        "`np.outer(np.arange(length), frequencies(dim, base))` is that table. Sines go to `[:, 0::2]` of the "
        "result, cosines to `[:, 1::2]`.",
        "`wrap(array.astype(dtype))` makes the Tensor. Compute in float64 and round at the end.",
    ),
    mistakes=(
        wrong(
            """
            def sinusoidal_positions(length, dim, base=10000.0, dtype=float32):
                angles = np.outer(np.arange(length), frequencies(dim, base))
                return wrap(np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(dtype))
            """,
            "The sines fill the first half and the cosines the second; they alternate, sines in the even "
            "places.",
        ),
        swap(
            "np.stack([np.sin(angles), np.cos(angles)], axis=-1)",
            "np.stack([np.cos(angles), np.sin(angles)], axis=-1)",
            "The cosines are in the even places; sines come first.",
        ),
        swap(
            "np.arange(length)",
            "np.arange(1, length + 1)",
            "The positions are counted from 1; the first one is 0.",
        ),
        swap(
            ".astype(dtype)",
            "",
            "The table is float64 whatever `dtype` says: turn it into that at the end.",
        ),
        swap(
            "frequencies(dim, base)",
            "frequencies(dim, 10000.0)",
            "`base` has no effect: pass it on to frequencies.",
        ),
    ),
)


@sinusoidal.check("position 0 is sines of 0 and cosines of 0")
def _():
    call(embeddings.sinusoidal_positions, 1, 4).gives([[0.0, 1.0, 0.0, 1.0]])


@sinusoidal.check("three positions of two hands")
def _():
    expected = [[f(p * w) for w in (1.0, 0.01) for f in (np.sin, np.cos)] for p in range(3)]
    call(embeddings.sinusoidal_positions, 3, 4).gives(expected, atol=1e-5)


@sinusoidal.check("another base, and a table of eight columns")
def _():
    expected = np.zeros((5, 8))
    for p in range(5):
        for i in range(4):
            angle = p / 16.0 ** (2 * i / 8)
            expected[p, 2 * i], expected[p, 2 * i + 1] = np.sin(angle), np.cos(angle)
    call(embeddings.sinusoidal_positions, 5, 8, base=16.0).gives(expected.tolist(), atol=1e-5)


@sinusoidal.check("float32 unless told otherwise, and no positions at all")
def _():
    expected = [[0.0, 1.0], [np.sin(1.0), np.cos(1.0)]]
    call(embeddings.sinusoidal_positions, 2, 2).gives(tensor(single(expected)))
    call(embeddings.sinusoidal_positions, 2, 2, dtype=np.float64).gives(tensor(np.array(expected)))
    call(embeddings.sinusoidal_positions, 0, 4).gives(tensor(np.zeros((0, 4), np.float32)))


encoding = exercises.add(
    "PositionalEncoding.forward",
    prompt=(
        "Return x (..., T, dim) plus the vectors of its T positions, counted from `offset`: the first one in "
        "x is at position `offset`. `self.positions(length, offset)` gives these vectors, (length, dim). "
        "Gradients flow to x."
    ),
    hints=(
        "How many positions are there? The last dimension but one says it, however many stand before it.",
        "(..., T, dim) and (T, dim) broadcast; `add` is the op for it.",
    ),
    mistakes=(
        swap(
            "input.shape[-2], offset)",
            "input.shape[-2])",
            "`offset` has no effect: every sequence begins at position 0.",
        ),
        swap(
            "input.shape[-2]",
            "input.shape[1]",
            "The positions are counted in dimension 1; they are in the last but one, also where there is no "
            "batch or more than one dimension before it.",
        ),
        swap(
            "add(input, self.positions(input.shape[-2], offset))",
            "wrap(input.array + self.positions(input.shape[-2], offset).array)",
            "This adds the arrays behind the Tensors: nothing is recorded, and no gradient comes back.",
        ),
        swap(
            "add(input, self.positions(input.shape[-2], offset))",
            "add(input, self.positions(1, offset + input.shape[-2] - 1))",
            "All tokens get the vector of the last position; each one has its own.",
        ),
        wrong(
            """
            def forward(self, input, offset=0):
                input.array[...] += self.positions(input.shape[-2], offset).array
                return input
            """,
            "x is changed in place and returned; the sum has to be a new Tensor.",
        ),
    ),
)


def sines(start, stop, dim):
    """Sinusoidal vectors in float64, place by place."""
    rows = [
        [(np.sin, np.cos)[i % 2](p / 1e4 ** ((i - i % 2) / dim)) for i in range(dim)] for p in range(stop)
    ]
    return np.array(rows).reshape(stop, dim)[start:]


@encoding.check("two tokens in a batch of one")
def _():
    out = PositionalEncoding(10, 2)(tensor(np.zeros((1, 2, 2), np.float32)))
    words = "PositionalEncoding(10, 2) of zeros of shape (1, 2, 2)"
    see(words, out).gives(tensor(single(sines(0, 2, 2)[None])))


@encoding.check("the sequence may begin at an offset")
def _():
    x = grid(2, 3, 4)
    out = PositionalEncoding(10, 4)(tensor(x), offset=5)
    words = "PositionalEncoding(10, 4) of numbers (2, 3, 4) with offset=5"
    see(words, out).gives(tensor(single(x + sines(5, 8, 4))), atol=1e-5)


@encoding.check("x is left as it was")
def _():
    x = tensor(single([[1, 2], [3, 4]]))
    PositionalEncoding(10, 2)(x)
    see("x afterwards", x).gives([[1.0, 2.0], [3.0, 4.0]])


@encoding.check("without a batch, and with two dimensions before the positions")
def _():
    for shape in ((3, 4), (2, 5, 3, 4)):
        x = grid(*shape)
        out = PositionalEncoding(10, 4)(tensor(x))
        words = f"PositionalEncoding(10, 4) of numbers {shape}"
        see(words, out).gives(tensor(single(x + sines(0, 3, 4))), atol=1e-5)


@encoding.check("gradients flow to x")
def _():
    gradients("PositionalEncoding(5, 2)", PositionalEncoding(5, 2), grid(2, 3, 2))


@encoding.check("a sequence that is longer than the table is an error")
def _():
    raises(ValueError, PositionalEncoding(4, 2), tensor(grid(3, 2)), offset=2)


rotary = exercises.add(
    "apply_rotary",
    prompt=(
        "Turn each pair (x_i, x_{i + dim/2}) of an array (..., dim) through its angle, and return a new "
        "array of the same dtype: x1 cos - x2 sin in the first half, x2 cos + x1 sin in the second. cos and "
        "sin broadcast to (..., dim/2). ValueError where the sizes do not fit."
    ),
    hints=(
        "The pairs are the two halves of the last dimension: `x[..., :half]` and `x[..., half:]`.",
        "`np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)` puts the halves "
        "together; `.astype(input.dtype)` keeps the dtype.",
    ),
    mistakes=(
        wrong(
            """
            def apply_rotary(input, cos, sin):
                if input.shape[-1] % 2 or cos.shape[-1] != input.shape[-1] // 2:
                    raise ValueError("the sizes do not fit")
                out = np.empty_like(input)
                first, second = input[..., 0::2], input[..., 1::2]
                out[..., 0::2] = first * cos - second * sin
                out[..., 1::2] = second * cos + first * sin
                return out
            """,
            "The pairs are neighbours; here they are the two halves of the vector, x_i with x_{i + dim/2}.",
        ),
        swap(
            "-= second * sin",
            "+= second * sin",
            "The pairs are turned backwards: the first half is x1 cos - x2 sin, the second x2 cos + x1 sin.",
            ("+= first * sin", "-= first * sin"),
        ),
        swap(
            "+= first * sin",
            "-= first * sin",
            "This is no rotation, as the lengths change: the second half is x2 cos + x1 sin.",
        ),
        swap(
            "out = np.empty_like(input)",
            "out = input",
            "The result overwrites the input, and the second half is computed from a first half that was "
            "turned already: make a new array.",
        ),
        swap(
            "cos.shape[-1] != half",
            "False",
            "One angle for several pairs passes; cos and sin need one for each pair, else it is a "
            "ValueError.",
        ),
        wrong(
            """
            def apply_rotary(input, cos, sin):
                half = input.shape[-1] // 2
                if cos.shape[-1] != half:
                    raise ValueError("the sizes do not fit")
                first, second = input[..., :half], input[..., half:]
                turned = [first * cos - second * sin, second * cos + first * sin]
                return np.concatenate(turned, axis=-1).astype(input.dtype)
            """,
            "An odd size passes; its last number has no partner, so it has to be a ValueError.",
        ),
        wrong(
            """
            def apply_rotary(input, cos, sin):
                half = input.shape[-1] // 2
                if input.shape[-1] % 2 or cos.shape[-1] != half:
                    raise ValueError("the sizes do not fit")
                first, second = input[..., :half], input[..., half:]
                return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
            """,
            "With float64 angles a float32 input becomes float64; the result has the dtype of the input.",
        ),
    ),
)


def quarter(*angles):
    """cos and sin of angles in quarters of a turn, float32."""
    turns = np.array(angles) * np.pi / 2
    return tensor(single(np.cos(turns).round(6))), tensor(single(np.sin(turns).round(6)))


@rotary.check("a quarter of a turn")
def _():
    call(embeddings.apply_rotary, tensor(single([[3, 4]])), *quarter([1])).gives([[-4.0, 3.0]])


@rotary.check("the pairs are the two halves")
def _():
    x = tensor(single([[1, 2, 3, 4]]))
    call(embeddings.apply_rotary, x, *quarter([1, 0])).gives([[-3.0, 2.0, 1.0, 4.0]])
    see("x afterwards", x).gives([[1.0, 2.0, 3.0, 4.0]])


@rotary.check("each position has its own angles, in a batch of heads")
def _():
    x, angles = grid(2, 3, 5, 4).astype(np.float64), grid(5, 2).astype(np.float64)
    pairs = (x[..., :2] + 1j * x[..., 2:]) * np.exp(1j * angles)
    expected = np.concatenate([pairs.real, pairs.imag], axis=-1)
    given = tensor(x), tensor(np.cos(angles)), tensor(np.sin(angles))
    call(embeddings.apply_rotary, *given).gives(tensor(expected))


@rotary.check("float32 stays float32, and float64 stays float64")
def _():
    cos, sin = quarter([0, 0])
    for dtype in (np.float32, np.float64):
        x = tensor(grid(1, 4).astype(dtype))
        call(embeddings.apply_rotary, x, cos, sin).gives(x)
    x, one, zero = tensor(grid(1, 2)), tensor(np.ones((1, 1))), tensor(np.zeros((1, 1)))
    call(embeddings.apply_rotary, x, one, zero).gives(x)


@rotary.check("sizes that do not fit are an error")
def _():
    raises(ValueError, embeddings.apply_rotary, tensor(grid(1, 6)), *quarter([1, 1]))
    raises(ValueError, embeddings.apply_rotary, tensor(grid(1, 4)), *quarter([1]))
    raises(ValueError, embeddings.apply_rotary, tensor(grid(1, 3)), *quarter([1]))


angles = exercises.add(
    "RotaryEmbedding.forward",
    prompt=(
        "Return (cos, sin) for apply_rotary, two float32 Tensors (length, dim/2): of the angle p w_i at the "
        "positions p from `offset` to offset + length - 1, with the w of frequencies(self.dim, self.base)."
    ),
    hints=(
        "The angles are those of sinusoidal_positions, only that the first position is `offset`.",
        "`np.arange(offset, offset + length)` are the positions, `np.outer` multiplies each with each "
        "frequency.",
        "Compute in float64; `wrap(np.cos(angles).astype(float32))` is the first of the two.",
    ),
    mistakes=(
        swap(
            "np.arange(offset, offset + length)",
            "np.arange(length)",
            "`offset` has no effect: the first position is `offset`.",
        ),
        swap(
            "np.arange(offset, offset + length)",
            "np.arange(offset, length)",
            "The positions end at `length`; there are `length` of them, so they end at offset + length.",
        ),
        swap(
            "wrap(np.cos(angles).astype(float32)), wrap(np.sin(angles).astype(float32))",
            "wrap(np.sin(angles).astype(float32)), wrap(np.cos(angles).astype(float32))",
            "Sine and cosine have changed places: cos comes first.",
        ),
        swap(
            ".astype(float32)",
            "",
            "The tables are float64: turn them into float32 at the end.",
        ),
        swap(
            "frequencies(self.dim, self.base)",
            "frequencies(self.dim, 10000.0)",
            "`base` has no effect: take self.base.",
        ),
    ),
)


def see_angles(positions, dim, base, length, offset):
    made = RotaryEmbedding(dim, base)(length, offset)
    words = f"RotaryEmbedding({dim}, base={base:g})({length}, offset={offset})"
    see(f"{words}: how many tensors", len(made)).gives(2)
    turns = np.array([[p / base ** (2 * i / dim) for i in range(dim // 2)] for p in positions])
    for name, got, expected in zip(("cos", "sin"), made, (np.cos(turns), np.sin(turns)), strict=True):
        see(f"{name} of {words}", got).gives(tensor(single(expected)), atol=1e-5)


@angles.check("two positions of two pairs")
def _():
    see_angles([0, 1], 4, 10000.0, 2, 0)


@angles.check("positions from an offset")
def _():
    see_angles([5], 4, 10000.0, 1, 5)
    see_angles([2, 3, 4], 4, 10000.0, 3, 2)


@angles.check("another base")
def _():
    see_angles([0, 1, 2], 6, 100.0, 3, 0)
