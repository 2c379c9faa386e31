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


def leaves_alone(function, *args):
    """The input of an activation is still needed by whoever called it."""
    x = grid(2, 3)
    given = tensor(x)
    function(given, *args)
    see(f"x after {function.__name__}(x)", given).gives(x)


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
        swap(
            "np.maximum(input, zeros_beside(input))",
            "input * (input > 0)",
            "-inf * 0 is nan. Choose between x and 0 instead of multiplying.",
        ),
        swap(
            "np.maximum(input, zeros_beside(input))",
            "np.where(input > 0, input, 0).astype(input.dtype)",
            "nan > 0 is false, so nan became 0; np.maximum lets it through.",
        ),
        swap(
            "np.maximum(input, zeros_beside(input))",
            "np.maximum(input, 0.0)",
            "Beside the float 0.0 integers became floats; the dtype stays.",
        ),
    ),
)


@relu.check("negative numbers become zero, the others stay")
def _():
    call(activations.relu, tensor([-2.0, -0.5, 0.0, 0.5, 3.0])).gives([0.0, 0.0, 0.0, 0.5, 3.0])


@relu.check("any shape, and the dtype stays")
def _():
    x = grid(2, 3, 4)
    call(activations.relu, tensor(x)).gives(np.where(x > 0, x, np.float32(0)))
    call(activations.relu, tensor(x[0].astype(np.float64))).gives(np.where(x[0] > 0, x[0], np.float64(0)))
    call(activations.relu, tensor([-1, 2])).gives(tensor([0, 2]))


@relu.check("the input is left as it was")
def _():
    leaves_alone(activations.relu)


@relu.check("nan stays nan, and infinities are numbers like others")
def _():
    call(activations.relu, tensor([math.nan, 1.0])).gives([math.nan, 1.0])
    call(activations.relu, tensor([-math.inf, math.inf])).gives([0.0, math.inf])


leaky_relu = exercises.add(
    "leaky_relu",
    prompt=(
        "Return x where x is above 0 and negative_slope * x elsewhere: a new array in the input's shape and "
        "dtype. It holds for every slope, also for one above 1."
    ),
    hints=(
        "Two candidates for each element, x and negative_slope * x, and one condition that chooses.",
        "`np.where(condition, a, b)` chooses element by element.",
    ),
    mistakes=(
        wrong(
            """
            def leaky_relu(input, negative_slope=0.01):
                return np.maximum(input, input * 0)
            """,
            "Negative numbers became 0, as in relu; leaky_relu keeps negative_slope times the number.",
        ),
        wrong(
            """
            def leaky_relu(input, negative_slope=0.01):
                return np.maximum(input, input * 0.01)
            """,
            "The slope is always 0.01 here; use the argument negative_slope.",
        ),
        wrong(
            """
            def leaky_relu(input, negative_slope=0.01):
                return np.maximum(input, input * negative_slope)
            """,
            "The larger of the two is right for slopes up to 1 only: for a slope of 2, -1 must become -2.",
        ),
        wrong(
            """
            def leaky_relu(input, negative_slope=0.01):
                return np.where(input > 0, input, negative_slope).astype(input.dtype)
            """,
            "Negative numbers became the slope itself; it is a factor: negative_slope * x.",
        ),
        wrong(
            """
            def leaky_relu(input, negative_slope=0.01):
                input[input < 0] *= negative_slope
                return input
            """,
            "This writes into the input. Whoever called leaky_relu still needs it: return a new array.",
        ),
    ),
)


@leaky_relu.check("negative numbers are made small, the others stay")
def _():
    call(activations.leaky_relu, tensor([-2.0, 0.0, 3.0])).gives([-0.02, 0.0, 3.0])


@leaky_relu.check("the slope is an argument, in any shape")
def _():
    call(activations.leaky_relu, tensor([-2.0, 3.0]), 0.25).gives([-0.5, 3.0])
    x = grid(2, 3, 2)
    call(activations.leaky_relu, tensor(x), 0.1).gives(np.where(x > 0, x, np.float32(0.1) * x))
    wide = x.astype(np.float64)
    call(activations.leaky_relu, tensor(wide), 0.1).gives(np.where(wide > 0, wide, 0.1 * wide))


