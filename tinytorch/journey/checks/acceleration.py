"""Exercises of module 18, Acceleration."""

import time
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.core import acceleration, profiling, spatial
from tinytorch.core.acceleration import G
from tinytorch.core.autograd import no_grad
from tinytorch.core.layers import Linear, Sequential
from tinytorch.core.spatial import Conv2d
from tinytorch.core.tensor import tensor

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("acceleration")


def grid(*shape, dtype=np.float32, seed=18):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(dtype)


def single(numbers):
    return np.array(numbers, np.float32)


def counted(*shape, dtype=np.float32):
    """1, 2, 3, …"""
    return np.arange(1, 1 + np.prod(shape), dtype=dtype).reshape(shape)


def around(x, padding):
    return np.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))


def convolved(x, weight, padding=(1, 1)):
    """The definition in float64: (N, H, W, C), (O, C, 3, 3) -> (N, Ho, Wo, O)."""
    x, weight = around(x.astype(np.float64), padding), weight.astype(np.float64)
    height, width = x.shape[1] - 2, x.shape[2] - 2
    parts = [x[:, u : u + height, v : v + width] @ weight[:, :, u, v].T for u in range(3) for v in range(3)]
    return np.sum(parts, 0)


def relu(x):
    return np.maximum(x, 0)


@contextmanager
def small_cache():
    """The tiles of a convolution have room for so little that there are many."""
    kept = spatial.TILE, acceleration.TILE
    spatial.TILE = acceleration.TILE = 64
    try:
        yield
    finally:
        spatial.TILE, acceleration.TILE = kept


direct = exercises.add(
    "direct",
    prompt=(
        "Write relu(conv(x) + bias) into `out`, whatever it held, and return nothing. x is padded "
        "already: out[n, i, j, o] is bias[o] plus the sum over u, v = 0, 1, 2 and all channels c of "
        "x[n, i + u, j + v, c] kernels[u, v, c, o], and 0 where that is negative. Plain loops over "
        "numbers are wanted: a compiler will take them as they are."
    ),
    hints=(
        "Seven loops: image, row, column, output, and the three that are summed over.",
        "Begin each number with its bias, add the products, and take max(…, 0) when all have been added.",
        "out[n, i, j, o] += x[n, i + u, j + v, c] * kernels[u, v, c, o]",
    ),
    mistakes=(
        swap(
            "out[n, i, j, o] = max(out[n, i, j, o], 0)",
            "pass",
            "Negative numbers are left: ReLU comes at the end.",
        ),
        swap(
            "out[n, i, j, o] = max(out[n, i, j, o], 0)",
            "out[n, i, j, o] = max(out[n, i, j, o] - bias[o], 0) + bias[o]",
            "ReLU comes before the bias here; it is the last step.",
        ),
        swap(
            "out[n, i, j, o] += pixel * kernels[u, v, c, o]",
            "out[n, i, j, o] = max(out[n, i, j, o] + pixel * kernels[u, v, c, o], 0)",
            "ReLU comes after each product here; take it once, when all have been added.",
        ),
        swap(
            "out[n, i, j, o] = bias[o]",
            "out[n, i, j, o] = 0",
            "The bias is missing: each sum begins with bias[o].",
        ),
        swap(
            "out[n, i, j, o] = bias[o]",
            "out[n, i, j, o] += bias[o]",
            "What `out` held before is added in: each number has to begin with its bias.",
        ),
        swap(
            "x[n, i + u, j + v, c]",
            "x[n, i + 2 - u, j + 2 - v, c]",
            "The kernel is turned by 180 degrees: kernels[u, v] belongs to x[i + u, j + v].",
        ),
    ),
)


def seen_direct(words, x, weight, bias, held=0.0):
    """x without its padding."""
    out = np.full((*x.shape[:3], len(weight)), held, x.dtype)
    acceleration.direct(around(x, (1, 1)), weight.transpose(2, 3, 1, 0).copy(), bias, out)
    return see(words, out)


@direct.check("one number of the result, by hand")
def _():
    x, kernels = counted(1, 3, 3, 1), counted(3, 3, 1, 1)
    out = np.zeros((1, 1, 1, 1), np.float32)
    acceleration.direct(x, kernels, single([2.0]), out)
    see("out for 1, …, 9 and kernels 1, …, 9, bias 2", out).gives([[[[287.0]]]])


@direct.check("what is negative becomes 0")
def _():
    x, weight = single([[[[1.0], [-1.0]]]]), np.zeros((1, 1, 3, 3), np.float32)
    weight[0, 0, 1, 1] = 2
    seen_direct("out for pixels 1 and -1 times 2, bias 0.5", x, weight, single([0.5])).gives(
        [[[[2.5], [0.0]]]]
    )


@direct.check("what out held before does not matter")
def _():
    x, weight = single([[[[1.0]]]]), np.zeros((2, 1, 3, 3), np.float32)
    seen = seen_direct("out, which held 9, for kernels of 0, biases 1 and 2", x, weight, single([1, 2]), 9)
    seen.gives([[[[1.0, 2.0]]]])


@direct.check("images, channels and outputs")
def _():
    x, weight, bias = grid(2, 2, 3, 2), grid(3, 2, 3, 3, seed=1), grid(3, seed=2)
    seen_direct("out (2, 2, 3, 3) of two images with two channels", x, weight, bias).gives(
        relu(convolved(x, weight) + bias).astype(np.float32), atol=1e-5
    )


