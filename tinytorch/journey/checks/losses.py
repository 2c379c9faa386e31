"""Exercises of module 04, Losses."""

import math
from typing import Any

import numpy as np

from tinytorch.core import losses
from tinytorch.core.tensor import tensor

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("losses")


def grid(*shape, seed=4):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def log_softmax_of(x, axis):
    """In float64."""
    x = x.astype(np.float64)
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


reduced = exercises.add(
    "reduced",
    prompt=(
        'Take a Tensor of single losses and return what `reduction` asks for: "mean" their mean, "sum" their '
        'sum, each a Tensor of shape (), "none" the losses as they are. Any other word is a ValueError.'
    ),
    hints=(
        "Three words, three answers; `check_reduction(reduction)` refuses all others.",
        "`mean` and `sum` are imported from module 01.",
    ),
    mistakes=(
        wrong(
            """
            def reduced(losses, reduction):
                check_reduction(reduction)
                return losses if reduction == "none" else mean(losses)
            """,
            "'sum' gives the mean here: it has to add the losses and divide by nothing.",
        ),
        wrong(
            """
            def reduced(losses, reduction):
                return losses if reduction == "none" else mean(losses) if reduction == "mean" else sum(losses)
            """,
            "A word that is misspelt is taken for another reduction: refuse what is none of the three.",
        ),
        wrong(
            """
            def reduced(losses, reduction):
                check_reduction(reduction)
                if reduction == "none":
                    return losses
                return mean(losses, 0) if reduction == "mean" else sum(losses, 0)
            """,
            "Only the first dimension is reduced; the loss of a batch is one number over all dimensions.",
        ),
    ),
)


@reduced.check("a row of losses becomes its mean, its sum, or stays")
def _():
    for word, expected in (("mean", 2.0), ("sum", 6.0), ("none", [1.0, 2.0, 3.0])):
        call(losses.reduced, tensor([1.0, 2.0, 3.0]), word).gives(tensor(expected))


@reduced.check("all dimensions become one number")
def _():
    x = grid(2, 3)
    call(losses.reduced, tensor(x), "mean").gives(tensor(x.mean()))
    call(losses.reduced, tensor(x), "sum").gives(tensor(x.sum()))


@reduced.check("another word is an error")
def _():
    raises(ValueError, losses.reduced, tensor([1.0]), "average")


mse_loss = exercises.add(
    "mse_loss",
    prompt=(
        "Return the squared differences (x - y)^2, reduced as `reduction` says. Shapes that differ, "
        "also those "
        "that would broadcast, and nan in the target are a ValueError."
    ),
    hints=(
        "`difference(name, input, target)` refuses wrong shapes and nan, and gives x - y.",
        "`reduced(losses, reduction)` does the rest.",
    ),
    mistakes=(
        swap(
            "mul(error, error)", "error", "The differences are not squared, so those of opposite sign cancel."
        ),
        swap(
            "mul(error, error)",
            "mul(error, error) * 0.5",
            "Each loss is halved; the mean squared error has no factor 1/2.",
        ),
        swap(
            "reduced(mul(error, error), reduction)",
            "mean(mul(error, error))",
            "The mean is always taken, whatever `reduction` says.",
        ),
        swap(
            'difference("mse_loss", input, target)',
            "sub(input, target)",
            "Shapes that differ are broadcast here, which compares answers with the labels of others.",
        ),
    ),
)


@mse_loss.check("the mean of the squared differences")
def _():
    call(losses.mse_loss, tensor([1.0, 2.0, 5.0]), tensor([1.0, 4.0, 4.0])).gives(tensor(5 / 3))


@mse_loss.check("as a sum, and for each element")
def _():
    x, y = grid(2, 3), grid(2, 3, seed=5)
    call(losses.mse_loss, tensor(x), tensor(y), "sum").gives(tensor(((x - y) ** 2).sum()))
    call(losses.mse_loss, tensor(x), tensor(y), reduction="none").gives(tensor((x - y) ** 2))


@mse_loss.check("shapes that differ are an error")
def _():
    raises(ValueError, losses.mse_loss, tensor([[1.0], [2.0]]), tensor([1.0, 2.0]))


