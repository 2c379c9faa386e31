"""Exercises of module 04, Losses."""

import math
from typing import Any

import numpy as np

from tinytorch.core import losses
from tinytorch.core.tensor import tensor

from ..checking import Exercises, call, raises, see, swap, wrong
from .tensor import connected

exercises = Exercises("losses")


def grid(*shape, seed=4):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def log_softmax_of(x, axis):
    """In float64."""
    x = x.astype(np.float64)
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def made_of_ops(loss, *args, **settings):
    """Ops lead from the input to the loss, so that gradients will find their way back."""
    done = connected(lambda x: loss(x, *args, **settings), tensor([0.5, -3.0]))
    see(f"whether Ops lead from the input to {loss.__name__}", done).gives(True)


reduced = exercises.add(
    "reduced",
    prompt=(
        'Take a Tensor of single losses and return what `reduction` asks for: "mean" their mean, "sum" their '
        'sum, each a Tensor of shape () that an Op makes, "none" the losses as they are. Any other word is a '
        "ValueError."
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
        wrong(
            """
            def reduced(losses, reduction):
                check_reduction(reduction)
                if reduction == "none":
                    return losses
                return sum(losses) / len(losses) if reduction == "mean" else sum(losses)
            """,
            "len(losses) is the size of the first dimension; the mean is over all of them.",
        ),
        wrong(
            """
            def reduced(losses, reduction):
                check_reduction(reduction)
                if reduction == "none":
                    return losses
                return (mean(losses) if reduction == "mean" else sum(losses)).item()
            """,
            "A Python number has no gradient; a loss stays a Tensor.",
        ),
        wrong(
            """
            def reduced(losses, reduction):
                check_reduction(reduction)
                if reduction == "none":
                    return losses
                return Tensor(losses.array.mean() if reduction == "mean" else losses.array.sum())
            """,
            "NumPy has reduced them, and no gradient will come back through it: `mean` and `sum` are Ops.",
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


@reduced.check("an Op does it")
def _():
    for word in ("mean", "sum", "none"):
        made_of_ops(losses.reduced, word)


mse_loss = exercises.add(
    "mse_loss",
    prompt=(
        "Return the squared differences (x - y)^2, computed by Ops and reduced as `reduction` says. Shapes "
        "that differ, also those that would broadcast, and nan in the target are a ValueError."
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
        wrong(
            """
            def mse_loss(input, target, reduction="mean"):
                if input.shape != target.shape:
                    raise ValueError(f"mse_loss: input {input.shape} and target {target.shape} differ")
                return reduced(sub(input, target) ** 2, reduction)
            """,
            "A label that is nan makes the loss nan, without a word; `difference` refuses it.",
        ),
        swap(
            "reduced(mul(error, error), reduction)",
            "reduced(mul(error, error), reduction).sqrt()",
            "This is the root of the mean squared error; the loss has no root.",
        ),
        swap(
            "reduced(mul(error, error), reduction)",
            "reduced(Tensor(error.array**2), reduction)",
            "NumPy has squared them, and no gradient will come back through it: use Ops.",
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


@mse_loss.check("shapes that differ are an error, and a nan in the target is")
def _():
    raises(ValueError, losses.mse_loss, tensor([[1.0], [2.0]]), tensor([1.0, 2.0]))
    raises(ValueError, losses.mse_loss, tensor([1.0, 2.0]), tensor([1.0, math.nan]))


@mse_loss.check("Ops do it")
def _():
    made_of_ops(losses.mse_loss, tensor([0.0, 0.0]))


l1_loss = exercises.add(
    "l1_loss",
    prompt=(
        "Return the distances |x - y|, computed by Ops and reduced as `reduction` says. Shapes that differ, "
        "also those that would broadcast, and nan in the target are a ValueError."
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
        wrong(
            """
            def l1_loss(input, target, reduction="mean"):
                return reduced((difference("l1_loss", input, target) ** 2).sqrt(), reduction)
            """,
            "The square overflows for large distances, and its root has no slope at 0: use `absolute`.",
        ),
        swap(
            "absolute(difference",
            "relu(difference",
            "Answers that are too low cost nothing here; |x - y| counts both sides.",
        ),
        swap(
            'absolute(difference("l1_loss", input, target))',
            'Tensor(np.abs(difference("l1_loss", input, target).array))',
            "NumPy has taken the distances, and no gradient will come back through it: use Ops.",
        ),
    ),
)


@l1_loss.check("the mean of the distances")
def _():
    call(losses.l1_loss, tensor([1.0, 2.0, 3.0]), tensor([1.0, 5.0, -1.0])).gives(tensor(7 / 3))
    call(losses.l1_loss, tensor([1.0, 2.0]), tensor([0.0, 6.0])).gives(tensor(2.5))


@l1_loss.check("for each element, and as a sum")
def _():
    x, y = grid(2, 3), grid(2, 3, seed=5)
    call(losses.l1_loss, tensor(x), tensor(y), reduction="none").gives(tensor(np.abs(x - y)))
    call(losses.l1_loss, tensor(x), tensor(y), "sum").gives(tensor(np.abs(x - y).sum()))


@l1_loss.check("the sign of the whole does not matter")
def _():
    call(losses.l1_loss, tensor([0.0, 0.0]), tensor([3.0, 1.0])).gives(tensor(2.0))


@l1_loss.check("large distances stay finite")
def _():
    call(losses.l1_loss, tensor([1e25]), tensor([0.0])).gives(tensor(1e25))


@l1_loss.check("shapes that differ are an error, and a nan in the target is")
def _():
    raises(ValueError, losses.l1_loss, tensor([[1.0], [2.0]]), tensor([1.0, 2.0]))
    raises(ValueError, losses.l1_loss, tensor([1.0, 2.0]), tensor([1.0, math.nan]))


@l1_loss.check("Ops do it")
def _():
    made_of_ops(losses.l1_loss, tensor([0.0, 0.0]))


huber_loss = exercises.add(
    "huber_loss",
    prompt=(
        "With e = |x - y|, return e^2 / 2 where e <= delta and delta (e - delta / 2) elsewhere, computed by "
        "Ops and reduced as `reduction` says. A delta of 0 or less and shapes that differ are a ValueError."
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
        swap(
            "if not delta > 0:",
            "if False:",
            "A delta of 0 or less is no distance, and has to be refused.",
        ),
        wrong(
            """
            def huber_loss(input, target, reduction="mean", delta=1.0):
                if not delta > 0:
                    raise ValueError(f"huber_loss: delta is a distance above 0, {delta} came")
                e = absolute(difference("huber_loss", input, target))
                near = (e.array <= delta).astype(e.dtype)
                return reduced(mul(mul(e, e) * 0.5, near) + mul(e * delta, 1 - near), reduction)
            """,
            "The line is delta * e, which is not delta^2 / 2 where the square ends: the loss jumps there.",
        ),
        wrong(
            """
            def huber_loss(input, target, reduction="mean", delta=1.0):
                if not delta > 0:
                    raise ValueError(f"huber_loss: delta is a distance above 0, {delta} came")
                e = absolute(difference("huber_loss", input, target))
                near = (e.array <= delta).astype(e.dtype)
                return reduced(mul(mul(e, e) * 0.5, near) + mul(e - delta / 2, 1 - near), reduction)
            """,
            "The slope of the line is 1 here; it is delta.",
        ),
        swap(
            "reduced(mul(inside, distance - 0.5 * inside), reduction)",
            "reduced(Tensor(inside.array * (distance.array - 0.5 * inside.array)), reduction)",
            "NumPy has computed them, and no gradient will come back through it: use Ops.",
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


@huber_loss.check("Ops do it")
def _():
    made_of_ops(losses.huber_loss, tensor([0.0, 0.0]))


@huber_loss.check("a delta of 0 or less and shapes that differ are errors")
def _():
    raises(ValueError, losses.huber_loss, tensor([1.0]), tensor([1.0]), delta=0)
    raises(ValueError, losses.huber_loss, tensor([1.0]), tensor([1.0]), delta=-1)
    raises(ValueError, losses.huber_loss, tensor([[1.0]]), tensor([1.0]))


smooth_l1_loss = exercises.add(
    "smooth_l1_loss",
    prompt=(
        "Return huber_loss with delta = beta, divided by beta, so that its slope far out is 1. For beta = 0 "
        "it is l1_loss."
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
        swap(
            "reduction, beta) / beta",
            "delta=beta) / beta",
            "`reduction` is not handed on to huber_loss, which takes the mean then.",
        ),
        swap(
            "l1_loss(input, target, reduction)",
            "l1_loss(input, target)",
            "`reduction` is not handed on to l1_loss, which takes the mean then.",
        ),
        swap("/ beta", "* beta", "This multiplies by beta; the slope far out is 1 after a division."),
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
    call(losses.smooth_l1_loss, tensor([1.0, 6.0]), tensor([0.0, 0.0]), "sum", 0).gives(tensor(7.0))


@smooth_l1_loss.check("Ops do it")
def _():
    made_of_ops(losses.smooth_l1_loss, tensor([0.0, 0.0]))


class_nll = exercises.add(
    "class_nll",
    prompt=(
        "The work of nll_loss once its arguments are checked. input: an array (N, C), (C,) or (N, C, d1, …) "
        "of log-probabilities; classes: integers in its shape without C. Give -x_t, with x_t the number of "
        "the true class, in the shape of classes, through `weighed(losses, row_weight, scale)`."
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
        swap(
            "weighed(losses.reshape(classes.shape), row_weight, scale)",
            "weighed(losses, None if row_weight is None else row_weight.ravel(), scale)",
            "The losses are one long row; they have the shape of classes.",
        ),
        swap(
            "weighed(losses.reshape(classes.shape), row_weight, scale)",
            "losses.reshape(classes.shape) if scale is None else losses.mean()",
            "The mean of all rows is not always what is asked for: `weighed` has the weights and the scale.",
        ),
        swap(
            "x[np.arange(len(x), like=x), classes.ravel()]",
            "x[:, classes.ravel()]",
            "x[:, classes] takes those columns from every row; one number of each row needs an index for "
            "both.",
            ("losses.reshape(classes.shape)", "losses"),
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
        "(N, C), (C,) or (N, C, d1, …), for any finite logits, through `weighed` as in class_nll. Leave "
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
            "exp overflows for large logits: subtract the largest of each row before it, and add it again "
            "after the logarithm.",
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
            "Softmax rounds to 0 for a logit far below the others, and -log 0 is inf: work with the logits "
            "instead of the logarithm of the quotient.",
        ),
        wrong(
            """
            def class_cross_entropy(input, classes, row_weight, scale, softmax):
                x = class_rows(input)
                softmax.exponentials = np.exp(x - x.max(-1, keepdims=True))
                softmax.sums = softmax.exponentials.sum(-1, keepdims=True)
                p = softmax.exponentials / softmax.sums
                losses = -np.log(np.take(p, true_places(x, classes)) + 1e-12)
                return weighed(losses.reshape(classes.shape), row_weight, scale)
            """,
            "A small number added inside the logarithm hides the inf, and no loss is above 28: work with the "
            "logits.",
        ),
        wrong(
            """
            def class_cross_entropy(input, classes, row_weight, scale, softmax):
                x = class_rows(input)
                m = x.max()
                softmax.exponentials = np.exp(x - m)
                softmax.sums = softmax.exponentials.sum(-1, keepdims=True)
                losses = np.log(softmax.sums).ravel() + m - np.take(x, true_places(x, classes))
                return weighed(losses.reshape(classes.shape), row_weight, scale)
            """,
            "The largest logit of all was subtracted; in a row far below it every exponential is 0. Each row "
            "needs its own.",
        ),
        wrong(
            """
            def class_cross_entropy(input, classes, row_weight, scale, softmax):
                x = class_rows(input)
                x -= x.max(-1, keepdims=True)
                softmax.exponentials = np.exp(x)
                softmax.sums = softmax.exponentials.sum(-1, keepdims=True)
                losses = np.log(softmax.sums).ravel() - np.take(x, true_places(x, classes))
                return weighed(losses.reshape(classes.shape), row_weight, scale)
            """,
            "This writes into the logits: class_rows gives a view of them. Make a new array.",
        ),
        swap(
            "x = class_rows(input)",
            "x = input.reshape(-1, input.shape[1 if input.ndim > 1 else 0])",
            "Reshaping (N, C, d) to rows mixes classes and places; class_rows moves dimension 1 to the end "
            "first.",
        ),
        swap("row_weight, scale)\n", "None, scale)\n", "The weights of the rows are left out."),
        swap(
            "return weighed(",
            "softmax.sums = softmax.sums.ravel()\n    return weighed(",
            "softmax.sums has the shape (rows, 1), so that it broadcasts: keepdims=True.",
        ),
        swap(
            "return weighed(",
            "del softmax.exponentials\n    return weighed(",
            "exp(x - m) is not left in softmax.exponentials, where the derivative looks for it.",
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
    call(
        losses.cross_entropy, tensor([[0.0, 0.0], [1000.0, 1000.0]]), tensor([1, 0]), reduction="none"
    ).gives(
        tensor([math.log(2)] * 2),
        atol=1e-4,
    )


@class_cross_entropy.check("a true class that seems impossible is a finite loss")
def _():
    call(losses.cross_entropy, tensor([0.0, -500.0]), tensor(1)).gives(tensor(500.0))


@class_cross_entropy.check("rows that do not count are left out")
def _():
    x = grid(3, 4)
    expected = -(log_softmax_of(x, 1)[[0, 2], [3, 1]]).mean()
    call(losses.cross_entropy, tensor(x), tensor([3, -100, 1])).gives(tensor(expected, np.float32))


@class_cross_entropy.check("the logits are left as they were")
def _():
    x = grid(2, 3)
    given = tensor(x)
    losses.cross_entropy(given, tensor([0, 1]))
    see("the logits after cross_entropy", given).gives(x)


@class_cross_entropy.check("exponentials and sums are left for the derivative")
def _():
    x = grid(2, 3)
    left: Any = losses.Softmax()
    losses.class_cross_entropy(tensor(x), tensor([0, 1]), None, 1.0, left)
    see("the shape of softmax.sums", left.sums.shape).gives((2, 1))
    share = left.exponentials / left.sums
    see("softmax.exponentials / softmax.sums", share).gives(np.exp(log_softmax_of(x, 1)).astype(np.float32))


distribution_cross_entropy = exercises.add(
    "distribution_cross_entropy",
    prompt=(
        "Return sum_c q_c (log sum_j exp(x_j) - x_c) over the classes, for logits and a distribution q of "
        "the same shape (C,) or (N, C, …), through `weighed(losses, None, scale)`. It is right for any "
        "finite logits, and also where q does not sum to 1."
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
        swap(
            "axis = class_axis(input)",
            "axis = 1",
            "A single row (C,) has its classes in dimension 0; class_axis knows.",
        ),
        wrong(
            """
            def distribution_cross_entropy(input, distribution, scale):
                axis = class_axis(input)
                e = np.exp(input - input.max(axis, keepdims=True))
                losses = -(distribution * np.log(e / e.sum(axis, keepdims=True))).sum(axis)
                return weighed(losses, None, scale)
            """,
            "Softmax rounds to 0 for a logit far below the others, and log 0 is -inf: work with the logits.",
        ),
        swap(
            "input.max(axis, keepdims=True)",
            "input.max()",
            "The largest logit of all was subtracted; in a row far below it every exponential is 0. Each row "
            "needs its own.",
        ),
        swap(
            "x = input - input.max(axis, keepdims=True)",
            "input -= input.max(axis, keepdims=True)\n        x = input",
            "This writes into the logits; make a new array.",
        ),
        swap(
            "weighed(losses, None, scale)",
            "losses if scale is None else losses.mean()",
            "The mean of all rows is not always what is asked for; `weighed` knows the scale.",
        ),
        wrong(
            """
            def distribution_cross_entropy(input, distribution, scale):
                axis = class_axis(input)
                x = input - input.max(axis, keepdims=True)
                minus_log = np.log(np.exp(x).sum(axis, keepdims=True)) - x
                return weighed((distribution * minus_log).mean(axis), None, scale)
            """,
            "The classes are averaged; they are summed.",
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


@distribution_cross_entropy.check("a single row, and the sum of two")
def _():
    x, q = grid(3).astype(np.float64), np.array([0.25, 0.25, 0.5])
    expected = -(q * log_softmax_of(x, 0)).sum()
    call(losses.distribution_cross_entropy, tensor(x), tensor(q), None).gives(np.array(expected))
    twice = tensor(np.array([x, x])), tensor(np.array([q, q]))
    call(losses.distribution_cross_entropy, *twice, 1.0).gives(np.array(2 * expected))


@distribution_cross_entropy.check("large logits do not overflow")
def _():
    x, q = tensor([[1000.0, 1000.0], [0.0, 0.0]]), tensor([[0.5, 0.5], [0.5, 0.5]])
    call(losses.distribution_cross_entropy, x, q, None).gives(tensor([math.log(2)] * 2), atol=1e-4)


@distribution_cross_entropy.check("a class that seems impossible is a finite loss")
def _():
    x, q = tensor([[1000.0, 0.0]]), tensor([[0.5, 0.5]])
    call(losses.distribution_cross_entropy, x, q, 1.0).gives(tensor(500.0))


@distribution_cross_entropy.check("the logits are left as they were")
def _():
    x = grid(2, 3)
    given = tensor(x)
    losses.distribution_cross_entropy(given, tensor(np.abs(x)), None)
    see("the logits after distribution_cross_entropy", given).gives(x)


binary_cross_entropy_with_logits = exercises.add(
    "binary_cross_entropy_with_logits",
    prompt=(
        "Return -y log p - (1 - y) log(1 - p) with p = sigmoid(x), right for any finite x, computed by Ops "
        "and reduced as `reduction` says. `weight` multiplies each loss and `pos_weight` the part of y; both "
        "broadcast to the input's shape. Shapes of input and target that differ are a ValueError."
    ),
    hints=(
        "-log p = softplus(-x) and -log(1 - p) = softplus(-x) + x, so the loss is (1 - y) x + softplus(-x).",
        "`softplus(neg(input), threshold=inf)` is exact; with pos_weight w it is multiplied by "
        "1 + (w - 1) y.",
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
        swap(
            "softplus(neg(input), threshold=inf)",
            "(1 + neg(input).exp()).log()",
            "exp(-x) overflows where x is far below 0; `softplus` does not.",
        ),
        swap(
            "+ minus_log_p, weight, input)",
            "+ minus_log_p, pos_weight, input)",
            "pos_weight multiplies the whole loss, as `weight` does; it belongs to the part of y.",
            ("    if pos_weight is not None:", "    if False:"),
        ),
        swap(
            "    return reduced(",
            "    if weight is not None and reduction == 'mean':\n"
            "        return sum((mul(sub(1, target), input) + minus_log_p) * weight) / sum(weight)\n"
            "    return reduced(",
            "The weighted losses are divided by the sum of the weights; their mean divides by their number.",
        ),
        swap(
            '    check_labels("binary_cross_entropy_with_logits", input, target)\n',
            "",
            "Shapes that differ are broadcast here, which compares answers with the labels of others.",
        ),
        swap(
            "reduced(element_weighed(mul(sub(1, target), input) + minus_log_p, weight, input), reduction)",
            "reduced(element_weighed(Tensor(to_array(mul(sub(1, target), input) + minus_log_p)), weight, "
            "input), reduction)",
            "NumPy has computed them, and no gradient will come back through it: use Ops.",
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
    call(bce, *given, weight=tensor([2.0, 0.5])).gives(np.array((bce_of(x, y) * [2.0, 0.5]).mean()))


@binary_cross_entropy_with_logits.check("logits far out are a finite loss")
def _():
    x, y = tensor([200.0, -200.0, 200.0]), tensor([0.0, 1.0, 1.0])
    call(losses.binary_cross_entropy_with_logits, x, y, reduction="none").gives(tensor([200.0, 200.0, 0.0]))


@binary_cross_entropy_with_logits.check("Ops do it")
def _():
    made_of_ops(losses.binary_cross_entropy_with_logits, tensor([1.0, 0.0]))


@binary_cross_entropy_with_logits.check("shapes that differ are an error")
def _():
    raises(ValueError, losses.binary_cross_entropy_with_logits, tensor([[1.0]]), tensor([1.0]))


kl_div = exercises.add(
    "kl_div",
    prompt=(
        "Return y (log y - x) for log-probabilities x and probabilities y, 0 where y is 0, computed by Ops; "
        'with log_target the target is log y. `reduction` may also be "batchmean": the sum divided by the '
        "number of rows. Shapes that differ are a ValueError, a target that requires grad is a "
        "NotImplementedError."
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
        swap(
            "sub(entropy, mul(y, input))",
            "sub(mul(y, input), entropy)",
            "The sign is turned round: the divergence is y log y minus y x, and never below 0 in sum.",
        ),
        swap(
            'reduction == "batchmean"',
            'reduction in ("batchmean", "mean")',
            '"mean" divides by the number of elements, and only "batchmean" by that of rows.',
        ),
        swap(
            "isinstance(target, Tensor) and target.requires_grad",
            "False",
            "A target that requires grad would wait for a gradient in vain: refuse it.",
        ),
        swap(
            '    check_labels("kl_div", input, target)\n',
            "",
            "Shapes that differ are broadcast here; check_labels refuses them.",
        ),
        swap(
            "sub(entropy, mul(y, input))",
            "Tensor(entropy - y * to_array(input))",
            "NumPy has computed them, and no gradient will come back through it: use Ops.",
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


@kl_div.check("shapes that differ and unknown words are errors")
def _():
    raises(ValueError, losses.kl_div, tensor([[-1.0], [-1.0]]), tensor([0.5, 0.5]))
    raises(ValueError, losses.kl_div, tensor([-1.0]), tensor([0.5]), reduction="average")


@kl_div.check("Ops do it")
def _():
    made_of_ops(losses.kl_div, tensor([0.5, 0.5]))
    made_of_ops(losses.kl_div, tensor([0.5, 0.5]), reduction="batchmean")