vectorized = exercises.add(
    "vectorized",
    prompt=(
        "Return relu(conv(x) + bias), (N, H, W, O), for images x (N, H, W, C), weight (O, C, 3, 3) and "
        "bias (O,), padding 1, as one product: all windows (N, H, W, 3, 3, C) times all kernels. "
        "`padded(x, SAME.padding)` puts zeros around, `patches(padded, SAME)` shows the windows. The dtype "
        "stays."
    ),
    hints=(
        "A window's axes are (3, 3, C): the kernels need theirs in the same order, then O.",
        "np.tensordot(windows, kernels, 3) multiplies and sums over the last three axes of one and the "
        "first three of the other.",
        "`weight.transpose(2, 3, 1, 0)` is (3, 3, C, O); then bias and np.maximum.",
    ),
    mistakes=(
        swap("padded(x, SAME.padding)", "x", "The padding is missing, so the result is smaller."),
        swap(
            "weight.transpose(2, 3, 1, 0), 3) + bias, 0)",
            "weight.transpose(2, 3, 1, 0), 3), 0) + bias",
            "ReLU comes before the bias here; it is the last step.",
        ),
        swap(
            "weight.transpose(2, 3, 1, 0)",
            "weight.transpose(3, 2, 1, 0)",
            "Rows and columns of the kernels have changed places.",
        ),
        swap(
            "+ bias, 0)",
            "+ bias, -np.inf)",
            "Negative numbers are left: ReLU is part of this rung.",
        ),
        swap(
            "weight.transpose(2, 3, 1, 0), 3) + bias",
            "weight.transpose(2, 3, 1, 0), 3)",
            "The bias is missing.",
        ),
    ),
)


CENTRE = np.zeros((1, 1, 3, 3), np.float32)
CENTRE[0, 0, 1, 1] = 2
RIGHT = np.zeros((1, 1, 3, 3), np.float32)
RIGHT[0, 0, 1, 2] = 1  # looks at the neighbour on the right


@vectorized.check("twice the pixel plus a half, and never negative")
def _():
    x = single([[[[1.0], [-1.0]], [[3.0], [0.0]]]])
    call(acceleration.vectorized, x, CENTRE, single([0.5])).gives(single([[[[2.5], [0.0]], [[6.5], [0.5]]]]))


@vectorized.check("a kernel that looks to the right")
def _():
    call(acceleration.vectorized, counted(1, 2, 3, 1), RIGHT, single([0.0])).gives(
        single([[[[2.0], [3.0], [0.0]], [[5.0], [6.0], [0.0]]]])
    )


@vectorized.check("images, channels and outputs; float32 and float64 stay")
def _():
    for dtype in (np.float32, np.float64):
        x, weight, bias = grid(2, 4, 3, 2), grid(3, 2, 3, 3, seed=1), grid(3, seed=2)
        want = relu(convolved(x, weight) + bias).astype(dtype)
        given = [a.astype(dtype) for a in (x, weight, bias)]
        call(acceleration.vectorized, *given).gives(want, rtol=1e-4, atol=1e-5)


fused = exercises.add(
    "fused",
    prompt=(
        "Return relu(conv(x) + bias), (N, H, W, O), as `vectorized` does, tile by tile: "
        "`Tiling(x, SAME, 1, O).run(work)` calls work(tiles) in threads; tiles gives pairs (place, rows), "
        "the rows being the tile's windows (1, windows, 9 C). Their product with as_kernels(weight, 1), "
        "(1, 9 C, O), is part of the result, out[place]: write it there, with its bias and its ReLU, before "
        "the next tile comes. The rows are overwritten then."
    ),
    hints=(
        "Make `out` first, empty; work fills it, one place after the other, and returns nothing.",
        "`by_group(part, 1)` shows out[place] as (1, windows, O), a view: np.matmul(rows, kernels, "
        "out=by_group(part, 1)) writes into the result.",
        "Then `part += bias` and `np.maximum(part, 0, out=part)`, both in place.",
    ),
    mistakes=(
        swap(
            "np.maximum(part, 0, out=part)",
            "np.maximum(part, 0)",
            "ReLU does not arrive in the result: it has to be written into the tile (out=part).",
        ),
        swap("part += bias", "part + bias", "The bias does not arrive in the result: add it in place."),
        swap(
            "part += bias\n            np.maximum(part, 0, out=part)",
            "np.maximum(part, 0, out=part)\n            part += bias",
            "ReLU comes before the bias here; it is the last step.",
        ),
        swap(
            "as_kernels(weight, 1)",
            "as_kernels(weight.swapaxes(2, 3), 1)",
            "Rows and columns of the kernels have changed places.",
        ),
        swap(
            "in tiles:",
            "in list(tiles):",
            "The tiles are collected, and the next one's rows overwrite those before: use each as it comes.",
        ),
        wrong(
            """
            def fused(x, weight, bias):
                return blocked(x, weight, bias)
            """,
            "The numbers are right, but bias and ReLU are walks over the whole result: do both on each tile.",
        ),
    ),
)


@fused.check("twice the pixel plus a half, and never negative")
def _():
    x = single([[[[1.0], [-1.0]], [[3.0], [0.0]]]])
    call(acceleration.fused, x, CENTRE, single([0.5])).gives(single([[[[2.5], [0.0]], [[6.5], [0.5]]]]))