l1_loss = exercises.add(
    "l1_loss",
    prompt=(
        "Return the distances |x - y|, reduced as `reduction` says. Shapes that differ, also those "
        "that would "
        "broadcast, and nan in the target are a ValueError."
    ),
    hints=(
        "As mse_loss, with the absolute value in the place of the square.",
        "`absolute` and `difference` are in this file.",
    ),
    mistakes=(
        swap(
            'absolute(difference("l1_loss", input, target))',
            'difference("l1_loss", input, target)',
            "Differences of opposite sign cancel: take the absolute value of each first.",
        ),
        swap(
            'reduced(absolute(difference("l1_loss", input, target)), reduction)',
            'absolute(reduced(difference("l1_loss", input, target), reduction))',
            "The absolute value comes after the reduction, when differences of opposite sign have cancelled.",
        ),
        swap(
            'difference("l1_loss", input, target)',
            "sub(input, target)",
            "Shapes that differ are broadcast here, which compares answers with the labels of others.",
        ),
    ),
)


@l1_loss.check("the mean of the distances")
def _():
    call(losses.l1_loss, tensor([1.0, 2.0, 0.0]), tensor([1.0, 4.0, -1.0])).gives(tensor(1.0))
    call(losses.l1_loss, tensor([1.0, 2.0]), tensor([0.0, 6.0])).gives(tensor(2.5))


@l1_loss.check("for each element, and as a sum")
def _():
    x, y = grid(2, 3), grid(2, 3, seed=5)
    call(losses.l1_loss, tensor(x), tensor(y), reduction="none").gives(tensor(np.abs(x - y)))
    call(losses.l1_loss, tensor(x), tensor(y), "sum").gives(tensor(np.abs(x - y).sum()))


@l1_loss.check("the sign of the whole does not matter")
def _():
    call(losses.l1_loss, tensor([0.0, 0.0]), tensor([3.0, 1.0])).gives(tensor(2.0))


@l1_loss.check("shapes that differ are an error")
def _():
    raises(ValueError, losses.l1_loss, tensor([[1.0], [2.0]]), tensor([1.0, 2.0]))


huber_loss = exercises.add(
    "huber_loss",
    prompt=(
        "With e = |x - y|, return e^2 / 2 where e <= delta and delta (e - delta / 2) elsewhere, reduced as "
        "`reduction` says. A delta of 0 or less and shapes that differ are a ValueError."
    ),
    hints=(
        "Two formulas and a condition; both give delta^2 / 2 where e is delta.",
        "With m = min(e, delta), both formulas are m (e - m / 2). min(e, delta) = delta - relu(delta - e).",
    ),
    mistakes=(
        swap(
            "mul(inside, distance - 0.5 * inside)",
            "mul(distance, 0.5 * distance)",
            "This is the square for every distance; beyond delta the loss goes on as a straight line.",
        ),
        swap(
            "0.5 * inside",
            "inside * 0",
            "The half is missing: inside, this is not e^2 / 2, and the line is too high.",
        ),
        swap(
            "reduced(mul(inside, distance - 0.5 * inside), reduction)",
            "reduced(mul(inside, distance - 0.5 * inside) / delta, reduction)",
            "This is divided by delta, which smooth_l1_loss does and huber_loss does not.",
        ),
        swap(
            "inside = delta - relu(delta - distance)",
            "inside = 1 - relu(1 - distance)",
            "The bend is always at 1; it belongs at delta.",
        ),
    ),
)


def huber_of(e, delta):
    e = np.abs(e)
    return np.where(e <= delta, e * e / 2, delta * (e - delta / 2))


@huber_loss.check("a square near 0, a line further out")
def _():
    call(losses.huber_loss, tensor([0.5, -3.0]), tensor([0.0, 0.0]), "none").gives(tensor([0.125, 2.5]))


@huber_loss.check("delta says where the line begins")
def _():
    x = tensor([0.25, 1.0, 4.0])
    call(losses.huber_loss, x, tensor([0.0] * 3), "none", delta=2.0).gives(tensor([0.03125, 0.5, 6.0]))


@huber_loss.check("the mean over any shape")
def _():
    x, y = grid(2, 3), grid(2, 3, seed=5)
    expected = huber_of(x.astype(np.float64) - y, 0.5).mean()
    call(losses.huber_loss, tensor(x), tensor(y), delta=0.5).gives(tensor(float(expected)))


@huber_loss.check("a delta of 0 and shapes that differ are errors")
def _():
    raises(ValueError, losses.huber_loss, tensor([1.0]), tensor([1.0]), delta=0)
    raises(ValueError, losses.huber_loss, tensor([[1.0]]), tensor([1.0]))