@leaky_relu.check("a slope above 1 makes negative numbers larger in size")
def _():
    call(activations.leaky_relu, tensor([-1.0, 1.0]), negative_slope=2.0).gives([-2.0, 1.0])


@leaky_relu.check("the input is left as it was")
def _():
    leaves_alone(activations.leaky_relu)


sigmoid = exercises.add(
    "sigmoid",
    prompt=(
        "Return 1 / (1 + exp(-x)), element by element, in the input's shape and dtype; integers give "
        "float32. Far out the answer is 0 or 1, never nan."
    ),
    hints=(
        "Write the formula with NumPy. At x = -1000, exp(1000) is inf and 1 / inf is 0: that is right.",
        "`floating(input)` makes float32 of integers. The quotient exp(x) / (1 + exp(x)) has a problem that "
        "1 / (1 + exp(-x)) does not have.",
    ),
    mistakes=(
        wrong(
            """
            def sigmoid(input):
                return 1 / (1 + np.exp(input))
            """,
            "The sign of the exponent is turned round: this falls from 1 to 0 as x grows, and sigmoid rises.",
        ),
        wrong(
            """
            def sigmoid(input):
                return np.exp(input) / (1 + np.exp(input))
            """,
            "For large x this is inf / inf, which is nan. 1 / (1 + exp(-x)) is the same number and "
            "stays right.",
        ),
        wrong(
            """
            def sigmoid(input):
                return np.tanh(input)
            """,
            "These are the numbers of tanh, from -1 to 1; sigmoid goes from 0 to 1 and is 0.5 at 0.",
        ),
        swap(
            "out=np.empty_like(x)",
            "out=x",
            "This writes into the input. Whoever called sigmoid still needs it: return a new array.",
        ),
    ),
)


@sigmoid.check("0 becomes one half, and larger numbers come nearer to 1")
def _():
    call(activations.sigmoid, tensor([-1.0, 0.0, 1.0])).gives([0.26894142, 0.5, 0.73105858])


@sigmoid.check("far out it is 0 or 1")
def _():
    call(activations.sigmoid, tensor([-1000.0, 1000.0])).gives([0.0, 1.0])


@sigmoid.check("any shape and both float dtypes")
def _():
    for x in (grid(2, 3), grid(2, 1, 2).astype(np.float64)):
        wide = 1 / (1 + np.exp(-x.astype(np.float64)))
        call(activations.sigmoid, tensor(x)).gives(wide.astype(x.dtype))


@sigmoid.check("integers give float32")
def _():
    call(activations.sigmoid, tensor([0, 1])).gives(np.array([0.5, 0.73105858], np.float32))


@sigmoid.check("the input is left as it was")
def _():
    leaves_alone(activations.sigmoid)


tanh = exercises.add(
    "tanh",
    prompt=(
        "Return (exp(x) - exp(-x)) / (exp(x) + exp(-x)), element by element, in the input's shape and dtype. "
        "Far out the answer is -1 or 1, never nan."
    ),
    hints=(
        "Written as it stands, the formula gives inf / inf for large numbers.",
        "tanh(x) = 2 sigmoid(2x) - 1, or look for the function in NumPy.",
    ),
    mistakes=(
        wrong(
            """
            def tanh(input):
                return (np.exp(input) - np.exp(-input)) / (np.exp(input) + np.exp(-input))
            """,
            "exp overflows for large numbers, and inf / inf is nan. Use a form in which this cannot happen.",
        ),
        wrong(
            """
            def tanh(input):
                return (np.exp(2 * input) - 1) / (np.exp(2 * input) + 1)
            """,
            "On the right exp(2x) overflows, and inf / inf is nan; 2 sigmoid(2x) - 1 stays right.",
        ),
        wrong(
            """
            def tanh(input):
                return 2 / (1 + np.exp(-input)) - 1
            """,
            "This is 2 sigmoid(x) - 1, half as steep as tanh: tanh(x) is 2 sigmoid(2x) - 1.",
        ),
        wrong(
            """
            def tanh(input):
                return np.tan(input)
            """,
            "This is the tangent of an angle; tanh is the hyperbolic tangent and stays between -1 and 1.",
        ),
    ),
)