@fused.check("a kernel that looks to the right")
def _():
    call(acceleration.fused, counted(1, 2, 3, 1), RIGHT, single([0.0])).gives(
        single([[[[2.0], [3.0], [0.0]], [[5.0], [6.0], [0.0]]]])
    )


@fused.check("many tiles")
def _():
    x, weight, bias = grid(3, 5, 4, 2), grid(3, 2, 3, 3, seed=1), grid(3, seed=2)
    with small_cache():
        seen = call(acceleration.fused, x, weight, bias)
    seen.gives(relu(convolved(x, weight) + bias).astype(np.float32), rtol=1e-4, atol=1e-5)


@fused.check("it goes by the tiles of a Tiling")
def _():
    code: Any = acceleration
    ran = []

    class Watched(spatial.Tiling):
        def run(self, work):
            ran.append(self)
            return super().run(work)

    kept, code.Tiling = code.Tiling, Watched
    try:
        acceleration.fused(counted(1, 2, 2, 1), CENTRE, single([0.0]))
    finally:
        code.Tiling = kept
    see("how often Tiling(…).run(work) was called", len(ran)).gives(1)


@fused.check("float64 stays float64")
def _():
    x, weight, bias = (grid(*s, dtype=np.float64) for s in ((1, 2, 2, 1), (2, 1, 3, 3), (2,)))
    call(acceleration.fused, x, weight, bias).gives(relu(convolved(x, weight) + bias))


input_tiles = exercises.add(
    "input_tiles",
    prompt=(
        "Cut images (N, H, W, C) into tiles of 6x6 pixels, each 4 further than the one before, and return "
        "them as (6, 6, N, rows, columns, C), first the row in the tile. Before the image come `padding` "
        "(vertical, horizontal) zeros, behind it as many as padding, and more if the last tile needs them. "
        "The result of the convolution is H + 2 padding - 2 high: tiles of 4 rows have to cover that, "
        "no more of them than it takes."
    ),
    hints=(
        "How many tiles is that? The result's height, divided by 4 and rounded up. And how many rows of "
        "pixels do so many tiles look at?",
        "count tiles look at 4 count + 2 rows; `padded(x, ((before, behind), (before, behind)))` puts the "
        "zeros around.",
        "sliding_window_view(image, (6, 6), (1, 2)) is (N, rows, columns, C, 6, 6); take every fourth row "
        "and column, [:, ::4, ::4], and transpose.",
    ),
    mistakes=(
        swap(
            "[:, ::4, ::4]",
            "[:, ::6, ::6]",
            "Tiles of 6x6 overlap: each begins 4 further, since it gives 4x4 outputs.",
        ),
        swap(
            "ceil((size + 2 * before - 2) / 4)",
            "(size + 2 * before - 2) // 4 + 1",
            "Where the result is whole tiles there is one too many: divide by 4 and round up.",
        ),
        swap(
            "4 * count + 2 - size - before",
            "before",
            "The last tile is not whole: put so many zeros behind the image that it is.",
        ),
        swap(
            "view.transpose(4, 5, 0, 1, 2, 3)",
            "view.transpose(5, 4, 0, 1, 2, 3)",
            "Rows and columns in the tile have changed places.",
        ),
        swap(
            "zip(x.shape[1:3], padding, strict=True)",
            "zip(x.shape[1:3], padding[::-1], strict=True)",
            "Vertical and horizontal padding have changed places.",
        ),
    ),
)


@input_tiles.check("an image of 4x4 with padding 1 is one tile")
def _():
    x = counted(1, 4, 4, 1)
    tiles = acceleration.input_tiles(x, (1, 1))
    see("shape of the tiles", tiles.shape).gives((6, 6, 1, 1, 1, 1))
    see("the tile", tiles[:, :, 0, 0, 0, 0]).gives(np.pad(x[0, :, :, 0], 1))


@input_tiles.check("tiles overlap by two rows and two columns")
def _():
    x = counted(1, 10, 10, 1)
    tiles = acceleration.input_tiles(x, (0, 0))
    see("shape of the tiles of (1, 10, 10, 1) without padding", tiles.shape).gives((6, 6, 1, 2, 2, 1))
    see("first row of each tile", tiles[0, :, 0, :, :, 0].transpose(1, 2, 0)).gives(
        single([[x[0, i, j : j + 6, 0] for j in (0, 4)] for i in (0, 4)])
    )


@input_tiles.check("zeros behind the image until the last tile is whole")
def _():
    x = counted(1, 9, 4, 1)
    tiles = acceleration.input_tiles(x, (1, 1))
    see("shape of the tiles of (1, 9, 4, 1), padding 1", tiles.shape).gives((6, 6, 1, 3, 1, 1))
    see("first column of pixels in the last tile", tiles[:, 1, 0, 2, 0, 0]).gives(
        [29.0, 33.0, 0.0, 0.0, 0.0, 0.0]
    )


@input_tiles.check("another padding on each axis, images and channels")
def _():
    x = grid(2, 4, 6, 3)
    tiles = acceleration.input_tiles(x, (2, 0))
    see("shape of the tiles of (2, 4, 6, 3), padding (2, 0)", tiles.shape).gives((6, 6, 2, 2, 1, 3))
    see("the first tiles", tiles[:, :, :, 0, 0]).gives(
        around(x, (2, 0))[:, :6, :6].transpose(1, 2, 0, 3).copy()
    )