smooth_l1_loss = exercises.add(
    "smooth_l1_loss",
    prompt=(
        "Return huber_loss with delta = beta, divided by beta, so that its slope far out is 1. For "
        "beta = 0 it "
        "is l1_loss."
    ),
    hints=(
        "Both other losses are in this file: call them and hand `reduction` on.",
        "beta = 0 comes first: nothing can be divided by 0.",
    ),
    mistakes=(
        swap(" / beta", "", "This is huber_loss itself; divide it by beta."),
        swap(
            "    if beta == 0:\n        return l1_loss(input, target, reduction)\n",
            "",
            "beta = 0 needs a branch of its own: there the loss is l1_loss.",
        ),
        swap("reduction, beta) / beta", "reduction) / beta", "The bend stays at 1; it belongs at beta."),
    ),
)


@smooth_l1_loss.check("huber_loss divided by beta")
def _():
    call(losses.smooth_l1_loss, tensor([1.0, 6.0]), tensor([0.0, 0.0]), "none", 2.0).gives(
        tensor([0.25, 5.0])
    )


@smooth_l1_loss.check("any shape, its mean and its sum")
def _():
    x, y = grid(2, 3), grid(2, 3, seed=5)
    each = huber_of(x.astype(np.float64) - y, 0.5) / 0.5
    call(losses.smooth_l1_loss, tensor(x), tensor(y), beta=0.5).gives(tensor(float(each.mean())))
    call(losses.smooth_l1_loss, tensor(x), tensor(y), "sum", 0.5).gives(tensor(float(each.sum())))


@smooth_l1_loss.check("beta = 0 is l1_loss")
def _():
    call(losses.smooth_l1_loss, tensor([1.0, 6.0]), tensor([0.0, 0.0]), beta=0).gives(tensor(3.5))


class_nll = exercises.add(
    "class_nll",
    prompt=(
        "The work of nll_loss once its arguments are checked. input: an array (N, C), (C,) or (N, C, "
        "d1, …) of "
        "log-probabilities; classes: integers in its shape without C. Give -x_t, with x_t the number "
        "of the true "
        "class, in the shape of classes, through `weighed(losses, row_weight, scale)`."
    ),
    hints=(
        "`class_rows(input)` brings any of these shapes to (rows, C), and classes.ravel() is in the "
        "same order.",
        "`x[np.arange(len(x)), classes.ravel()]` picks one number out of each row.",
        "Reshape the losses to classes.shape, then `return weighed(losses, row_weight, scale)`.",
    ),
    mistakes=(
        swap(
            "-x[np",
            "x[np",
            "The sign is missing: a high log-probability of the true class has to be a low loss.",
        ),
        swap(
            "x = class_rows(input)",
            "x = input.reshape(-1, input.shape[1 if input.ndim > 1 else 0])",
            "Reshaping (N, C, d) to rows mixes classes and places: dimension 1 has to be moved to the "
            "end first.",
        ),
        swap(
            "weighed(losses.reshape(classes.shape), row_weight, scale)",
            "weighed(losses.reshape(classes.shape), None, scale)",
            "The weights of the rows are left out.",
        ),
    ),
)


@class_nll.check("minus the log-probability of the true class")
def _():
    x = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]))
    call(losses.nll_loss, tensor(x), tensor([0, 2]), reduction="none").gives(-np.log([0.5, 0.75]))
    call(losses.nll_loss, tensor(x), tensor([0, 2])).gives(np.array(-np.log([0.5, 0.75]).mean()))


@class_nll.check("classes in dimension 1 of an image")
def _():
    x, t = grid(2, 3, 2), np.array([[0, 2], [1, 1]])
    expected = -np.take_along_axis(x, t[:, None], 1)[:, 0]
    call(losses.nll_loss, tensor(x), tensor(t), reduction="none").gives(expected)
    call(losses.nll_loss, tensor([-1.0, -2.0]), tensor(1)).gives(tensor(2.0))


@class_nll.check("weights of the classes, and rows that do not count")
def _():
    x = tensor([[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0]])
    weight = tensor([1.0, 3.0])
    call(losses.nll_loss, x, tensor([0, 1, 0]), weight, reduction="sum").gives(tensor(18.0))
    call(losses.nll_loss, x, tensor([0, -100, 1])).gives(tensor(3.5))