@tanh.check("0 stays 0, and the sign stays")
def _():
    call(activations.tanh, tensor([-1.0, 0.0, 0.5])).gives([-0.76159416, 0.0, 0.46211716])


@tanh.check("far out it is -1 or 1")
def _():
    call(activations.tanh, tensor([-1000.0, 1000.0])).gives([-1.0, 1.0])


@tanh.check("any shape and both float dtypes")
def _():
    for x in (grid(2, 2, 3), grid(2, 1).astype(np.float64)):
        wide = 1 - 2 / (np.exp(2 * x.astype(np.float64)) + 1)
        call(activations.tanh, tensor(x)).gives(wide.astype(x.dtype))


silu = exercises.add(
    "silu",
    prompt=(
        "Return x * sigmoid(x), element by element, in the input's shape and dtype. -1000 gives 0 and 1000 "
        "gives 1000; the input is left as it was."
    ),
    hints=(
        "x * sigmoid(x) is x / (1 + exp(-x)).",
        "`sigmoid.fn(x)` is your function of arrays, without the Tensor around it.",
    ),
    mistakes=(
        wrong(
            """
            def silu(input):
                return 1 / (1 + np.exp(-input))
            """,
            "This is sigmoid(x) alone; silu multiplies it by x.",
        ),
        wrong(
            """
            def silu(input):
                return input * np.exp(input) / (1 + np.exp(input))
            """,
            "For large x this is inf / inf, which is nan: x / (1 + exp(-x)) is the same and stays right.",
        ),
        wrong(
            """
            def silu(input):
                input /= 1 + np.exp(-input)
                return input
            """,
            "This writes into the input. Whoever called silu still needs it: return a new array.",
        ),
    ),
)


@silu.check("each number is weighted with its sigmoid")
def _():
    call(activations.silu, tensor([-1.0, 0.0, 1.0])).gives([-0.26894142, 0.0, 0.73105858])


@silu.check("far out it is 0 or x itself")
def _():
    call(activations.silu, tensor([-1000.0, 1000.0])).gives([0.0, 1000.0])


@silu.check("any shape and dtype, and the input is left as it was")
def _():
    for x in (grid(2, 3), grid(4).astype(np.float64)):
        given = tensor(x)
        wide = x / (1 + np.exp(-x.astype(np.float64)))
        call(activations.silu, given).gives(wide.astype(x.dtype))
        see("x after silu(x)", given).gives(x)


softplus = exercises.add(
    "softplus",
    prompt=(
        "Return log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold, in the input's shape "
        "and dtype. Nothing overflows, with threshold=inf neither: softplus(1000) is 1000 then. Small "
        "answers keep their digits: softplus(-20) is 2.06e-9, not 0."
    ),
    hints=(
        "With z = beta * x, log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)): no exponent is above 0.",
        "`np.log1p(u)` is log(1 + u), exact for small u. `np.where` puts x in where z is above the "
        "threshold.",
    ),
    mistakes=(
        wrong(
            """
            def softplus(input, beta=1.0, threshold=20.0):
                z = input * beta
                return np.where(z > threshold, input, np.log1p(np.exp(z)) / beta)
            """,
            "exp(z) overflows where the threshold does not step in. In max(z, 0) + log(1 + exp(-|z|)) no "
            "exponent is above 0.",
        ),
        swap(
            "np.log1p(np.exp(-np.abs(z)))) / beta",
            "np.log1p(np.exp(-np.abs(z))))",
            "The logarithm is not divided by beta.",
        ),
        swap("z > threshold", "x > threshold", "The threshold is for beta * x, here it is compared with x."),
        swap("z = x * beta", "z = x", "beta also multiplies x inside the exponential."),
        swap("np.where(z > threshold, x, smooth)", "smooth", "The threshold is not used."),
        swap(
            "np.log1p(np.exp(-np.abs(z)))",
            "np.log1p(np.exp(-z))",
            "The exponent is -|z|, not -z, when max(z, 0) is added.",
        ),
        swap(
            "np.log1p(np.exp(-np.abs(z)))",
            "np.log(1 + np.exp(-np.abs(z)))",
            "1 + a tiny number is 1, and its logarithm 0: np.log1p keeps the digits.",
        ),
        swap(
            "z = x * beta",
            "x *= beta; z = x; x = x / beta",
            "This writes into the input. Whoever called softplus still needs it: return a new array.",
        ),
    ),
)