output_tiles = exercises.add(
    "output_tiles",
    prompt=(
        "See a result (N, 4 rows, 4 columns, O) as tiles of 4x4 that lie side by side: "
        "(4, 4, N, rows, columns, O), first the row in the tile. It has to be a view: what is written into "
        "a tile is written into y."
    ),
    hints=(
        "Split the height into (rows, 4): which tile, and which row in it. The width likewise.",
        "reshape to (N, rows, 4, columns, 4, O), then transpose; both give views here.",
    ),
    mistakes=(
        swap(
            "y.reshape(n, height // 4, 4, width // 4, 4, outputs).transpose(2, 4, 0, 1, 3, 5)",
            "y.reshape(n, 4, height // 4, 4, width // 4, outputs).transpose(1, 3, 0, 2, 4, 5)",
            "Neighbours in the image are in different tiles: split the height into (rows, 4), not (4, rows).",
        ),
        swap(
            "transpose(2, 4, 0, 1, 3, 5)",
            "transpose(4, 2, 0, 1, 3, 5)",
            "Rows and columns in the tile have changed places.",
        ),
        swap(
            "transpose(2, 4, 0, 1, 3, 5)",
            "transpose(2, 4, 0, 1, 3, 5).copy()",
            "This is a copy: what is written into it does not arrive in y.",
        ),
    ),
)


@output_tiles.check("a result of 4x4 is one tile")
def _():
    y = counted(1, 4, 4, 1)
    tiles = acceleration.output_tiles(y)
    see("shape of the tiles of (1, 4, 4, 1)", tiles.shape).gives((4, 4, 1, 1, 1, 1))
    see("the tile", tiles[:, :, 0, 0, 0, 0]).gives(y[0, :, :, 0])


@output_tiles.check("each tile is a square of neighbours")
def _():
    y = grid(2, 8, 12, 3)
    tiles = acceleration.output_tiles(y)
    see("shape of the tiles of (2, 8, 12, 3)", tiles.shape).gives((4, 4, 2, 2, 3, 3))
    see("tile (1, 2) of image 1, channel 0", tiles[:, :, 1, 1, 2, 0]).gives(y[1, 4:, 8:, 0])