class_cross_entropy = exercises.add(
    "class_cross_entropy",
    prompt=(
        "The work of cross_entropy once its arguments are checked: log sum_j exp(x_j) - x_t for logits "
        "(N, C), "
        "(C,) or (N, C, d1, …), for any finite logits, through `weighed` as in class_nll. Leave "
        "exp(x - m), (rows, C), in softmax.exponentials and its row sums, (rows, 1), in softmax.sums."
    ),
    hints=(
        "With m the largest logit of a row, log sum_j exp(x_j) = m + log sum_j exp(x_j - m).",
        "`class_rows(input)` makes (rows, C); take max and sum with keepdims=True along the last axis.",
        "losses = np.log(sums).ravel() + m.ravel() - x[np.arange(len(x)), classes.ravel()]",
    ),
    mistakes=(
        wrong(
            """
            def class_cross_entropy(input, classes, row_weight, scale, softmax):
                x = class_rows(input)
                softmax.exponentials = np.exp(x)
                softmax.sums = softmax.exponentials.sum(-1, keepdims=True)
                losses = np.log(softmax.sums).ravel() - np.take(x, true_places(x, classes))
                return weighed(losses.reshape(classes.shape), row_weight, scale)
            """,
            "exp overflows for large logits: subtract the largest of each row before it, and add it "
            "again after "
            "the logarithm.",
        ),
        wrong(
            """
            def class_cross_entropy(input, classes, row_weight, scale, softmax):
                x = class_rows(input)
                softmax.exponentials = np.exp(x - x.max(-1, keepdims=True))
                softmax.sums = softmax.exponentials.sum(-1, keepdims=True)
                losses = np.log(softmax.sums).ravel() - np.take(x, true_places(x, classes))
                return weighed(losses.reshape(classes.shape), row_weight, scale)
            """,
            "m was subtracted inside the exponential and not added again after the logarithm.",
        ),
        wrong(
            """
            def class_cross_entropy(input, classes, row_weight, scale, softmax):
                x = class_rows(input)
                softmax.exponentials = np.exp(x - x.max(-1, keepdims=True))
                softmax.sums = softmax.exponentials.sum(-1, keepdims=True)
                p = softmax.exponentials / softmax.sums
                losses = -np.log(np.take(p, true_places(x, classes)))
                return weighed(losses.reshape(classes.shape), row_weight, scale)
            """,
            "Softmax rounds to 0 for a logit far below the others, and -log 0 is inf: work with the "
            "logits instead "
            "of the logarithm of the quotient.",
        ),
        swap(
            "softmax.sums, m = exponentials(x, softmax.exponentials)",
            "sums, m = exponentials(x, softmax.exponentials)",
            "The row sums are not left in softmax.sums, where the derivative looks for them.",
            ("np.log(softmax.sums)", "np.log(sums)"),
        ),
    ),
)


@class_cross_entropy.check("minus the log-probability of the true class")
def _():
    x, t = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), [2, 0]
    expected = -log_softmax_of(x, 1)[[0, 1], t]
    call(losses.cross_entropy, tensor(x), tensor(t), reduction="none").gives(expected)


@class_cross_entropy.check("classes in dimension 1 of an image, and a single row")
def _():
    x, t = grid(2, 3, 2), np.array([[0, 2], [1, 1]])
    expected = -np.take_along_axis(log_softmax_of(x, 1), t[:, None], 1)[:, 0]
    call(losses.cross_entropy, tensor(x), tensor(t), reduction="none").gives(expected.astype(np.float32))
    call(losses.cross_entropy, tensor([0.0, 0.0]), tensor(1)).gives(tensor(math.log(2)))


@class_cross_entropy.check("large logits do not overflow")
def _():
    call(losses.cross_entropy, tensor([1000.0, 1000.0]), tensor(1)).gives(
        tensor(math.log(2)),
        atol=1e-4,  # float32 near 1000 is exact to 6e-5
    )


@class_cross_entropy.check("a true class that seems impossible is a finite loss")
def _():
    call(losses.cross_entropy, tensor([0.0, -500.0]), tensor(1)).gives(tensor(500.0))


@class_cross_entropy.check("rows that do not count are left out")
def _():
    x = grid(3, 4)
    expected = -(log_softmax_of(x, 1)[[0, 2], [3, 1]]).mean()
    call(losses.cross_entropy, np.array(x), tensor([3, -100, 1])).gives(tensor(expected, np.float32))


@class_cross_entropy.check("exponentials and sums are left for the derivative")
def _():
    x = grid(2, 3)
    left: Any = losses.Softmax()
    losses.class_cross_entropy(tensor(x), tensor([0, 1]), None, 1.0, left)
    share = left.exponentials / left.sums
    see("softmax.exponentials / softmax.sums", share).gives(np.exp(log_softmax_of(x, 1)).astype(np.float32))


