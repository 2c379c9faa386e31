"""Exercises of module 11, Embeddings."""

import numpy as np

from tinytorch.core import embeddings
from tinytorch.core.layers import fill
from tinytorch.core.tensor import tensor
from tinytorch.core.tokenization import CharTokenizer

from ..checking import Exercises, call, gradients, raises, see, swap, wrong

exercises = Exercises("embeddings")


def single(x):
    return np.asarray(x, np.float32)


def grid(*shape):
    """Numbers of both signs, float32."""
    return np.random.default_rng(11).normal(0, 1, shape).astype(np.float32)


TABLE = single([[0, 1], [10, 11], [20, 21], [30, 31]])


embedding = exercises.add(
    "embedding",
    prompt=(
        "Look up the row of `weight` (V, D) for each id of `input` (any shape, integers): the result has the "
        "ids' shape and D behind it. Ids that are no integers are a TypeError, a weight that is not a table "
        "is a ValueError, and an id outside of 0 to V - 1, a negative one too, is an IndexError. "
        "`padding_idx` changes nothing here: its row is looked up like any other."
    ),
    hints=(
        "An array of ids is an index: NumPy takes one row for each of them, whatever the ids' shape.",
        "NumPy counts negative ids from the end. `check_ids` of this file refuses those and the ones that "
        "are too large.",
        'Test `input.dtype.kind not in "iu"` and `weight.ndim != 2`, call `check_ids(input, len(weight))`, '
        "and return `np.take(weight, input, axis=0)`.",
    ),
    mistakes=(
        wrong(
            """
            def embedding(input, weight, padding_idx=None):
                if input.dtype.kind not in "iu":
                    raise TypeError(f"ids are integers, {input.dtype} came")
                if weight.ndim != 2:
                    raise ValueError(f"the weight is a table, {weight.shape} came")
                return weight[input]
            """,
            "A negative id gets a row counted from the end, and nobody notices the mistake: it has to be an "
            "IndexError.",
        ),
        swap(
            "np.take(weight, input, axis=0)",
            "np.take(weight, input % weight.shape[1], axis=1)",
            "This takes columns of the table; each token has a row.",
        ),
        swap(
            "np.take(weight, input, axis=0)",
            "np.take(weight, input.ravel(), axis=0)",
            "The shape of the ids is lost: ids (N, T) give (N, T, D).",
        ),
        swap(
            "return np.take(weight, input, axis=0)",
            "return np.take(weight, input, axis=0) * (input != padding_idx)[..., None].astype(weight.dtype)",
            "The padding's row is looked up like any other. That it holds zeros is the layer's doing, not "
            "the look-up's.",
        ),
    ),
)


@embedding.check("each id gives its row, and an id that comes twice gives it twice")
def _():
    call(embeddings.embedding, tensor([2, 0, 2]), tensor(TABLE)).gives(TABLE[[2, 0, 2]])


@embedding.check("ids of any shape, and float32 stays float32")
def _():
    weight = grid(5, 3)
    for ids in (np.array([[4, 0, 1], [1, 3, 3]]), np.array(2), np.zeros((0,), np.int64)):
        flat = [weight[i] for i in ids.ravel().tolist()]
        expected = np.array(flat, np.float32).reshape(*ids.shape, 3)
        call(embeddings.embedding, tensor(ids), tensor(weight)).gives(expected)


@embedding.check("the padding's row is looked up like any other")
def _():
    call(embeddings.embedding, tensor([1, 2]), tensor(TABLE), padding_idx=1).gives(TABLE[[1, 2]])


@embedding.check("an id that is not in the table is an IndexError, a negative one too")
def _():
    raises(IndexError, embeddings.embedding, tensor([0, 4]), tensor(TABLE))
    raises(IndexError, embeddings.embedding, tensor([0, -1]), tensor(TABLE))


@embedding.check("ids that are no integers, and a weight that is no table, are errors")
def _():
    raises(TypeError, embeddings.embedding, tensor([0.0, 1.0]), tensor(TABLE))
    raises(ValueError, embeddings.embedding, tensor([0]), tensor(TABLE[0]))