@output_tiles.check("what is written into a tile is in the result")
def _():
    y = np.zeros((1, 4, 4, 1), np.float32)
    acceleration.output_tiles(y)[1, 2] = 5
    see("y after a 5 in row 1, column 2 of its tile", y[0, :, :, 0]).gives(
        [[0.0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    )


transformed = exercises.add(
    "transformed",
    prompt=(
        "Write each tile's a b numbers in a row, row by row, and multiply `matrix` (k, a b) with all of "
        "them in one product: tiles (a, b, N, rows, columns, C) give (k, N rows columns, C), of the same "
        "dtype. The result may lie in `buffer(name, shape, like)`, memory that the next call with the same "
        "`key` overwrites; calls with other keys leave it alone."
    ),
    hints=(
        "The tiles come as a view with the two axes that are multiplied in front: as (a b, everything "
        "else) they are one matrix.",
        "np.copyto(buffer(key, tiles.shape, tiles), tiles) lays them side by side in memory; then "
        "reshape and np.matmul.",
        "The product is (k, N rows columns C): reshape it to three axes at the end.",
    ),
    mistakes=(
        swap(
            "np.copyto(held, tiles)",
            "np.copyto(held, tiles.swapaxes(0, 1))",
            "The tiles' numbers come column by column; the matrix expects them row by row.",
        ),
        swap(
            'buffer(f"{key} transformed",',
            'buffer("transformed",',
            "Results of calls with different keys lie in the same memory: the second overwrites the first.",
        ),
        swap(
            "return out.reshape(shape)",
            "return out.reshape(shape[0], shape[2], shape[1])",
            "The channels are the last axis: (k, tiles, C).",
        ),
    ),
)


@transformed.check("a row of numbers for each tile")
def _():
    tiles = single([[1, 2], [3, 4]]).reshape(2, 2, 1, 1, 1, 1)
    matrix = single([[1, 1, 1, 1], [1, 10, 100, 1000]])
    call(acceleration.transformed, matrix, tiles, "check").gives([[[10.0]], [[4321.0]]])


@transformed.check("all tiles and channels")
def _():
    tiles, matrix = grid(2, 2, 3, 1, 2, 5, dtype=np.float64), grid(3, 4, dtype=np.float64, seed=1)
    want = np.einsum("kab,abtc->ktc", matrix.reshape(3, 2, 2), tiles.reshape(2, 2, 6, 5))
    call(acceleration.transformed, matrix, tiles, "check").gives(want)


@transformed.check("tiles that are a view, and float32")
def _():
    whole, matrix = grid(1, 2, 3, 2, 4, 2), grid(6, 8, seed=1)
    tiles = whole.transpose(3, 4, 0, 1, 2, 5)
    want = np.einsum("kab,abtc->ktc", matrix.reshape(6, 2, 4), tiles.reshape(2, 4, 6, 2))
    call(acceleration.transformed, matrix, tiles, "check").gives(want.astype(np.float32), atol=1e-5)


@transformed.check("calls with two keys do not disturb each other")
def _():
    one, ones = single([[1]]), np.ones((1, 1, 1, 1, 2, 1), np.float32)
    first = acceleration.transformed(one, ones, "first")
    acceleration.transformed(one, 7 * ones, "second")
    see("the first result after a call with another key", first).gives([[[1.0], [1.0]]])


winograd_kernels = exercises.add(
    "winograd_kernels",
    prompt=(
        "Transform each kernel w to G w G^T, 6x6, and return these as 36 matrices (36, C, O), in the "
        "weight's dtype: row by row, place 6 i + j of the 36 is element (i, j). `KG` (36, 9) is the "
        "Kronecker product of G with itself: KG times a kernel's 9 numbers, row by row, is the transformed "
        "kernel's 36."
    ),
    hints=(
        "All kernels at once: bring the weight into the form (9, C O), multiply, and split the last axis.",
        "`weight.transpose(2, 3, 1, 0)` is (3, 3, C, O). KG is float64: astype the weight's dtype first.",
        "`alone(kg, columns)` is kg @ columns in this thread; both are right.",
    ),
    mistakes=(
        swap(
            "weight.transpose(2, 3, 1, 0)",
            "weight.transpose(2, 3, 0, 1)",
            "Inputs and outputs are mixed up: the columns are C O, in this order.",
        ),
        swap(
            "weight.transpose(2, 3, 1, 0)",
            "weight.transpose(3, 2, 1, 0)",
            "Rows and columns of the kernels have changed places.",
        ),
        swap(
            "KG.astype(weight.dtype)",
            "KG",
            "G is float64 and makes the result so: turn it into the weight's dtype.",
        ),
        swap(
            "weight.transpose(2, 3, 1, 0)",
            "weight[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)",
            "The kernels are turned by 180 degrees; they stay as they are here.",
        ),
    ),
)


def kernels_by_formula(weight):
    each = G @ weight.astype(np.float64) @ G.T  # (O, C, 6, 6)
    return each.transpose(2, 3, 1, 0).reshape(36, *weight.shape[1::-1])


@winograd_kernels.check("a kernel that is 1 in its first corner")
def _():
    weight = np.zeros((1, 1, 3, 3))
    weight[0, 0, 0, 0] = 24
    found = acceleration.winograd_kernels(weight)
    see("shape for a weight (1, 1, 3, 3)", found.shape).gives((36, 1, 1))
    see("the first 6 of 36, of a kernel with 24 in its corner", found[:6, 0, 0]).gives(
        [1.5, -1.0, -1.0, 0.25, 0.25, 0.0]
    )


@winograd_kernels.check("inputs, then outputs")
def _():
    weight = grid(3, 2, 3, 3, dtype=np.float64)
    call(acceleration.winograd_kernels, weight).gives(kernels_by_formula(weight))


@winograd_kernels.check("float32 stays float32")
def _():
    weight = grid(2, 2, 3, 3)
    call(acceleration.winograd_kernels, weight).gives(
        kernels_by_formula(weight).astype(np.float32), atol=1e-5
    )


correlate_tiles = exercises.add(
    "correlate_tiles",
    prompt=(
        "Return the convolution (N, Ho, Wo, O) of images x (N, H, W, C), with kernels (36, C, O) that were "
        "transformed before: every 6x6 tile d becomes B^T d B, each of its 36 places is a product "
        "(tiles, C) @ (C, O), and A^T m A makes 4x4 outputs of the 36 results m. Then add the bias if there "
        "is one, and if `relu`, apply ReLU. Ho is H + 2 padding - 2: what the last tiles have beyond is cut "
        "off. The dtype is x's."
    ),
    hints=(
        "Doing all tiles at once is right: input_tiles, transformed with KB, np.matmul with the "
        "kernels, KA (16, 36) times it, output_tiles of an empty result to write into.",
        "`transformed(kb, tiles, key)` is (36, tiles, C), and np.matmul multiplies 36 matrices at once. KB "
        "and KA have to be in x's dtype.",
        "For the cache: `places, grain = blocks_of(tiles, O)`; for each (images, band) of places[start:stop] "
        "do this with tiles[:, :, images, band]; `parallel(work, len(places), grain)` calls "
        "work(start, stop).",
    ),
    mistakes=(
        swap(
            "return whole if whole.shape[1:3] == (height, width) else whole[:, :height, :width].copy()",
            "return whole",
            "The last tiles reach beyond the image: cut the result to (Ho, Wo).",
        ),
        swap(
            "if bias is not None:",
            "if False:",
            "The bias is missing.",
        ),
        swap(
            "if relu:",
            "if True:",
            "ReLU comes whether it was asked for or not.",
        ),
        swap(
            "            if bias is not None:\n                y += bias\n            if relu:\n"
            "                np.maximum(y, 0, out=y)",
            "            if relu:\n                np.maximum(y, 0, out=y)\n"
            "            if bias is not None:\n"
            "                y += bias",
            "ReLU comes before the bias here; it is the last step.",
        ),
        swap(
            "tiles = input_tiles(x, padding)",
            "tiles = input_tiles(x, padding).swapaxes(0, 1)",
            "Rows and columns in the tiles have changed places before the transform.",
        ),
    ),
)


def seen_tiles(words, x, weight, padding=(1, 1), *rest):
    kernels = kernels_by_formula(weight).astype(x.dtype)
    return see(words, acceleration.correlate_tiles(x, kernels, padding, *rest))


@correlate_tiles.check("a kernel that looks to the right, one tile")
def _():
    x = counted(1, 4, 4, 1, dtype=np.float64)
    seen = seen_tiles("the result for 1, …, 16, moved by one column", x, RIGHT)
    seen.gives([[[[i], [i + 1], [i + 2], [0]] for i in (2.0, 6.0, 10.0, 14.0)]])


@correlate_tiles.check("any size and padding, images, channels and outputs")
def _():
    x, weight = grid(2, 7, 5, 3, dtype=np.float64), grid(2, 3, 3, 3, dtype=np.float64, seed=1)
    for padding in ((1, 1), (0, 2)):
        seen = seen_tiles(f"the result of (2, 7, 5, 3), padding {padding}", x, weight, padding)
        seen.gives(convolved(x, weight, padding))


@correlate_tiles.check("with a bias, and with ReLU after it")
def _():
    x, weight = grid(1, 4, 4, 2, dtype=np.float64), grid(2, 2, 3, 3, dtype=np.float64, seed=1)
    bias = np.array([0.5, -0.5])
    want = convolved(x, weight) + bias
    seen_tiles("the result with a bias", x, weight, (1, 1), bias).gives(want)
    seen_tiles("the result with a bias and ReLU", x, weight, (1, 1), bias, True).gives(relu(want))
    seen = seen_tiles("the result with ReLU alone", x, weight, (1, 1), None, True)
    seen.gives(relu(convolved(x, weight)))


@correlate_tiles.check("the next call leaves the result alone")
def _():
    x = counted(1, 4, 4, 1, dtype=np.float64)
    first = seen_tiles("the result for 1, …, 16 and twice the pixel, after another call", x, CENTRE)
    seen_tiles("", 0 * x, CENTRE)
    first.gives(2 * x)


@correlate_tiles.check("many blocks of tiles")
def _():
    x, weight = grid(3, 9, 9, 2, dtype=np.float64), grid(1, 2, 3, 3, dtype=np.float64, seed=1)
    with small_cache():
        seen = seen_tiles("the result of (3, 9, 9, 2), 27 tiles", x, weight)
    seen.gives(convolved(x, weight))


@correlate_tiles.check("float32 stays float32")
def _():
    x, weight = grid(1, 4, 4, 2), grid(2, 2, 3, 3, seed=1)
    seen_tiles("the result in float32", x, weight).gives(
        convolved(x, weight).astype(np.float32), rtol=1e-4, atol=1e-4
    )


kernels_gradient = exercises.add(
    "winograd_kernels_gradient",
    prompt=(
        "Return the gradient of the kernels, (O, C, 3, 3), for images x (N, H, W, C) and the gradient g "
        "(N, Ho, Wo, O) of the result: G^T [sum over all tiles and images of (B^T d B) * (A g A^T)] G, where "
        "the * gives a number for each channel and output, and g is filled up with zeros behind to whole "
        "tiles of 4x4."
    ),
    hints=(
        "Three steps, all backwards: both transforms of tiles, 36 products (C, tiles) @ (tiles, O), and "
        "the transposed KG.",
        "`transformed(ka.T, output_tiles(g padded), key)` is (36, tiles, O), `transformed(kb, "
        "input_tiles(x, padding), other key)` is (36, tiles, C). np.matmul sums over the tiles.",
        "KG.T @ total as (36, C O) is (9, C O): reshape to (3, 3, C, O) and transpose.",
    ),
    mistakes=(
        swap(
            ".transpose(3, 2, 0, 1)",
            ".transpose(3, 2, 1, 0)",
            "Rows and columns of the kernels have changed places.",
        ),
        swap(
            ".transpose(3, 2, 0, 1)",
            ".transpose(2, 3, 0, 1)",
            "Outputs come first, then inputs: (O, C, 3, 3).",
        ),
        swap(
            "(0, 4 * count - size)",
            "(4 * count - size, 0)",
            "The zeros that make the tiles whole stand before g; they belong behind it.",
        ),
        swap(
            "kernels = alone(kg.T,",
            "kernels = alone(kg.T / len(x),",
            "This is the mean over the images; all of them share the kernels, so it is the sum.",
        ),
    ),
)


def gradient_by_formula(x, g, padding):
    x, (height, width) = around(x, padding), g.shape[1:3]
    taps = [
        np.einsum("nijc,nijo->oc", x[:, u : u + height, v : v + width], g) for u in range(3) for v in range(3)
    ]
    return np.stack(taps, 2).reshape(*taps[0].shape, 3, 3)


@kernels_gradient.check("one image, one channel, one tile")
def _():
    x, g = counted(1, 4, 4, 1, dtype=np.float64), np.zeros((1, 4, 4, 1))
    g[0, 1, 1, 0] = 1  # output (1, 1) sees pixels (0, 0) to (2, 2)
    seen = see(
        "the gradient for pixels 1, …, 16, if g is 1 at (1, 1)",
        acceleration.winograd_kernels_gradient(x, g, (1, 1)),
    )
    seen.gives([[[[1.0, 2, 3], [5, 6, 7], [9, 10, 11]]]])


@kernels_gradient.check("a result that is no whole tiles")
def _():
    x, g = grid(1, 5, 6, 1, dtype=np.float64), grid(1, 5, 4, 1, dtype=np.float64, seed=1)
    seen = see(
        "the gradient for x (1, 5, 6, 1), padding (1, 0)",
        acceleration.winograd_kernels_gradient(x, g, (1, 0)),
    )
    seen.gives(gradient_by_formula(x, g, (1, 0)))


@kernels_gradient.check("images, channels and outputs")
def _():
    x, g = grid(2, 4, 4, 2, dtype=np.float64), grid(2, 4, 4, 3, dtype=np.float64, seed=1)
    seen = see(
        "the gradient for x (2, 4, 4, 2), g (2, 4, 4, 3)",
        acceleration.winograd_kernels_gradient(x, g, (1, 1)),
    )
    seen.gives(gradient_by_formula(x, g, (1, 1)))


@kernels_gradient.check("many blocks of tiles, in float32")
def _():
    x, g = grid(2, 9, 5, 1), grid(2, 9, 5, 2, seed=1)
    with small_cache():
        found = acceleration.winograd_kernels_gradient(x, g, (1, 1))
    want = gradient_by_formula(x.astype(np.float64), g, (1, 1)).astype(np.float32)
    see("the gradient for x (2, 9, 5, 1), g (2, 9, 5, 2)", found).gives(want, rtol=1e-3, atol=1e-3)


turned = exercises.add(
    "turned",
    prompt=(
        "Return the weight (O, C, 3, 3) as (C, O, 3, 3): inputs and outputs change places, and each kernel "
        "is turned by 180 degrees. The values are the same, nothing is computed."
    ),
    hints=(
        "To turn by 180 degrees is to reverse both the rows and the columns.",
        "swapaxes(0, 1), and a slice with the step -1 on each of the last two axes.",
    ),
    mistakes=(
        swap(".swapaxes(0, 1)", "", "Inputs and outputs have to change places."),
        swap("[:, :, ::-1, ::-1]", "", "The kernels have to be turned by 180 degrees."),
        swap(
            "[:, :, ::-1, ::-1]",
            "[:, :, ::-1]",
            "Only the rows are reversed; 180 degrees reverse the columns as well.",
        ),
        swap(
            "weight.swapaxes(0, 1)[:, :, ::-1, ::-1]",
            "weight.swapaxes(0, 1).swapaxes(2, 3)",
            "This is the kernels' transpose: reverse rows and columns instead.",
        ),
    ),
)


@turned.check("1, …, 9 turned by 180 degrees")
def _():
    call(acceleration.turned, counted(1, 1, 3, 3)).gives([[[[9.0, 8, 7], [6, 5, 4], [3, 2, 1]]]])


@turned.check("inputs and outputs change places")
def _():
    weight = grid(2, 4, 3, 3)
    want = np.stack([np.stack([np.rot90(weight[o, c], 2) for o in range(2)]) for c in range(4)])
    call(acceleration.turned, weight).gives(want)


@turned.check("turned twice, it is as before")
def _():
    weight = grid(3, 2, 3, 3)
    see("turned(turned(weight))", acceleration.turned(acceleration.turned(weight))).gives(weight)


winograd_operations = exercises.add(
    "winograd_operations",
    prompt=(
        "Return the operations of correlate_winograd, an int: for each tile, each input channel a matrix "
        "(36, 36) times 36 numbers, each pair of input and output 36 products, each output a matrix (16, 36) "
        "times 36 numbers; and once for all tiles, each pair a matrix (36, 9) times a kernel's 9 numbers. A "
        "term of a product is a multiplication and an addition: 2 operations."
    ),
    hints=(
        "A matrix (a, b) times b numbers has a b terms. Four such counts are added.",
        "Three of them are multiplied with the number of tiles; the kernels' transform is not.",
        "each = 36 * 36 * channels + 36 * channels * outputs + 16 * 36 * outputs",
    ),
    mistakes=(
        swap(
            "2 * (tiles * each + 36 * 9 * channels * outputs)",
            "2 * tiles * each",
            "The transform of the kernels is missing.",
        ),
        swap(
            "2 * (tiles * each + 36 * 9 * channels * outputs)",
            "2 * tiles * (each + 36 * 9 * channels * outputs)",
            "The kernels are transformed once, not for each tile.",
        ),
        swap(
            "2 * (tiles * each",
            "(tiles * each",
            "Each term is a multiplication and an addition: 2 operations.",
        ),
        swap(" + 16 * 36 * outputs", "", "The transform of the outputs is missing."),
    ),
)


@winograd_operations.check("one tile, one channel, one output, by hand")
def _():
    call(acceleration.winograd_operations, 1, 1, 1).gives(2 * (1296 + 36 + 576 + 324))


@winograd_operations.check("64 tiles transform the kernels once")
def _():
    call(acceleration.winograd_operations, 64, 1, 1).gives(2 * (64 * (1296 + 36 + 576) + 324))


@winograd_operations.check("inputs and outputs count differently")
def _():
    call(acceleration.winograd_operations, 3, 5, 2).gives(2 * (3 * (6480 + 360 + 1152) + 3240))


accelerate = exercises.add(
    "accelerate",
    prompt=(
        "Return a deep copy of a model, every layer of which for which runs_by_winograd(layer) is True "
        "has the class WinogradConv2d: wherever it stands in the model, or if it is the model. The model "
        "that came stays as it is. If there is no such layer, raise a ValueError that says Conv2d."
    ),
    hints=(
        "`copy.deepcopy(model)`; its modules() gives all modules at all depths, itself among them.",
        "A WinogradConv2d has the same attributes as a Conv2d, only another forward: so it is enough to "
        "assign layer.__class__.",
    ),
    mistakes=(
        swap(
            "copy.deepcopy(model)",
            "model",
            "The model that came is changed; what is wanted is a copy, and deep, so that no layer is shared.",
        ),
        swap(
            "if runs_by_winograd(layer)]",
            "if type(layer) is Conv2d]",
            "All convolutions are changed; Winograd cannot do some, and others have too few channels for it.",
        ),
        swap(
            "if not layers:",
            "if False:",
            "If no layer can run by Winograd, that has to be a ValueError.",
        ),
        swap(
            "in faster.modules()",
            "in faster.children()",
            "Layers deeper in the model are left out: modules() goes through all depths.",
        ),
    ),
)


def wide():
    return Conv2d(64, 64, 3, padding=1)


def classes(model):
    return [type(m).__name__ for m in model.modules() if isinstance(m, Conv2d)]


@accelerate.check("a wide 3x3 convolution is changed, others are not")
def _():
    model = Sequential(Conv2d(2, 3, 3), wide(), Conv2d(64, 2, 1))
    see("convolutions of the copy", classes(acceleration.accelerate(model))).gives(
        ["Conv2d", "WinogradConv2d", "Conv2d"]
    )


@accelerate.check("the model that came stays")
def _():
    model = Sequential(wide())
    faster = acceleration.accelerate(model)
    see("convolutions of the model", classes(model)).gives(["Conv2d"])
    faster[0].weight.array[...] = 0
    see("the model's weights are its own", bool((model[0].weight.array != 0).any())).gives(True)


@accelerate.check("at any depth")
def _():
    model = Sequential(Sequential(Sequential(wide())), wide())
    see("convolutions of the copy, one three levels deep", classes(acceleration.accelerate(model))).gives(
        ["WinogradConv2d", "WinogradConv2d"]
    )
    see("if it is the model", classes(acceleration.accelerate(wide()))).gives(["WinogradConv2d"])


@accelerate.check("it computes the same")
def _():
    model, x = Sequential(wide()), tensor(grid(1, 64, 4, 4))
    with no_grad():
        want = convolved(x.array.transpose(0, 2, 3, 1), model[0].weight.array) + model[0].bias.array
        seen = see("the result for (1, 64, 4, 4)", acceleration.accelerate(model)(x))
    seen.gives(want.transpose(0, 3, 1, 2).astype(np.float32), rtol=1e-3, atol=1e-3)


@accelerate.check("without such a layer it is an error")
def _():
    raises(ValueError, acceleration.accelerate, Sequential(Linear(2, 2)), says="Conv2d")


interleaved = exercises.add(
    "interleaved",
    prompt=(
        "Call each function once without counting, then `repeat` rounds of all of them in turns, and "
        "return {name: Timing(median, fastest, slowest)} in the order of `functions`, the seconds as "
        "floats. `measure(function, 1, 0).median` is the seconds of one call."
    ),
    hints=(
        "Two loops: the rounds outside, the functions inside, and a list of seconds for each name.",
        "`float(np.median(seconds))`, min and max make the Timing.",
    ),
    mistakes=(
        swap(
            "for _ in range(repeat):\n        for name, function in functions.items():\n            seconds",
            "for name, function in functions.items():\n        for _ in range(repeat):\n            seconds",
            "Each function has all its calls in a row: if the machine is busy then, only this one is slow.",
        ),
        wrong(
            """
            def interleaved(functions, repeat=9):
                return {name: measure(function, repeat) for name, function in functions.items()}
            """,
            "measure(function, repeat) makes a function's calls in a row; measure one call in each round.",
        ),
        swap(
            "measure(function, 1, 0)",
            "measure(function, 1)",
            "measure makes a call that does not count before each one: its warm_up has to be 0.",
        ),
        swap(
            "for function in functions.values():\n        function()",
            "",
            "The first call counts; it also fills buffers, so call each once before.",
        ),
        swap(
            "np.median(s)",
            "np.mean(s)",
            "This is the mean: a single slow call moves it. The median is the one in the middle.",
        ),
        swap("min(s), max(s)", "max(s), min(s)", "The fastest comes before the slowest in a Timing."),
    ),
)


def timed_in_turns(seconds, repeat):
    """interleaved of functions whose calls take so long: ({name: Timing}, names in the order of calls)."""
    now, calls = [0.0], []

    def function(name, left):
        def work():
            calls.append(name)
            now[0] += left.pop(0) if len(left) > 1 else left[0]

        return work

    kept = time.perf_counter
    time.perf_counter = profiling.perf_counter = lambda: now[0]
    try:
        ways = {name: function(name, list(left)) for name, left in seconds.items()}
        return acceleration.interleaved(ways, repeat), calls
    finally:
        time.perf_counter = profiling.perf_counter = kept


@interleaved.check("in turns, each once before")
def _():
    _, calls = timed_in_turns({"a": [1.0], "b": [1.0]}, 2)
    see("who was called, repeat=2", calls).gives(["a", "b", "a", "b", "a", "b"])


@interleaved.check("median, fastest and slowest, without the first call")
def _():
    timings, _ = timed_in_turns({"a": [100.0, 6.0, 1.0, 2.0], "b": [50.0, 4.0, 4.0, 4.0]}, 3)
    see("the names", list(timings)).gives(["a", "b"])
    see("calls of 6, 1 and 2 s after one of 100 s", [float(s) for s in timings["a"]]).gives([2.0, 1.0, 6.0])
    see("calls of 4 s after one of 50 s", [float(s) for s in timings["b"]]).gives([4.0, 4.0, 4.0])


@interleaved.check("its fields have names")
def _():
    timings, _ = timed_in_turns({"a": [1.0, 2.0, 2.0]}, 1)
    see("median of one call of 2 s", timings["a"].median).gives(2.0)