distribution_cross_entropy = exercises.add(
    "distribution_cross_entropy",
    prompt=(
        "Return sum_c q_c (log sum_j exp(x_j) - x_c) over the classes, for logits and a distribution q "
        "of the same "
        "shape (C,) or (N, C, …), through `weighed(losses, None, scale)`. It is right for any finite "
        "logits, and also where q does not sum to 1."
    ),
    hints=(
        "`class_axis(input)` says which axis the classes have.",
        "Subtract the largest logit along that axis first: the difference log sum exp(x) - x_c does "
        "not change.",
        "q is weighted with the same logarithm in every class: log(sum exp) * sum q - sum(x * q).",
    ),
    mistakes=(
        swap(
            " * distribution.sum(axis)",
            "",
            "The logarithm counts once here; it belongs to each q_c, so it is multiplied with their sum.",
        ),
        swap(
            "x = input - input.max(axis, keepdims=True)",
            "x = input",
            "exp overflows for large logits: subtract the largest along the class axis first.",
        ),
        swap(
            "axis = class_axis(input)",
            "axis = -1",
            "The classes are in dimension 1 of (N, C, d1), not in the last.",
        ),
    ),
)


@distribution_cross_entropy.check("two rows of probabilities")
def _():
    x, q = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), np.array([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])
    expected = -(q * log_softmax_of(x, 1)).sum(1)
    call(losses.cross_entropy, tensor(x), tensor(q), reduction="none").gives(expected)


@distribution_cross_entropy.check("classes in dimension 1, and a q that does not sum to 1")
def _():
    x, q = grid(2, 3, 4).astype(np.float64), np.abs(grid(2, 3, 4, seed=5)).astype(np.float64)
    expected = -(q * log_softmax_of(x, 1)).sum(1)
    call(losses.distribution_cross_entropy, tensor(x), tensor(q), None).gives(expected)


@distribution_cross_entropy.check("large logits do not overflow")
def _():
    x, q = tensor([[1000.0, 0.0]]), tensor([[0.5, 0.5]])
    call(losses.distribution_cross_entropy, x, q, 1.0).gives(tensor(500.0))


binary_cross_entropy_with_logits = exercises.add(
    "binary_cross_entropy_with_logits",
    prompt=(
        "Return -y log p - (1 - y) log(1 - p) with p = sigmoid(x), right for any finite x, reduced as "
        "`reduction` "
        "says. `weight` multiplies each loss and `pos_weight` the part of y; both broadcast to the input's "
        "shape. Shapes of input and target that differ are a ValueError."
    ),
    hints=(
        "-log p = softplus(-x) and -log(1 - p) = softplus(-x) + x, so the loss is (1 - y) x + softplus(-x).",
        "`softplus(neg(input), threshold=inf)` is exact; with pos_weight w it is multiplied by 1 + (w "
        "- 1) y.",
        "`element_weighed(losses, weight, input)` and `reduced` finish it.",
    ),
    mistakes=(
        swap(
            "softplus(neg(input), threshold=inf)",
            "softplus(input, threshold=inf)",
            "The sign of x is turned round: -log p is softplus(-x).",
        ),
        swap(
            "mul(1 + mul(sub(pos_weight, 1), target), minus_log_p)",
            "mul(pos_weight, minus_log_p)",
            "pos_weight multiplies only the part of y: for y = 0 it changes nothing.",
        ),
        swap(
            "element_weighed(mul(sub(1, target), input) + minus_log_p, weight, input)",
            "mul(sub(1, target), input) + minus_log_p",
            "`weight` is not used.",
        ),
        wrong(
            """
            def binary_cross_entropy_with_logits(
                input, target, weight=None, reduction="mean", pos_weight=None
            ):
                check_labels("binary_cross_entropy_with_logits", input, target)
                p = 1 / (1 + neg(input).exp())
                positive = p.log() * target * (1 if pos_weight is None else pos_weight)
                losses = neg(positive + (1 - p).log() * (1 - target))
                return reduced(element_weighed(losses, weight, input), reduction)
            """,
            "Far out p rounds to 0 or 1, and its logarithm is -inf: compute the loss from the logit x.",
        ),
    ),
)


def bce_of(x, y, w=1.0):
    x = x.astype(np.float64)
    return w * y * np.log1p(np.exp(-x)) + (1 - y) * np.log1p(np.exp(x))