@softplus.check("a smooth relu: log 2 at 0")
def _():
    x = np.array([-1.0, 0.0, 2.0])
    call(activations.softplus, tensor([-1.0, 0.0, 2.0])).gives(list(np.log(1 + np.exp(x))))


@softplus.check("beta makes the bend sharper")
def _():
    x = grid(2, 3)
    wide = np.log(1 + np.exp(4 * x.astype(np.float64))) / 4
    call(activations.softplus, tensor(x), beta=4.0).gives(wide.astype(np.float32))


@softplus.check("above the threshold it is x itself, and the threshold is for beta * x")
def _():
    expected = [1.0, math.log(1 + math.exp(0.5)) / 2, 1.2]
    call(activations.softplus, tensor([1.0, 0.25, 1.2]), 2.0, 1.0).gives(expected)


@softplus.check("nothing overflows, with no threshold neither")
def _():
    call(activations.softplus, tensor([-1000.0, 1000.0]), threshold=math.inf).gives([0.0, 1000.0])


@softplus.check("far on the left it is exp(x)")
def _():
    call(activations.softplus, tensor([-20.0])).gives([math.exp(-20)], atol=0)


@softplus.check("the input is left as it was")
def _():
    leaves_alone(activations.softplus, 2.0)


normal_cdf = exercises.add(
    "normal_cdf",
    prompt=(
        "Return Phi(x) for an array x of floats, in its shape and dtype: the probability that a normal "
        'variable is below x. approximate="tanh" gives (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 '
        'instead; any word but "none" and "tanh" is a ValueError. Where `out` is given, write the result '
        "into it and return it."
    ),
    hints=(
        "Phi(x) = erfc(-x / sqrt(2)) / 2.",
        "`erfc` takes one Python number at a time: go through x.ravel().tolist() and reshape at the end.",
        "`out[...] = cdf` writes into an array that is there already.",
    ),
    mistakes=(
        wrong(
            """
            def normal_cdf(x, approximate="none", out=None):
                if approximate not in ("none", "tanh"):
                    raise ValueError(f"approximate is 'none' or 'tanh', {approximate!r} came")
                out = np.empty_like(x) if out is None else out
                out[...] = (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))) / 2
                return out
            """,
            "The approximation with tanh is used always; it is meant only for approximate='tanh'.",
        ),
        wrong(
            """
            def normal_cdf(x, approximate="none", out=None):
                if approximate not in ("none", "tanh"):
                    raise ValueError(f"approximate is 'none' or 'tanh', {approximate!r} came")
                cdf = [erfc(-sqrt(0.5) * v) / 2 for v in x.ravel().tolist()]
                out = np.empty_like(x) if out is None else out
                out[...] = np.reshape(cdf, x.shape)
                return out
            """,
            "The argument approximate is ignored: 'tanh' asks for another form of Phi.",
        ),
        wrong(
            """
            def normal_cdf(x, approximate="none", out=None):
                if approximate not in ("none", "tanh"):
                    raise ValueError(f"approximate is 'none' or 'tanh', {approximate!r} came")
                if approximate == "tanh":
                    return ((1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))) / 2).astype(x.dtype)
                cdf = [erfc(-sqrt(0.5) * v) / 2 for v in x.ravel().tolist()]
                return np.reshape(cdf, x.shape).astype(x.dtype)
            """,
            "The result is right, but it is not written into `out`.",
        ),
        wrong(
            """
            def normal_cdf(x, approximate="none", out=None):
                cdf = [erfc(sqrt(0.5) * v) / 2 for v in x.ravel().tolist()]
                return np.reshape(cdf, x.shape).astype(x.dtype)
            """,
            "The sign is turned round: this is the probability to be above x, which falls as x grows.",
        ),
        swap(
            """raise ValueError(f"approximate is 'none' or 'tanh', {approximate!r} came")""",
            'approximate = "none"',
            "Every other word is taken for 'none'; a word that nobody knows is a ValueError.",
        ),
        wrong(
            """
            def normal_cdf(x, approximate="none", out=None):
                if approximate not in ("none", "tanh"):
                    raise ValueError(f"approximate is 'none' or 'tanh', {approximate!r} came")
                if approximate == "tanh":
                    cdf = (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))) / 2
                else:
                    cdf = np.reshape([erfc(-sqrt(0.5) * v) / 2 for v in x.ravel().tolist()], x.shape)
                if out is None:
                    return cdf.astype(x.dtype)
                out[...] = cdf
            """,
            "The result is written into `out`, but `out` is not returned.",
        ),
    ),
)