summed_by_id = exercises.add(
    "summed_by_id",
    prompt=(
        "Return an array (count, D), in the dtype of `rows`. Its row i is the sum of all rows[n] for which "
        "ids[n] == i, and zeros where there is none. `ids` (N,) and `rows` (N, D) are arrays and stay as "
        "they are; N may be 0. A plain loop is right; sorting the ids makes it fast."
    ),
    hints=(
        "`out[ids] += rows` does not do it: where an id comes twice, only one of its rows stays.",
        "A loop over `zip(ids, rows)` with `out[id] += row` is right, and so is np.add.at. Both handle one "
        "row after the other.",
        "Sort with `np.argsort(ids, kind='stable')`: equal ids stand side by side. Then add the first of "
        "every run at once, then the second of every run, and so on.",
    ),
    mistakes=(
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((count, rows.shape[1]), rows.dtype)
                out[ids] += rows
                return out
            """,
            "With `out[ids] += rows`, an id that comes twice keeps only one of its rows; they have to be "
            "added up.",
        ),
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((count, rows.shape[1]))
                for id, row in zip(ids, rows):
                    out[id] += row
                return out
            """,
            "np.zeros makes float64 unless told otherwise, and the gradient of a float32 weight becomes "
            "twice as large in memory.",
        ),
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((count, rows.shape[1]), rows.dtype)
                for id, row in zip(ids, rows):
                    out[id] += row
                return out / np.maximum(np.bincount(ids, minlength=count), 1)[:, None].astype(rows.dtype)
            """,
            "This is the mean of an id's rows. A row that was used twice gets two gradients, and they add "
            "up.",
        ),
        wrong(
            """
            def summed_by_id(ids, rows, count):
                out = np.zeros((ids.max(initial=-1) + 1, rows.shape[1]), rows.dtype)
                for id, row in zip(ids, rows):
                    out[id] += row
                return out
            """,
            "The result has `count` rows: those whose id does not occur have a gradient too, of zeros.",
        ),
    ),
)


@summed_by_id.check("rows with the same id are added up, an id that does not occur gets zeros")
def _():
    ids, rows = np.array([2, 0, 2]), single([[1, 10], [2, 20], [3, 30]])
    expected = single([[2, 20], [0, 0], [4, 40], [0, 0]])
    call(embeddings.summed_by_id, ids, rows, 4).gives(expected)


@summed_by_id.check("ids that come once, a few times and very often")
def _():
    rng = np.random.default_rng(1)
    ids = rng.permutation(np.repeat([0, 1, 3, 4, 6], [1, 2, 8, 9, 40]))
    rows = rng.uniform(0.5, 1.5, (60, 3))
    expected = (np.arange(8)[:, None] == ids).astype(np.float64) @ rows
    call(embeddings.summed_by_id, ids, rows, 8).gives(expected)
    call(embeddings.summed_by_id, ids, single(rows), 8).gives(single(expected))


@summed_by_id.check("without ids there are only zeros")
def _():
    none = np.zeros((0,), np.int64)
    call(embeddings.summed_by_id, none, np.zeros((0, 2), np.float32), 3).gives(np.zeros((3, 2), np.float32))


@summed_by_id.check("the ids and the rows stay as they were")
def _():
    ids, rows = np.array([3, 1, 3, 0]), grid(4, 2)
    embeddings.summed_by_id(ids, rows, 4)
    see("ids after summed_by_id(ids, rows, 4)", ids).gives(np.array([3, 1, 3, 0]))
    see("rows after summed_by_id(ids, rows, 4)", rows).gives(grid(4, 2))


@summed_by_id.check("it is the way back through embedding")
def _():
    ids = tensor([[1, 0, 1], [3, 1, 0]])
    gradients("embedding(ids, weight)", lambda weight: embeddings.embedding(ids, weight), TABLE)


for_tokenizer = exercises.add(
    "Embedding.for_tokenizer",
    prompt=(
        "Make an Embedding that fits a tokenizer: len(tokenizer) rows of size `embedding_dim`, and the "
        "tokenizer's pad_id as padding_idx. Anything that is not a Tokenizer is a TypeError."
    ),
    hints=(
        "A class method gets the class as `cls` and makes an object of it as Embedding(...) would.",
        "The tokenizer says everything itself: len(tokenizer) is one more than its largest id, and "
        "tokenizer.pad_id is None if it has no padding.",
        "`cls(len(tokenizer), embedding_dim, padding_idx=tokenizer.pad_id)`, after a test with isinstance.",
    ),
    mistakes=(
        swap(
            ", padding_idx=tokenizer.pad_id",
            "",
            "The padding is not passed on: its row begins with random numbers and is trained.",
        ),
        swap(
            "len(tokenizer), embedding_dim,",
            "len(tokenizer.tokens), embedding_dim,",
            "This counts the tokens. Ids may have gaps, so the table needs len(tokenizer) rows, one more "
            "than the largest id.",
        ),
        swap(
            "len(tokenizer), embedding_dim,",
            "embedding_dim, len(tokenizer),",
            "Rows and columns have changed places: the table is (number of tokens, embedding_dim).",
        ),
        swap(
            "padding_idx=tokenizer.pad_id",
            "padding_idx=0",
            "The padding is the token that the tokenizer calls pad_id, not always token 0.",
        ),
    ),
)


@for_tokenizer.check("a row for each token, and a size for each row")
def _():
    layer = embeddings.Embedding.for_tokenizer(CharTokenizer("helo", ["<end>"]), 3)
    see("the shape of Embedding.for_tokenizer(a tokenizer of 5 tokens, 3).weight", layer.weight.shape).gives(
        (5, 3)
    )
    see("its num_embeddings and embedding_dim", (layer.num_embeddings, layer.embedding_dim)).gives((5, 3))


@for_tokenizer.check("the row of <pad> begins with zeros, and no other does")
def _():
    layer = embeddings.Embedding.for_tokenizer(CharTokenizer("helo", ["<end>", "<pad>"]), 3)
    see("padding_idx for a tokenizer whose pad_id is 5", layer.padding_idx).gives(5)
    zeros = [not row.any() for row in layer.weight.array]
    see("which rows are zeros", zeros).gives([False] * 5 + [True])


@for_tokenizer.check("a tokenizer without <pad> has no padding")
def _():
    layer = embeddings.Embedding.for_tokenizer(CharTokenizer("helo"), 3)
    see("padding_idx for a tokenizer without <pad>", layer.padding_idx).gives(None)


@for_tokenizer.check("ids with gaps have rows, too")
def _():
    layer = embeddings.Embedding.for_tokenizer(CharTokenizer("ab", {"<end>": 6}), 2)
    see("the shape of the weight for the ids 0, 1 and 6", layer.weight.shape).gives((7, 2))


@for_tokenizer.check("a number is not a tokenizer")
def _():
    raises(TypeError, embeddings.Embedding.for_tokenizer, 26, 8)


forward = exercises.add(
    "Embedding.forward",
    prompt=(
        "Look up the rows of self.weight for the ids `input`: (...) becomes (..., embedding_dim). The weight "
        "gets its gradient when backward runs, but the row self.padding_idx gets none."
    ),
    hints=(
        "You have a function for this, and it is recorded for the way back. Let it do the work.",
        "`embedding` takes the ids, the table and the row that is not trained.",
    ),
    mistakes=(
        swap(
            "embedding(input, self.weight, self.padding_idx)",
            "embedding(input, self.weight)",
            "padding_idx is not passed on, so the padding's row gets a gradient and is trained.",
        ),
        swap(
            "self.weight, self.padding_idx",
            "self.weight.detach(), self.padding_idx",
            "The table is looked up without its history: no gradient comes back to the weight.",
        ),
    ),
)


def table_layer(padding_idx=None):
    layer = embeddings.Embedding(4, 2, padding_idx)
    fill(layer.weight, TABLE)
    return layer


@forward.check("each id gives its row of the weight")
def _():
    call(table_layer().forward, tensor([2, 0, 2])).gives(TABLE[[2, 0, 2]])
    call(table_layer().forward, tensor([[1, 3], [0, 0]])).gives(TABLE[[[1, 3], [0, 0]]])


@forward.check("a row gets a gradient for each place where it was used")
def _():
    layer = table_layer()
    layer(tensor([2, 0, 2])).sum().backward()
    see("weight.grad after layer([2, 0, 2]).sum().backward()", layer.weight.grad).gives(
        [[1, 1], [0, 0], [2, 2], [0, 0]]
    )


@forward.check("the padding's row gets no gradient")
def _():
    layer = table_layer(padding_idx=3)
    layer(tensor([1, 3, 3])).sum().backward()
    see("weight.grad after ids 1, 3, 3, with padding_idx=3", layer.weight.grad).gives(
        [[0, 0], [1, 1], [0, 0], [0, 0]]
    )


sinusoidal_positions = exercises.add(
    "sinusoidal_positions",
    prompt=(
        "Return a Tensor (length, dim) of the given dtype: at position p, number 2i is sin(p w_i) and "
        "number 2i + 1 is cos(p w_i), with w_i = base^(-2i / dim). An odd dim is a ValueError. Compute in "
        "float64 and change the dtype at the end."
    ),
    hints=(
        "All angles at once are an outer product: positions down, frequencies across.",
        "`frequencies(dim, base)` of this file gives the w_i, and refuses an odd dim; "
        "`np.outer(np.arange(length), ...)` gives the angles.",
        "Sines and cosines take turns: `np.stack([np.sin(angles), np.cos(angles)], axis=-1)` is (length, "
        "dim/2, 2), and a reshape lays the pairs side by side. `wrap` makes a Tensor.",
    ),
    mistakes=(
        swap(
            "np.stack([np.sin(angles), np.cos(angles)], axis=-1)",
            "np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)",
            "All sines come first here, then all cosines. They take turns: sin, cos, sin, cos.",
        ),
        swap(
            "[np.sin(angles), np.cos(angles)]",
            "[np.cos(angles), np.sin(angles)]",
            "The cosine comes first here; even places are sines, odd ones cosines.",
        ),
        swap(
            "frequencies(dim, base)",
            "base ** (-np.arange(dim // 2) / dim)",
            "The exponent is -2i / dim; here it is -i / dim, and the clocks do not become slow enough.",
        ),
        swap("frequencies(dim, base)", "frequencies(dim, 10000.0)", "The argument base is ignored."),
        swap(
            ".astype(dtype)",
            "",
            "The table stays float64: what is added to it becomes float64 as well. Use dtype.",
        ),
    ),
)


def angles_of(positions, dim, base=10000.0):
    return np.array([[p * base ** (-2 * i / dim) for i in range(dim // 2)] for p in positions])


def sinusoids(positions, dim, base=10000.0):
    angles = angles_of(positions, dim, base)
    table = np.zeros((len(positions), dim))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return table


@sinusoidal_positions.check("position 0 is 0, 1, 0, 1; the first pair turns by one radian at each step")
def _():
    s, c, slow, still = np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)
    call(embeddings.sinusoidal_positions, 2, 4).gives(tensor(single([[0, 1, 0, 1], [s, c, slow, still]])))


@sinusoidal_positions.check("more positions, and another base")
def _():
    call(embeddings.sinusoidal_positions, 7, 6).gives(tensor(single(sinusoids(range(7), 6))))
    call(embeddings.sinusoidal_positions, 5, 8, base=100.0).gives(
        tensor(single(sinusoids(range(5), 8, 100.0)))
    )


@sinusoidal_positions.check("float64 where it is asked for")
def _():
    call(embeddings.sinusoidal_positions, 3, 4, dtype=np.float64).gives(tensor(sinusoids(range(3), 4)))


@sinusoidal_positions.check("an odd size is an error")
def _():
    raises(ValueError, embeddings.sinusoidal_positions, 3, 5)


encoding = exercises.add(
    "PositionalEncoding.forward",
    prompt=(
        "Return `input` (..., T, dim) plus the vectors of its T positions, the first of which is `offset`. "
        "self.positions(length, offset) gives them, (length, dim); they are the same for every sequence of a "
        "batch. The input stays as it is."
    ),
    hints=(
        "How many positions are there? The last dimension is the vector, the one before it the position.",
        "`self.positions(input.shape[-2], offset)`, added with `add`: broadcasting does the rest.",
    ),
    mistakes=(
        swap(
            "input.shape[-2], offset",
            "input.shape[-2]",
            "The offset is ignored: a token that comes alone always stands at position 0.",
        ),
        swap(
            "input.shape[-2]",
            "input.shape[0]",
            "The first dimension is the batch, as soon as there is one. The positions are the second last.",
        ),
        swap("add(input,", "(lambda a, b: a * b)(input,", "The vectors are multiplied here; they are added."),
        wrong(
            """
            def forward(self, input, offset=0):
                return self.positions(input.shape[-2], offset)
            """,
            "These are the positions alone: the tokens' vectors are not in the sum.",
        ),
    ),
)


@encoding.check("each position's vector is added to the token that stands there")
def _():
    x = single([[1, 1], [2, 2], [3, 3]])
    call(embeddings.PositionalEncoding(8, 2).forward, tensor(x)).gives(single(x + sinusoids(range(3), 2)))


@encoding.check("every sequence of a batch gets the same positions")
def _():
    x = grid(2, 3, 4)
    call(embeddings.PositionalEncoding(5, 4).forward, tensor(x)).gives(single(x + sinusoids(range(3), 4)))


@encoding.check("the positions are counted from offset")
def _():
    x = grid(1, 2, 4)
    call(embeddings.PositionalEncoding(9, 4).forward, tensor(x), offset=5).gives(
        single(x + sinusoids([5, 6], 4))
    )


@encoding.check("the input is left as it was")
def _():
    given = tensor(grid(3, 4))
    embeddings.PositionalEncoding(5, 4)(given)
    see("x after PositionalEncoding(5, 4)(x)", given).gives(grid(3, 4))


apply_rotary = exercises.add(
    "apply_rotary",
    prompt=(
        "Turn pairs of numbers by angles. `input` (..., dim) has two halves, x1 and x2; the result has the "
        "halves x1 cos - x2 sin and x2 cos + x1 sin. `cos` and `sin` (..., dim/2) broadcast to the halves. "
        "The input stays as it is, and float32 stays float32. An odd size, or a last size of `cos` that is "
        "not half of the input's, is a ValueError."
    ),
    hints=(
        "Cut the last dimension in the middle: number i of the first half and number i of the second are a "
        "pair.",
        "Both results need both old halves. Do not overwrite one before the other is computed.",
        "`np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)`",
    ),
    mistakes=(
        wrong(
            """
            def apply_rotary(input, cos, sin):
                half = input.shape[-1] // 2
                if input.shape[-1] % 2 or cos.shape[-1] != half:
                    raise ValueError("sizes differ")
                first, second = input[..., 0::2], input[..., 1::2]
                out = np.empty_like(input)
                out[..., 0::2], out[..., 1::2] = first * cos - second * sin, second * cos + first * sin
                return out
            """,
            "Neighbours are paired here, as in the paper. In this module number i of the first half goes "
            "with number i of the second.",
        ),
        swap(
            "out[..., :half] -= second * sin",
            "out[..., :half] += second * sin",
            "Both halves add here: that is no rotation. The first is x1 cos - x2 sin.",
        ),
        swap(
            "cos, sin = np.asarray(cos, like=input), np.asarray(sin, like=input)",
            "sin = -sin",
            "This turns backwards, by minus the angle.",
        ),
        wrong(
            """
            def apply_rotary(input, cos, sin):
                half = input.shape[-1] // 2
                if input.shape[-1] % 2 or cos.shape[-1] != half:
                    raise ValueError("sizes differ")
                out = input.copy()
                first, second = out[..., :half], out[..., half:]
                first[...] = first * cos - second * sin
                second[...] = second * cos + first * sin
                return out
            """,
            "The second half is computed from a first half that has been turned already; it needs the old "
            "one.",
        ),
        wrong(
            """
            def apply_rotary(input, cos, sin):
                half = input.shape[-1] // 2
                first, second = input[..., :half], input[..., half:]
                return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
            """,
            "Sizes that do not fit can broadcast and give numbers: check them and raise ValueError.",
        ),
    ),
)


def turned(x, angles):
    """Each pair as a complex number, times exp(i angle)."""
    half = x.shape[-1] // 2
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([z.real, z.imag], axis=-1)


@apply_rotary.check("a quarter turn: (x1, x2) becomes (-x2, x1)")
def _():
    cos, sin = tensor([0.0, 0.0]), tensor([1.0, 1.0])
    call(embeddings.apply_rotary, tensor([1.0, 2.0, 3.0, 4.0]), cos, sin).gives([-3.0, -4.0, 1.0, 2.0])


@apply_rotary.check("each position and each pair has its own angle, for every sequence of a batch")
def _():
    x, angles = grid(2, 3, 4), np.array([[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]])
    cos, sin = tensor(single(np.cos(angles))), tensor(single(np.sin(angles)))
    call(embeddings.apply_rotary, tensor(x), cos, sin).gives(single(turned(x.astype(np.float64), angles)))


@apply_rotary.check("the input is left as it was")
def _():
    given = tensor(grid(4))
    embeddings.apply_rotary(given, tensor(single([0, 0])), tensor(single([1, 1])))
    see("x after apply_rotary(x, cos, sin)", given).gives(grid(4))


@apply_rotary.check("the gradient is turned back")
def _():
    angles = np.array([[0.5, 2.0], [1.0, 3.0]])
    cos, sin = tensor(np.cos(angles)), tensor(np.sin(angles))
    gradients(
        "apply_rotary(x, cos, sin)",
        lambda x: embeddings.apply_rotary(x, cos, sin),
        np.array([[1.0, 2.0, 3.0, 4.0], [0.5, -1.0, 2.0, 0.0]]),
    )


@apply_rotary.check("sizes that do not fit are an error, those that would broadcast too")
def _():
    one, two = tensor([1.0]), tensor([1.0, 1.0])
    raises(ValueError, embeddings.apply_rotary, tensor(grid(4)), one, one)
    raises(ValueError, embeddings.apply_rotary, tensor(grid(5)), two, two)


rotary = exercises.add(
    "RotaryEmbedding.forward",
    prompt=(
        "Return (cos, sin), two float32 Tensors (length, dim/2), of the angles p w_i: p are the positions "
        "from `offset` on, and w_i = base^(-2i / dim) the frequencies of self.dim and self.base."
    ),
    hints=(
        "The angles are an outer product as in sinusoidal_positions, but p begins with offset.",
        "`np.arange(offset, offset + length)` are the positions, `frequencies(self.dim, self.base)` the w_i.",
        "Compute in float64; `.astype(float32)` and `wrap` come last, for the cosine and for the sine.",
    ),
    mistakes=(
        swap(
            "np.arange(offset, offset + length)",
            "np.arange(length)",
            "The offset is ignored: a token that comes alone always stands at position 0.",
        ),
        swap(
            "np.arange(offset, offset + length)",
            "np.arange(offset, length)",
            "There have to be `length` positions, whatever the offset: they end before offset + length.",
        ),
        swap(
            "return wrap(np.cos(angles).astype(float32)), wrap(np.sin(angles).astype(float32))",
            "return wrap(np.sin(angles).astype(float32)), wrap(np.cos(angles).astype(float32))",
            "Sine and cosine have changed places: cos comes first.",
        ),
        swap(
            ".astype(float32)",
            "",
            "The angles' cosines stay float64, and so would all queries and keys that they turn.",
        ),
        swap(
            "frequencies(self.dim, self.base)",
            "frequencies(self.dim, 10000.0)",
            "The layer's own base is ignored.",
        ),
    ),
)


def cos_and_sin(positions, dim, base=10000.0):
    angles = angles_of(positions, dim, base)
    return tensor(single(np.cos(angles))), tensor(single(np.sin(angles)))


@rotary.check("position 0 does not turn, position 1 turns the first pair by one radian")
def _():
    call(embeddings.RotaryEmbedding(4).forward, 2).gives(cos_and_sin([0, 1], 4))


@rotary.check("the positions are counted from offset")
def _():
    call(embeddings.RotaryEmbedding(6).forward, 3, offset=5).gives(cos_and_sin([5, 6, 7], 6))
    call(embeddings.RotaryEmbedding(2).forward, 1, offset=4).gives(cos_and_sin([4], 2))


@rotary.check("another base makes other clocks")
def _():
    call(embeddings.RotaryEmbedding(4, base=100.0).forward, 3).gives(cos_and_sin(range(3), 4, 100.0))