@binary_cross_entropy_with_logits.check("a yes and a no")
def _():
    x, y = np.array([1.0, -2.0, 0.0]), np.array([1.0, 0.0, 1.0])
    expected = bce_of(x, y)
    call(losses.binary_cross_entropy_with_logits, tensor(x), tensor(y), reduction="none").gives(expected)


@binary_cross_entropy_with_logits.check("labels between 0 and 1, any shape")
def _():
    x, y = grid(2, 3).astype(np.float64), np.random.default_rng(5).random((2, 3))
    call(losses.binary_cross_entropy_with_logits, tensor(x), tensor(y)).gives(np.array(bce_of(x, y).mean()))


@binary_cross_entropy_with_logits.check("weight and pos_weight")
def _():
    x, y = np.array([1.0, -2.0]), np.array([1.0, 0.0])
    bce, given = losses.binary_cross_entropy_with_logits, (tensor(x), tensor(y))
    call(bce, *given, pos_weight=tensor([3.0]), reduction="none").gives(bce_of(x, y, 3.0))
    call(bce, *given, weight=tensor([2.0, 0.5]), reduction="sum").gives(
        np.array((bce_of(x, y) * [2.0, 0.5]).sum())
    )


@binary_cross_entropy_with_logits.check("logits far out are a finite loss")
def _():
    x, y = tensor([200.0, -200.0, 200.0]), tensor([0.0, 1.0, 1.0])
    call(losses.binary_cross_entropy_with_logits, x, y, reduction="none").gives(tensor([200.0, 200.0, 0.0]))


@binary_cross_entropy_with_logits.check("shapes that differ are an error")
def _():
    raises(ValueError, losses.binary_cross_entropy_with_logits, tensor([[1.0]]), tensor([1.0]))


kl_div = exercises.add(
    "kl_div",
    prompt=(
        "Return y (log y - x) for log-probabilities x and probabilities y of one shape, 0 where y is 0; with "
        'log_target the target is log y. `reduction` may also be "batchmean": the sum divided by the '
        "number of "
        "rows. A target that requires grad is a NotImplementedError."
    ),
    hints=(
        "It is the part y log y, which is a constant, minus y x.",
        "0 log 0 counts as 0: `np.where(y > 0, y * np.log(y), 0)` in np.errstate(all='ignore').",
        "`to_array(target)` gives the labels as an array; `len(input)` is the number of rows.",
    ),
    mistakes=(
        swap(
            "np.where(y > 0, y * np.log(y), 0)",
            "y * np.log(y)",
            "0 * log 0 is nan in floating point; by definition it counts as 0.",
        ),
        swap(
            "np.exp(labels) if log_target else labels",
            "labels",
            "log_target says that the target is log y: take its exponential to get y.",
        ),
        swap(
            "(len(input) or nan)",
            "input.array.size",
            '"batchmean" divides by the number of rows, not of elements.',
        ),
        swap(
            "sub(entropy, mul(y, input))",
            "neg(mul(y, input))",
            "The part y log y is missing: this is the cross-entropy, which is not 0 for equal distributions.",
        ),
    ),
)


@kl_div.check("equal distributions have the divergence 0, others more")
def _():
    q, p = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([[0.5, 0.5], [0.5, 0.5]])
    expected = p * (np.log(p) - np.log(q))
    call(losses.kl_div, tensor(np.log(q)), tensor(p), "none").gives(expected)


@kl_div.check("a probability of 0 counts nothing")
def _():
    call(losses.kl_div, tensor([math.log(0.5)] * 2), tensor([0.0, 1.0]), "sum").gives(tensor(math.log(2)))


@kl_div.check("mean over the elements, batchmean over the rows")
def _():
    q, p = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([[0.75, 0.25], [0.5, 0.5]])
    each = p * (np.log(p) - np.log(q))
    call(losses.kl_div, tensor(np.log(q)), tensor(p), "mean").gives(np.array(each.mean()))
    call(losses.kl_div, tensor(np.log(q)), tensor(p), "batchmean").gives(np.array(each.sum() / 2))


@kl_div.check("log_target: the target is log y")
def _():
    q, p = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    expected = np.array((p * (np.log(p) - np.log(q))).sum())
    call(losses.kl_div, tensor(np.log(q)), tensor(np.log(p)), "sum", log_target=True).gives(expected)


@kl_div.check("a target that requires grad is refused")
def _():
    target = tensor([0.5, 0.5])
    target.requires_grad = True
    raises(NotImplementedError, losses.kl_div, tensor([-1.0, -1.0]), target)