def phi(x):
    return np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.ravel()]).reshape(x.shape)


def phi_by_tanh(x):
    return (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


@normal_cdf.check("half of all numbers are below 0, five in six below 1")
def _():
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    call(activations.normal_cdf, x).gives(np.array([0.15865525, 0.5, 0.84134475, 0.97724987]))


@normal_cdf.check("any shape, and float32 stays float32")
def _():
    x = grid(2, 3, 2)
    call(activations.normal_cdf, x).gives(phi(x).astype(np.float32))


@normal_cdf.check("approximate='tanh' is the formula with tanh")
def _():
    x = np.array([-2.0, -1.0, 0.5, 2.0])
    call(activations.normal_cdf, x, "tanh").gives(phi_by_tanh(x))


@normal_cdf.check("the result is written into out")
def _():
    x, out = np.array([-1.0, 0.0]), np.zeros(2)
    answer = activations.normal_cdf(x, "none", out)
    see("out after normal_cdf(x, 'none', out)", out).gives(phi(x))
    see("what normal_cdf(x, 'none', out) returns", answer).gives(phi(x))
    activations.normal_cdf(x, "tanh", out)
    see("out after normal_cdf(x, 'tanh', out)", out).gives(phi_by_tanh(x))


@normal_cdf.check("another word is an error")
def _():
    raises(ValueError, activations.normal_cdf, np.array([1.0]), "erf")


gelu = exercises.add(
    "gelu",
    prompt=(
        "Return x * Phi(x), element by element, in the input's shape and dtype; integers give float32. Phi "
        'is the normal distribution function, for which approximate="tanh" takes '
        '(1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; any word but "none" and "tanh" is a ValueError.'
    ),
    hints=(
        "`normal_cdf(x, approximate)` of this file knows both forms of Phi, and which words are allowed.",
        "`floating(input)` makes float32 of integers; then multiply x with what normal_cdf gives.",
    ),
    mistakes=(
        wrong(
            """
            def gelu(input, approximate="none"):
                return normal_cdf(floating(input), approximate)
            """,
            "This is Phi(x) alone; gelu multiplies it by x.",
        ),
        wrong(
            """
            def gelu(input, approximate="none"):
                x = floating(input)
                return x * normal_cdf(x, "tanh")
            """,
            "The approximation with tanh is used always; it is meant only for approximate='tanh'.",
        ),
        wrong(
            """
            def gelu(input, approximate="none"):
                x = floating(input)
                return x * normal_cdf(x)
            """,
            "The argument approximate is ignored: 'tanh' asks for another form of Phi.",
        ),
        wrong(
            """
            def gelu(input, approximate="none"):
                return input / (1 + np.exp(-1.702 * input))
            """,
            "This is x sigmoid(1.702 x), a coarse stand-in for x Phi(x).",
        ),
        wrong(
            """
            def gelu(input, approximate="none"):
                x = floating(input)
                x *= normal_cdf(x, approximate)
                return x
            """,
            "This writes into the input. Whoever called gelu still needs it: return a new array.",
        ),
        wrong(
            """
            def gelu(input, approximate="none"):
                x = floating(input)
                return x * normal_cdf(x, approximate, out=x)
            """,
            "normal_cdf wrote into x, and the product is Phi(x) * Phi(x): give it another array as `out`, or "
            "none.",
        ),
    ),
)


@gelu.check("each number is weighted with the probability to be below it")
def _():
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    call(activations.gelu, tensor(list(x))).gives(list(x * phi(x)))


@gelu.check("any shape, float32 and float64")
def _():
    x = grid(2, 3, 2).astype(np.float64)
    call(activations.gelu, tensor(x)).gives(x * phi(x))
    call(activations.gelu, tensor(x.astype(np.float32))).gives((x * phi(x)).astype(np.float32))


@gelu.check("integers give float32, and the input is left as it was")
def _():
    x = np.array([-1.0, 0.0, 2.0])
    call(activations.gelu, tensor([-1, 0, 2])).gives((x * phi(x)).astype(np.float32))
    leaves_alone(activations.gelu)


@gelu.check("approximate='tanh' is the formula with tanh")
def _():
    x = np.array([-2.0, -1.0, 0.5, 2.0])
    wide = x * phi_by_tanh(x)
    call(activations.gelu, tensor(x), approximate="tanh").gives(wide)


@gelu.check("another word is an error")
def _():
    raises(ValueError, activations.gelu, tensor([1.0]), approximate="erf")


softmax = exercises.add(
    "softmax",
    prompt=(
        "Return exp(x_i) / sum_j exp(x_j) along `dim`, in the input's shape and dtype, without overflow for "
        "any finite numbers."
    ),
    hints=(
        "Take the exponential, sum it along `dim` with keepdims=True so that the sum still broadcasts, "
        "and divide.",
        "exp(1000) overflows. Adding the same number to every x does not change the quotient: subtract "
        "the largest of each row first, and no exponent is above 0.",
    ),
    mistakes=(
        wrong(
            """
            def softmax(input, dim):
                e = np.exp(input)
                return e / e.sum(dim, keepdims=True)
            """,
            "exp overflows to inf for large numbers, and inf / inf is nan: subtract the largest number "
            "of each row before you take the exponential.",
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
        wrong(
            """
            def softmax(input, dim):
                e = np.exp(input - input.max(-1, keepdims=True))
                return e / e.sum(-1, keepdims=True)
            """,
            "This sums along the last dimension whatever `dim` says.",
        ),
        wrong(
            """
            def softmax(input, dim):
                e = np.exp(input - input.max(dim, keepdims=True))
                return e / e.sum(dim)
            """,
            "The sum has lost its dimension, and does not broadcast as it should: keepdims=True leaves a 1.",
        ),
        wrong(
            """
            def softmax(input, dim):
                e = np.exp(input - input.max())
                return e / e.sum(dim, keepdims=True)
            """,
            "The largest number of all was subtracted; in a row far below it every exponential is 0. Each "
            "row needs its own.",
        ),
        wrong(
            """
            def softmax(input, dim):
                input -= input.max(dim, keepdims=True)
                e = np.exp(input)
                return e / e.sum(dim, keepdims=True)
            """,
            "This writes into the input. Whoever called softmax still needs it: return a new array.",
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
    call(activations.softmax, tensor([1000.0, 1001.0]), 0).gives([0.26894142, 0.73105858])


@softmax.check("one row large, another small")
def _():
    call(activations.softmax, tensor([[0.0, 0.0], [1000.0, 1000.0]]), 1).gives([[0.5, 0.5], [0.5, 0.5]])


@softmax.check("the dtype stays, and the input is left as it was")
def _():
    for dtype in ("float32", "float64"):
        probabilities = activations.softmax(tensor(grid(5).astype(dtype)), 0)
        see("the dtype of softmax(x, 0)", str(probabilities.dtype)).gives(dtype)
    leaves_alone(activations.softmax, 1)


@softmax.check("a dim that is not there is an error")
def _():
    raises(IndexError, activations.softmax, Tensor(grid(2, 2)), 5)


log_softmax = exercises.add(
    "log_softmax",
    prompt=(
        "Return the logarithm of softmax along `dim`, x_i - log sum_j exp(x_j), in the input's shape and "
        "dtype. It is right for any finite numbers, also where softmax itself rounds to 0."
    ),
    hints=(
        "Taking the logarithm of softmax gives log 0 = -inf; subtract the logarithm of the sum instead.",
        "Subtract the largest number of each row first: with s = x - m, the answer is s - log sum exp(s).",
        "`s - np.log(np.exp(s).sum(dim, keepdims=True))`",
    ),
    mistakes=(
        wrong(
            """
            def log_softmax(input, dim):
                s = input - input.max(dim, keepdims=True)
                e = np.exp(s)
                return np.log(e / e.sum(dim, keepdims=True))
            """,
            "Softmax rounds to 0 for small numbers, whose logarithm is then -inf: subtract log sum exp "
            "instead of taking the logarithm of the quotient.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                e = np.exp(input - input.max(dim, keepdims=True))
                return np.log(e / e.sum(dim, keepdims=True) + 1e-12)
            """,
            "A small number added inside the logarithm hides the -inf and is wrong by hundreds: subtract "
            "log sum exp instead.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                return input - np.log(np.exp(input).sum(dim, keepdims=True))
            """,
            "exp overflows for large numbers: subtract the largest number of each row before it.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                s = input - input.max()
                return s - np.log(np.exp(s).sum())
            """,
            "The sum runs over the whole array; each row along `dim` has a sum of its own.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                s = input - input.max(dim, keepdims=True)
                return s
            """,
            "Subtracting the largest number is not enough: the logarithm of the sum has to be "
            "subtracted, too.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                s = input - input.max(dim, keepdims=True)
                return input - np.log(np.exp(s).sum(dim, keepdims=True))
            """,
            "The sum is that of exp(x - m), and x - m has to stand in front of its logarithm, too.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                s = input - input.max(-1, keepdims=True)
                return s - np.log(np.exp(s).sum(-1, keepdims=True))
            """,
            "This sums along the last dimension whatever `dim` says.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                s = input - input.max()
                return s - np.log(np.exp(s).sum(dim, keepdims=True))
            """,
            "The largest number of all was subtracted; in a row far below it every exponential is 0. Each "
            "row needs its own.",
        ),
        wrong(
            """
            def log_softmax(input, dim):
                input -= input.max(dim, keepdims=True)
                return input - np.log(np.exp(input).sum(dim, keepdims=True))
            """,
            "This writes into the input. Whoever called log_softmax still needs it: return a new array.",
        ),
    ),
)


@log_softmax.check("the logarithms of three probabilities")
def _():
    x = np.array([1.0, 2.0, 3.0])
    call(activations.log_softmax, tensor([1.0, 2.0, 3.0]), 0).gives(list(x - np.log(np.exp(x).sum())))


@log_softmax.check("each row along dim by itself, for every dim")
def _():
    x = grid(2, 3, 4)
    for dim in (0, 1, -1):
        wide = x - np.log(np.exp(x.astype(np.float64)).sum(dim, keepdims=True))
        call(activations.log_softmax, tensor(x), dim).gives(wide.astype(np.float32))


@log_softmax.check("finite where softmax rounds to 0")
def _():
    call(activations.log_softmax, tensor([0.0, -500.0]), 0).gives([0.0, -500.0])


@log_softmax.check("large numbers do not overflow")
def _():
    call(activations.log_softmax, tensor([1000.0, 1000.0]), 0).gives(
        [-math.log(2), -math.log(2)],
        atol=1e-4,  # float32 near 1000 is exact to 6e-5
    )


@log_softmax.check("one row large, another small")
def _():
    half = -math.log(2)
    x = tensor([[0.0, 0.0], [1000.0, 1000.0]])
    call(activations.log_softmax, x, 1).gives([[half, half], [half, half]], atol=1e-4)


@log_softmax.check("the dtype stays, and the input is left as it was")
def _():
    for dtype in ("float32", "float64"):
        logarithms = activations.log_softmax(tensor(grid(5).astype(dtype)), 0)
        see("the dtype of log_softmax(x, 0)", str(logarithms.dtype)).gives(dtype)
    leaves_alone(activations.log_softmax, 1)
