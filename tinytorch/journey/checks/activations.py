"""Exercises of module 02, Activations."""

import math

import numpy as np

from tinytorch.core import activations
from tinytorch.core.tensor import Tensor, tensor

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("activations")


def grid(*shape):
    """Numbers of both signs, float32."""
    return np.random.default_rng(2).normal(0, 2, shape).astype(np.float32)


relu = exercises.add(
    "relu",
    prompt="Return max(x, 0), element by element: a new array as large as the input, with its dtype.",
    hints=(
        "Compare every element with 0 and keep the larger of the two. No loop is needed.",
        "`np.maximum(a, b)` takes the larger element at every place; b may be the number 0.",
    ),
    mistakes=(
        swap(
            "np.maximum(input, zeros_beside(input))",
            "np.abs(input)",
            "This is the absolute value: it turns -2 into 2, and relu turns it into 0.",
        ),
        swap(
            "np.maximum(input, zeros_beside(input))",
            "np.minimum(input, zeros_beside(input))",
            "This keeps the smaller of x and 0; relu keeps the larger.",
        ),
        swap(
            "return np.maximum(input, zeros_beside(input))",
            "return np.maximum(input, zeros_beside(input), out=input)",
            "This writes into the input. Whoever called relu still needs it: return a new array.",
        ),
    ),
)


@relu.check("negative numbers become zero, the others stay")
def _():
    call(activations.relu, tensor([-2.0, -0.5, 0.0, 0.5, 3.0])).gives([0.0, 0.0, 0.0, 0.5, 3.0])


@relu.check("any shape, and float32 stays float32")
def _():
    x = grid(2, 3, 4)
    call(activations.relu, tensor(x)).gives(np.where(x > 0, x, np.float32(0)))


@relu.check("the input is left as it was")
def _():
    x = tensor([-1.0, 2.0])
    activations.relu(x)
    see("x after relu(x)", x).gives([-1.0, 2.0])


@relu.check("nan stays nan")
def _():
    call(activations.relu, tensor([math.nan, 1.0])).gives([math.nan, 1.0])


softmax = exercises.add(
    "softmax",
    prompt="Return exp(x_i) / sum_j exp(x_j) along `dim`, in the shape of the input, without overflow for any finite numbers.",
    hints=(
        "Take the exponential, sum it along `dim` with keepdims=True so that the sum still broadcasts, and divide.",
        "exp(1000) overflows. Adding the same number to every x does not change the quotient: subtract the largest "
        "of each row first, and no exponent is above 0.",
    ),
    mistakes=(
        wrong(
            """
            def softmax(input, dim):
                e = np.exp(input)
                return e / e.sum(dim, keepdims=True)
            """,
            "exp overflows to inf for large numbers, and inf / inf is nan: subtract the largest number of each row "
            "before you take the exponential.",
        ),
        wrong(
            """
            def softmax(input, dim):
                e = np.exp(input - input.max())
                return e / e.sum()
            """,
            "The sum runs over the whole array; each row along `dim` has to sum to 1 by itself.",
        ),
        wrong(
            """
            def softmax(input, dim):
                e = np.exp(input - input.max(0, keepdims=True))
                return e / e.sum(0, keepdims=True)
            """,
            "This sums along dimension 0 whatever `dim` says.",
        ),
    ),
)


@softmax.check("a row of three becomes three probabilities")
def _():
    e = np.exp([1.0, 2.0, 3.0])
    call(activations.softmax, tensor([1.0, 2.0, 3.0]), 0).gives(list(e / e.sum()))


@softmax.check("each row along dim sums to 1, for every dim")
def _():
    x = grid(2, 3, 4)
    for dim in (0, 1, -1):
        e = np.exp(x.astype(np.float64))
        call(activations.softmax, tensor(x), dim).gives((e / e.sum(dim, keepdims=True)).astype(np.float32))


@softmax.check("large numbers do not overflow")
def _():
    call(activations.softmax, tensor([1000.0, 1000.0]), 0).gives([0.5, 0.5])
    call(activations.softmax, tensor([-1000.0, -1000.0, 0.0]), 0).gives([0.0, 0.0, 1.0])


@softmax.check("float32 stays float32")
def _():
    probabilities = activations.softmax(tensor(grid(5)), 0)
    see("the dtype of softmax(x, 0)", str(probabilities.dtype)).gives("float32")


@softmax.check("a dim that is not there is an error")
def _():
    raises(IndexError, activations.softmax, Tensor(grid(2, 2)), 5)
